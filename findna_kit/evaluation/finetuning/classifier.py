"""The network that is fine-tuned: a copy of a branch, and a linear layer from its standardised embedding to the classes."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from findna_kit import rng
from findna_kit.errors import FindnaError
from findna_kit.model.branch import pooled_width

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.components.views import View
    from findna_kit.distributed import Engine
    from findna_kit.evaluation.finetuning.settings import FinetuneSettings
    from findna_kit.inference.frozen_model import Pooling
    from findna_kit.model.branch import Branch


class StandardisedLinear(nn.Linear):
    """A linear layer on features that are standardised by fixed statistics: mean 0 and deviation 1 until they are set."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits [B, K] of features [B, D]."""
        return super().forward((features - self.mean) / self.deviation)


class Classifier(nn.Module):
    """A classifier on a copy of a branch. `notes` record where the encoder differs from the settings.

    With `scope: head` the encoder is frozen, and has no dropout. Before training, embeddings equal those of
    `findna_kit.load(...).embed`. Raises FindnaError for a pooling, blocks or dropout that the encoder does not support. Blocks
    and dropout are only refused if the user gave them: published values were chosen for another network.
    """

    def __init__(
        self, network: Branch, classes: int, settings: FinetuneSettings, *,
        pooling: Pooling, seed: int, sources: Mapping[str, str],
    ) -> None:  # fmt: skip
        super().__init__()
        self.branch = deepcopy(network)
        # The heads of pretraining are not used; without them fewer parameters are saved and moved.
        self.branch.heads = nn.ModuleDict()
        self.pooling, self.trains_encoder, self.notes = pooling, settings.scope == "full", list[str]()
        self.layer = self._layer(settings, given=sources.get("blocks") == "given")
        self._refuse_pooling()
        self._set_dropout(settings, given=sources.get("dropout") == "given")
        with rng.torch_seed(seed, "finetune head", device=torch.device("cpu")):
            # Filled by the probe before training; drawn from a seed of its own, which leaves torch's global state as it is.
            self.head = StandardisedLinear(pooled_width(pooling, network.width), classes)
        self.branch.requires_grad_(self.trains_encoder)

    @property
    def blocks(self) -> int:
        """Return the number of the encoder's blocks that are used."""
        return self.branch.encoder.depth if self.layer is None else self.layer + 1

    def trained(self) -> dict[str, Tensor]:
        """Return the tensors that fine-tuning may change, not copied."""
        return self.state_dict() if self.trains_encoder else self.head.state_dict(prefix="head.")

    def train(self, mode: bool = True) -> Self:
        """Switch dropout on or off. In a frozen encoder it stays off."""
        super().train(mode)
        self.branch.train(mode and self.trains_encoder)
        return self

    def embed(self, view: View, engine: Engine) -> Tensor:
        """Return pooled embeddings [B, D], fp32."""
        with engine.autocast(), nullcontext() if self.trains_encoder else torch.no_grad():
            return self.branch.embed(view, self.pooling, self.layer)

    def _layer(self, settings: FinetuneSettings, *, given: bool) -> int | None:
        """Return the hidden layer that is pooled; None for the encoder's output."""
        depth, blocks = self.branch.encoder.depth, settings.blocks
        if blocks is None or blocks == depth:
            return None
        if blocks < depth:
            self.notes.append(f"{blocks} of the encoder's {depth} blocks are used")
            return blocks - 1
        if given:
            raise FindnaError(f"blocks={blocks}: the encoder has {depth}; give at most that, or null for all of them")
        self.notes.append(f"{blocks} blocks are published for the task, but the encoder has {depth}: all of them are used")
        return None

    def _refuse_pooling(self) -> None:
        if self.pooling == "class" and self.branch.class_tokens == 0:
            raise FindnaError("pooling 'class': the recipe has no class tokens; use pooling 'mean'")
        if self.pooling == "class" and self.layer is not None:
            raise FindnaError(
                "pooling 'class' needs the encoder's output, not that of its first blocks; use 'mean', or blocks=null"
            )

    def _set_dropout(self, settings: FinetuneSettings, *, given: bool) -> None:
        """Set the probability of every dropout layer inside the encoder."""
        if settings.dropout is None:
            return
        dropouts = [module for module in self.branch.encoder.modules() if isinstance(module, nn.Dropout)]
        for module in dropouts:
            module.p = settings.dropout
        if settings.dropout == 0 or (dropouts and self.trains_encoder):
            return
        why = "the encoder has no dropout layers" if not dropouts else "a frozen encoder has no dropout"
        if given:
            raise FindnaError(f"dropout={settings.dropout:g}: {why}; leave it out")
        self.notes.append(f"dropout {settings.dropout:g} is published for the task, but {why}: it is not used")
