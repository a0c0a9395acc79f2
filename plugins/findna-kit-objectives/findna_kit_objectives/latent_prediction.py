"""Latent prediction: what the teacher makes of masked bases (Baevski et al. 2022, data2vec; Assran et al. 2023, I-JEPA)."""

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
    """Regression, at each masked base, of what the teacher makes of the same view unmasked.

    The target is the mean of the teacher's last `target_layers` hidden layers, each normalised without learned parameters
    (data2vec, section 3.3); the prediction an MLP of the student's embedding there. With `beta` the loss is data2vec's,
    `(y - f)^2 / (2 beta)` where `|y - f| <= beta`, `|y - f| - beta / 2` elsewhere; without, `(y - f)^2`, as I-JEPA has. Of each
    base the mean over channels; summed over masked bases of the views that both branches see.

    `normalization: instance` is the paper's for speech, whose neighbouring targets are alike, as those of neighbouring bases
    are. `layer`, its choice for words and image patches, leaves a way out that small networks on DNA take: the same vector at
    every base (tests/test_collapse_of_clusterings.py).

    data2vec takes the output of each block's feed-forward before its residual; a hidden layer here is what leaves the block.
    I-JEPA predicts blocks of the target from an encoded context alone, by a network that is told their places: the student
    here encodes the masked view, the masked bases left out (rows of zeros), and the predictor looks at one base.
    """

    class Config(ComponentConfig):
        """Target, distance and predictor."""

        target_layers: int | None = Field(None, ge=1, description="last hidden layers of the teacher's averaged; null: all")
        normalization: Literal["instance", "layer", "none"] = Field(
            "instance", description="of each target layer: over bases of a sequence, over channels of a base, or not at all"
        )
        beta: float | None = Field(None, gt=0, description="where the loss turns from square to linear; null: nowhere")
        layers: int = Field(2, ge=1, description="linear layers of the predictor; data2vec has 1")
        hidden: int = Field(256, gt=0, description="width of the predictor")

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12},
        {"layers": 1, "normalization": "layer", "beta": 0.5, "target_layers": 1},
    )
    head_input = "masked"
    needs_teacher = True
    config: Config

    def student_heads(self) -> dict[str, nn.Module]:
        """The predictor, to the width of the encoder."""
        return {"predictor": Projector(self.dim, self.config.hidden, self.dim, self.config.layers)}

    def layers(self, depth: int) -> tuple[int, ...]:
        """The last `target_layers`. Raises FindnaError where the encoder has fewer."""
        count = self.config.target_layers or depth
        if count > depth:
            raise FindnaError(
                f"latent_prediction: the encoder has {depth} hidden layers; state {depth} target_layers, or fewer"
            )
        return tuple(range(depth - count, depth))

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """A masked view that both branches see."""
        if any(view.student and view.teacher and view.masked for view in views):
            return None
        return "needs a view with `mask` that both see: state `see: [student, teacher]`"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Masked bases of the views that both see."""
        return torch.stack([student[name].masked_weight.sum() for name in _shared(student, teacher)]).sum()

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Over heads' `predictor` [B, M, D] and the teacher's `hidden`.

        Metrics: the variance of targets and of predictions among the masked bases of a sequence, 0 where they are all alike:
        collapse. Raises FindnaError for a teacher of another width.
        """
        total, spread = [], []
        for name in _shared({name: output.view for name, output in student.items()}, teacher):
            output = student[name]
            target = self._target(teacher[name], output.view).gather(1, _columns(output.view.masked_index, self.dim))
            predicted, weight = output.heads["predictor"].float(), output.view.masked_weight
            total.append((self._distance(predicted, target).mean(-1) * weight).sum())
            spread.append(torch.stack([_variance(target, weight), _variance(predicted.detach(), weight)]))
        of_target, of_prediction = torch.stack(spread).sum(0)
        return LossOutput(torch.stack(total).sum(), {"target_variance": of_target, "prediction_variance": of_prediction})

    @torch.no_grad()
    def _target(self, output: BranchOutput, view: View) -> Tensor:
        length = view.tokens.shape[1]
        # There may be more: those that other losses ask for are kept together with these.
        last = sorted(output.hidden.items())[-(self.config.target_layers or len(output.hidden)) :]
        # Class rows come first, where the encoder has any.
        hidden = [layer[:, layer.shape[1] - length :].float() for _, layer in last]
        width = hidden[0].shape[-1]
        if width != self.dim:
            raise FindnaError(
                f"latent_prediction: the teacher's hidden layers are {width} wide, the student's {self.dim}; take a teacher of "
                "that width, or the loss `relational`, which compares any two"
            )
        return torch.stack([self._normalized(layer, view.valid) for layer in hidden]).mean(0)

    def _normalized(self, layer: Tensor, valid: Tensor) -> Tensor:
        if self.config.normalization == "layer":
            return F.layer_norm(layer, layer.shape[-1:], eps=_EPSILON)
        if self.config.normalization == "none":
            return layer
        share = (valid.float() / valid.sum(1, keepdim=True).clamp(min=1))[..., None]
        mean = (layer * share).sum(1, keepdim=True)
        variance = ((layer - mean).square() * share).sum(1, keepdim=True)
        return (layer - mean) * torch.rsqrt(variance + _EPSILON)

    def _distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        if self.config.beta is None:
            return (predicted - target).square()
        return F.smooth_l1_loss(predicted, target, beta=self.config.beta, reduction="none")


def _shared(student: Mapping[str, View], teacher: Mapping[str, object]) -> list[str]:
    """Views that both see, with masked positions."""
    return [name for name, view in student.items() if name in teacher and view.masked_index.shape[1]]


def _columns(index: Tensor, dim: int) -> Tensor:
    return index[..., None].expand(-1, -1, dim)


def _variance(x: Tensor, weight: Tensor) -> Tensor:
    """Of [B, M, D] around each sequence's mean, averaged over channels and summed over M with its weights."""
    weight = weight[..., None]
    mean = (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-12)
    return ((x - mean).square() * weight).sum() / x.shape[-1]
