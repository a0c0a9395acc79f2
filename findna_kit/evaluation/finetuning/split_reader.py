"""A split of a task on the device, and its predictions: in micro-batches that fit, on one strand or on both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from findna_kit.evaluation.finetuning.batching import EncodedSequences, MicroBatching
from findna_kit.inference.embedding.blocks import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from findna_kit.distributed import Engine
    from findna_kit.evaluation.finetuning.classifier import Classifier
    from findna_kit.evaluation.tasks import TaskSplit


class SequenceSplit:
    """Sequences on the device. features [strands, n, D]: set if the encoder is frozen, so that it runs once."""

    def __init__(self, sequences: Sequence[str], device: torch.device) -> None:
        self.sequences = EncodedSequences(sequences, device)
        self.features: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.sequences.lengths)


class DeviceSplit(SequenceSplit):
    """The sequences of a task's split, with labels [n]."""

    def __init__(self, split: TaskSplit, device: torch.device) -> None:
        super().__init__(split.sequences, device)
        self.labels = torch.from_numpy(split.labels).to(device)


class SplitReader:
    """Runs a classifier on splits. both: on both strands of each sequence."""

    def __init__(self, classifier: Classifier, engine: Engine, *, both: bool) -> None:
        self.classifier, self.engine, self.both = classifier, engine, both
        self.size = MicroBatching(classifier.branch.class_tokens)

    def micro_batches(self, split: SequenceSplit, rows: Tensor) -> list[Tensor]:
        """Return `rows` in groups that go through the network together."""
        return [rows] if split.features is not None else self.size.cut(rows, split.sequences.lengths)

    def logits(self, split: SequenceSplit, rows: Tensor, flipped: Tensor | None) -> Tensor:
        """Return the logits [B, K], fp32, of `rows` [B]. flipped [n]: samples that are shown as their reverse complement."""
        reverse = None if flipped is None else flipped[rows]
        if split.features is None:
            embeddings = self.classifier.embed(split.sequences.view(rows, reverse), self.engine)
        else:
            # Cached features have one entry per strand.
            embeddings = split.features[torch.zeros_like(rows) if reverse is None else reverse.long(), rows]
        logits: Tensor = self.classifier.head(embeddings)
        return logits

    @torch.no_grad()
    def features(self, split: SequenceSplit) -> Tensor:
        """Return the embeddings [strands, n, D] of every sample, on each strand that will be used."""
        features = torch.empty(1 + self.both, len(split), self.classifier.head.in_features, device=self.engine.device)
        for strand, flipped in enumerate(self._strands(split)):
            for rows in self.micro_batches(split, torch.arange(len(split))):
                reverse = None if flipped is None else flipped[rows]
                features[strand, rows] = self.classifier.embed(split.sequences.view(rows, reverse), self.engine)
        return features

    @torch.no_grad()
    def log_probabilities(self, split: SequenceSplit) -> Tensor:
        """Return the log-probabilities [n, K] on the CPU; of the mean probability if both strands are used."""
        by_strand = torch.empty(1 + self.both, len(split), self.classifier.head.out_features)
        for strand, flipped in enumerate(self._strands(split)):
            for rows in self.micro_batches(split, torch.arange(len(split))):
                by_strand[strand, rows] = F.log_softmax(self.logits(split, rows, flipped), dim=-1).cpu()
        # The logarithm of the mean probability of both strands.
        return by_strand.logsumexp(0) - math.log(len(by_strand))

    def predict(self, sequences: Sequence[str]) -> Tensor:
        """Return what `log_probabilities` returns for sequences of any number, block by block.

        Test splits are scored by this function, and files are predicted by it: equal sequences in equal order have equal bits.
        """
        device = self.engine.device
        parts = [self.log_probabilities(SequenceSplit(block, device)) for block in blocks(sequences, len)]
        return torch.cat(parts)

    def _strands(self, split: SequenceSplit) -> list[Tensor | None]:
        flipped = torch.ones(len(split), dtype=torch.bool)
        return [None, flipped] if self.both else [None]
