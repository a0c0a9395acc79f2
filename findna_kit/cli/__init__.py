"""The command line. Nothing heavier than typer is imported before a command runs."""

from __future__ import annotations

from findna_kit.cli.app import main

__all__ = ["main"]
