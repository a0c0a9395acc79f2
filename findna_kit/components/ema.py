"""Moving a teacher towards its student: what averaging rules share, the kit's and strangers'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch.optim.swa_utils import get_ema_multi_avg_fn

from findna_kit.components.interfaces import ComponentConfig

if TYPE_CHECKING:
    from torch import Tensor, nn


class AveragingConfig(ComponentConfig):
    """What every averaging rule lets the recipe choose."""

    buffers: Literal["copy", "average"] = Field("copy", description="what becomes of float buffers; integers are copied")


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float, buffers: Literal["copy", "average"]) -> None:
    """`teacher <- momentum teacher + (1 - momentum) student`, in place; momentum 0 is a copy to the bit.

    Float buffers go the same way under `average`; otherwise they are copied, as integers always are.
    """
    old: list[Tensor] = list(teacher.parameters())
    new: list[Tensor] = list(student.parameters())
    for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
        if buffers == "average" and mine.is_floating_point():
            old, new = [*old, mine], [*new, theirs]
        else:
            mine.copy_(theirs)
    get_ema_multi_avg_fn(momentum)(old, new, None)
