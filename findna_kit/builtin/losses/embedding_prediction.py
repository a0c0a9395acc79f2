"""Prediction of the teacher's embedding of a whole sequence from a masked one (after Larey et al. 2026, JEPA-DNA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit.components import (
    BranchOutput,
    Clock,
    ComponentConfig,
    Loss,
    LossOutput,
    Projector,
    View,
    ViewPlan,
    feature_statistics,
)
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class EmbeddingPrediction(Loss):
    """Prediction of an embedding: `prediction MSE(h(s), t) + variance v(s) + covariance c(s)` (after Larey 2026, JEPA-DNA).

    s is the student's pooled or class embedding of a masked view, t the teacher's of the same view without a mask, h an MLP. v
    and c are the terms of VICReg (Bardes 2022, equations 1 and 4), with its weights, of the student's embeddings over the
    global batch: they keep the embeddings from becoming equal, and features from repeating each other. No gradient flows into
    t. Each class token is predicted and regularised by itself. The views that count are the masked ones that both branches see.

    JEPA-DNA continues the training of published models with their own token loss and this term on a class token, with spans
    masked in the student's input and an EMA as the teacher. Only its abstract, model cards and reviews could be read: the
    distance (that of VICReg), the weights (VICReg's) and that v and c act on s, and not on h(s), are choices of this kit.
    `latent_prediction` of `findna-kit-objectives` predicts the embedding of each masked base instead.
    """

    class Config(ComponentConfig):
        """Embeddings that are predicted, weights and predictor."""

        reads: Literal["pooled", "class"] = Field(
            "pooled", description="embedding that is predicted: pooled, the mean over bases, or class, each class token"
        )
        prediction: float = Field(25.0, ge=0, description="weight of the squared error of the prediction")
        variance: float = Field(25.0, ge=0, description="weight of the hinge that keeps features from becoming constant")
        covariance: float = Field(1.0, ge=0, description="weight of the decorrelation of features")
        target: float = Field(1.0, gt=0, description="standard deviation below which the hinge applies")
        epsilon: float = Field(1e-4, gt=0, description="added to the variance before the square root")
        layers: int = Field(2, ge=1, description="linear layers of the predictor")
        hidden: int = Field(256, gt=0, description="width of the predictor")

    examples = ({"hidden": 12}, {"hidden": 12, "reads": "class", "layers": 1, "prediction": 1.0})
    head_input: Literal["pooled", "class"] = "pooled"
    needs_teacher = True
    coupling = "batch"
    config: Config

    def __init__(self, config: Config, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        self.head_input = config.reads

    def student_heads(self) -> dict[str, nn.Module]:
        """Return the predictor, whose output has the width of the encoder."""
        return {"predictor": Projector(self.dim, self.config.hidden, self.dim, self.config.layers)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a masked view that both branches see, and class tokens if those are read."""
        if self.config.reads == "class" and self.class_tokens == 0:
            return "reads class tokens: set class_tokens above 0, or reads: pooled"
        if any(view.student and view.teacher and view.masked for view in views):
            return None
        return "needs a view with `mask` that both branches see: set `see: [student, teacher]`"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of sequences times views: each view has one value, which `forward` multiplies by the sequences."""
        tokens = next(iter(student.values())).tokens
        return torch.tensor(float(len(tokens) * len(_masked_of_both(student, teacher))), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the head output `predictor`, [B, D] or [B, C, D].

        Metrics: the three terms without their weights; `deviation`, the mean standard deviation of the student's features: 0 at
        collapse, `target` or more where the hinge is 0. Raises FindnaError if the teacher has another width.
        """
        parts = []
        for name in _masked_of_both({name: output.view for name, output in student.items()}, teacher):
            embedding, target = _rows(student[name]), _rows(teacher[name])
            if target.shape[-1] != self.dim:
                raise FindnaError(
                    f"embedding_prediction: the teacher's embeddings have width {target.shape[-1]}, the student's {self.dim}; "
                    "use a teacher of the same width, or the loss `relational`, which compares any two widths"
                )
            error = F.mse_loss(student[name].heads["predictor"].float(), target.detach())
            # [C, B, D]: the samples of a class token, not the tokens of a sample, are what must differ.
            by_token = embedding.transpose(0, 1) if embedding.ndim == 3 else embedding
            statistics = feature_statistics(by_token, target=self.config.target, epsilon=self.config.epsilon)
            parts.append(len(embedding) * torch.stack([error, *statistics]))
        error, variance, covariance, deviation = torch.stack(parts).sum(0)
        config = self.config
        total = config.prediction * error + config.variance * variance + config.covariance * covariance
        named = {"prediction": error, "variance": variance, "covariance": covariance, "deviation": deviation}
        return LossOutput(total, {name: value.detach() for name, value in named.items()})


def _masked_of_both(student: Mapping[str, View], teacher: Mapping[str, object]) -> list[str]:
    """Return the masked views that both branches see."""
    return [name for name, view in student.items() if name in teacher and view.masked_index.shape[1]]


def _rows(output: BranchOutput) -> Tensor:
    """Return the embeddings that the loss reads, in fp32. Raise ValueError if the branch did not compute them."""
    if output.rows is None:
        raise ValueError("the branch did not compute the rows that this loss reads")
    return output.rows.float()
