"""No separate teacher: the student's weights without gradient (Chen and He 2021, the stop-gradient of SimSiam)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.builtin.teacher_updates.copying import copy_into
from findna_kit.components import Clock, ComponentConfig, TeacherUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class NoTeacher(TeacherUpdate):
    """No separate teacher: a copy of the student after every step (Chen 2021). A finished run exports the student."""

    class Config(ComponentConfig):
        """No parameters."""

    export_branch = "student"

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Copy the student into the teacher."""
        # A copy instead of the student itself: the teacher has no dropout, and gets no gradient.
        copy_into(teacher, student)
        return {}
