"""Reading of VCF record by record: plain, gzip or bgzip, and BCF through pysam. Only the fixed columns are parsed."""

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
"""Symbolic alleles such as <DEL>, `*` for an overlapping deletion, breakends, and single breakends."""


@dataclass(frozen=True)
class VcfRecord:
    """One record. number: its line in the file. position: POS, counted from 1. fields: every column, as written."""

    number: int
    contig: str
    position: int
    reference: str
    alternatives: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True)
class VcfFile:
    """The header lines, from ##fileformat to #CHROM, and an iterator over the records, which can be used once."""

    header: list[str]
    lines: Iterator[VcfRecord]


def read_vcf(path: Path) -> VcfFile:
    """Read the header; the records are read as they are iterated. Raises FindnaError, with the line, if the file is not VCF."""
    numbered = enumerate(_text(path), 1)
    header: list[str] = []
    for _, text in numbered:
        header.append(text)
        if text.startswith("#CHROM"):
            break
        if not text.startswith("##fileformat=VCF" if len(header) == 1 else "##"):
            reason = (
                "it must begin with ##fileformat=VCF" if len(header) == 1 else "the line that begins with #CHROM is missing"
            )
            raise FindnaError(f"{path}:{len(header)}: is not VCF: {reason}")
    columns = header[-1].split("\t") if header else []
    if tuple(columns[: len(COLUMNS)]) != COLUMNS:
        raise FindnaError(f"{path}: is not VCF: it needs a line with the tab-separated columns {' '.join(COLUMNS)}")
    return VcfFile(header, (_record(path, number, text, len(columns)) for number, text in numbered if text))


def is_symbolic(alternative: str) -> bool:
    """Return whether an ALT is a symbol and not a sequence of bases."""
    return _SYMBOLIC.fullmatch(alternative) is not None


def _record(path: Path, number: int, text: str, columns: int) -> VcfRecord:
    """Parse one line. Raises FindnaError, with the line, for a malformed column."""
    fields = tuple(text.split("\t"))
    if len(fields) != columns:
        raise FindnaError(f"{path}:{number}: has {len(fields)} columns, and the header {columns}; correct the line")
    contig, position, _, reference, alternatives = fields[:5]
    if not position.isascii() or not position.isdigit():
        raise FindnaError(f"{path}:{number}: POS {position!r} is not a number; correct the line")
    if not BASES.fullmatch(reference):
        raise FindnaError(f"{path}:{number}: REF {reference!r} is not a sequence of bases; correct the line")
    alleles = tuple(alternatives.split(","))
    for alternative in alleles if alleles != (NO_ALTERNATIVE,) else ():
        if not BASES.fullmatch(alternative) and not is_symbolic(alternative):
            raise FindnaError(
                f"{path}:{number}: ALT {alternative!r} is neither a sequence of bases nor a symbol (<DEL>, *); correct the line"
            )
    return VcfRecord(number, contig, int(position), reference, alleles, fields)


def _text(path: Path) -> Iterator[str]:
    """Yield the lines of a file, decompressed. Bytes that are not UTF-8 pass through unchanged, as surrogates."""
    try:
        if path.exists() and not path.is_file():  # the file is read twice, which a pipe does not allow
            raise FindnaError(f"{path}: is not a regular file; give the path of a VCF")
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
        if compressed and is_truncated(path):
            raise FindnaError(f"{path}: is bgzip without its last block, so it is probably truncated; download it again")
        with gzip.open(path) if compressed else path.open("rb") as start:
            # BCF is recognised by its magic bytes, whatever the name of the file.
            is_binary = start.read(3) == b"BCF"
        if is_binary:
            yield from _binary(path)
            return
        opener = gzip.open if compressed else open
        # Only \n ends a line. Universal newlines would also split at a lone \r inside a field, and shift line numbers.
        with opener(path, "rt", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for text in file:
                yield text.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FindnaError(f"{path}: is a broken or truncated gzip file ({error}); download it again") from error
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror or error}; give the path of a VCF") from error


def _binary(path: Path) -> Iterator[str]:
    """Yield the lines of a BCF as VCF text. Raises FindnaError if pysam is not installed or cannot read the file."""
    require_extra("pysam", "genomics", f"{path}: reading BCF")
    import pysam

    verbosity = pysam.set_verbosity(0)  # else htslib prints that there is no index, which is not needed
    try:
        with pysam.VariantFile(str(path)) as file:
            yield from str(file.header).splitlines()
            for record in file:
                yield str(record).rstrip("\r\n")
    except ValueError as error:
        raise FindnaError(f"{path}: cannot be read as BCF: {error}; download it again") from error
    finally:
        pysam.set_verbosity(verbosity)
