"""Optimizers beyond the built-in ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.components import hookimpl
from findna_kit_optimizers.muon import Muon

if TYPE_CHECKING:
    from findna_kit.plugins import Components

findna_kit_api = 2


@hookimpl
def findna_kit_register(registry: Components) -> None:
    """Register each component under the name that recipes use."""
    registry.optimizers.add("muon", Muon)
