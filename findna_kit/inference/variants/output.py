"""Output of variant scores: a VCF with INFO fields or a TSV with one row per ALT, plain or bgzip, chosen by the suffix."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError, OutputExists
from findna_kit.inference.variants.alleles import STATUSES
from findna_kit.inference.variants.bgzip import BlockGzip
from findna_kit.inference.variants.scores import SCORES
from findna_kit.inference.variants.vcf import COLUMNS, INFO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.inference.variants.alleles import Allele
    from findna_kit.inference.variants.vcf import VcfRecord

SUFFIXES = (".vcf", ".vcf.gz", ".tsv", ".tsv.gz")
PROVENANCE = "findna_kit_variants"
_PREFIX = "FINDNA_"
_FIELDS = {
    "llr": ("Float", "Natural log of p(ALT) / p(REF) at the masked base"),
    "cosine": ("Float", "1 - cosine of the embeddings of the window with REF and with ALT"),
    "euclidean": ("Float", "Distance between the embeddings of the window with REF and with ALT"),
    "unknown": ("Integer", "Number of N in the window"),
}
_TABLE = ("contig", "pos", "id", "ref", "alt", "status", *SCORES)


class ByteSink(Protocol):
    """Anything that bytes can be written to."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""


class VariantWriter(Protocol):
    """Formats the header, and the records with their scores."""

    def header(self, header: Sequence[str], made_by: Mapping[str, Any]) -> list[str]:
        """Return the header lines; `made_by` records what computed the scores."""

    def lines(self, line: VcfRecord, alleles: Sequence[Allele], scores: NDArray[np.float64]) -> list[str]:
        """Return the output lines of one record; scores [ALTs, SCORES]."""


class VcfWriter:
    """Writes the records of the VCF with INFO fields added; those of an earlier call are replaced."""

    _STALE = re.compile(rf"##INFO=<ID={_PREFIX}|##{PROVENANCE}=")

    def header(self, header: Sequence[str], made_by: Mapping[str, Any]) -> list[str]:
        """Return the header of the VCF with our INFO lines and provenance before the line of column names."""
        codes = ", ".join(STATUSES)
        added = [f'##INFO=<ID={_PREFIX}STATUS,Number=.,Type=String,Description="Status of each ALT, one of: {codes}">']
        added += [
            f'##INFO=<ID={_PREFIX}{name.upper()},Number=A,Type={kind},Description="{text}">'
            for name, (kind, text) in _FIELDS.items()
        ]
        # Scoring an output of ours again must not leave two sets of header lines.
        kept = [text for text in header[:-1] if not self._STALE.match(text)]
        return [*kept, *added, _provenance(made_by), header[-1]]

    def lines(self, line: VcfRecord, alleles: Sequence[Allele], scores: NDArray[np.float64]) -> list[str]:
        """Return the record with our INFO fields; a score that none of its ALTs has is left out."""
        existing = [part for part in line.fields[INFO].split(";") if part != "." and not part.startswith(_PREFIX)]
        added = {"STATUS": ",".join(allele.status for allele in alleles)}
        added |= {
            name.upper(): ",".join(map(_number, column))
            for name, column in zip(SCORES, scores.T, strict=True)
            if not np.isnan(column).all()
        }
        info = ";".join([*existing, *(f"{_PREFIX}{name}={value}" for name, value in added.items())])
        return ["\t".join([*line.fields[:INFO], info, *line.fields[INFO + 1 :]])]


class TsvWriter:
    """Writes one row per ALT, with the VCF columns that identify it; `pos` counts from 1, as in the VCF."""

    def header(self, header: Sequence[str], made_by: Mapping[str, Any]) -> list[str]:
        """Return the provenance and the line of column names."""
        return [_provenance(made_by), "\t".join(_TABLE)]

    def lines(self, line: VcfRecord, alleles: Sequence[Allele], scores: NDArray[np.float64]) -> list[str]:
        """Return one row per ALT."""
        identity = line.fields[: COLUMNS.index("ALT")]
        rows = zip(line.alternatives, alleles, scores, strict=True)
        return ["\t".join([*identity, text, allele.status, *map(_number, row)]) for text, allele, row in rows]


def writer_for(out: Path) -> VariantWriter:
    """Return the writer for the suffix of `out`. Raises FindnaError for an unknown suffix."""
    if out.name.endswith(SUFFIXES):
        return VcfWriter() if out.name.endswith(SUFFIXES[:2]) else TsvWriter()
    raise FindnaError(f"--out {out}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def check_output(out: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Raise OutputExists if `out` is a folder, an input, or an existing file without `overwrite`."""
    if os.path.isdir(out):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise OutputExists(f"{out}: is a folder; give a file, such as --out {out / 'scores.vcf.gz'}")
    if not os.path.lexists(out):
        return
    # Overwriting an input would destroy it before it is read the second time.
    for source in inputs:
        if source.exists() and out.exists() and out.samefile(source):
            raise OutputExists(f"{out}: is an input of this command; use another --out FILE")
    if not overwrite:
        raise OutputExists(f"{out}: already exists; use another --out FILE, or --overwrite to replace it")


@contextmanager
def open_output(out: Path) -> Iterator[ByteSink]:
    """Yield an open output, which is renamed to `out` when the block succeeds. Raises OutputExists if it cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as beside, beside.open("wb") as file:
            if out.suffix == ".gz":
                compressed = BlockGzip(file)
                yield compressed
                compressed.finish()
            else:
                yield file
    except OSError as error:
        raise OutputExists(f"{out}: cannot be written: {error.strerror or error}; use another --out FILE") from error


def _provenance(made_by: Mapping[str, Any]) -> str:
    """Return `##findna_kit_variants=<ID=scores,run="...",step=3,...>`, a structured header line of VCF."""
    return f"##{PROVENANCE}=<ID=scores,{','.join(f'{name}={_value(value)}' for name, value in made_by.items())}>"


def _value(value: Any) -> str:
    """Quote text as VCF asks for."""
    if not isinstance(value, str):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _number(value: float) -> str:
    """Format a score; a missing one is `.`, as in VCF."""
    # Adding 0.0 turns -0.0 into 0.0.
    return "." if np.isnan(value) else f"{value + 0.0:.6g}"
