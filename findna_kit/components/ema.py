"""Exponential moving average of parameters and buffers, shared by teacher updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch.optim.swa_utils import get_ema_multi_avg_fn

from findna_kit.components.interfaces import ComponentConfig

if TYPE_CHECKING:
    from torch import Tensor, nn


class AveragingConfig(ComponentConfig):
    """Parameters shared by teacher updates that average the student."""

    buffers: Literal["copy", "average"] = Field(
        "copy", description="whether float buffers are copied or averaged; integer buffers are always copied"
    )


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float, buffers: Literal["copy", "average"]) -> None:
    """Update the teacher in place: `teacher <- momentum * teacher + (1 - momentum) * student`.

    With momentum 0 the teacher is an exact copy. buffers: `average` treats float buffers like parameters; with `copy` they are
    copied, as integer buffers always are.
    """
    # Tensors are paired by their order, which is the same in both: a teacher that is averaged is a copy of the student.
    old: list[Tensor] = list(teacher.parameters())
    new: list[Tensor] = list(student.parameters())
    for teacher_buffer, student_buffer in zip(teacher.buffers(), student.buffers(), strict=True):
        if buffers == "average" and teacher_buffer.is_floating_point():
            old, new = [*old, teacher_buffer], [*new, student_buffer]
        else:
            teacher_buffer.copy_(student_buffer)
    # All tensors at once: torch fuses the update of many tensors into a few kernels.
    # The third argument, the number of averaged models, has no effect on an exponential average.
    get_ema_multi_avg_fn(momentum)(old, new, None)
