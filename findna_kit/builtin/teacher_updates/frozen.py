"""A frozen teacher: distillation from a fixed network (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.components import Clock, ComponentConfig, TeacherUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class Frozen(TeacherUpdate):
    """A teacher that stays the initial student; `init_from` in the recipe may take that from another run (Hinton 2015).

    A finished run exports the student.
    """

    class Config(ComponentConfig):
        """No parameters."""

    export_branch = "student"
    frozen = True

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Leave the teacher unchanged."""
        return {}
