"""Prediction of the teacher's embeddings of masked bases (Baevski et al. 2022, data2vec; Assran et al. 2023, I-JEPA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, Projector, View, ViewPlan
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_EPSILON = 1e-5


class LatentPrediction(Loss):
    """data2vec and I-JEPA: regression of the teacher's hidden states at masked bases (Baevski 2022, Assran 2023).

    The teacher sees the same view unmasked. The target is the mean of its last `target_layers` hidden layers, each normalised
    without learned parameters (data2vec, section 3.3). The prediction is an MLP of the student's embedding at the masked base.
    With `beta` the loss is that of data2vec, `(y - f)^2 / (2 beta)` where `|y - f| <= beta` and `|y - f| - beta / 2` elsewhere;
    without, it is `(y - f)^2`, as in I-JEPA. It is averaged over channels and summed over masked bases of the views that both
    branches see.

    `normalization: instance` is the paper's choice for speech, in which neighbouring targets are similar, as they are on DNA.
    `layer`, its choice for words and image patches, lets small networks on DNA collapse to the same vector at every base
    (tests/test_collapse_of_clusterings.py).

    Differences from the papers. data2vec uses the output of each block's feed-forward layer before the residual connection; a
    hidden layer here is the output of the block. I-JEPA predicts blocks of the target from an encoded context alone, with a
    network that receives their positions; here the student encodes the masked view, with rows of zeros for masked bases, and
    the predictor reads one base.
    """

    class Config(ComponentConfig):
        """Target, distance and predictor."""

        target_layers: int | None = Field(
            None, ge=1, description="number of the teacher's last hidden layers to average; null: all"
        )
        normalization: Literal["instance", "layer", "none"] = Field(
            "instance",
            description="normalisation of each target layer: instance, over the bases of a sequence; layer, over the channels "
            "of a base; or none",
        )
        beta: float | None = Field(
            None, gt=0, description="difference at which the loss turns from squared to linear; null: always squared"
        )
        layers: int = Field(2, ge=1, description="linear layers of the predictor; 1 in data2vec")
        hidden: int = Field(256, gt=0, description="width of the predictor")

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12},
        {"layers": 1, "normalization": "layer", "beta": 0.5, "target_layers": 1},
    )
    head_input = "masked"
    needs_teacher = True
    config: Config

    def student_heads(self) -> dict[str, nn.Module]:
        """Return the predictor, whose output has the width of the encoder."""
        return {"predictor": Projector(self.dim, self.config.hidden, self.dim, self.config.layers)}

    def layers(self, depth: int) -> tuple[int, ...]:
        """Return the indices of the last `target_layers` layers. Raise FindnaError if the encoder has fewer."""
        count = self.config.target_layers or depth
        if count > depth:
            raise FindnaError(f"latent_prediction: the encoder has {depth} hidden layers; set target_layers to at most {depth}")
        return tuple(range(depth - count, depth))

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a masked view that both branches see."""
        if any(view.student and view.teacher and view.masked for view in views):
            return None
        return "needs a view with `mask` that both branches see: set `see: [student, teacher]`"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of masked bases in the views that both branches see."""
        return torch.stack([student[name].masked_weight.sum() for name in _shared(student, teacher)]).sum()

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the head output `predictor` [B, M, D] and the teacher's hidden states.

        Metrics: the variance of targets and of predictions among the masked bases of a sequence. It is 0 if all are the same: a
        collapse. Raises FindnaError if the teacher has another width.
        """
        total, variances = [], []
        for name in _shared({name: output.view for name, output in student.items()}, teacher):
            output = student[name]
            target = self._target(teacher[name], output.view).gather(1, _expand(output.view.masked_index, self.dim))
            predicted, weight = output.heads["predictor"].float(), output.view.masked_weight
            total.append((self._distance(predicted, target).mean(-1) * weight).sum())
            variances.append(torch.stack([_variance(target, weight), _variance(predicted.detach(), weight)]))
        target_variance, prediction_variance = torch.stack(variances).sum(0)
        metrics = {"target_variance": target_variance, "prediction_variance": prediction_variance}
        return LossOutput(torch.stack(total).sum(), metrics)

    @torch.no_grad()
    def _target(self, output: BranchOutput, view: View) -> Tensor:
        """Return the targets [B, L, D]: the mean of the teacher's normalised last layers."""
        length = view.tokens.shape[1]
        # `hidden` may contain more layers, which other losses requested.
        last = sorted(output.hidden.items())[-(self.config.target_layers or len(output.hidden)) :]
        # Without the class tokens, which come first if the encoder has any.
        hidden = [layer[:, layer.shape[1] - length :].float() for _, layer in last]
        width = hidden[0].shape[-1]
        if width != self.dim:
            raise FindnaError(
                f"latent_prediction: the teacher's hidden layers have width {width}, the student's {self.dim}; use a teacher "
                "of the same width, or the loss `relational`, which compares any two widths"
            )
        return torch.stack([self._normalized(layer, view.valid) for layer in hidden]).mean(0)

    def _normalized(self, layer: Tensor, valid: Tensor) -> Tensor:
        """Normalise a layer [B, L, D] as the config asks; instance normalisation leaves padding out."""
        if self.config.normalization == "layer":
            return F.layer_norm(layer, layer.shape[-1:], eps=_EPSILON)
        if self.config.normalization == "none":
            return layer
        # Statistics over the valid positions of each sequence by itself.
        share = (valid.float() / valid.sum(1, keepdim=True).clamp(min=1))[..., None]
        mean = (layer * share).sum(1, keepdim=True)
        variance = ((layer - mean).square() * share).sum(1, keepdim=True)
        return (layer - mean) * torch.rsqrt(variance + _EPSILON)

    def _distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        if self.config.beta is None:
            return (predicted - target).square()
        return F.smooth_l1_loss(predicted, target, beta=self.config.beta, reduction="none")


def _shared(student: Mapping[str, View], teacher: Mapping[str, object]) -> list[str]:
    """Return the masked views that both branches see."""
    return [name for name, view in student.items() if name in teacher and view.masked_index.shape[1]]


def _expand(index: Tensor, dim: int) -> Tensor:
    """Expand positions [B, M] to [B, M, dim], for `gather`."""
    return index[..., None].expand(-1, -1, dim)


def _variance(x: Tensor, weight: Tensor) -> Tensor:
    """Return the squared distance of `x` [B, M, D] to each sequence's mean, averaged over D and summed with weights [B, M]."""
    weight = weight[..., None]
    mean = (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-12)
    return ((x - mean).square() * weight).sum() / x.shape[-1]
