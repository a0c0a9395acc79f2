"""The network that is fine-tuned: a copy of a branch, and one linear layer from its embedding to the classes."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from findna_kit import rng
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.components.views import View
    from findna_kit.distributed import Engine
    from findna_kit.evaluation.finetuning.settings import FinetuneSettings
    from findna_kit.inference.frozen_model import Pooling
    from findna_kit.model.branch import Branch


class Classifier(nn.Module):
    """Logits [B, K] of sequences. `notes` say where the encoder is not used as the settings have it.

    The encoder is a copy; with `scope: head` nothing in it moves, and it has no dropout. Before anything has moved, embeddings
    are those of `findna_kit.load(...).embed`. Raises FindnaError for a pooling, blocks or dropout that the encoder cannot have;
    for the last two only where they were given: published ones were chosen for another network.
    """

    def __init__(
        self, network: Branch, classes: int, settings: FinetuneSettings, *,
        pooling: Pooling, seed: int, marks: Mapping[str, str],
    ) -> None:  # fmt: skip
        super().__init__()
        self.branch = deepcopy(network)
        self.branch.heads = nn.ModuleDict()
        self.pooling, self.moves, self.notes = pooling, settings.scope == "full", list[str]()
        self.layer = self._layer(settings, given=marks.get("blocks") == "given")
        self._refuse_pooling()
        self._set_dropout(settings, given=marks.get("dropout") == "given")
        with rng.torch_seed(seed, "finetune head", device=torch.device("cpu")):
            self.head = nn.Linear(network.width, classes)
        self.branch.requires_grad_(self.moves)

    @property
    def blocks(self) -> int:
        """Blocks of the encoder that are used."""
        return self.branch.encoder.depth if self.layer is None else self.layer + 1

    def moved(self) -> dict[str, Tensor]:
        """Live tensors that fine-tuning may change."""
        return self.state_dict() if self.moves else self.head.state_dict(prefix="head.")

    def train(self, mode: bool = True) -> Self:
        """Dropout on or off; never on in an encoder that does not move."""
        super().train(mode)
        self.branch.train(mode and self.moves)
        return self

    def embed(self, view: View, engine: Engine) -> Tensor:
        """Pooled embeddings [B, D], fp32."""
        with engine.autocast(), nullcontext() if self.moves else torch.no_grad():
            return self.branch.embed(view, self.pooling, self.layer)

    def _layer(self, settings: FinetuneSettings, *, given: bool) -> int | None:
        depth, blocks = self.branch.encoder.depth, settings.blocks
        if blocks is None or blocks == depth:
            return None
        if blocks < depth:
            self.notes.append(f"{blocks} of the encoder's {depth} blocks are used")
            return blocks - 1
        if given:
            raise FindnaError(f"blocks={blocks}: the encoder has {depth}; give at most that, or null for all of them")
        self.notes.append(f"{blocks} blocks are stated for the task, the encoder has {depth}: all of them are used")
        return None

    def _refuse_pooling(self) -> None:
        if self.pooling == "class" and self.branch.class_tokens == 0:
            raise FindnaError("pooling 'class': the recipe has no class tokens; use pooling 'mean'")
        if self.pooling == "class" and self.layer is not None:
            raise FindnaError(
                "pooling 'class' is of what the encoder gives, not of its first blocks; use 'mean', or blocks=null"
            )

    def _set_dropout(self, settings: FinetuneSettings, *, given: bool) -> None:
        if settings.dropout is None:
            return
        inside = [module for module in self.branch.encoder.modules() if isinstance(module, nn.Dropout)]
        for module in inside:
            module.p = settings.dropout
        if settings.dropout == 0 or (inside and self.moves):
            return
        why = "the encoder has none inside" if not inside else "an encoder that does not move has none"
        if given:
            raise FindnaError(f"dropout={settings.dropout:g}: {why}; leave it out")
        self.notes.append(f"dropout {settings.dropout:g} is stated for the task, {why}: there is none")
