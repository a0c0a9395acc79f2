"""FASTA records as samples: one file or more for each class, split here, because no splits are published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.data.genome import open_store
from findna_kit.errors import GenomeError, TaskError
from findna_kit.evaluation.tasks.raw_samples import RawSamples, class_indices, class_names
from findna_kit.evaluation.tasks.split_rules import SPLITS, split_by_class

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.evaluation.tasks.task_file import SplitShares

_SEED = 1
"""Seed of the split if the task file states none: the one of the published cDNA tasks."""


def read_records(files: Mapping[str, Sequence[Path]], shares: SplitShares, longer_than: int) -> dict[str, RawSamples]:
    """Return the records longer than `longer_than`, split into train, dev and test, stratified by class."""
    read = [_records(path, name, longer_than) for name, paths in files.items() for path in paths]
    whole = RawSamples.concatenate(read[0].source.parent, read).checked()
    labels = class_indices(whole, class_names(whole), whole)
    seed = _SEED if shares.seed is None else shares.seed
    note = (
        f"the records are published without splits: {shares.of_test:.0%} were split off for test and "
        f"{shares.of_validation:.0%} for validation, by class and with seed {seed}; records of one gene may lie in several "
        "splits"
    )
    split = split_by_class(labels, shares, seed)
    return {name: whole.selected(np.flatnonzero(split == number), note) for number, name in enumerate(SPLITS)}


def _records(path: Path, label: str, longer_than: int) -> RawSamples:
    """Return the long records of one file. Raises TaskError if it cannot be read, or has none."""
    try:
        store = open_store(path)
    except GenomeError as error:
        raise TaskError(str(error)) from error
    numbers = [number for number, contig in enumerate(store.contigs) if contig.length > longer_than]
    if not numbers:
        raise TaskError(f"{path} has no record longer than {longer_than} bases")
    sequences = [alphabet.decode(store.tokens(number, 0, store.contigs[number].length)) for number in numbers]
    places = [f"{path}: {store.contigs[number].name}" for number in numbers]
    others = sum(count for letter, count in store.other_letters.items() if letter != "U")  # U is read as T
    notes = (f"{others} letters of {path.name} other than A C G T N were read as N",) if others else ()
    return RawSamples(path, sequences, [label] * len(numbers), places, notes=notes)
