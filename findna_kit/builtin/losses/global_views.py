"""What `sigreg` and `visreg` share: agreement with the mean of the global views, and a regulariser of all projections."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit.components import (
    BranchOutput,
    Clock,
    ComponentConfig,
    Draw,
    Loss,
    LossOutput,
    Projector,
    View,
    ViewPlan,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class GlobalViewsConfig(ComponentConfig):
    """Embeddings that are read, views, slices and head."""

    reads: Literal["pooled", "class"] = Field(
        "pooled", description="embeddings that the head reads: pooled, the mean over bases, or class, each class token"
    )
    global_views: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="labels of the views whose mean is the target of every view; null: all views that the student sees",
    )
    slices: int = Field(256, gt=0, description="number of random directions, drawn anew at every step")
    layers: int = Field(2, ge=1, description="linear layers of the projector")
    hidden: int = Field(768, gt=0, description="width of the projector")
    output: int = Field(16, gt=0, description="width of the projections, which are what is regularised")


class GlobalViewsLoss(Loss):
    """A loss `(1 - a) MSE(z, mean of the global views' z) + a R(z)` of the projections z of every view that the student sees.

    a is `regularization` in the Config, R the regulariser of the subclass. There is no teacher and no stop-gradient.
    """

    head_input: Literal["pooled", "class"] = "pooled"
    coupling = "batch"
    config: GlobalViewsConfig

    def __init__(self, config: GlobalViewsConfig, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        self.head_input = config.reads

    @property
    @abstractmethod
    def share(self) -> float:
        """Return the share of the regulariser in the loss."""

    @abstractmethod
    def regularize(self, z: Tensor, directions: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the regulariser, averaged over views and class tokens, and its metrics, which need not be detached.

        z: projections [V, C, B, output] of V views and C class tokens (1 if the loss reads pooled embeddings).
        directions: [output, slices] unit vectors.
        """

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projector: batch normalisation and GELU between the layers, and no bias in the last one."""
        config = self.config
        projector = Projector(
            self.dim, config.hidden, config.output, config.layers, norm="batch", activation="gelu", last_bias=False
        )
        return {"projector": projector}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require two views that the student sees, the global views among them, and class tokens if those are read."""
        seen = [view.name for view in views if view.student]
        if len(seen) < 2:
            return "needs two views that the student sees"
        labels = dict.fromkeys(_label(name) for name in seen)
        if unknown := [name for name in self.config.global_views or () if name not in labels]:
            return f"global_views names {', '.join(unknown)}, but the views that the student sees are {', '.join(labels)}"
        if self.config.reads == "class" and self.class_tokens == 0:
            return "reads class tokens: set class_tokens above 0, or reads: pooled"
        return None

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of sequences: the loss has one value for the batch, which `forward` multiplies by it."""
        tokens = next(iter(student.values())).tokens
        return torch.tensor(float(len(tokens)), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the head output `projector`, [B, output] or [B, C, output].

        Metrics: `invariance`, the mean squared difference to the target; `deviation`, the mean standard deviation of the
        projections' features over the batch, 0 at collapse and 1 for a standard Gaussian; and those of the regulariser.
        """
        # In fp32: characteristic functions, and differences of nearly equal projections, have no digits to lose.
        projections = torch.stack([output.heads["projector"].float() for output in student.values()])
        z = projections[:, None] if projections.ndim == 3 else projections.transpose(1, 2)
        target = z[self._global_indices(student)].mean(0, keepdim=True)
        invariance = (z - target).square().mean()
        regularizer, metrics = self.regularize(z, self._directions(clock, z.device))
        total = (1 - self.share) * invariance + self.share * regularizer
        named = {"invariance": invariance, "deviation": z.std(2, correction=0).mean(), **metrics}
        batch = z.shape[2]
        return LossOutput(batch * total, {name: batch * value.detach() for name, value in named.items()})

    def _global_indices(self, names: Iterable[str]) -> list[int]:
        """Return the positions of the global views among the student's."""
        wanted = self.config.global_views
        return [place for place, name in enumerate(names) if wanted is None or _label(name) in wanted]

    def _directions(self, clock: Clock, device: torch.device) -> Tensor:
        """Return random unit vectors [output, slices], the same in every process.

        They are a hash of the step alone, because a loss does not know the seed of the run: runs with different seeds use
        the same directions at the same step.
        """
        draw = Draw("slices of global views", clock.step, rows=torch.arange(self.config.slices, device=device))
        # The direction of a normal vector is uniform over the sphere.
        return F.normalize(draw.normal(self.config.output), dim=1).T


def _label(name: str) -> str:
    """Return the label in the recipe of a view: that of `crop.2` is `crop`."""
    return name.partition(".")[0]
