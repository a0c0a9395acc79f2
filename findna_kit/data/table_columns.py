"""Which columns of a table hold the sequences and the labels, and what the columns without a name are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

SEQUENCE_NAMES = ("sequence", "seq", "dna")
LABEL_NAMES = ("label", "target", "y")
_INDEX_NAMES = ("index", "row")
ON_COMMAND_LINE = "--sequence-column"
IN_TASK_FILE = "sequence_column or label_column of a task file"
FOR_TASKS = f"{ON_COMMAND_LINE} or --label-column, or by {IN_TASK_FILE}"
IN_PYTHON = "passing the column by itself, as in table['NAME']"
"""Ways to choose a column, as messages state them: on the command line, in a task file, for tasks, and in Python."""
_LISTED = 12
_SHORTEST_SEQUENCE = 5
"""A header cell of at least so many nucleotide letters is a sequence: there is no header then."""


@dataclass(frozen=True)
class ColumnNames:
    """Column names that the user gives. sequence: None, and labels: empty, let the accepted names decide.

    choice: how the user can give them, for messages.
    """

    sequence: str | None = None
    labels: tuple[str, ...] = ()
    choice: str = ON_COMMAND_LINE

    @property
    def stated(self) -> dict[str, str]:
        """Return the columns that the user gave, by their keys in a task file."""
        named = {"sequence_column": self.sequence, "label_column": ", ".join(self.labels) or None}
        return {key: name for key, name in named.items() if name is not None}


def find_sequence_column(table: str, header: Sequence[Any], columns: ColumnNames) -> Any:
    """Return the name in `header` of the column of sequences: the one given, or the one called sequence, seq or dna.

    Case is ignored. Raises FindnaError if there is no such column or several, with the columns found. table: the table's place
    for messages.
    """
    return _find(table, header, SEQUENCE_NAMES, columns.sequence, columns.choice)


def find_label_columns(table: str, header: Sequence[Any], columns: ColumnNames) -> tuple[Any, ...]:
    """Return the names in `header` of the label columns: those given, or the one called label, target or y.

    Raises FindnaError as `find_sequence_column` does.
    """
    names: Sequence[str | None] = columns.labels or (None,)
    return tuple(_find(table, header, LABEL_NAMES, name, columns.choice) for name in names)


def find_named(table: str, header: Sequence[Any], name: str) -> Any:
    """Return the column that the user named, whatever its case. Raises FindnaError with the columns found if it is absent."""
    return _find(table, header, (name,), name, "")


def matching_columns(header: Sequence[Any], accepted: Sequence[str]) -> list[Any]:
    """Return the columns with one of the accepted names, whatever their case."""
    known = {name.casefold() for name in accepted}
    return [name for name in header if str(name).strip().casefold() in known]


def find_column(header: Sequence[str], accepted: Sequence[str]) -> str | None:
    """Return the only column with one of the accepted names, whatever its case; None if there is none, or several."""
    matches = matching_columns(header, accepted)
    return matches[0] if len(matches) == 1 else None


def named_header(table: str, header: Sequence[str]) -> list[str]:
    """Return the header with a name for each column; the row names that pandas writes without one become `index`.

    Raises FindnaError for a table without header, and for a repeated or empty name.
    """
    names = [name.strip() for name in header]
    sequence = next((name for name in names if _is_sequence(name)), None)
    if sequence is not None:
        shown = sequence if len(sequence) <= 20 else f"{sequence[:20]}..."
        raise FindnaError(
            f"{table}: there is no header: the first line holds the sequence {shown}; add a line 'sequence,label'"
        )
    # pandas writes the index as a first column without a name, and reads it back as "Unnamed: 0".
    if len(names) > 1 and names[0] in ("", "Unnamed: 0"):
        names[0] = next(name for name in (*_INDEX_NAMES, "Unnamed: 0") if name not in names[1:])
    repeated = next((name for name in names if names.count(name) > 1 or not name), None)
    if repeated is not None:
        raise FindnaError(f"{table}: column names must be unique and not empty, but {repeated!r} is repeated or empty")
    return names


def listed(names: Sequence[Any]) -> str:
    """Return names as a list for a message, shortened to the first twelve."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(str(name)[:40] for name in names[:_LISTED]) or "none") + more


def _find(table: str, header: Sequence[Any], accepted: Sequence[str], requested: str | None, choice: str) -> Any:
    if requested is not None and requested in header:
        return requested
    matches = matching_columns(header, accepted if requested is None else (requested,))
    if len(matches) == 1:
        return matches[0]
    if requested is not None:
        hint = nearest(requested, [str(name) for name in header])
        raise FindnaError(f"{table}: there is no column {requested!r}{hint}; the columns are {listed(header)}")
    if matches:
        raise FindnaError(f"{table}: the columns {listed(matches)} are ambiguous: choose one by {choice}")
    names = f"{', '.join(accepted[:-1])} or {accepted[-1]}"
    raise FindnaError(f"{table}: no column is called {names}; the columns are {listed(header)}: choose one by {choice}")


def _is_sequence(name: str) -> bool:
    return len(name) >= _SHORTEST_SEQUENCE and not name.upper().strip("ACGTUN")
