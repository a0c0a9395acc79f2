"""Reader of single-nucleotide variants and their allele frequencies from a VCF (plain, gzip or bgzip)."""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_TOKENS = dict(zip("ACGTacgt", [alphabet.A, alphabet.C, alphabet.G, alphabet.T] * 2, strict=True))
_LAST_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block at the end of a bgzip file (SAM specification, 4.1.2)."""
_MAX_TOTAL_FREQUENCY = 1.001
"""Largest allowed sum of frequencies at one position. Slightly above 1, because they are written with few digits."""


@dataclass(frozen=True)
class Snps:
    """The variants of one contig, in order of position.

    position [n] int64: 0-based. reference [n] int64: token of A C G T. frequency [n, 4] float64: frequency of each other base.
    """

    position: NDArray[np.int64]
    reference: NDArray[np.int64]
    frequency: NDArray[np.float64]


def read_snps(path: Path) -> tuple[dict[str, Snps], Counter[str]]:
    """Return the variants by contig, and the number of skipped alleles by reason.

    Raises FindnaError, with the line number, if the file is not a valid VCF.
    """
    columns: dict[str, tuple[array[int], array[int], array[int], array[float]]] = {}
    skipped: Counter[str] = Counter()
    for number, text in _body(path):
        fields = text.split("\t", len(_COLUMNS))
        if len(fields) < len(_COLUMNS):
            raise FindnaError(f"{path}:{number}: {len(fields)} columns, expected at least {len(_COLUMNS)}; correct the line")
        contig, position, _, reference, alternatives = fields[:5]
        if not position.isascii() or not position.isdigit():
            raise FindnaError(f"{path}:{number}: POS {position!r} is not a number; correct the line")
        alleles = alternatives.split(",")
        if reference not in _TOKENS or not any(allele in _TOKENS for allele in alleles):
            skipped["not a SNP"] += len(alleles)
            continue
        # Compact arrays: a VCF may have a hundred million lines.
        arrays = columns.setdefault(contig, (array("q"), array("b"), array("b"), array("d")))
        for allele, frequency in zip(alleles, _frequencies(path, number, fields[7], len(alleles)), strict=True):
            if allele not in _TOKENS or _TOKENS[allele] == _TOKENS[reference]:
                skipped["not a SNP"] += 1
            elif frequency is None:
                skipped["without AF, or AC and AN"] += 1
            else:
                arrays[0].append(int(position) - 1)
                arrays[1].append(_TOKENS[reference])
                arrays[2].append(_TOKENS[allele])
                arrays[3].append(frequency)
    return {name: _merge_lines(path, name, *map(np.array, arrays)) for name, arrays in columns.items() if arrays[0]}, skipped


def _frequencies(path: Path, number: int, info: str, alleles: int) -> Sequence[float | None]:
    """Return the frequency of each ALT: AF, or else AC / AN; None if INFO has neither."""
    fields = dict(field.split("=", 1) for field in info.split(";") if "=" in field)
    key = "AF" if "AF" in fields else "AC"
    if key not in fields or (key == "AC" and "AN" not in fields):
        return [None] * alleles
    values = fields[key].split(",")
    if len(values) != alleles:
        raise FindnaError(f"{path}:{number}: {key} has {len(values)} values for {alleles} ALT; correct the line")
    try:
        total = float(fields["AN"]) if key == "AC" else 1.0
        frequencies = [None if value == "." or not total else float(value) / total for value in values]
    except ValueError:
        frequencies = [-1.0]  # refused below
    if not all(frequency is None or 0 <= frequency <= 1 for frequency in frequencies):
        text = f"AF={fields['AF']}" if key == "AF" else f"AC={fields['AC']};AN={fields['AN']}"
        raise FindnaError(f"{path}:{number}: {text} is not an allele frequency between 0 and 1; correct the line")
    return frequencies


def _merge_lines(
    path: Path, contig: str, position: NDArray[np.int64], reference: NDArray[np.int8], alternative: NDArray[np.int8],
    frequency: NDArray[np.float64],
) -> Snps:  # fmt: skip
    """Return one entry per position, although its alleles may be on several lines."""
    sites, first, row = np.unique(position, return_index=True, return_inverse=True)
    table = np.zeros((len(sites), 4))
    np.add.at(table, (row, alternative), frequency)
    problems = (
        (position[reference != reference[first][row]], "has two different REF"),
        (sites[table.sum(1) > _MAX_TOTAL_FREQUENCY], "has allele frequencies that add up to more than 1"),
    )
    for positions, problem in problems:
        if len(positions):
            raise FindnaError(f"{path}: {contig}:{positions[0] + 1} {problem}; correct its lines")
    return Snps(sites, reference[first].astype(np.int64), table)


def _body(path: Path) -> Iterator[tuple[int, str]]:
    """Check the header; yield the lines after it with their numbers."""
    numbered = enumerate(_text(path), 1)
    number, text = next(numbered, (1, ""))
    if not text.startswith("##fileformat=VCF"):
        raise FindnaError(f"{path}: not a VCF: it must begin with ##fileformat=VCF (convert a BCF with bcftools view)")
    while text.startswith("##"):
        number, text = next(numbered, (number, ""))
    if tuple(text.split("\t")[: len(_COLUMNS)]) != _COLUMNS:
        columns = f"a line with the tab-separated columns {' '.join(_COLUMNS)} must follow the header"
        raise FindnaError(f"{path}:{number}: not a VCF: {columns}")
    yield from ((number, text) for number, text in numbered if text)


def _text(path: Path) -> Iterator[str]:
    """Yield lines without their ends. Bytes that are not UTF-8 are kept as surrogates."""
    try:
        with path.open("rb") as raw:
            start = raw.read(18)
            raw.seek(max(0, path.stat().st_size - len(_LAST_BLOCK)))
            # gzip does not notice that a bgzip file lacks its empty last block.
            if start[:4] == _LAST_BLOCK[:4] and start[12:14] == b"BC" and raw.read() != _LAST_BLOCK:
                raise FindnaError(f"{path}: bgzip file without its last block, so probably truncated; download it again")
        opened = gzip.open if start[:2] == _LAST_BLOCK[:2] else open
        with opened(path, "rt", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for text in file:
                yield text.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FindnaError(f"{path}: broken or truncated gzip file ({error}); download it again") from error
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror or error}; give the path of a VCF") from error
