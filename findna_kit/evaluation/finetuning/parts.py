"""A part of the task on the device, and how the classifier reads it: in passes that fit, on one strand or on both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from findna_kit.evaluation.finetuning.rows import Passes, Rows

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.distributed import Engine
    from findna_kit.evaluation.finetuning.classifier import Classifier
    from findna_kit.evaluation.tasks import Table


class Part:
    """Rows with labels [n]. features [strands, n, D]: kept where the encoder does not move, so that it is asked once."""

    def __init__(self, table: Table, device: torch.device) -> None:
        self.rows = Rows(table.sequences, device)
        self.labels = torch.from_numpy(table.labels).to(device)
        self.features: Tensor | None = None

    def __len__(self) -> int:
        """Rows."""
        return len(self.labels)


class Reader:
    """Reads parts with a classifier. both: sequences are read on both strands."""

    def __init__(self, classifier: Classifier, engine: Engine, *, both: bool) -> None:
        self.classifier, self.engine, self.both = classifier, engine, both
        self.size = Passes(classifier.branch.class_tokens)

    def passes(self, part: Part, rows: Tensor) -> list[Tensor]:
        """The rows that go through the network together."""
        return [rows] if part.features is not None else self.size.cut(rows, part.rows.lengths)

    def logits(self, part: Part, rows: Tensor, flipped: Tensor | None) -> Tensor:
        """[B, K], fp32, of `rows` [B]; `flipped` [n]: those of the part that are shown as their reverse complement."""
        turned = None if flipped is None else flipped[rows]
        if part.features is None:
            embeddings = self.classifier.embed(part.rows.view(rows, turned), self.engine)
        else:
            embeddings = part.features[torch.zeros_like(rows) if turned is None else turned.long(), rows]
        logits: Tensor = self.classifier.head(embeddings)
        return logits

    @torch.no_grad()
    def keep_features(self, part: Part) -> None:
        """Embeds every row, on each strand that will be asked for."""
        found = torch.empty(1 + self.both, len(part), self.classifier.head.in_features, device=self.engine.device)
        for strand, flipped in enumerate(self._strands(part)):
            for rows in self.passes(part, torch.arange(len(part))):
                turned = None if flipped is None else flipped[rows]
                found[strand, rows] = self.classifier.embed(part.rows.view(rows, turned), self.engine)
        part.features = found

    @torch.no_grad()
    def log_probabilities(self, part: Part) -> Tensor:
        """[n, K] on the CPU; of the mean probability where both strands are read."""
        found = torch.empty(1 + self.both, len(part), self.classifier.head.out_features)
        for strand, flipped in enumerate(self._strands(part)):
            for rows in self.passes(part, torch.arange(len(part))):
                found[strand, rows] = F.log_softmax(self.logits(part, rows, flipped), dim=-1).cpu()
        return found.logsumexp(0) - math.log(len(found))

    def _strands(self, part: Part) -> list[Tensor | None]:
        flipped = torch.ones(len(part), dtype=torch.bool)
        return [None, flipped] if self.both else [None]
