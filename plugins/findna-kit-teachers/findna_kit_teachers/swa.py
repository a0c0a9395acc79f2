"""Stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407, algorithm 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field

from findna_kit.components import AveragingConfig, Clock, Examples, TeacherUpdate, ema_update
from findna_kit_teachers.state import exact_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class SWA(TeacherUpdate):
    """SWA: the mean of the students of the last part of training, `teacher <- (n teacher + student) / (n + 1)` (Izmailov 2018).

    Before that the teacher is a copy of the student. In the paper the learning rate stays high, or cycles, while students are
    averaged; with one that falls to 0 they hardly differ. The paper recomputes batch statistics in another pass over the data;
    here float buffers are copied from the last student, or averaged.
    """

    class Config(AveragingConfig):
        """Start of the average, and the interval between students."""

        start: float = Field(0.75, ge=0, lt=1, description="share of the steps after which averaging begins")
        every: int = Field(1, gt=0, description="number of steps between the students that are averaged")

    examples: ClassVar[Examples] = ({"start": 0.0}, {"start": 0.25, "every": 2, "buffers": "average"})
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.averaged = 0

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Update parameters and buffers; return `averaged` to log, the number of students in the average."""
        # Rounded, because 0.28 * 25 is slightly more than 7 in floating point.
        first = max(1, math.ceil(round(self.config.start * clock.steps, 6)))
        since = clock.step + 1 - first
        if since < 0:
            self.averaged = 0
            ema_update(teacher, student, 0.0, self.config.buffers)
        elif since % self.config.every == 0:
            ema_update(teacher, student, self.averaged / (self.averaged + 1), self.config.buffers)
            self.averaged += 1
        return {"averaged": float(self.averaged)}

    def state_dict(self) -> dict[str, Tensor]:
        """Return `averaged`, the number of students in the average."""
        return {"averaged": torch.tensor(self.averaged, device="cpu")}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state from `state_dict`. Raise ValueError if its names differ."""
        (averaged,) = exact_state("swa", state, ("averaged",))
        self.averaged = int(averaged)
