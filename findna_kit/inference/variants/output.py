"""Where scores go: the VCF's own lines with INFO fields, or a table with a row for each ALT; plain or bgzip, by the suffix."""

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
    from findna_kit.inference.variants.vcf import Line

SUFFIXES = (".vcf", ".vcf.gz", ".tsv", ".tsv.gz")
PROVENANCE = "findna_kit_variants"
_PREFIX = "FINDNA_"
_FIELDS = {
    "llr": ("Float", "Natural log of p(ALT) / p(REF) under the masked head, where the base is masked"),
    "cosine": ("Float", "1 - cosine of the embeddings of the window with REF and with ALT"),
    "euclidean": ("Float", "Distance between the embeddings of the window with REF and with ALT"),
    "unknown": ("Integer", "Number of N in the window"),
}
_TABLE = ("contig", "pos", "id", "ref", "alt", "status", *SCORES)


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> object:
        """All of them."""


class Format(Protocol):
    """How a line and the scores of its ALTs are written."""

    def header(self, header: Sequence[str], made_by: Mapping[str, Any]) -> list[str]:
        """The lines that stand first; `made_by` tells what made the scores."""

    def lines(self, line: Line, alleles: Sequence[Allele], scores: NDArray[np.float64]) -> list[str]:
        """Of one line; scores [ALTs, SCORES]."""


class VcfFormat:
    """The lines as they were, with INFO fields. What an earlier call left there is replaced."""

    _STALE = re.compile(rf"##INFO=<ID={_PREFIX}|##{PROVENANCE}=")

    def header(self, header: Sequence[str], made_by: Mapping[str, Any]) -> list[str]:
        """Ours stand last, before the names of the columns."""
        codes = ", ".join(STATUSES)
        own = [f'##INFO=<ID={_PREFIX}STATUS,Number=.,Type=String,Description="Of each ALT, one of: {codes}">']
        own += [
            f'##INFO=<ID={_PREFIX}{name.upper()},Number=A,Type={kind},Description="{text}">'
            for name, (kind, text) in _FIELDS.items()
        ]
        kept = [text for text in header[:-1] if not self._STALE.match(text)]
        return [*kept, *own, _provenance(made_by), header[-1]]

    def lines(self, line: Line, alleles: Sequence[Allele], scores: NDArray[np.float64]) -> list[str]:
        """A score that no ALT of the line has is left out."""
        stated = [part for part in line.fields[INFO].split(";") if part != "." and not part.startswith(_PREFIX)]
        own = {"STATUS": ",".join(allele.status for allele in alleles)}
        own |= {
            name.upper(): ",".join(map(_number, column))
            for name, column in zip(SCORES, scores.T, strict=True)
            if not np.isnan(column).all()
        }
        info = ";".join([*stated, *(f"{_PREFIX}{name}={value}" for name, value in own.items())])
        return ["\t".join([*line.fields[:INFO], info, *line.fields[INFO + 1 :]])]


class TableFormat:
    """A row for each ALT, with the columns of the VCF that name it; pos counts from 1, as there."""

    def header(self, header: Sequence[str], made_by: Mapping[str, Any]) -> list[str]:
        """What made it, and the names of the columns."""
        return [_provenance(made_by), "\t".join(_TABLE)]

    def lines(self, line: Line, alleles: Sequence[Allele], scores: NDArray[np.float64]) -> list[str]:
        """As many as there are ALTs."""
        place = line.fields[: COLUMNS.index("ALT")]
        rows = zip(line.alternatives, alleles, scores, strict=True)
        return ["\t".join([*place, text, allele.status, *map(_number, row)]) for text, allele, row in rows]


def format_of(out: Path) -> Format:
    """By the suffix; FindnaError for another."""
    if out.name.endswith(SUFFIXES):
        return VcfFormat() if out.name.endswith(SUFFIXES[:2]) else TableFormat()
    raise FindnaError(f"--out {out}: a name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} is wanted")


def refuse_output(out: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """OutputExists for what is not to be replaced: a folder, what is read, and, unless told so, a file."""
    if os.path.isdir(out):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise OutputExists(f"{out}: is a folder; name a file, such as --out {out / 'scores.vcf.gz'}")
    if not os.path.lexists(out):
        return
    for source in inputs:
        if source.exists() and out.exists() and out.samefile(source):
            raise OutputExists(f"{out}: is what is read; take another --out FILE")
    if not overwrite:
        raise OutputExists(f"{out}: is there already; take another --out FILE, or --overwrite it")


@contextmanager
def writing(out: Path) -> Iterator[Sink]:
    """Where to write to; a file of that name is there when all is well, and not before. OutputExists where it cannot be."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as beside, beside.open("wb") as file:
            if out.suffix == ".gz":
                packed = BlockGzip(file)
                yield packed
                packed.finish()
            else:
                yield file
    except OSError as error:
        raise OutputExists(f"{out}: cannot be written: {error.strerror or error}; name another with --out FILE") from error


def _provenance(made_by: Mapping[str, Any]) -> str:
    """`##findna_kit_variants=<ID=scores,run="...",step=3,...>`, as a VCF's header has it."""
    return f"##{PROVENANCE}=<ID=scores,{','.join(f'{name}={_value(value)}' for name, value in made_by.items())}>"


def _value(value: Any) -> str:
    if not isinstance(value, str):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _number(value: float) -> str:
    # + 0.0: a ratio of nothing would be written -0.
    return "." if np.isnan(value) else f"{value + 0.0:.6g}"
