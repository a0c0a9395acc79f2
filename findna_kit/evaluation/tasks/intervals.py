"""Labelled intervals of a genome: BED with a label column, and GenomicBenchmarks' interval lists."""

from __future__ import annotations

import csv
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.data.delimited import open_text
from findna_kit.data.genome import open_store
from findna_kit.errors import GenomeError, TaskError, nearest
from findna_kit.evaluation.tasks.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.data.genome import TokenStore

_LIST = ("id", "region", "start", "end", "strand")
"""The complement of each token; N stays."""


@dataclass(frozen=True)
class Genomes:
    """The FASTA that intervals are cut from: one path, one for each class, or none."""

    paths: Path | dict[str, Path] | None = None

    def of(self, name: str, asking: Path) -> TokenStore:
        """The store for a class. TaskError where no FASTA was stated for it, or it cannot be used."""
        path = self.paths.get(name) if isinstance(self.paths, dict) else self.paths
        if path is None:
            where = f"`genome: {{{name}: FASTA}}`" if isinstance(self.paths, dict) else "`genome: FASTA`"
            raise TaskError(f"{asking} holds intervals: write a task file that states {where} beside the folder")
        try:
            return open_store(path)
        except GenomeError as error:
            raise TaskError(f"{asking} holds intervals, but its genome cannot be used: {error}") from error


@dataclass(frozen=True)
class _Interval:
    where: str
    contig: str
    start: int
    end: int
    reverse: bool
    label: str


def read_interval_list(path: Path, label: str, genomes: Genomes) -> Rows:
    """A class's `id,region,start,end,strand` list (0-based, half-open) as sequences, those of strand - complemented."""
    found: list[_Interval] = []
    for where, row in _read(path, ","):
        if tuple(row) == _LIST:
            continue
        if len(row) != len(_LIST):
            raise TaskError(f"{where}: {len(row)} columns; an interval list has {', '.join(_LIST)}")
        found.append(_interval(where, row[1], row[2], row[3], row[4], label))
    return _cut(path, found, genomes.of(label, path), None)


def read_bed_rows(path: Path, label_column: int, genomes: Genomes, length: int | None) -> Rows:
    """The lines of a BED file, each a row; its 6th column is the strand where there is one and it is not the label.

    length: of a window around the middle of each interval, N where it leaves the contig; None: the interval itself.
    """
    found: list[_Interval] = []
    for where, row in _read(path, "\t"):
        if row[0].startswith(("#", "track", "browser")):
            continue
        if len(row) < label_column:
            raise TaskError(f"{where}: {len(row)} columns, but label_column is {label_column}; columns are separated by tabs")
        strand = row[5] if len(row) > 5 and label_column != 6 else "."
        found.append(_interval(where, row[0], row[1], row[2], strand, row[label_column - 1]))
    return _cut(path, found, genomes.of("", path), length).checked()


def _read(path: Path, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    try:
        with open_text(path) as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    yield f"{path}:{reader.line_num}", [cell.strip() for cell in row]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{path} cannot be read as a list of intervals ({error}): write or copy it again") from error


def _interval(where: str, contig: str, start: str, end: str, strand: str, label: str) -> _Interval:
    if not (start.isdecimal() and end.isdecimal() and int(start) < int(end)):
        raise TaskError(f"{where}: {start!r} to {end!r} is no stretch; start is counted from 0 and must be below end")
    if strand not in ("+", "-", "."):
        raise TaskError(f"{where}: the strand {strand!r} is none of + - .")
    if not label:
        raise TaskError(f"{where}: the label is empty: fill it or remove the row")
    return _Interval(where, contig, int(start), int(end), strand == "-", label)


def _cut(path: Path, found: Sequence[_Interval], store: TokenStore, length: int | None) -> Rows:
    numbers = _Names(store)
    contig = np.array([numbers.find(one) for one in found], dtype=np.int64)
    start, end = (np.array([getattr(one, name) for one in found], dtype=np.int64) for name in ("start", "end"))
    outside = np.flatnonzero(end > store.lengths[contig])
    if outside.size:
        one, size = found[int(outside[0])], store.lengths[contig[outside[0]]]
        beyond = f"{one.start}-{one.end} ends beyond {one.contig!r}, which has {size} bases"
        raise TaskError(f"{one.where}: {beyond}; is {store.source} of this assembly?")
    if length is not None:
        start = (start + end) // 2 - length // 2
        end = start + length
    reverse = np.array([one.reverse for one in found], dtype=bool)
    sequences = _sequences(store, contig, start, end, reverse)
    names = [store.contigs[number].name for number in contig]
    return Rows(path, sequences, [one.label for one in found], [one.where for one in found], names)


def _sequences(
    store: TokenStore, contig: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64], reverse: NDArray[np.bool_]
) -> list[str]:
    """The letters of each stretch, of the other strand where `reverse`; N beyond the contig."""
    size = end - start
    upto = np.cumsum(size)
    row = np.repeat(np.arange(len(size)), size)
    step = np.arange(len(row)) - (upto - size)[row]
    place = np.where(reverse[row], end[row] - 1 - step, start[row] + step)
    inside = (place >= 0) & (place < store.lengths[contig[row]])
    tokens = np.full(len(row), alphabet.N, dtype=np.uint8)
    tokens[inside] = store.codes[(store.offsets[contig[row]] + place)[inside]] & np.uint8(7)
    text = alphabet.decode(np.where(reverse[row], alphabet.COMPLEMENT[tokens], tokens))
    return [text[low:high] for low, high in zip(upto - size, upto, strict=True)]


class _Names:
    """Contigs by the names that intervals call them: as they are, with or without `chr`, without a version (ENST0001.2)."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._numbers: dict[str, int] = {}
        for spelled in (_with_chr, _without_chr, _without_version, str):  # what comes later is nearer, and counts
            self._numbers |= {spelled(contig.name): number for number, contig in enumerate(store.contigs)}

    def find(self, one: _Interval) -> int:
        """The number of its contig; TaskError with the nearest name."""
        number = self._numbers.get(one.contig)
        if number is None:
            near = nearest(one.contig, [contig.name for contig in self._store.contigs[:1000]])
            raise TaskError(f"{one.where}: {self._store.source} has no contig {one.contig!r}{near}")
        return number


def _with_chr(name: str) -> str:
    return f"chr{name}"


def _without_chr(name: str) -> str:
    return name.removeprefix("chr")


def _without_version(name: str) -> str:
    return re.sub(r"\.\d+$", "", name)
