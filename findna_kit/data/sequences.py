"""Sequences that a user hands over: the letters they may contain, and the Python objects that are read as a list of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from findna_kit import alphabet
from findna_kit.data.table_columns import IN_PYTHON, ColumnNames, find_sequence_column
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = "-"
"""A gap of an alignment. It is read as N, in a FASTA, a table and a Python list alike."""
LETTERS_EXPECTED = "use A C G T N, IUPAC codes, or - for a gap, which is read as N"

_LETTERS = np.zeros(256, dtype=bool)
# Other letters are not DNA: a protein sequence, or swapped columns.
_LETTERS[[ord(letter) for letter in alphabet.IUPAC_LETTERS + GAP]] = True
_EXPECTED = "a list of strings, a pandas DataFrame or Series, or a datasets.Dataset"


class NamedColumns(Protocol):
    """A table whose columns are read by name: a pandas DataFrame, or a `datasets` dataset."""

    def __getitem__(self, name: Any, /) -> Any:
        """Return a column."""


SequenceData = Iterable[str] | NamedColumns
"""What the kit reads as a list of sequences: see `as_sequences`."""


def find_wrong_letter(sequences: Sequence[str]) -> tuple[int, int] | None:
    """Return row and position of the first letter that no nucleotide sequence contains; None if there is none."""
    # One byte per character, as in alphabet.encode, so that positions in the text are positions in the sequences.
    letters = np.frombuffer("".join(sequences).encode("latin-1", "replace"), dtype=np.uint8)
    wrong = np.flatnonzero(~_LETTERS[letters])
    if not wrong.size:
        return None
    ends = np.cumsum([len(sequence) for sequence in sequences])
    row = int(np.searchsorted(ends, wrong[0], side="right"))
    return row, int(wrong[0] - ends[row]) + len(sequences[row])


def as_sequences(data: SequenceData) -> list[str]:
    """Return the sequences of a list of strings, a pandas DataFrame or Series, or a `datasets` dataset, in their order.

    Of a DataFrame or dataset the column `sequence`, `seq` or `dna` is read; pass another one by itself: `frame["promoter"]`.
    Raises FindnaError for one string, for no sequences, and for an item that is not a nucleotide sequence, by its number.
    """
    if isinstance(data, str):
        raise FindnaError("a list of sequences is needed, not one string: write [sequence]")
    sequences = list(_items(data))
    if not sequences:
        raise FindnaError("there are no sequences: the list is empty")
    for number, sequence in enumerate(sequences):
        if not isinstance(sequence, str):
            raise FindnaError(f"sequence {number} is {_described(sequence)}, not a string of nucleotide letters")
        if not sequence:
            raise FindnaError(f"sequence {number} is empty: fill it or leave it out")
    wrong = find_wrong_letter(sequences)
    if wrong is not None:
        row, position = wrong
        letter = sequences[row][position]
        raise FindnaError(f"sequence {row}: {letter!r} at position {position} is not a nucleotide letter: {LETTERS_EXPECTED}")
    return sequences


def _items(data: Any) -> Iterable[Any]:
    """Return what `data` contains. Tables are recognised by their interface, so that neither library is imported."""
    names = getattr(data, "column_names", None)  # datasets.Dataset
    if names is None:
        names = getattr(data, "columns", None)  # pandas.DataFrame
    if isinstance(names, dict):  # a DatasetDict has the columns of each of its splits
        raise FindnaError(f"this dataset has the splits {', '.join(map(str, names))}: pass one of them, as in dataset['train']")
    if names is not None:
        data = data[find_sequence_column(f"the {type(data).__name__}", list(names), ColumnNames(choice=IN_PYTHON))]
    if not isinstance(data, Iterable):
        raise FindnaError(f"sequences must be {_EXPECTED} (got {type(data).__name__})")
    return data


def _described(value: Any) -> str:
    # NAType and NaTType are the missing values of pandas, which is not imported for this.
    missing = type(value).__name__ in ("NoneType", "NAType", "NaTType") or (isinstance(value, float) and math.isnan(value))
    return "missing (None or NaN)" if missing else f"{type(value).__name__} {str(value)[:40]!r}"
