"""FASTA records as rows: a file or more for each class, cut into parts here, because nobody published any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.data.genome import open_store
from findna_kit.errors import GenomeError, TaskError
from findna_kit.evaluation.tasks.rows import Rows, class_indices, class_names
from findna_kit.evaluation.tasks.splits import held_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.evaluation.tasks.description import Shares


def read_records(files: Mapping[str, Sequence[Path]], shares: Shares, longer_than: int) -> dict[str, Rows]:
    """The records longer than that of each class, cut into train, dev and test by class and seed."""
    read = [_records(path, name, longer_than) for name, paths in files.items() for path in paths]
    whole = Rows.concatenate(read[0].source.parent, read).checked()
    labels = class_indices(whole, class_names(whole), whole)
    test = held_out(labels, shares.test, shares.seed)
    dev = np.zeros_like(test)
    dev[~test] = held_out(labels[~test], shares.dev / (1 - shares.test), shares.seed + 1)
    note = (
        f"its records come without parts: {shares.test:.0%} of them for test and {shares.dev:.0%} for validation, by class and "
        f"with seed {shares.seed}, were split off here; records of one gene may lie in several parts"
    )
    parts = {"train": ~test & ~dev, "dev": dev, "test": test}
    return {part: _taken(whole, chosen, note) for part, chosen in parts.items()}


def _records(path: Path, label: str, longer_than: int) -> Rows:
    try:
        store = open_store(path)
    except GenomeError as error:
        raise TaskError(str(error)) from error
    kept = [number for number, contig in enumerate(store.contigs) if contig.length > longer_than]
    if not kept:
        raise TaskError(f"{path} has no record longer than {longer_than} bases")
    sequences = [alphabet.decode(store.tokens(number, 0, store.contigs[number].length)) for number in kept]
    places = [f"{path}: {store.contigs[number].name}" for number in kept]
    others = sum(count for letter, count in store.other_letters.items() if letter != "U")  # which is read as T
    notes = (f"{others} letters of {path.name} other than A C G T N were read as N",) if others else ()
    return Rows(path, sequences, [label] * len(kept), places, notes=notes)


def _taken(whole: Rows, chosen: NDArray[np.bool_], note: str) -> Rows:
    rows = np.flatnonzero(chosen)
    sequences, labels, places = ([column[row] for row in rows] for column in (whole.sequences, whole.labels, whole.places))
    return Rows(whole.source, sequences, labels, places, notes=(*whole.notes, note))
