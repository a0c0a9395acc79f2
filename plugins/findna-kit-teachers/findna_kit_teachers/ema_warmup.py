"""An exponential moving average whose momentum rises with the step: an early teacher soon forgets the initial weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from findna_kit.components import AveragingConfig, Clock, Constant, Examples, Schedule, TeacherUpdate, ema_update, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class WarmupEMA(TeacherUpdate):
    """`teacher <- m teacher + (1 - m) student`, where m is `momentum` or, while that is smaller, a function of the step s.

    `ratio`: `(1 + s) / (10 + s)`, as TensorFlow's `ExponentialMovingAverage(num_updates=...)` has it. `power`:
    `1 - (1 + s / inverse_gamma)^(-power)`, Crowson's warm-up in k-diffusion and diffusers; power 1 is then the plain mean of
    all students so far. A momentum that rises along a line needs neither: `{name: ema, momentum: {linear: {start, end}}}`.
    """

    class Config(AveragingConfig):
        """How fast the teacher follows in the end, and how it begins."""

        momentum: Annotated[Schedule, within(0, 1)] = Field(
            Constant(value=0.996), description="share of the old teacher kept per step, once the warm-up allows it"
        )
        form: Literal["ratio", "power"] = Field("ratio", description="of the warm-up: (1 + s) / (10 + s), or the power of s")
        power: float = Field(2 / 3, gt=0, allow_inf_nan=False, description="exponent of the power form")
        inverse_gamma: float = Field(1.0, gt=0, allow_inf_nan=False, description="steps that the power form counts as one")

    examples: ClassVar[Examples] = ({"momentum": 0.9}, {"momentum": 0.9, "form": "power", "buffers": "average"})
    config: Config

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Moves parameters and buffers; logs `momentum`."""
        momentum = min(self.config.momentum(clock), self._allowed(clock.step))
        ema_update(teacher, student, momentum, self.config.buffers)
        return {"momentum": momentum}

    def _allowed(self, step: int) -> float:
        if self.config.form == "ratio":
            return (1 + step) / (10 + step)
        kept: Any = (1 + step / self.config.inverse_gamma) ** -self.config.power
        return 1 - float(kept)
