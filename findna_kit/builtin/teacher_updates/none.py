"""No teacher of its own: the student's weights without gradient (Chen and He 2021, SimSiam's stop-gradient)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.builtin.teacher_updates.copying import copy_into
from findna_kit.components import Clock, ComponentConfig, TeacherUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class NoTeacher(TeacherUpdate):
    """The teacher is the student after every step; a finished run gives the student."""

    class Config(ComponentConfig):
        """Nothing to choose."""

    export_branch = "student"

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Copies the student."""
        copy_into(teacher, student)
        return {}
