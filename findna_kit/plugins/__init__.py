"""Plugins: which are installed (entry points), the hook that they implement, and the registries of components they fill.

Plugin authors need one name from here, for annotations: `Components`, the argument of `findna_kit_register`. Everything that a
component is written with comes from `findna_kit.components`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from findna_kit.plugins.registry import Components as Components

__all__ = ["Components"]


def __getattr__(name: str) -> Any:
    # The registry imports torch. The command line imports `plugins.entry_points` to print its help, and must start fast.
    if name == "Components":
        return import_module("findna_kit.plugins.registry").Components
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
