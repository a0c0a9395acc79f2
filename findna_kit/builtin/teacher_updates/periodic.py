"""A copy from time to time: the target network of deep Q-learning (Mnih et al. 2015, Nature 518:529)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from findna_kit.builtin.teacher_updates.copying import copy_into
from findna_kit.components import Clock, ComponentConfig, TeacherUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class PeriodicCopy(TeacherUpdate):
    """The teacher takes the student's weights every so many steps and stands in between; a finished run gives the student."""

    class Config(ComponentConfig):
        """How often."""

        every: int = Field(100, gt=0, description="steps from one copy to the next")

    examples = ({"every": 1}, {"every": 3})
    config: Config
    export_branch = "student"

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Copies the student where the step now being taken makes the number of steps done a multiple of `every`."""
        if (clock.step + 1) % self.config.every == 0:
            copy_into(teacher, student)
        return {}
