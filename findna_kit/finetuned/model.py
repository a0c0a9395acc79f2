"""A fine-tuned model, as returned by `findna_kit.load`, and its predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from findna_kit.data.sequences import SequenceData, as_sequences
from findna_kit.errors import FindnaError
from findna_kit.evaluation.finetuning.split_reader import SplitReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.distributed import Engine
    from findna_kit.evaluation.finetuning.batching import MicroBatching
    from findna_kit.evaluation.finetuning.classifier import Classifier
    from findna_kit.model.branch import Branch
    from findna_kit.records.finetuned_json import FinetunedRecord


@dataclass(frozen=True)
class Predictions:
    """Predictions of n sequences. scores [n, K]: natural logarithms of the probabilities of `classes`."""

    classes: tuple[str, ...]
    scores: NDArray[np.float32]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Return the probabilities [n, K] of the classes."""
        return np.exp(self.scores)

    @property
    def labels(self) -> list[str]:
        """Return the most probable class of each sequence."""
        return [self.classes[number] for number in self.scores.argmax(1)]

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.scores)


class FinetunedModel:
    """A network that was fine-tuned on a task, for predictions. folder: where it was loaded from."""

    def __init__(
        self, folder: Path, record: FinetunedRecord, classifier: Classifier, engine: Engine, passes: MicroBatching
    ) -> None:
        self.folder, self.record, self._engine = folder, record, engine
        classifier.eval().requires_grad_(False).to(engine.device)
        self._reader = SplitReader(classifier, engine, both=record.strand == "both")
        self._reader.size = passes

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the scores."""
        return tuple(self.record.classes)

    @property
    def engine(self) -> Engine:
        """Return the device and precision that the model computes with."""
        return self._engine

    @property
    def network(self) -> Branch:
        """Return the encoder that was fine-tuned, without the layer that predicts from its embeddings."""
        return self._reader.classifier.branch

    @property
    def max_length(self) -> int | None:
        """Return the largest number of bases of a sequence; None: any."""
        return self.network.encoder.max_length

    def predict(self, sequences: SequenceData) -> Predictions:
        """Return the predictions of `sequences`, in their order: a list, or a table in memory (`as_sequences`).

        Those of the task's test split are equal to the last bit to those that were scored, on the same device type, torch
        version and number of threads. Raises FindnaError for one string in place of a list, no sequence, an empty one, one with
        a letter that is not a nucleotide code, and one that is longer than the encoder supports.
        """
        bound, texts = self.max_length, as_sequences(sequences)
        for number, sequence in enumerate(texts):
            if bound is not None and len(sequence) > bound:
                raise FindnaError(
                    f"sequence {number} has {len(sequence):,} bases, and the encoder supports at most {bound:,}: shorten it"
                )
        return Predictions(self.classes, self._reader.predict(texts).numpy())

    def embed(self, sequences: Sequence[str], *_: object, **__: object) -> NoReturn:
        """Raise FindnaError: a fine-tuned model predicts, and the run that it was made from embeds."""
        raise FindnaError(
            f"{self.folder}: is a fine-tuned model, which predicts: use predict(sequences); the run that it was made from, "
            f"{self.record.source.run}, has embeddings"
        )
