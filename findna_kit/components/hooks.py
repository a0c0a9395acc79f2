"""The pluggy marker of the plugin interface. It stands below `findna_kit.plugins`, so that components can export it."""

from __future__ import annotations

import pluggy

PROJECT = "findna_kit"
"""The name that pluggy matches hook implementations by."""

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Decorator that marks a plugin's `findna_kit_register(registry)`."""
