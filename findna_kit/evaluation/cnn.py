"""A small convolutional network that is trained on a task from scratch: a control that has seen no other sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet, rng
from findna_kit.component_config import ComponentConfig
from findna_kit.components.interfaces import Encoder
from findna_kit.evaluation.finetuning import FinetuneResult, FinetuneSettings, finetune
from findna_kit.model.branch import Branch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from findna_kit.components.optimizer import Optimizer
    from findna_kit.distributed import Engine
    from findna_kit.evaluation.tasks import Task
    from findna_kit.inference.frozen_model import Strand

SETTINGS = FinetuneSettings(batch_size=64, learning_rate=2e-3)
"""The other settings are those of fine-tuning: 20 epochs, of which the best on the validation split is kept."""
REVISION = 1
"""Raise it when the network changes: cached predictions are then made again."""


class TaskCnn(Encoder):
    """A convolution of motif width, residual convolutions, and the mean over each of `segments` equal parts of a sequence.

    The parts stand side by side in the embedding, so that the pooled embedding tells where in the sequence a motif is.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        channels: int = Field(64, gt=0, description="channels of every convolution")
        motif: int = Field(11, gt=0, description="width of the first convolution in bases; odd")
        kernel: int = Field(7, gt=0, description="width of the others; odd")
        blocks: int = Field(2, ge=0, description="residual convolutions")
        segments: int = Field(8, gt=0, description="parts of a sequence")

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.segments, self.depth = config.segments, config.blocks
        self.dim = config.channels * config.segments
        self.motifs = nn.Conv1d(alphabet.CHANNELS, config.channels, config.motif, padding="same")
        self.norms = nn.ModuleList(nn.LayerNorm(config.channels) for _ in range(config.blocks))
        self.convs = nn.ModuleList(
            nn.Conv1d(config.channels, config.channels, config.kernel, padding="same") for _ in range(config.blocks)
        )

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, L, segments * channels]: those of a position are zero outside its own segment."""
        inside = valid[..., None]
        # Padding must look like what is beyond the end, which the convolution takes for zeros.
        x = F.gelu(_convolved(self.motifs, bases * inside))
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = x + F.gelu(_convolved(conv, norm(x) * inside))
        place = torch.arange(x.shape[1], device=x.device) * self.segments // valid.sum(1, keepdim=True).clamp(min=1)
        # Padding is beyond the last segment; its embeddings are not pooled.
        own = F.one_hot(place.clamp(max=self.segments - 1), self.segments).to(x.dtype)
        return (x[:, :, None] * own[..., None]).flatten(2), {}


def train_cnn(
    engine: Engine,
    task: Task,
    *,
    optimizer: type[Optimizer],
    strand: Strand,
    seed: int,
    folder: Path,
    log: Callable[[str], None],
) -> FinetuneResult:
    """Train the network on the task, and return its prediction of the test split. folder: as of `finetune`."""
    config = TaskCnn.Config()
    with rng.torch_seed(seed, "cnn", device=torch.device("cpu")):
        network = Branch(TaskCnn(config, length=0, class_tokens=0), 0, {}).to(engine.device)
    return finetune(
        network, engine, task, SETTINGS, optimizer=optimizer, pooling="mean", strand=strand, seed=seed, folder=folder, log=log
    )  # fmt: skip


def _convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution to [B, L, D]."""
    convolved: Tensor = conv(x.transpose(1, 2)).transpose(1, 2)
    return convolved
