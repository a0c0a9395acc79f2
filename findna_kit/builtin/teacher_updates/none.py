"""No teacher of its own: the student's weights without gradient (Chen and He 2021, SimSiam's stop-gradient)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit.interfaces import ComponentConfig, TeacherUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from findna_kit.schedules import Clock


class NoTeacher(TeacherUpdate):
    """The teacher is the student after every step; a finished run gives the student."""

    class Config(ComponentConfig):
        """Nothing to choose."""

    serves = "student"

    @torch.no_grad()
    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Copies every parameter and buffer."""
        for mine, theirs in zip(teacher.state_dict().values(), student.state_dict().values(), strict=True):
            mine.copy_(theirs)
        return {}
