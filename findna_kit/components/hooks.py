"""The pluggy marker of the plugin interface. It is not in `findna_kit.plugins`, which imports components, to avoid a cycle."""

from __future__ import annotations

import pluggy

PROJECT = "findna_kit"
"""The name that pluggy matches hook implementations by."""

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Decorator that marks a plugin's `findna_kit_register(registry)`."""
