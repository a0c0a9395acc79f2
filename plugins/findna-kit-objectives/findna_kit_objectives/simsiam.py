"""SimSiam (Chen and He 2021, equations 1 to 4, Algorithm 1): two views, a predictor and stop-gradient; no teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from findna_kit.components import (
    BatchNorm,
    BranchOutput,
    Clock,
    ComponentConfig,
    LossOutput,
    Projector,
    Schedule,
    ScheduleFunction,
    View,
    ViewPlan,
    within,
)
from findna_kit_objectives import pairs, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SimSiam(spread.SpreadAround):
    """SimSiam: `- cos(p, stop_gradient(z'))` of a prediction p and the projection z' of another view (Chen 2021).

    p is the predictor's output for the projection of a view. The loss is over all ordered pairs of the student's views; with
    two views its mean is equation 4. With `norm: batch`, as in the paper, the projector's output is normalised too, without
    scale and shift as in the authors' code, and the loss couples the batch.
    """

    class Config(ComponentConfig):
        """Sizes of the heads, and the stop-gradient."""

        layers: int = Field(3, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector")
        output: int = Field(128, gt=0, description="width of the projections")
        bottleneck: int = Field(32, gt=0, description="hidden width of the predictor; a quarter of `output` in the paper")
        norm: Literal["batch", "none"] = Field(
            "batch", description="normalisation of the heads' hidden layers and of the projections"
        )
        stop_gradient: bool = Field(
            True, description="detach the projection that is predicted; without it the method collapses"
        )
        predictor_learning_rate: Annotated[Schedule, within(0)] | None = Field(
            None, description="learning rate of the predictor, constant in the paper; null: that of the optimizer"
        )

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12, "output": 8, "bottleneck": 4},
        {"hidden": 12, "output": 8, "bottleneck": 4, "norm": "none", "stop_gradient": False},
    )
    head_input = "pooled"
    config: Config

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projector."""
        config = self.config
        projector = Projector(self.dim, config.hidden, config.output, config.layers, norm=config.norm)
        # Without scale and shift, as in the authors' code.
        last = [BatchNorm(config.output, affine=False)] if config.norm == "batch" else []
        return {"projector": nn.Sequential(projector, *last)}

    def student_heads(self) -> dict[str, nn.Module]:
        """Return the predictor: two layers with a bottleneck between them."""
        config = self.config
        return {"predictor": Projector(config.output, config.bottleneck, config.output, 2, norm=config.norm)}

    def head_learning_rates(self) -> dict[str, ScheduleFunction]:
        """Return the predictor's learning rate, if the recipe sets one."""
        rate = self.config.predictor_learning_rate
        return {} if rate is None else {"predictor": rate}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require two views that the student sees."""
        return pairs.student_problem(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of ordered pairs of views times the number of sequences."""
        return pairs.items(student, len(pairs.ordered(student)))

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the head outputs `projector` and `predictor`, [B, output].

        Metric: `spread` of the projections, 0 at collapse (see `spread.py`).
        """
        predicted, projected = spread.unit(student, "predictor"), spread.unit(student, "projector")
        targets = {name: z.detach() for name, z in projected.items()} if self.config.stop_gradient else projected
        view_pairs = pairs.ordered(student)
        cosines = torch.stack([(predicted[view] * targets[other]).sum(-1) for view, other in view_pairs])
        around, state_inputs = self.spread(projected)
        return LossOutput(-cosines.sum(), {"spread": around * len(view_pairs)}, state_inputs)
