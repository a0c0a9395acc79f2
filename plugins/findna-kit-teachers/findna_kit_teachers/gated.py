"""An EMA that waits while the student gets worse: early stopping with patience (Prechelt 1998), of the teacher alone."""

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
from findna_kit_teachers.state import whole_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


_LOOKED = "held_out"
"""What the names of metrics begin with that come from a look at the held-out windows."""


class Gated(TeacherUpdate):
    """`teacher <- m teacher + (1 - m) student` only while a held-out metric of the student is no worse than the best so far.

    A look is worse if it misses the best one by more than `tolerance`; after more than `patience` worse looks in a row the
    teacher stands whole, buffers too, until a look is not worse. Before the first look it moves. Between two looks
    nothing is counted: `validation_step` among the metrics is the step of the latest one.
    """

    class Config(AveragingConfig):
        """How fast the teacher follows, and what it waits for."""

        momentum: Annotated[Schedule, within(0, 1)] = Field(
            Cosine(start=0.996, end=1.0),
            description="share of the old teacher kept per step while it moves",
        )
        metric: str = Field(min_length=1, description="the metric that is watched, such as held_out/masked/loss")
        better: Literal["lower", "higher"] = Field("lower", description="which way the metric gets better")
        tolerance: float = Field(
            0.0, ge=0, allow_inf_nan=False, description="how far from the best a look may be, in its units"
        )
        patience: int = Field(0, ge=0, description="worse looks in a row that do not stop the teacher yet")

    examples: ClassVar[Examples] = ({"metric": "held_out/distill/loss", "momentum": 0.9, "buffers": "average"},)
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # Of the metric with its sign turned where higher is better: least is best.
        self.best, self.last, self.worse = math.inf, -1, 0

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Moves parameters and buffers, or nothing; logs `momentum`, which is 1 while the teacher stands.

        Raises FindnaError where the held-out windows have been looked at and the metric is not among what was seen.
        """
        value = self._watched(metrics)
        look = int(metrics.get("validation_step", clock.step))
        if value is not None and look != self.last:
            self.last = look
            self._look(value)
        if self.worse > self.config.patience:
            return {"momentum": 1.0}
        momentum = self.config.momentum(clock)
        ema_update(teacher, student, momentum, self.config.buffers)
        return {"momentum": momentum}

    def _watched(self, metrics: Mapping[str, float]) -> float | None:
        """The metric, least best; None before the first look."""
        name = self.config.metric
        if name in metrics:
            return metrics[name] if self.config.better == "lower" else -metrics[name]
        seen = sorted(other for other in metrics if other.startswith(_LOOKED))
        if not seen:
            return None
        raise FindnaError(
            f"teacher_update.metric: there is no metric {name!r}{nearest(name, seen)} (held-out ones: {', '.join(seen)})"
        )

    def _look(self, value: float) -> None:
        self.worse = 0 if value <= self.best + self.config.tolerance else self.worse + 1
        self.best = min(self.best, value)

    def state_dict(self) -> dict[str, Tensor]:
        """The `best` value, least best; the step of the `last` look; and the number of `worse` looks in a row."""
        best = torch.tensor(self.best, dtype=torch.float64, device="cpu")
        counted = {name: torch.tensor(getattr(self, name), device="cpu") for name in ("last", "worse")}
        return {"best": best, **counted}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `state_dict` gave; ValueError for anything else."""
        best, last, worse = whole_state("gated", state, ("best", "last", "worse"))
        self.best, self.last, self.worse = float(best), int(last), int(worse)
