"""Stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407, algorithm 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field

from findna_kit.components import AveragingConfig, Clock, Examples, TeacherUpdate, ema_update
from findna_kit_teachers.state import whole_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class SWA(TeacherUpdate):
    """The plain mean of the students of the last stretch of training: `teacher <- (n teacher + student) / (n + 1)`.

    Until then the teacher follows the student by copy. The paper's learning rate stays high, or cycles, while the average is
    taken: one that falls to 0 leaves students that hardly differ. Where the paper recomputes batch statistics by one more
    pass over the data, float buffers are the latest student's, or averaged.
    """

    class Config(AveragingConfig):
        """When the average begins, and what goes into it."""

        start: float = Field(0.75, ge=0, lt=1, description="share of the steps after which the average begins")
        every: int = Field(1, gt=0, description="steps from one student in the average to the next")

    examples: ClassVar[Examples] = ({"start": 0.0}, {"start": 0.25, "every": 2, "buffers": "average"})
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.averaged = 0

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Moves parameters and buffers; logs `averaged`, the students in the average."""
        # Rounded: 0.28 of 25 steps is 7, though in floating point it is a little more.
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
        """`averaged`: the students in the average."""
        return {"averaged": torch.tensor(self.averaged, device="cpu")}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `state_dict` gave; ValueError for anything else."""
        (averaged,) = whole_state("swa", state, ("averaged",))
        self.averaged = int(averaged)
