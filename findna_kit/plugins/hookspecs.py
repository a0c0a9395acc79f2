"""The hook that a plugin implements to register its components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from findna_kit.components.hooks import PROJECT

if TYPE_CHECKING:
    from findna_kit.plugins.registry import Components

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec(historic=True)
def findna_kit_register(registry: Components) -> None:
    """Register component classes: `registry.losses.add("name", Class)`, and likewise for every other kind."""
