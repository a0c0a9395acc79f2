"""Bootstrap your own latent (BYOL; Grill et al. 2020, equation 2): predict the teacher's projection of another view."""

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
    """BYOL: `|q(z) - z'|^2` of unit vectors, which is `2 - 2 cos` (Grill 2020).

    z is the student's projection of a view, z' the teacher's projection of another view, and q the predictor. The loss is over
    all pairs of a view of the student and a different view of the teacher. It is symmetric if both branches see the same two
    views; the paper adds both directions, here they are averaged. With `norm: batch`, as in the paper, the loss couples the
    batch; the teacher normalises with the statistics of the batch too, as in the authors' code. With `norm: none` the heads
    have GELU alone, and samples are independent.
    """

    class Config(ComponentConfig):
        """Sizes of the heads."""

        layers: int = Field(2, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector and of the predictor")
        output: int = Field(64, gt=0, description="width of the projections")
        predictor_layers: int = Field(2, ge=0, description="linear layers of the predictor; 0: no predictor (collapses)")
        norm: Literal["batch", "none"] = Field("batch", description="normalisation of the heads' hidden layers")

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12, "output": 6},
        {"hidden": 12, "output": 6, "norm": "none", "predictor_layers": 0},
    )
    head_input = "pooled"
    needs_teacher = True
    config: Config

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projector; the recipe's teacher update moves the teacher's copy."""
        config = self.config
        return {"projector": Projector(self.dim, config.hidden, config.output, config.layers, norm=config.norm)}

    def student_heads(self) -> dict[str, nn.Module]:
        """Return the predictor, which only the student has."""
        config = self.config
        if config.predictor_layers == 0:
            return {}
        return {"predictor": Projector(config.output, config.hidden, config.output, config.predictor_layers, norm=config.norm)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a view of the student and a different view of the teacher."""
        return pairs.teacher_problem(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of pairs of views times the number of sequences."""
        return pairs.items(teacher, len(pairs.across(student, teacher)))

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the head outputs `predictor` and `projector`, [B, output].

        Metric: `spread` of the student's projections, 0 at collapse (see `spread.py`).
        """
        projected = spread.unit(student, "projector")
        predicted = spread.unit(student, "predictor") if self.config.predictor_layers else projected
        targets = {name: target.detach() for name, target in spread.unit(teacher, "projector").items()}
        view_pairs = pairs.across(student, targets)
        # Not computed as 2 - 2 cos, which loses all precision when the branches nearly agree.
        distances = torch.stack([(predicted[s] - targets[t]).square().sum() for s, t in view_pairs])
        around, state_inputs = self.spread(projected)
        return LossOutput(distances.sum(), {"spread": around * len(view_pairs)}, state_inputs)
