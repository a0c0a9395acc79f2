"""Rows as they stand in files, before they are a task: text labels, and where each was written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_LETTERS = np.zeros(256, dtype=bool)
# Anything else is no DNA: a protein, a swapped column.
_LETTERS[[ord(letter) for letter in alphabet.IUPAC_LETTERS]] = True


@dataclass(frozen=True)
class Rows:
    """One part. source: its file or folder; places: `file:line` of each row; contigs: of each row, or none where unknown."""

    source: Path
    sequences: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    contigs: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @classmethod
    def concatenate(cls, source: Path, parts: Sequence[Rows]) -> Rows:
        """The rows of several files, in their order."""
        return cls(
            source,
            [one for rows in parts for one in rows.sequences],
            [one for rows in parts for one in rows.labels],
            [one for rows in parts for one in rows.places],
            [one for rows in parts for one in rows.contigs] if all(rows.contigs for rows in parts) else [],
            tuple(dict.fromkeys(note for rows in parts for note in rows.notes)),
        )

    def checked(self) -> Rows:
        """Itself; TaskError where it is empty or holds what is no nucleotide letter."""
        if not self.sequences:
            raise TaskError(f"{self.source} has no rows: fill it or remove it")
        # Encoded as alphabet.encode does: one byte a character, so that places in the whole are places in the rows.
        letters = np.frombuffer("".join(self.sequences).encode("latin-1", "replace"), dtype=np.uint8)
        wrong = np.flatnonzero(~_LETTERS[letters])
        if wrong.size:
            ends = np.cumsum([len(sequence) for sequence in self.sequences])
            row = int(np.searchsorted(ends, wrong[0], side="right"))
            letter = self.sequences[row][int(wrong[0] - ends[row])]
            raise TaskError(f"{self.places[row]}: {letter!r} is no nucleotide letter: use A C G T N or IUPAC's codes")
        return self


def class_names(rows: Rows) -> tuple[str, ...]:
    """The labels in natural order; TaskError for one alone."""
    names = set(rows.labels)
    if len(names) < 2:
        raise TaskError(f"{rows.source} has the one label {rows.labels[0]!r}: training needs two classes or more")
    if all(re.fullmatch(r"[+-]?\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    # "H3K4" before "H3K36": runs of digits compare as numbers. re.split puts them at the odd places.
    return tuple(
        sorted(
            names, key=lambda name: ([int(part) if at % 2 else part for at, part in enumerate(re.split(r"(\d+)", name))], name)
        )
    )


def class_indices(rows: Rows, classes: tuple[str, ...], training: Rows) -> NDArray[np.int64]:
    """Each row's place in `classes` [n]; TaskError for a label that the training rows lack."""
    at = {name: index for index, name in enumerate(classes)}
    labels = np.array([at.get(label, -1) for label in rows.labels], dtype=np.int64)
    unknown = np.flatnonzero(labels < 0)
    if unknown.size:
        row = int(unknown[0])
        raise TaskError(
            f"{rows.places[row]}: the label {rows.labels[row]!r} is not in {training.source.name}, "
            f"whose labels are {', '.join(classes)}: a class that was never trained cannot be scored"
        )
    return labels


def notes_on(parts: Mapping[str, Rows]) -> list[str]:
    """What the readers remarked, and a note on letters that stand for several bases; N itself needs none, U is T."""
    remarks = dict.fromkeys(note for rows in parts.values() for note in rows.notes)
    count = sum(_ambiguous(rows.sequences) for rows in parts.values())
    return [*remarks, *([f"{count} ambiguous letters (IUPAC codes) were read as N"] if count else [])]


def _ambiguous(sequences: Iterable[str]) -> int:
    letters = "".join(sequences)
    return int((~alphabet.is_known_letter(letters)).sum()) - letters.count("U") - letters.count("u")
