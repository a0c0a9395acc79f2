"""A labelled task: three parts of sequences with a class each, read from `train`, `dev` and `test` tables."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import sys
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import dna
from findna_kit.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from numpy.typing import NDArray

BUILTIN = "builtin"
FILES = ("train", "dev", "test")
SUFFIXES = (".csv", ".csv.gz")
COLUMNS = ("sequence", "label")
VALIDATION_SHARE = 0.2
SPLIT_SEED = 20_261_123
"""Fixed, not the run's: the split belongs to the task, so that runs with different seeds are compared on the same rows."""

_LETTERS = np.zeros(256, dtype=bool)
# IUPAC's codes, RNA's U, and X, which some repeat maskers write for N. Anything else is no DNA: a protein, a swapped column.
_LETTERS[[ord(letter) for letter in "ACGTUNRYSWKMBDHVXacgtunryswkmbdhvx"]] = True


@dataclass(frozen=True)
class Table:
    """One part: `labels` [n] index the task's classes."""

    sequences: list[str]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """`parts` has train, validation and test; `notes` say what was done to the files to get them.

    path: the folder, absolute and without links, so that a task has one whatever was typed; `builtin` for that one.
    """

    name: str
    path: str
    parts: dict[str, Table]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """sha256 of the rows, part by part: what a result was measured on, whatever the file is called."""
        rows = {part: [table.sequences, table.labels.tolist()] for part, table in self.parts.items()}
        return hashlib.sha256(json.dumps([self.classes, rows]).encode()).hexdigest()


@dataclass(frozen=True)
class _Rows:
    """A file as it is written, with the line that each row ends on."""

    file: Path
    sequences: list[str]
    labels: list[str]
    lines: list[int]


def load_task(source: str) -> Task:
    """The task called `builtin`, or the one in a folder. No row is dropped. TaskError for what cannot be read."""
    own = Path(str(files("findna_kit"))) / "data" / "builtin" / "coding"
    folder = own if source == BUILTIN else _expanded(source)
    found = _find(folder)
    whole = folder.resolve()
    name, place = (BUILTIN, BUILTIN) if whole == own.resolve() else (whole.name, str(whole))
    read = {part: _read(path) for part, path in found.items()}
    training = read["train"] if "train" in read else read["dev"]
    classes = _classes(training)
    tables = {part: Table(rows.sequences, _indices(rows, classes, training)) for part, rows in read.items()}
    train, validation, split = _training_parts(tables, classes, str(folder))
    parts = {"train": train, "validation": validation, "test": tables["test"]}
    return Task(name, place, parts, classes, (*split, *_ambiguous(read)))


def _expanded(source: str) -> Path:
    """The path with `~` replaced; TaskError for what no file system takes as a path."""
    try:
        folder = Path(source).expanduser()
        folder.exists()  # False where nothing is; raises where nothing could be
    except (OSError, RuntimeError) as error:  # too long a name; `~` of a user who is not there
        why = error.strerror if isinstance(error, OSError) else error
        raise TaskError(f"{source!r} is no path of a task ({why}): a task is `builtin` or a folder of tables") from error
    return folder


def _find(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise TaskError(f"{folder} {what}: a task is `builtin` or a folder with {_looked_for(FILES)}")
    found: dict[str, Path] = {}
    for part in FILES:
        there = [path for suffix in SUFFIXES if (path := folder / f"{part}{suffix}").is_file()]
        if len(there) > 1:
            raise TaskError(f"{folder} has both {there[0].name} and {there[1].name}: remove the one that is not meant")
        if there:
            found[part] = there[0]
    if "test" not in found:
        raise TaskError(f"{folder} has no test part: looked for {_looked_for(['test'])}")
    if len(found) == 1:
        raise TaskError(f"{folder} has nothing to train on: looked for {_looked_for(['train', 'dev'])}")
    return found


def _looked_for(parts: Sequence[str]) -> str:
    return ", ".join(f"{part}{suffix}" for part in parts for suffix in SUFFIXES)


def _read(path: Path) -> _Rows:
    try:
        with _open(path) as stream, _fields_of_any_length():
            rows = _rows(path, stream)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{path} cannot be read as a UTF-8 CSV table ({error}): write or copy it again") from error
    if not rows.sequences:
        raise TaskError(f"{path} has no rows: fill it or remove it")
    _check_letters(rows)
    return rows


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    # The csv module refuses fields beyond 131,072 characters, and has no other way to be told than a global, put back here.
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _rows(path: Path, stream: TextIO) -> _Rows:
    reader = csv.reader(stream, strict=True)
    header = [name.strip() for name in next(reader, [])]
    for column in COLUMNS:
        if header.count(column) != 1:
            raise TaskError(
                f"{path}:1: the header needs one column called {column!r}, but its columns are {', '.join(header) or 'none'}"
            )
    place = {column: header.index(column) for column in COLUMNS}
    rows = _Rows(path, [], [], [])
    for row in reader:
        if not row:  # a blank line
            continue
        cells = {column: row[at].strip() if at < len(row) else "" for column, at in place.items()}
        for column, cell in cells.items():
            if not cell:
                raise TaskError(f"{path}:{reader.line_num}: the {column} is empty: fill it or remove the row")
        rows.sequences.append(cells["sequence"])
        rows.labels.append(cells["label"])
        rows.lines.append(reader.line_num)
    return rows


def _check_letters(rows: _Rows) -> None:
    # Encoded as dna.encode does: one byte a character, so that places in the whole are places in the rows.
    letters = np.frombuffer("".join(rows.sequences).encode("latin-1", "replace"), dtype=np.uint8)
    wrong = np.flatnonzero(~_LETTERS[letters])
    if wrong.size:
        ends = np.cumsum([len(sequence) for sequence in rows.sequences])
        row = int(np.searchsorted(ends, wrong[0], side="right"))
        letter = rows.sequences[row][int(wrong[0] - ends[row])]
        raise TaskError(f"{rows.file}:{rows.lines[row]}: {letter!r} is no nucleotide letter: use A C G T N or IUPAC's codes")


def _classes(rows: _Rows) -> tuple[str, ...]:
    names = set(rows.labels)
    if len(names) < 2:
        raise TaskError(f"{rows.file} has the one label {rows.labels[0]!r}: training needs two classes or more")
    if all(re.fullmatch(r"[+-]?\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    # "H3K4" before "H3K36": runs of digits compare as numbers. re.split puts them at the odd places.
    return tuple(
        sorted(
            names, key=lambda name: ([int(part) if at % 2 else part for at, part in enumerate(re.split(r"(\d+)", name))], name)
        )
    )


def _indices(rows: _Rows, classes: tuple[str, ...], training: _Rows) -> NDArray[np.int64]:
    at = {name: index for index, name in enumerate(classes)}
    labels = np.array([at.get(label, -1) for label in rows.labels], dtype=np.int64)
    unknown = np.flatnonzero(labels < 0)
    if unknown.size:
        row = int(unknown[0])
        raise TaskError(
            f"{rows.file}:{rows.lines[row]}: the label {rows.labels[row]!r} is not in {training.file.name}, "
            f"whose labels are {', '.join(classes)}: a class that was never trained cannot be scored"
        )
    return labels


def _training_parts(tables: dict[str, Table], classes: tuple[str, ...], path: str) -> tuple[Table, Table, list[str]]:
    train, dev = tables.get("train"), tables.get("dev")
    how = "by class and with a fixed seed, was split off for validation"
    share = f"{VALIDATION_SHARE:.0%}"
    if train is not None and dev is not None:
        if np.unique(dev.labels).size > 1:
            return train, dev, []
        # With one class no choice can be made on it; joined to train, its rows are still used.
        only = classes[dev.labels[0]]
        note = (
            f"dev has the one class {only}, on which nothing can be chosen: it was joined to train, and {share} of both, {how}"
        )
        whole = Table(train.sequences + dev.sequences, np.concatenate([train.labels, dev.labels]))
    elif train is not None:
        note, whole = f"there is no dev part: {share} of train, {how}", train
    else:
        note, whole = f"there is no train part: dev is the training part, and {share} of it, {how}", tables["dev"]
    held_out = _held_out(whole.labels, len(classes))
    if not held_out.any():
        raise TaskError(f"{path} has one training row of each class, which leaves none for validation: add rows, or a dev part")
    return _take(whole, ~held_out), _take(whole, held_out), [note]


def _held_out(labels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """True [n] for the share of each class, at least one row of it, but never its only one."""
    counts = np.bincount(labels, minlength=classes)
    quota = np.where(counts > 1, np.maximum(1, np.round(VALIDATION_SHARE * counts)), 0)
    order = np.lexsort((np.random.default_rng(SPLIT_SEED).random(len(labels)), labels))
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order] = rank < quota[labels[order]]
    return chosen


def _take(table: Table, rows: NDArray[np.bool_]) -> Table:
    return Table([table.sequences[row] for row in np.flatnonzero(rows)], table.labels[rows])


def _ambiguous(read: dict[str, _Rows]) -> list[str]:
    """A note on letters that stand for several bases; N itself needs none, U is T."""
    count = 0
    for rows in read.values():
        letters = "".join(rows.sequences)
        count += int((~dna.is_known_letter(letters)).sum()) - letters.count("U") - letters.count("u")
    return [f"{count} ambiguous letters (IUPAC codes) were read as N"] if count else []
