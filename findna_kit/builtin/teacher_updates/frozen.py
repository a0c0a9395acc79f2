"""A teacher that never moves: distillation from a network that stands (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.components import Clock, ComponentConfig, TeacherUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class Frozen(TeacherUpdate):
    """The teacher stays the initial student, pretrained where the recipe says `init_from`; a finished run gives the student."""

    class Config(ComponentConfig):
        """Nothing to choose."""

    export_branch = "student"

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Moves nothing."""
        return {}
