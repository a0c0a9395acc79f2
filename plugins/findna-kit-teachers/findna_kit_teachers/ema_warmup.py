"""Exponential moving average whose momentum rises with the step, so that the initial weights soon lose their influence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from findna_kit.components import AveragingConfig, Clock, Constant, Examples, Schedule, TeacherUpdate, ema_update, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class WarmupEMA(TeacherUpdate):
    """EMA, `teacher <- m teacher + (1 - m) student`, where m is limited by a function of the step s during a warm-up.

    The limit of the form `ratio` is `(1 + s) / (10 + s)`, as in TensorFlow's `ExponentialMovingAverage(num_updates=...)`. That
    of `power` is `1 - (1 + s / inverse_gamma)^(-power)`, Crowson's warm-up in k-diffusion and diffusers; with power 1 it gives
    the mean of all students so far. For a momentum that rises linearly use `{name: ema, momentum: {linear: {start, end}}}`.
    """

    class Config(AveragingConfig):
        """Momentum, and form of the warm-up."""

        momentum: Annotated[Schedule, within(0, 1)] = Field(
            Constant(value=0.996), description="share of the old teacher that is kept per step, after the warm-up"
        )
        form: Literal["ratio", "power"] = Field(
            "ratio", description="form of the warm-up. ratio: (1 + s) / (10 + s); power: a power of the step s"
        )
        power: float = Field(2 / 3, gt=0, allow_inf_nan=False, description="exponent of the form `power`")
        inverse_gamma: float = Field(1.0, gt=0, allow_inf_nan=False, description="divisor of the step in the form `power`")

    examples: ClassVar[Examples] = ({"momentum": 0.9}, {"momentum": 0.9, "form": "power", "buffers": "average"})
    config: Config

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Update parameters and buffers; return `momentum` to log."""
        momentum = min(self.config.momentum(clock), self._limit(clock.step))
        ema_update(teacher, student, momentum, self.config.buffers)
        return {"momentum": momentum}

    def _limit(self, step: int) -> float:
        """Return the largest momentum that the warm-up allows at this step."""
        if self.config.form == "ratio":
            return (1 + step) / (10 + step)
        student_share: Any = (1 + step / self.config.inverse_gamma) ** -self.config.power
        return 1 - float(student_share)
