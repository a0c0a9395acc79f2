"""A training step with the paper's formula (Yu et al. 2025), as a first version would be written.

`x + roll(mlp(x))` by split, roll and cat; the student's forward and backward on the whole batch at once; a linear readout of
every row; gradient clipping; AdamW with its defaults; the EMA in a Python loop. As in the kit, the masked loss is on the masked
positions and the centre is updated after the step, so both sides compute the same numbers.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

BASES, CLASSES = 4, 5


@dataclass(frozen=True)
class Inputs:
    """Inputs of both sides: the views of each branch [B, L, 5], the masked positions [B, M] and their bases [B, M]."""

    student: Tensor
    teacher: Tensor
    index: Tensor
    targets: Tensor

    def chunks(self, rows: int) -> Iterator[Inputs]:
        """Yield micro-batches."""
        for parts in zip(*(part.split(rows) for part in (self.student, self.teacher, self.index, self.targets)), strict=True):
            yield Inputs(*parts)


class Layer(nn.Module):
    """One layer of the mixer."""

    def __init__(self, dim: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.wide, self.narrow, self.groups = nn.Linear(dim, hidden), nn.Linear(hidden, dim), groups

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, L, D] to [B, L, D]."""
        first, *others = self.narrow(F.gelu(self.wide(x))).tensor_split(self.groups, dim=-1)
        rolled = [group.roll(-(2**place), 1) for place, group in enumerate(others)]
        return x + torch.cat([first, *rolled], -1)


class Network(nn.Module):
    """Stem, mixer and readout. Class tokens are zeros after the sequence."""

    def __init__(self, *, dim: int, hidden: int, blocks: int, length: int, class_tokens: int) -> None:
        super().__init__()
        self.class_tokens = class_tokens
        layers = math.ceil(math.log2(length + class_tokens))
        self.stem = nn.Linear(5, dim)
        self.layers = nn.Sequential(*(Layer(dim, hidden, layers + 1) for _ in range(blocks * layers)))
        self.readout = nn.Linear(dim, BASES + CLASSES)

    def forward(self, bases: Tensor) -> tuple[Tensor, Tensor]:
        """Map bases [B, L, 5] to logits over the bases [B, L, 4] and of the class tokens [B, C, 5]."""
        rows = self.readout(self.layers(self.stem(F.pad(bases, (0, 0, 0, self.class_tokens)))))
        length = bases.shape[1]
        return rows[:, :length, :BASES], rows[:, length:, BASES:]


class Training:
    """Student, teacher, centre and optimizer. rows: micro-batch size; None: the whole batch at once, as in the reference."""

    clip, student_temperature, teacher_temperature, center_momentum = 0.5, 0.1, 0.04, 0.9

    def __init__(self, network: Network, *, bf16: bool, rows: int | None = None, learning_rate: float = 3e-4) -> None:
        self.student, self.teacher = network, deepcopy(network).requires_grad_(False)
        self.center = torch.zeros(network.class_tokens, CLASSES)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=3e-4)
        self.bf16, self.rows, self.steps = bf16, rows, 0

    def step(self, inputs: Inputs, momentum: float = 0.996) -> float:
        """Take a step and return the loss."""
        self.optimizer.zero_grad()
        loss, teacher_logits = 0.0, []
        for part in inputs.chunks(self.rows or len(inputs.student)):
            share, logits = self._loss(part)
            share = share * (len(part.student) / len(inputs.student))
            share.backward()
            loss += share.item()
            teacher_logits.append(logits)
        nn.utils.clip_grad_norm_(self.student.parameters(), self.clip)
        self.optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                mine.copy_(momentum * mine + (1 - momentum) * theirs)
            kept = min(self.center_momentum, self.steps / (self.steps + 1))
            self.center = kept * self.center + (1 - kept) * torch.cat(teacher_logits).mean(0)
        self.steps += 1
        return loss

    def _loss(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the mean masked and self-distillation loss of the samples, and the teacher's logits of the class tokens."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            bases, classes = self.student(inputs.student)
            with torch.no_grad():
                _, logits = self.teacher(inputs.teacher)
        read = bases.gather(1, inputs.index[..., None].expand(-1, -1, BASES)).float()
        masked = F.cross_entropy(read.flatten(0, 1), inputs.targets.flatten())
        target = ((logits.float() - self.center) / self.teacher_temperature).softmax(-1)
        log_p = (classes.float() / self.student_temperature).log_softmax(-1)
        return masked - (target * log_p).sum(-1).mean(), logits.float()
