"""The command `genome`: index a FASTA and describe it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from findna_kit.cli.console import print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Json

if TYPE_CHECKING:
    from findna_kit.api import progress
    from findna_kit.data import genome as genomes
else:
    progress, genomes = LazyModule("findna_kit.api.progress"), LazyModule("findna_kit.data.genome")


def genome(
    fasta: Annotated[str, typer.Argument(metavar="FASTA", help="Path of a FASTA, or builtin.")],
    length: Annotated[int, typer.Option("--length", metavar="N", min=1, help="Count windows of N bases.")] = 512,
    max_unknown: Annotated[
        float, typer.Option("--max-unknown", metavar="SHARE", min=0, max=1, help="Allow this share of N in a window.")
    ] = 0.1,
    as_json: Json = False,
) -> None:
    """Index a FASTA and report contigs, N, soft-masking, GC content and the number of windows."""
    with progress.reading_bar() as reading:
        store = genomes.open_store(genomes.builtin_genome() if fasta == "builtin" else Path(fasta), report=reading)
    report = genomes.genome_report(store, length=length, max_unknown=max_unknown)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    rows = [_contig_row(contig) for contig in (*report["contigs"], {"name": "all", **report["total"]})]
    print_table([["contig", "bases", "N", "lower case", "GC of A C G T"], *rows])
    windows = report["windows"]
    print_line(f"\nwindows of {length} bases inside contigs: {windows['inside_contigs']:,}")
    print_line(f"of these with a share of N of at most {max_unknown:g}: {windows['known_enough']:,}")
    for letter, count in report["other_letters"].items():
        print_line(f"letter {letter}: {count:,}, read as N")


def _contig_row(contig: Mapping[str, Any]) -> list[str]:
    """Return the row of a contig: its bases, N, share of soft-masked bases, and GC content of A, C, G and T."""
    gc = "-" if contig["gc"] is None else f"{contig['gc']:.1%}"
    return [contig["name"], f"{contig['length']:,}", f"{contig['unknown']:,}", f"{contig['soft_masked']:.1%}", gc]
