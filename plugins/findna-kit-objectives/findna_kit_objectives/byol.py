"""Bootstrap your own latent (BYOL; Grill et al. 2020, equation 2): predict what the teacher makes of another view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from findna_kit.components import BranchOutput, Clock, ComponentConfig, LossOutput, Projector, View, ViewPlan
from findna_kit_objectives import pairs, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class BYOL(spread.SpreadAround):
    """`|q(z) - z'|^2` of both at length 1, so `2 - 2 cos`: z the student's projection of a view, z' the teacher's of another.

    q is the predictor. Over all pairs of a student's and another, teacher's view: symmetric where both branches see the same
    two; the paper adds both directions up, here they are averaged. With `norm: batch`, as in the paper, the loss couples the
    batch; the teacher then normalises by running statistics, not by those of its batch. `norm: none` has GELU alone and takes
    rows one by one.
    """

    class Config(ComponentConfig):
        """The heads."""

        layers: int = Field(2, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector and of the predictor")
        output: int = Field(64, gt=0, description="width of the projections")
        predictor_layers: int = Field(2, ge=0, description="linear layers of the predictor; 0: none, and the method collapses")
        norm: Literal["batch", "none"] = Field("batch", description="of the heads' hidden layers")

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12, "output": 6},
        {"hidden": 12, "output": 6, "norm": "none", "predictor_layers": 0},
    )
    head_input = "pooled"
    needs_teacher = True
    config: Config

    def twin_heads(self) -> dict[str, nn.Module]:
        """The projector; the teacher's copy follows it by the recipe's rule."""
        config = self.config
        return {"projector": Projector(self.dim, config.hidden, config.output, config.layers, norm=config.norm)}

    def student_heads(self) -> dict[str, nn.Module]:
        """The predictor, which only the student has."""
        config = self.config
        if config.predictor_layers == 0:
            return {}
        return {"predictor": Projector(config.output, config.hidden, config.output, config.predictor_layers, norm=config.norm)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """A view of the teacher's beside another one of the student's."""
        return pairs.without_teacher(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Pairs of views, times sequences."""
        return pairs.items(teacher, len(pairs.across(student, teacher)))

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Over heads' `predictor` and `projector`, [B, output]; metric `spread`, 0 at collapse (`spread.py`)."""
        projected = spread.unit(student, "projector")
        predicted = spread.unit(student, "predictor") if self.config.predictor_layers else projected
        targets = {name: target.detach() for name, target in spread.unit(teacher, "projector").items()}
        both = pairs.across(student, targets)
        # Not as 2 - 2 cos, of which little but rounding is left where the branches nearly agree.
        distances = torch.stack([(predicted[s] - targets[t]).square().sum() for s, t in both])
        around, state_inputs = self.spread(projected)
        return LossOutput(distances.sum(), {"spread": around * len(both)}, state_inputs)
