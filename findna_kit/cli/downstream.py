"""Commands on what comes after pretraining: evaluate, tasks, embed, variants, report, import, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from findna_kit.cli.options import Branch, Device, Json, Layer, Pooling, RunFolder, Step, Strand, TaskData, Without

downstream = typer.Typer()
tasks_app = typer.Typer(help="Labelled tasks: list the shipped ones, audit any for leakage.")
downstream.add_typer(tasks_app, name="tasks")
import_app = typer.Typer(no_args_is_help=True, help="Take in what others have trained.")
downstream.add_typer(import_app, name="import")


@downstream.command()
def evaluate(
    folder: RunFolder,
    tasks: Annotated[
        list[str], typer.Argument(metavar="TASK...", help="builtin, a folder of tables, a task file, or a shipped name")
    ],
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="P,...", help="comma-separated: knn, probe, few_shot, finetune")
    ] = "knn,probe",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="how often what is random is repeated")] = 1,
    pooling: Pooling = "mean",
    layer: Layer = None,
    strand: Strand = "forward",
    branch: Branch = None,
    step: Step = None,
    finetune: Annotated[
        list[str] | None, typer.Option("--finetune", metavar="K=V", help="one setting of fine-tuning, such as epochs=5")
    ] = None,
    shuffled: Annotated[
        bool, typer.Option("--shuffled-labels", help="one more control: trained on labels in random order")
    ] = False,
    drop_leaked: Annotated[
        bool, typer.Option("--drop-leaked", help="score without test rows that the audit finds in the other parts")
    ] = False,
    data: TaskData = None,
    device: Device = "auto",
    as_json: Json = False,
    without: Without = None,
) -> None:
    """Score a run on labelled tasks beside the controls; what was finished before is not computed again."""
    from findna_kit.cli import scoring

    asked = scoring.asked(
        protocol, seeds=seeds, pooling=pooling, layer=layer, strand=strand, branch=branch, step=step,
        finetune=finetune or [], shuffled=shuffled, drop_leaked=drop_leaked, data=data, device=device, without=without or [],
    )  # fmt: skip
    scoring.evaluate(folder, tasks, asked, as_json=as_json)


@tasks_app.callback(invoke_without_command=True)
def _tasks(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_tasks()


@tasks_app.command("list")
def list_tasks(data: TaskData = None, as_json: Json = False) -> None:
    """The task files that come with the package, and whether their data are there."""
    from findna_kit.cli import tasks

    tasks.listing(data, as_json=as_json)


@tasks_app.command("audit")
def audit_tasks(
    tasks: Annotated[
        list[str], typer.Argument(metavar="TASK...", help="builtin, a folder of tables, a task file, or a shipped name")
    ],
    run: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="look for test sequences in what this run was trained on")
    ] = None,
    genome: Annotated[
        Path | None, typer.Option("--genome", metavar="FASTA", help="where the run's genome lies now, or any other to look in")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 3 where something was found")] = False,
    data: TaskData = None,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """What of a task's test part its other parts have already: copies, other strands, near copies, disagreeing labels."""
    from findna_kit.cli import tasks as auditing

    auditing.audit(tasks, run=run, genome=genome, data=data, strict=strict, as_json=as_json, without=without or [])


@import_app.command("findna")
def import_findna(
    file: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="the file that FinDNA's authors released")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="folder of the run [default: runs/findna-released-1, ...]")
    ] = None,
    length: Annotated[int, typer.Option("--length", min=1, help="nucleotides that it was trained on")] = 1000,
    class_tokens: Annotated[int, typer.Option("--class-tokens", min=0, help="that it was trained with")] = 10,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the run that --out holds")] = False,
    without: Without = None,
) -> None:
    """A released checkpoint of FinDNA as a run's folder: all of it, or none."""
    from findna_kit.cli import exchange

    exchange.import_findna(
        file, out=out, length=length, class_tokens=class_tokens, overwrite=overwrite, without=without or []
    )  # fmt: skip


@downstream.command()
def export(
    folder: RunFolder,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="a new folder")],
    form: Annotated[str, typer.Option("--format", help="huggingface, or onnx (the extra)")] = "huggingface",
    branch: Branch = None,
    step: Step = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the export that --out holds")] = False,
    without: Without = None,
) -> None:
    """One branch of a run as a folder to give away, with a model card."""
    from findna_kit.cli import exchange

    exchange.export(folder, out, branch=branch, step=step, form=form, overwrite=overwrite, without=without or [])


@downstream.command()
def embed(
    folder: RunFolder,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="FASTA, BED, or CSV or TSV with a column sequence; gzip or not")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="its suffix says which: .npy, .parquet or .zarr")],
    genome: Annotated[str | None, typer.Option("--genome", metavar="FASTA", help="of a BED; or builtin")] = None,
    window: Annotated[int | None, typer.Option("--window", min=1, help="cut a FASTA into windows of so many bases")] = None,
    overlap: Annotated[int, typer.Option("--overlap", min=0, help="bases that a window shares with the one before")] = 0,
    pooling: Pooling = "mean",
    layer: Layer = None,
    strand: Strand = "forward",
    branch: Branch = None,
    step: Step = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace what is there")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a call that was stopped")] = False,
    projector: Annotated[
        Path | None, typer.Option("--projector", metavar="DIR", help="files for TensorBoard's projector")
    ] = None,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="draw them: .png, .svg or .pdf")] = None,
    colour: Annotated[str | None, typer.Option("--colour", metavar="COLUMN", help="the picture's colours: a column")] = None,
    method: Annotated[
        Literal["pca", "tsne", "umap"] | None, typer.Option("--method", help="how the picture is made flat [default: pca]")
    ] = None,
    without: Without = None,
) -> None:
    """Embed sequences of a file with a run's frozen model: streamed, and gone on with after a kill."""
    from findna_kit.cli import embedding
    from findna_kit.inference.embedding import EmbedOptions, Output, Sequences, tiling

    embedding.embed(
        folder, Sequences(source, genome, tiling(window, overlap)), Output(out, overwrite, resume),
        EmbedOptions(pooling, layer, strand, branch, step, device, tuple(without or ())),
        picture=embedding.picture_of(picture, method, colour), projector=projector,
    )  # fmt: skip


@downstream.command("variants")
def score_variants(
    folder: RunFolder,
    vcf: Annotated[Path, typer.Argument(metavar="VCF", help="VCF, plain, gzip or bgzip; BCF with the extra genomics")],
    genome: Annotated[str, typer.Option("--genome", metavar="FASTA", help="what they were called on; or builtin")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="its suffix says which: .vcf[.gz] or .tsv[.gz]")],
    length: Annotated[int | None, typer.Option("--length", min=3, help="window [default: the run's data.length]")] = None,
    strand: Annotated[Literal["both", "forward"], typer.Option("--strand", help="the mean of both, or one")] = "both",
    on_mismatch: Annotated[
        Literal["refuse", "skip"], typer.Option("--on-mismatch", help="where REF is not what the genome has")
    ] = "refuse",
    branch: Branch = None,
    step: Step = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a file that --out names")] = False,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """Score a VCF's variants with a run, not trained for it: log-likelihood ratio and embedding distance."""
    from findna_kit.cli.variants import variants
    from findna_kit.inference.variants import VariantRequest

    asked = VariantRequest(genome, length, strand, on_mismatch, branch, step, device, tuple(without or ()))
    variants(folder, vcf, out, asked, overwrite=overwrite, as_json=as_json)


@downstream.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN_OR_STUDY...", help="folders that `run` or `ablate` made")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="[default: report.html in the folder, if it is one]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a report that --out names")] = False,
    embed_task: Annotated[
        str | None, typer.Option("--embed", metavar="TASK", help="with a picture of each run's embeddings of its test part")
    ] = None,
    data: TaskData = None,
    device: Device = "auto",
    without: Without = None,
) -> None:
    """Write one HTML page of runs and studies that needs no network: curves, scores, effects, cost, recipes."""
    from findna_kit.cli import reporting

    reporting.report(folders, out=out, overwrite=overwrite, embed=embed_task, data=data, device=device, without=without or [])
