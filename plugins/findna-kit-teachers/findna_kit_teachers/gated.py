"""EMA that pauses while the student's validation gets worse: early stopping with patience (Prechelt 1998), for the teacher."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field

from findna_kit.components import (
    AveragingConfig,
    Clock,
    Cosine,
    Examples,
    Schedule,
    TeacherUpdate,
    ema_update,
    within,
)
from findna_kit.errors import FindnaError, nearest
from findna_kit_teachers.state import exact_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


_VALIDATION_PREFIX = "held_out"
"""Prefix of the names of validation metrics."""


class Gated(TeacherUpdate):
    """EMA, `teacher <- m teacher + (1 - m) student`, that pauses while a validation metric is worse than its best value.

    A validation is worse if its metric differs from the best one by more than `tolerance`. After more than `patience` worse
    validations in a row the teacher, including its buffers, is not updated until a validation is not worse. Before the first
    validation it is updated. Each validation counts once: the metric `validation_step` is the step of the last one.
    """

    class Config(AveragingConfig):
        """Momentum, and the condition under which the teacher is updated."""

        momentum: Annotated[Schedule, within(0, 1)] = Field(
            Cosine(start=0.996, end=1.0),
            description="share of the old teacher that is kept per step, while it is updated",
        )
        metric: str = Field(min_length=1, description="validation metric to compare, such as held_out/masked/loss")
        better: Literal["lower", "higher"] = Field("lower", description="whether a lower or a higher metric is better")
        tolerance: float = Field(
            0.0, ge=0, allow_inf_nan=False, description="largest difference from the best value that does not count as worse"
        )
        patience: int = Field(0, ge=0, description="number of worse validations in a row that do not pause the teacher yet")

    examples: ClassVar[Examples] = ({"metric": "held_out/distill/loss", "momentum": 0.9, "buffers": "average"},)
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # The metric is negated where higher is better, so that the smallest value is the best. `last` is a step.
        self.best, self.last, self.worse = math.inf, -1, 0

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Update parameters and buffers unless paused; return `momentum` to log, which is 1 while the teacher is paused.

        Raises FindnaError if there are validation metrics, and `metric` is not one of them.
        """
        value = self._validation_value(metrics)
        validation_step = int(metrics.get("validation_step", clock.step))
        if value is not None and validation_step != self.last:
            self.last = validation_step
            self._record(value)
        if self.worse > self.config.patience:
            return {"momentum": 1.0}
        momentum = self.config.momentum(clock)
        ema_update(teacher, student, momentum, self.config.buffers)
        return {"momentum": momentum}

    def _validation_value(self, metrics: Mapping[str, float]) -> float | None:
        """Return the metric, with a sign such that smaller is better; None before the first validation."""
        name = self.config.metric
        if name in metrics:
            return metrics[name] if self.config.better == "lower" else -metrics[name]
        available = sorted(other for other in metrics if other.startswith(_VALIDATION_PREFIX))
        if not available:
            return None
        raise FindnaError(
            f"teacher_update.metric: there is no metric {name!r}{nearest(name, available)} (validation metrics: "
            f"{', '.join(available)})"
        )

    def _record(self, value: float) -> None:
        """Count the validation as worse or not, and update the best value."""
        self.worse = 0 if value <= self.best + self.config.tolerance else self.worse + 1
        self.best = min(self.best, value)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the `best` value, the step of the `last` validation, and the number of `worse` validations in a row."""
        # In float64, as Python computes: rounded to float32, a resumed run would compare with another best value.
        best = torch.tensor(self.best, dtype=torch.float64, device="cpu")
        counters = {name: torch.tensor(getattr(self, name), device="cpu") for name in ("last", "worse")}
        return {"best": best, **counters}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state from `state_dict`. Raise ValueError if its names differ."""
        best, last, worse = exact_state("gated", state, ("best", "last", "worse"))
        self.best, self.last, self.worse = float(best), int(last), int(worse)
