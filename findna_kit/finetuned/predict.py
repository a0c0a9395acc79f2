"""Predictions for the sequences of a file, block by block, with a fine-tuned model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError
from findna_kit.finetuned.formats import check_columns, formats_of
from findna_kit.finetuned.loading import load_finetuned
from findna_kit.inference.embedding.description import RowsDescription
from findna_kit.inference.embedding.job import BlockJob, Output, made_with
from findna_kit.inference.variants.windows import is_vcf, variant_windows
from findna_kit.records.finetuned_json import read_finetuned

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from findna_kit.finetuned.model import FinetunedModel
    from findna_kit.inference.embedding.embed import Sequences
    from findna_kit.inference.embedding.inputs import SequenceSource
    from findna_kit.trainer import Observer


class PredictionDescription(RowsDescription):
    """Which fine-tuned model predicted what. task: that it was fine-tuned on. classes: in the order of the numbers."""

    task: str
    classes: list[str]


@dataclass
class PredictionJob(BlockJob):
    """A fine-tuned model, the sequences to predict with it, and where the predictions go."""

    model: FinetunedModel

    def compute(self, sequences: list[str]) -> NDArray[np.float32]:
        """Return the logarithms of the probabilities [n, K] of a block of sequences."""
        return self.model.predict(sequences).scores


def output_of(folder: Path, path: Path, *, overwrite: bool, resume: bool) -> Output:
    """Return where the predictions of a model go. Raises FindnaError for a suffix that is none of predictions."""
    return Output(path, overwrite, resume, formats_of(read_finetuned(folder).classes))


def prepare_predictions(
    folder: Path,
    sequences: Sequences,
    output: Output,
    observer: Observer,
    *,
    device: str = "auto",
    without: Collection[str] = (),
) -> PredictionJob:
    """Load the model and open the sequences; write nothing yet. Raises FindnaError if either cannot be used."""
    model = load_finetuned(folder, device=device, without=without)
    source = _open(sequences, observer)
    check_columns(source.columns, model.classes)
    bound = model.max_length
    if bound is not None and source.longest > bound:
        raise FindnaError(
            f"{sequences.path}: the longest sequence has {source.longest:,} bases, and the encoder supports at most {bound:,}: "
            "shorten the sequences; --window N cuts a FASTA into windows"
        )
    record = model.record
    description: PredictionDescription = {
        "run": str(folder.resolve()), "name": record.source.name, "task": record.task, "classes": list(record.classes),
        "weights": record.weights, "strand": record.strand, "precision": model.engine.precision, "dim": len(record.classes),
        "rows": source.count, "columns": list(source.columns), "input": source.description,
        "made_with": made_with(model.engine.device.type),
    }  # fmt: skip
    return PredictionJob(source, output, description, model)


def _open(sequences: Sequences, observer: Observer) -> SequenceSource:
    """Open a file of sequences, or of variants, whose windows are the sequences."""
    path, genome, windows = sequences.path, sequences.genome, sequences.windows
    if not is_vcf(path):
        return sequences.open(observer)
    if sequences.column is not None:
        raise FindnaError(f"--sequence-column is for a table, and {path} is a VCF: leave it out")
    if windows is not None and windows.overlap:
        raise FindnaError(f"--overlap is for the windows of a FASTA, and {path} is a VCF: leave it out")
    length = None if windows is None else windows.length
    return variant_windows(path, genome, length, log=observer.log, reading=observer.reading)
