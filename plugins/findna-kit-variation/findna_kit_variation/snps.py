"""Single-nucleotide variants and their allele frequencies from a VCF (plain, gzip or bgzip)."""

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
"""What a bgzip file ends with (SAM specification, 4.1.2)."""
_ABOVE_ONE = 1.001
"""What the frequencies of one place may add up to: they are written with a few digits."""


@dataclass(frozen=True)
class Snps:
    """Of one contig, in order of position.

    position [n] int64, from 0 · reference [n] int64: the token A C G T · frequency [n, 4] float64: of each other base.
    """

    position: NDArray[np.int64]
    reference: NDArray[np.int64]
    frequency: NDArray[np.float64]


def read_snps(path: Path) -> tuple[dict[str, Snps], Counter[str]]:
    """The variants by contig, and how many alleles were left out, by reason. FindnaError, with the line, for what is no VCF."""
    columns: dict[str, tuple[array[int], array[int], array[int], array[float]]] = {}
    skipped: Counter[str] = Counter()
    for number, text in _body(path):
        fields = text.split("\t", len(_COLUMNS))
        if len(fields) < len(_COLUMNS):
            raise FindnaError(f"{path}:{number}: has {len(fields)} columns, at least {len(_COLUMNS)} are wanted; mend the line")
        contig, position, _, reference, alternatives = fields[:5]
        if not position.isascii() or not position.isdigit():
            raise FindnaError(f"{path}:{number}: POS {position!r} is no number; mend the line")
        stated = alternatives.split(",")
        if reference not in _TOKENS or not any(one in _TOKENS for one in stated):
            skipped["no SNP"] += len(stated)
            continue
        held = columns.setdefault(contig, (array("q"), array("b"), array("b"), array("d")))
        for alternative, frequency in zip(stated, _frequencies(path, number, fields[7], len(stated)), strict=True):
            if alternative not in _TOKENS or _TOKENS[alternative] == _TOKENS[reference]:
                skipped["no SNP"] += 1
            elif frequency is None:
                skipped["without AF, or AC and AN"] += 1
            else:
                held[0].append(int(position) - 1)
                held[1].append(_TOKENS[reference])
                held[2].append(_TOKENS[alternative])
                held[3].append(frequency)
    return {name: _gathered(path, name, *map(np.array, held)) for name, held in columns.items() if held[0]}, skipped


def _frequencies(path: Path, number: int, info: str, alleles: int) -> Sequence[float | None]:
    """Of each ALT: AF, or else AC / AN; None where neither is stated."""
    stated = dict(part.split("=", 1) for part in info.split(";") if "=" in part)
    key = "AF" if "AF" in stated else "AC"
    if key not in stated or (key == "AC" and "AN" not in stated):
        return [None] * alleles
    values = stated[key].split(",")
    if len(values) != alleles:
        raise FindnaError(f"{path}:{number}: {key} has {len(values)} values for {alleles} ALT; mend the line")
    try:
        total = float(stated["AN"]) if key == "AC" else 1.0
        found = [None if value == "." or not total else float(value) / total for value in values]
    except ValueError:
        found = [-1.0]
    if not all(one is None or 0 <= one <= 1 for one in found):
        said = f"AF={stated['AF']}" if key == "AF" else f"AC={stated['AC']};AN={stated['AN']}"
        raise FindnaError(f"{path}:{number}: {said} is no allele frequency between 0 and 1; mend the line")
    return found


def _gathered(
    path: Path, contig: str, position: NDArray[np.int64], reference: NDArray[np.int8], alternative: NDArray[np.int8],
    frequency: NDArray[np.float64],
) -> Snps:  # fmt: skip
    """One row for each place, whichever lines its alleles were on."""
    places, first, row = np.unique(position, return_index=True, return_inverse=True)
    table = np.zeros((len(places), 4))
    np.add.at(table, (row, alternative), frequency)
    wrong = (
        (position[reference != reference[first][row]], "has two REF; one of them is wrong"),
        (places[table.sum(1) > _ABOVE_ONE], "has allele frequencies that add up to more than 1"),
    )
    for where, why in wrong:
        if len(where):
            raise FindnaError(f"{path}: {contig}:{where[0] + 1} {why}; mend its lines")
    return Snps(places, reference[first].astype(np.int64), table)


def _body(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines after the header, which is looked at."""
    numbered = enumerate(_text(path), 1)
    number, text = next(numbered, (1, ""))
    if not text.startswith("##fileformat=VCF"):
        raise FindnaError(f"{path}: is no VCF: it must begin with ##fileformat=VCF (of a BCF, bcftools view makes one)")
    while text.startswith("##"):
        number, text = next(numbered, (number, ""))
    if tuple(text.split("\t")[: len(_COLUMNS)]) != _COLUMNS:
        wanted = f"a line with the columns {' '.join(_COLUMNS)}, tabs between them, is wanted after the header"
        raise FindnaError(f"{path}:{number}: is no VCF: {wanted}")
    yield from ((number, text) for number, text in numbered if text)


def _text(path: Path) -> Iterator[str]:
    """Lines without their ends. What is not UTF-8 is kept as it is, by surrogates."""
    try:
        with path.open("rb") as raw:
            start = raw.read(18)
            raw.seek(max(0, path.stat().st_size - len(_LAST_BLOCK)))
            # gunzip takes bgzip without its empty last block for whole.
            if start[:4] == _LAST_BLOCK[:4] and start[12:14] == b"BC" and raw.read() != _LAST_BLOCK:
                raise FindnaError(f"{path}: is bgzip without its last block, so probably truncated; fetch it again")
        opened = gzip.open if start[:2] == _LAST_BLOCK[:2] else open
        with opened(path, "rt", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for text in file:
                yield text.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FindnaError(f"{path}: is a broken or truncated gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror or error}; give the path of a VCF") from error
