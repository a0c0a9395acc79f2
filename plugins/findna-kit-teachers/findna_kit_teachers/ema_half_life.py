"""Exponential moving average with its momentum given as a half-life (as in EDM, Karras et al. 2022, arXiv 2206.00364)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from findna_kit.components import AveragingConfig, Clock, Constant, Examples, Schedule, TeacherUpdate, ema_update, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class HalfLifeEMA(TeacherUpdate):
    """EMA, `teacher <- m teacher + (1 - m) student`, with `m = 2^(-1 / half_life)` (Karras 2022).

    The weight of a step's student is halved after `half_life` more steps. BYOL's momentum of 0.996 is a half-life of 173 steps.
    With a half-life of 0, such as at the start of a warm-up, the teacher is a copy of the student.
    """

    class Config(AveragingConfig):
        """The half-life of the average."""

        half_life: Annotated[Schedule, within(0)] = Field(
            Constant(value=173.0), description="steps after which the weight of a student in the teacher is halved"
        )

    examples: ClassVar[Examples] = ({"half_life": 3.0}, {"half_life": 3.0, "buffers": "average"})
    config: Config

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Update parameters and buffers; return `momentum` to log."""
        half_life = self.config.half_life(clock)
        momentum = 2.0 ** (-1 / half_life) if half_life > 0 else 0.0
        ema_update(teacher, student, momentum, self.config.buffers)
        return {"momentum": momentum}
