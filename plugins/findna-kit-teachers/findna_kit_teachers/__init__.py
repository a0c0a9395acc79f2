"""Teacher updates for FinDNA-Kit, in addition to the built-in ones: EMA variants, SWA, and distillation from another run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.components import hookimpl
from findna_kit_teachers.ema_half_life import HalfLifeEMA
from findna_kit_teachers.ema_warmup import WarmupEMA
from findna_kit_teachers.external import External
from findna_kit_teachers.gated import Gated
from findna_kit_teachers.swa import SWA

if TYPE_CHECKING:
    from findna_kit.plugins import Components

findna_kit_api = 2


@hookimpl
def findna_kit_register(registry: Components) -> None:
    """Register the teacher updates of this package."""
    registry.teacher_updates.add("ema_half_life", HalfLifeEMA)
    registry.teacher_updates.add("ema_warmup", WarmupEMA)
    registry.teacher_updates.add("external", External)
    registry.teacher_updates.add("gated", Gated)
    registry.teacher_updates.add("swa", SWA)
