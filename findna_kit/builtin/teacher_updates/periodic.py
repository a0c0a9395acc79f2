"""Periodic copies of the student: the target network of deep Q-learning (Mnih et al. 2015, Nature 518:529)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from findna_kit.builtin.teacher_updates.copying import copy_into
from findna_kit.components import Clock, ComponentConfig, TeacherUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class PeriodicCopy(TeacherUpdate):
    """A copy of the student that is renewed every `every` steps (Mnih 2015). A finished run exports the student."""

    class Config(ComponentConfig):
        """Interval between copies."""

        every: int = Field(100, gt=0, description="steps between copies of the student")

    examples = ({"every": 1}, {"every": 3})
    config: Config
    export_branch = "student"

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Copy the student into the teacher if this step completes a multiple of `every` steps."""
        # `clock.step` counts the steps before this one.
        if (clock.step + 1) % self.config.every == 0:
            copy_into(teacher, student)
        return {}
