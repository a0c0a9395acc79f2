"""Exponential moving average (Tarvainen and Valpola 2017, mean teacher; Grill et al. 2020, BYOL)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from findna_kit.components import AveragingConfig, Clock, Cosine, Schedule, TeacherUpdate, ema_update, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class EMA(TeacherUpdate):
    """EMA of the student: `teacher <- m teacher + (1 - m) student` once per step (Tarvainen 2017).

    By default m rises from 0.996 to 1 along half a cosine, as in BYOL.
    """

    class Config(AveragingConfig):
        """Momentum of the average."""

        momentum: Annotated[Schedule, within(0, 1)] = Field(
            Cosine(start=0.996, end=1.0), description="share of the old teacher kept per step"
        )

    examples = ({"momentum": 0.9}, {"momentum": 0.9, "buffers": "average"}, {})
    config: Config

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Update parameters and buffers of the teacher; log `momentum`."""
        momentum = self.config.momentum(clock)
        ema_update(teacher, student, momentum, self.config.buffers)
        return {"momentum": momentum}
