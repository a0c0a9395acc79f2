"""Labelled genomic intervals: BED files with a label column, and the interval lists of GenomicBenchmarks."""

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
from findna_kit.evaluation.tasks.raw_samples import RawSamples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.data.genome import TokenStore

_COLUMNS = ("id", "region", "start", "end", "strand")


@dataclass(frozen=True)
class TaskGenomes:
    """The FASTA that intervals refer to: one path, one for each class, or none."""

    paths: Path | dict[str, Path] | None = None

    def of(self, name: str, source: Path) -> TokenStore:
        """Return the token store for a class of `source`. Raises TaskError if it has no FASTA, or the FASTA is unusable."""
        path = self.paths.get(name) if isinstance(self.paths, dict) else self.paths
        if path is None:
            where = f"`genome: {{{name}: FASTA}}`" if isinstance(self.paths, dict) else "`genome: FASTA`"
            raise TaskError(f"{source} holds intervals: write a task file that has {where} and names the folder")
        try:
            return open_store(path)
        except GenomeError as error:
            raise TaskError(f"{source} holds intervals, but its genome cannot be used: {error}") from error


@dataclass(frozen=True)
class _LabelledInterval:
    place: str
    contig: str
    start: int
    end: int
    reverse: bool
    label: str


def read_interval_list(path: Path, label: str, genomes: TaskGenomes) -> RawSamples:
    """Return the sequences of a class's `id,region,start,end,strand` list (0-based, half-open).

    Sequences on strand - are reverse-complemented.
    """
    intervals: list[_LabelledInterval] = []
    for place, row in _read(path, ","):
        # The lists of genomic-benchmarks begin with a header, others may not.
        if tuple(row) == _COLUMNS:
            continue
        if len(row) != len(_COLUMNS):
            raise TaskError(f"{place}: {len(row)} columns; an interval list has {', '.join(_COLUMNS)}")
        intervals.append(_interval(place, row[1], row[2], row[3], row[4], label))
    return _sequences_of(path, intervals, genomes.of(label, path), None)


def read_bed_rows(path: Path, label_column: int, genomes: TaskGenomes, length: int | None) -> RawSamples:
    """Return one sample for each line of a BED file. Its 6th column is the strand, unless it is the label column.

    length: of a window around the middle of each interval, with N beyond the contig; None: the interval itself.
    """
    intervals: list[_LabelledInterval] = []
    for place, row in _read(path, "\t"):
        if row[0].startswith(("#", "track", "browser")):
            continue
        if len(row) < label_column:
            raise TaskError(f"{place}: {len(row)} columns, but label_column is {label_column}; columns are separated by tabs")
        # BED6 has the strand in its sixth column, unless the label is there.
        strand = row[5] if len(row) > 5 and label_column != 6 else "."
        intervals.append(_interval(place, row[0], row[1], row[2], strand, row[label_column - 1]))
    return _sequences_of(path, intervals, genomes.of("", path), length).checked()


def _read(path: Path, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Yield `file:line` and the cells of each line that is not blank."""
    try:
        with open_text(path) as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    yield f"{path}:{reader.line_num}", [cell.strip() for cell in row]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{path} cannot be read as a list of intervals ({error}): write or copy it again") from error


def _interval(place: str, contig: str, start: str, end: str, strand: str, label: str) -> _LabelledInterval:
    """Return a line as an interval. Raises TaskError for invalid coordinates, an invalid strand and an empty label."""
    if not (start.isdecimal() and end.isdecimal() and int(start) < int(end)):
        raise TaskError(f"{place}: invalid interval {start!r} to {end!r}; start is counted from 0 and must be below end")
    if strand not in ("+", "-", "."):
        raise TaskError(f"{place}: invalid strand {strand!r}; expected + - or .")
    if not label:
        raise TaskError(f"{place}: the label is empty: fill it or remove the row")
    return _LabelledInterval(place, contig, int(start), int(end), strand == "-", label)


def _sequences_of(
    path: Path, intervals: Sequence[_LabelledInterval], store: TokenStore, length: int | None
) -> RawSamples:  # fmt: skip
    """Return the sequences of the intervals. Raises TaskError for an interval that the genome does not have."""
    numbers = _ContigNumbers(store)
    contig = np.array([numbers.find(interval) for interval in intervals], dtype=np.int64)
    start = np.array([interval.start for interval in intervals], dtype=np.int64)
    end = np.array([interval.end for interval in intervals], dtype=np.int64)
    outside = np.flatnonzero(end > store.lengths[contig])
    if outside.size:
        first, size = intervals[int(outside[0])], store.lengths[contig[outside[0]]]
        beyond = f"{first.start}-{first.end} ends beyond {first.contig!r}, which has {size} bases"
        raise TaskError(f"{first.place}: {beyond}; is {store.source} the right assembly?")
    if length is not None:
        # A window of fixed length around the middle, as benchmarks with one input length use it.
        start = (start + end) // 2 - length // 2
        end = start + length
    reverse = np.array([interval.reverse for interval in intervals], dtype=bool)
    sequences = _sequences(store, contig, start, end, reverse)
    names = [store.contigs[number].name for number in contig]
    labels, places = [interval.label for interval in intervals], [interval.place for interval in intervals]
    return RawSamples(path, sequences, labels, places, names)


def _sequences(
    store: TokenStore, contig: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64], reverse: NDArray[np.bool_]
) -> list[str]:
    """Return the letters of each interval, reverse-complemented where `reverse`; N beyond the contig."""
    # All bases of all intervals are gathered at once: row[i] is the interval of base i, position[i] its place on the contig.
    size = end - start
    ends = np.cumsum(size)
    row = np.repeat(np.arange(len(size)), size)
    step = np.arange(len(row)) - (ends - size)[row]
    position = np.where(reverse[row], end[row] - 1 - step, start[row] + step)
    tokens = store.tokens_at(contig[row], position)
    text = alphabet.decode(np.where(reverse[row], alphabet.COMPLEMENT[tokens], tokens))
    return [text[low:high] for low, high in zip(ends - size, ends, strict=True)]


class _ContigNumbers:
    """Numbers of contigs by name. Names match as they are, with or without `chr`, and without a version (ENST0001.2)."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._numbers: dict[str, int] = {}
        for spelled in (_with_chr, _without_chr, _without_version, str):  # exact names come last, and take precedence
            self._numbers |= {spelled(contig.name): number for number, contig in enumerate(store.contigs)}

    def find(self, interval: _LabelledInterval) -> int:
        """Return the number of the interval's contig. Raises TaskError, with the nearest name, if there is no such contig."""
        number = self._numbers.get(interval.contig)
        if number is None:
            hint = nearest(interval.contig, [contig.name for contig in self._store.contigs[:1000]])
            raise TaskError(f"{interval.place}: {self._store.source} has no contig {interval.contig!r}{hint}")
        return number


def _with_chr(name: str) -> str:
    return f"chr{name}"


def _without_chr(name: str) -> str:
    return name.removeprefix("chr")


def _without_version(name: str) -> str:
    return re.sub(r"\.\d+$", "", name)
