"""A VCF, a line at a time: plain, gzip or bgzip; BCF through pysam. Only the fixed columns are looked into."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, require_extra
from findna_kit.inference.variants.bgzip import is_truncated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
INFO = COLUMNS.index("INFO")
NO_ALTERNATIVE = "."
BASES = re.compile("[ACGTNRYSWKMBDHV]+", re.IGNORECASE)
_SYMBOLIC = re.compile(r"<[^<>]+>|\*|.*[\[\]].*|\.[A-Z]+|[A-Z]+\.", re.IGNORECASE)
"""<DEL> and its kin, the allele that an upstream deletion took, breakends, and breakends without a mate."""


@dataclass(frozen=True)
class Line:
    """One line of the body. position: POS, counted from 1. fields: every column, as written."""

    number: int
    contig: str
    position: int
    reference: str
    alternatives: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Vcf:
    """`header`: the lines from ##fileformat to #CHROM. `lines` can be gone through once."""

    header: list[str]
    lines: Iterator[Line]


def read_vcf(path: Path) -> Vcf:
    """The header, and the body's lines as they are asked for. FindnaError, with the line, for what is no VCF."""
    numbered = enumerate(_text(path), 1)
    header: list[str] = []
    for _, text in numbered:
        header.append(text)
        if text.startswith("#CHROM"):
            break
        if not text.startswith("##fileformat=VCF" if len(header) == 1 else "##"):
            wanted = (
                "it must begin with ##fileformat=VCF" if len(header) == 1 else "the line that begins with #CHROM is missing"
            )
            raise FindnaError(f"{path}:{len(header)}: is no VCF: {wanted}")
    columns = header[-1].split("\t") if header else []
    if tuple(columns[: len(COLUMNS)]) != COLUMNS:
        raise FindnaError(f"{path}: is no VCF: a line with the columns {' '.join(COLUMNS)}, tabs between them, is wanted")
    return Vcf(header, (_line(path, number, text, len(columns)) for number, text in numbered if text))


def is_symbolic(alternative: str) -> bool:
    """Whether an ALT stands for something else than the bases written there."""
    return _SYMBOLIC.fullmatch(alternative) is not None


def _line(path: Path, number: int, text: str, columns: int) -> Line:
    fields = tuple(text.split("\t"))
    if len(fields) != columns:
        raise FindnaError(f"{path}:{number}: has {len(fields)} columns, and its header {columns}; mend the line")
    contig, position, _, reference, alternatives = fields[:5]
    if not position.isascii() or not position.isdigit():
        raise FindnaError(f"{path}:{number}: POS {position!r} is no number; mend the line")
    if not BASES.fullmatch(reference):
        raise FindnaError(f"{path}:{number}: REF {reference!r} is not made of bases; mend the line")
    split = tuple(alternatives.split(","))
    for alternative in split if split != (NO_ALTERNATIVE,) else ():
        if not BASES.fullmatch(alternative) and not is_symbolic(alternative):
            raise FindnaError(f"{path}:{number}: ALT {alternative!r} is neither bases nor a symbol (<DEL>, *); mend the line")
    return Line(number, contig, int(position), reference, split, fields)


def _text(path: Path) -> Iterator[str]:
    """Lines without their ends. What is not UTF-8 is kept as it is, by surrogates."""
    try:
        if path.exists() and not path.is_file():  # it is read twice, which a pipe would not allow
            raise FindnaError(f"{path}: is no regular file; give the path of a VCF")
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        if packed and is_truncated(path):
            raise FindnaError(f"{path}: is bgzip without its last block, so probably truncated; fetch it again")
        with gzip.open(path) if packed else path.open("rb") as start:
            is_binary = start.read(3) == b"BCF"
        if is_binary:
            yield from _binary(path)
            return
        opened = gzip.open if packed else open
        with opened(path, "rt", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for text in file:
                yield text.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FindnaError(f"{path}: is a broken or truncated gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror or error}; give the path of a VCF") from error


def _binary(path: Path) -> Iterator[str]:
    require_extra("pysam", "genomics", f"{path}: reading BCF")
    import pysam

    loud = pysam.set_verbosity(0)  # or htslib would say on stderr that there is no index, which is not looked for
    try:
        with pysam.VariantFile(str(path)) as file:
            yield from str(file.header).splitlines()
            for record in file:
                yield str(record).rstrip("\r\n")
    except ValueError as error:
        raise FindnaError(f"{path}: cannot be read as BCF: {error}; fetch it again") from error
    finally:
        pysam.set_verbosity(loud)
