"""SimSiam (Chen and He 2021, equations 1 to 4, Algorithm 1): two views, a predictor and a stopped gradient; no teacher."""

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
    ScheduleValue,
    View,
    ViewPlan,
    within,
)
from findna_kit_objectives import pairs, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SimSiam(spread.SpreadAround):
    """`- cos(p, stop_gradient(z'))`: p the predictor's output on a view's projection, z' another view's projection.

    Over all ordered pairs of the student's views; with two, its mean is equation 4. With `norm: batch`, as in the paper, the
    projector's output is normalised too, without scale and shift as the authors' code has it, and the loss couples the batch.
    """

    class Config(ComponentConfig):
        """The heads, and the piece without which it collapses."""

        layers: int = Field(3, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector")
        output: int = Field(128, gt=0, description="width of the projections")
        bottleneck: int = Field(32, gt=0, description="hidden width of the predictor; the paper's is a quarter of `output`")
        norm: Literal["batch", "none"] = Field("batch", description="of the heads' hidden layers and of the projections")
        stop_gradient: bool = Field(
            True, description="hold still the projection that is predicted; without it the method collapses"
        )
        predictor_learning_rate: Annotated[Schedule, within(0)] | None = Field(
            None, description="of the predictor alone; the paper keeps it constant; null: the optimizer's"
        )

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12, "output": 8, "bottleneck": 4},
        {"hidden": 12, "output": 8, "bottleneck": 4, "norm": "none", "stop_gradient": False},
    )
    head_input = "pooled"
    config: Config

    def twin_heads(self) -> dict[str, nn.Module]:
        """The projector."""
        config = self.config
        projector = Projector(self.dim, config.hidden, config.output, config.layers, norm=config.norm)
        last = [BatchNorm(config.output, affine=False)] if config.norm == "batch" else []
        return {"projector": nn.Sequential(projector, *last)}

    def student_heads(self) -> dict[str, nn.Module]:
        """The predictor: two layers with a bottleneck between them."""
        config = self.config
        return {"predictor": Projector(config.output, config.bottleneck, config.output, 2, norm=config.norm)}

    def head_learning_rates(self) -> dict[str, ScheduleValue]:
        """The predictor's, where it is stated."""
        rate = self.config.predictor_learning_rate
        return {} if rate is None else {"predictor": rate}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Two views of the student's."""
        return pairs.alone(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Ordered pairs of views, times sequences."""
        return pairs.items(student, len(pairs.ordered(student)))

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Over heads' `projector` and `predictor`, [B, output]; metric `spread`, 0 at collapse (`spread.py`)."""
        predicted, projected = spread.unit(student, "predictor"), spread.unit(student, "projector")
        targets = {name: z.detach() for name, z in projected.items()} if self.config.stop_gradient else projected
        both = pairs.ordered(student)
        cosines = torch.stack([(predicted[one] * targets[other]).sum(-1) for one, other in both])
        around, state_inputs = self.spread(projected)
        return LossOutput(-cosines.sum(), {"spread": around * len(both)}, state_inputs)
