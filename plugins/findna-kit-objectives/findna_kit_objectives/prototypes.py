"""Head of the losses that assign samples to prototypes: a projector, cosines to prototypes, and their learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from findna_kit.components import Clock, ComponentConfig, Projector, Prototypes, Schedule, ScheduleFunction, within

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


def prototype_head(dim: int, config: PrototypeConfig, *, norm: Literal["none", "batch"] = "none") -> dict[str, nn.Module]:
    """Return the heads `projector`, [..., dim] to [..., bottleneck], and `logits`, to cosines [..., prototypes] in [-1, 1]."""
    return {
        "projector": Projector(dim, config.hidden, config.bottleneck, config.layers, norm=norm),
        "logits": Prototypes(config.bottleneck, config.prototypes),
    }


def prototype_rates(config: PrototypeConfig) -> dict[str, ScheduleFunction]:
    """Return the result of `head_learning_rates`: the rate of `logits`, if it differs from the optimizer's."""
    rate = config.prototype_learning_rate
    return {} if rate is None else {"logits": rate}


def frozen_prototypes(config: PrototypeConfig, clock: Clock) -> tuple[str, ...]:
    """Return the result of `frozen_heads`: `logits` in the first steps, as in SwAV and DINO, which drop its gradient there."""
    return ("logits",) if clock.step < config.prototypes_frozen * clock.steps else ()
