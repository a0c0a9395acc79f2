"""The command `finetune`: fine-tune a run on a labelled task, score it, and keep the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli import evaluate as evaluate_command
from findna_kit.cli.console import log, print_line
from findna_kit.cli.interruption import interruptible
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import (
    Branch,
    Cnn,
    Device,
    DropLeaked,
    Json,
    LabelColumn,
    Pooling,
    RunFolder,
    ScoredStrand,
    Seeds,
    SequenceColumn,
    ShuffledLabels,
    Step,
    TaskArgument,
    TaskData,
    Wide,
    Without,
)

if TYPE_CHECKING:
    from findna_kit import evaluation, runs
else:
    evaluation, runs = LazyModule("findna_kit.evaluation"), LazyModule("findna_kit.runs")


Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Write the fine-tuned model to this new folder.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="K=V", help="Override a setting of fine-tuning, for example epochs=5. Repeatable."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the fine-tuned model in the folder of --out.")]


def finetune(
    folder: RunFolder,
    task: TaskArgument,
    out: Out,
    settings: Settings = None,
    seeds: Seeds = 1,
    pooling: Pooling = "mean_std",
    strand: ScoredStrand = "auto",
    branch: Branch = None,
    step: Step = None,
    shuffled: ShuffledLabels = False,
    cnn: Cnn = False,
    drop_leaked: DropLeaked = False,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    data: TaskData = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    wide: Wide = False,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """Fine-tune a run on a labelled task, score it next to its controls, and keep the model.

    Settings, controls and early stopping are those of `evaluate --protocol finetune`. Of several seeds the model with the best
    validation score is kept. An interrupted call continues when it is called again.
    """
    scoring = runs.Scoring(
        evaluation.EvaluationRequest(("finetune",), seeds, shuffled, cnn), pooling, None, strand, branch, step,
        tuple(settings or ()), drop_leaked, data, device, tuple(without or ()),
        sequence_column, label_column,
    )  # fmt: skip
    with interruptible("finished epochs are saved; the same call continues"):
        made = runs.finetune_run(folder, task, out, scoring, overwrite=overwrite, say=log)
    evaluate_command.print_results([made.result], wide=wide, as_json=as_json)
    scores = [seed.validation for seed in made.record.seeds]
    which = f"the best of {len(scores)} seeds, with" if len(scores) > 1 else "with"
    line = f"{out}: the fine-tuned model, {which} validation score {max(scores):.4f}; `findna-kit predict {out}` uses it"
    # With --json, stdout holds the result alone.
    (log if as_json else print_line)(line)
