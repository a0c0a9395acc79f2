"""Copying the student, shared by teacher updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn


@torch.no_grad()
def copy_into(teacher: nn.Module, student: nn.Module) -> None:
    """Copy every parameter and buffer of the student into the teacher, in place."""
    # The state dict shares memory with the parameters and buffers, so that copying into it changes the module.
    for old, new in zip(teacher.state_dict().values(), student.state_dict().values(), strict=True):
        old.copy_(new)
