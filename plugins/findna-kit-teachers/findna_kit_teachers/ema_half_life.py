"""An exponential moving average told by its half-life, as Karras et al. 2022 (EDM, arXiv 2206.00364) state theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from findna_kit.components import AveragingConfig, Clock, Constant, Examples, Schedule, TeacherUpdate, ema_update, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class HalfLifeEMA(TeacherUpdate):
    """`teacher <- m teacher + (1 - m) student` with `m = 2^(-1 / half_life)`: a step's student counts half after so many more.

    BYOL's momentum of 0.996 is a half-life of 173 steps. At 0, which a warm-up begins with, the teacher is the student.
    """

    class Config(AveragingConfig):
        """How long the teacher remembers."""

        half_life: Annotated[Schedule, within(0)] = Field(
            Constant(value=173.0), description="steps after which a student's share in the teacher is halved"
        )

    examples: ClassVar[Examples] = ({"half_life": 3.0}, {"half_life": 3.0, "buffers": "average"})
    config: Config

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Moves parameters and buffers; logs `momentum`."""
        half_life = self.config.half_life(clock)
        momentum = 2.0 ** (-1 / half_life) if half_life > 0 else 0.0
        ema_update(teacher, student, momentum, self.config.buffers)
        return {"momentum": momentum}
