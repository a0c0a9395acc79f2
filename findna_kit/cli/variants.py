"""The command `variants`: zero-shot scores of the variants of a VCF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Branch, Device, Json, RunFolder, Step, Without

if TYPE_CHECKING:
    from findna_kit.api import progress
    from findna_kit.inference import variants as scoring
else:
    progress, scoring = LazyModule("findna_kit.api.progress"), LazyModule("findna_kit.inference.variants")


def variants(
    folder: RunFolder,
    vcf: Annotated[
        Path, typer.Argument(metavar="VCF", help="VCF, plain, gzip or bgzip; BCF with the extra genomics installed.")
    ],
    genome: Annotated[
        str, typer.Option("--genome", metavar="FASTA", help="Reference FASTA that the variants were called on, or builtin.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Write the scores to this file: .vcf[.gz] or .tsv[.gz].")],
    length: Annotated[
        int | None,
        typer.Option("--length", metavar="N", min=3, help="Score windows of N bases. [default: the run's data.length]"),
    ] = None,
    strand: Annotated[
        Literal["both", "forward"], typer.Option("--strand", help="Average both strands, or use the forward strand.")
    ] = "both",
    on_mismatch: Annotated[
        Literal["refuse", "skip"], typer.Option("--on-mismatch", help="Stop at, or skip, a REF that differs from the genome.")
    ] = "refuse",
    branch: Branch = None,
    step: Step = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out.")] = False,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """Compute zero-shot variant effect scores: log-likelihood ratio and embedding distance.

    The run needs no training on variants. Each allele of the VCF gets its scores, or a status that states why it has none.
    """
    request = scoring.VariantRequest(genome, length, strand, on_mismatch, branch, step, device, tuple(without or ()))
    with progress.reading_bar() as reading:
        result = scoring.score_variants(
            folder, vcf, out, request, overwrite=overwrite, log=log, reading=reading,
            progress=progress.log_counts("scoring", "lines"),
        )  # fmt: skip
    if as_json:
        print(json.dumps(result, indent=1))
        return
    counts = result["statuses"].items()
    print_table([["status", "alleles", "meaning"], *([name, f"{n:,}", scoring.STATUSES[name]] for name, n in counts)])
    model = f"{result['branch']} at step {result['step']}, {result['precision']}"
    print_line(f"\n{out}: {result['alleles']:,} alleles in {result['lines']:,} lines; {model}, windows of {result['length']}")
