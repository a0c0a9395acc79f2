"""The windows around the variants of a VCF, with either allele, as sequences to predict."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.data.genome import builtin_genome, open_store
from findna_kit.errors import FindnaError
from findna_kit.inference.embedding.inputs import SequenceSource
from findna_kit.inference.variants.alleles import STATUSES, WITH_SCORES, AlleleClassifier
from findna_kit.inference.variants.scores import variant_window
from findna_kit.inference.variants.vcf import read_vcf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from findna_kit.data.genome import TokenStore
    from findna_kit.inference.embedding.inputs import Reading, Row
    from findna_kit.inference.variants.alleles import Allele
    from findna_kit.inference.variants.vcf import VcfRecord

SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
COLUMNS = ("id", "contig", "position", "ref", "alt", "allele")
"""Columns of the ids; `allele` is `ref` or `alt`, the one that the window has."""


def is_vcf(path: Path) -> bool:
    """Return whether a file is a VCF or BCF by its name."""
    return path.name.lower().endswith(SUFFIXES)


def variant_windows(
    path: Path, genome: str | None, length: int | None, *, log: Callable[[str], None], reading: Reading = None
) -> SequenceSource:
    """Return two windows of at most `length` bases for each allele: with REF, then with ALT.

    Alleles that have no window, such as symbolic ones, are left out, and counted in the log by the reason. Raises FindnaError
    without a genome or a length, for a REF that differs from the genome, and if no allele has a window.
    """
    if genome is None or length is None:
        raise FindnaError(f"{path} is a VCF: give --genome FASTA and --window N, the bases of the windows around the variants")
    store = open_store(builtin_genome() if genome == "builtin" else Path(genome), report=reading)
    variants = _Variants(path, store, length)
    statuses = Counter(allele.status for _, _, allele in variants.alleles())
    count = sum(statuses.pop(status, 0) for status in WITH_SCORES)
    _refuse(path, count, statuses)
    for status, number in statuses.items():
        log(f"{path}: {number:,} alleles are left out: {STATUSES[status]}")
    longest = max(len(sequence) for _, sequence in variants.rows())

    def rows(first: int) -> Iterator[Row]:
        return islice(variants.rows(), first, None)

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    description: dict[str, str | int] = {
        "path": str(path.absolute()), "format": "vcf", "digest": digest, "genome": store.digest, "window": length,
        "left_out": sum(statuses.values()),
    }  # fmt: skip
    return SequenceSource(COLUMNS, frozenset({"position"}), 2 * count, longest, description, rows)


@dataclass(frozen=True)
class _Variants:
    """The alleles of a VCF in a genome, with windows of at most `length` bases. Each iteration reads the file again."""

    path: Path
    store: TokenStore
    length: int

    def alleles(self) -> Iterator[tuple[VcfRecord, str, Allele]]:
        """Yield each ALT with its record and its place in the genome."""
        classify = AlleleClassifier(self.store, self.length, predicts=False)
        for line in read_vcf(self.path).lines:
            for alternative, allele in zip(line.alternatives, classify(line), strict=True):
                yield line, alternative, allele

    def rows(self) -> Iterator[Row]:
        """Yield two rows for each allele that has a window: with REF, then with ALT."""
        for line, alternative, allele in self.alleles():
            if allele.status in WITH_SCORES:
                name = line.fields[2] if line.fields[2] != "." else f"{line.contig}:{line.position}"
                ids = (name, line.contig, str(line.position), line.reference, alternative)
                window = variant_window(self.store, allele, self.length)
                yield (*ids, "ref"), window.reference
                yield (*ids, "alt"), window.alternative


def _refuse(path: Path, count: int, statuses: Counter[str]) -> None:
    """Raise FindnaError for a VCF of another genome, and for one without an allele that has a window."""
    if mismatched := statuses["ref_mismatch"]:
        raise FindnaError(f"{path}: of {mismatched:,} alleles REF differs from the genome; give the genome of this VCF")
    if not count:
        reasons = "; ".join(f"{number:,}: {STATUSES[status]}" for status, number in statuses.items() if number)
        raise FindnaError(f"{path}: no allele has a window to predict ({reasons or 'the file has no records'})")
