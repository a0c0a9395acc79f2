"""Exponential moving average (Tarvainen and Valpola 2017, mean teacher; Grill et al. 2020, BYOL)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch.optim.swa_utils import get_ema_multi_avg_fn

from findna_kit.interfaces import ComponentConfig, TeacherUpdate
from findna_kit.schedules import Cosine, Schedule, ScheduleValue, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from findna_kit.schedules import Clock


class EMA(TeacherUpdate):
    """`teacher <- m teacher + (1 - m) student`, once a step; the paper's m goes from 0.996 to 1 by half a cosine."""

    class Config(ComponentConfig):
        """How fast the teacher follows."""

        momentum: Annotated[Schedule, within(0, 1)] = Field(
            ScheduleValue(cosine=Cosine(start=0.996, end=1.0, warmup=0.0)), description="share of the old teacher kept per step"
        )
        buffers: Literal["copy", "average"] = Field("copy", description="what becomes of float buffers; integers are copied")

    examples = ({"momentum": 0.9}, {"momentum": 0.9, "buffers": "average"}, {})
    config: Config

    @torch.no_grad()
    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Moves parameters and buffers; logs `momentum`."""
        momentum = self.config.momentum(clock)
        old: list[Tensor] = list(teacher.parameters())
        new: list[Tensor] = list(student.parameters())
        for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
            if self.config.buffers == "average" and mine.is_floating_point():
                old, new = [*old, mine], [*new, theirs]
            else:
                mine.copy_(theirs)
        get_ema_multi_avg_fn(momentum)(old, new, None)
        return {"momentum": momentum}
