"""Head of the losses that assign samples to prototypes: a projector, cosines to prototypes, and their learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from findna_kit.components import ComponentConfig, Projector, Prototypes, Schedule, ScheduleFunction, within, zero_until

if TYPE_CHECKING:
    from torch import nn


class PrototypeConfig(ComponentConfig):
    """Sizes of the head, and the learning rate of its last layer."""

    layers: int = Field(3, ge=1, description="linear layers of the projector")
    hidden: int = Field(512, gt=0, description="width of the projector")
    bottleneck: int = Field(128, gt=0, description="output width of the projector")
    prototypes: int = Field(512, gt=1, description="number of prototypes")
    prototype_learning_rate: Annotated[Schedule, within(0)] | None = Field(
        None, description="learning rate of the prototypes; null: that of the optimizer"
    )
    prototypes_frozen: float = Field(
        0.0, ge=0, le=1, description="share of the steps, from the first one, in which the prototypes are not trained"
    )

    @model_validator(mode="after")
    def _rate_is_known(self) -> Self:
        if self.prototypes_frozen > 0 and self.prototype_learning_rate is None:
            raise ValueError("prototypes_frozen needs prototype_learning_rate, the learning rate after that")
        return self


def prototype_head(dim: int, config: PrototypeConfig, *, norm: Literal["none", "batch"] = "none") -> dict[str, nn.Module]:
    """Return the heads `projector`, [..., dim] to [..., bottleneck], and `logits`, to cosines [..., prototypes] in [-1, 1]."""
    return {
        "projector": Projector(dim, config.hidden, config.bottleneck, config.layers, norm=norm),
        "logits": Prototypes(config.bottleneck, config.prototypes),
    }


def prototype_rates(config: PrototypeConfig) -> dict[str, ScheduleFunction]:
    """Return the result of `head_learning_rates`: the rate of `logits`, if it differs from the optimizer's."""
    rate = config.prototype_learning_rate
    return {} if rate is None else {"logits": zero_until(config.prototypes_frozen, rate)}
