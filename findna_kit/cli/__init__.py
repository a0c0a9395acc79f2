"""The command line. Starting it imports typer and no command; each command is imported when it is called."""

from __future__ import annotations

from findna_kit.cli.app import main

__all__ = ["main"]
