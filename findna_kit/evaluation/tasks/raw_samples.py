"""Samples as they stand in files, before they are a task: text labels, and where each was read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.data.sequences import LETTERS_EXPECTED, find_wrong_letter
from findna_kit.data.table_columns import listed
from findna_kit.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class RawSamples:
    """The samples of one split.

    source: its file or folder; places: `file:line` of each sample; contigs: of each sample, or empty if unknown.
    """

    source: Path
    sequences: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    contigs: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @classmethod
    def concatenate(cls, source: Path, pieces: Sequence[RawSamples]) -> RawSamples:
        """Return the samples of several files, in their order."""
        return cls(
            source,
            [sequence for piece in pieces for sequence in piece.sequences],
            [label for piece in pieces for label in piece.labels],
            [place for piece in pieces for place in piece.places],
            [contig for piece in pieces for contig in piece.contigs] if all(piece.contigs for piece in pieces) else [],
            tuple(dict.fromkeys(note for piece in pieces for note in piece.notes)),
        )

    def selected(self, rows: NDArray[np.int64], note: str = "") -> RawSamples:
        """Return the samples with these indices, in their order, with a note if there is one."""
        sequences, labels, places, contigs = (
            [column[row] for row in rows.tolist()] if column else []
            for column in (self.sequences, self.labels, self.places, self.contigs)
        )
        return RawSamples(self.source, sequences, labels, places, contigs, (*self.notes, *([note] if note else [])))

    def checked(self) -> RawSamples:
        """Return the samples themselves. Raises TaskError if there are none, or if a letter is not a nucleotide."""
        if not self.sequences:
            raise TaskError(f"{self.source} has no samples: fill it or remove it")
        wrong = find_wrong_letter(self.sequences)
        if wrong is not None:
            row, position = wrong
            letter = self.sequences[row][position]
            raise TaskError(f"{self.places[row]}: {letter!r} is not a nucleotide letter: {LETTERS_EXPECTED}")
        return self


_FEW = 10
"""Up to this number of samples each may have a class of its own."""


def class_names(samples: RawSamples) -> tuple[str, ...]:
    """Return the labels in natural order. Raises TaskError if there is only one, and if they do not name classes."""
    names = set(samples.labels)
    if len(names) < 2:
        raise TaskError(f"{samples.source} has only the label {samples.labels[0]!r}: training needs two classes or more")
    _check_classes(samples, names)
    if all(re.fullmatch(r"[+-]?\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names, key=_natural_key))


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NUMBERS = re.compile(r"\d+([\s,;|]+\d+)*")


def _check_classes(samples: RawSamples, names: Collection[str]) -> None:
    """Raise TaskError for labels that name no classes: measurements, lists of labels, or a label of its own for each sample."""
    remedy = "; a task has one class per sample: "
    # 0.0 and 1.0 are classes that passed through a column of floats.
    numbers = all(_NUMBER.fullmatch(name) for name in names)
    fraction = next((name for name in samples.labels if numbers and not float(name).is_integer()), None)
    if fraction is not None:
        raise TaskError(
            f"{samples.source}: its labels are measurements, such as {fraction}, and regression is not supported{remedy}make "
            "classes of them, such as below and above the median"
        )
    several = next((name for name in samples.labels if not name.isdigit()), None)
    if several is not None and all(_NUMBERS.fullmatch(name) for name in names):
        raise TaskError(
            f"{samples.source}: its cells hold several labels, such as {several!r}, and multi-label tasks are not supported"
            f"{remedy}make a task for each label"
        )
    if len(names) == len(samples.labels) > _FEW:
        raise TaskError(
            f"{samples.source}: each of its {len(names)} samples has a label of its own, such as {samples.labels[0]!r}{remedy}"
            "name the column of classes"
        )


def _natural_key(name: str) -> tuple[list[str | int], str]:
    """Return a sort key in which digits compare as numbers: "H3K4" comes before "H3K36"."""
    # re.split puts the runs of digits at the odd positions.
    return [int(text) if position % 2 else text for position, text in enumerate(re.split(r"(\d+)", name))], name


def class_indices(samples: RawSamples, classes: tuple[str, ...], training: RawSamples) -> NDArray[np.int64]:
    """Return the index of each sample's label in `classes` [n]. Raises TaskError for a label without training samples."""
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index.get(label, -1) for label in samples.labels], dtype=np.int64)
    unknown = np.flatnonzero(labels < 0)
    if unknown.size:
        row = int(unknown[0])
        raise TaskError(
            f"{samples.places[row]}: the label {samples.labels[row]!r} is not in {training.source.name}, "
            f"whose labels are {listed(classes)}: a class without training samples cannot be scored"
        )
    return labels


def notes_on(splits: Mapping[str, RawSamples]) -> list[str]:
    """Return the readers' notes, and a note on ambiguous letters. N itself needs none, and U is read as T."""
    notes = dict.fromkeys(note for samples in splits.values() for note in samples.notes)
    count = sum(_ambiguous(samples.sequences) for samples in splits.values())
    return [*notes, *([f"{count} ambiguous letters (IUPAC codes, gaps) were read as N"] if count else [])]


def _ambiguous(sequences: Iterable[str]) -> int:
    letters = "".join(sequences)
    return int((~alphabet.is_known_letter(letters)).sum()) - letters.count("U") - letters.count("u")
