"""The model card (README.md) of an exported model: use, training data, recipe, scores with controls, and limits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.records.paths import EVALUATION_JSON
from findna_kit.records.run_json import read_run_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.inference.frozen_model import FrozenModel
    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.records.run_json import RunJson

_FRONT = """---
library_name: findna-kit
tags: [dna, genomics, self-supervised-learning]
# license: not stated by findna-kit; fill it in before you publish this folder
---"""
_LICENCE = (
    "Not stated: fill it in before you publish this folder, here and as `license:` at the top of this file. The genome and the "
    "tasks may have their own terms. run.json and recipe.yaml contain absolute paths of the machine that trained the model."
)


@dataclass(frozen=True)
class CardScores:
    """One task as the card shows it. rows: a table, its header first."""

    task: str
    how: str
    remarks: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    of_another_model: bool


def model_card(run: Path, out: Path, model: FrozenModel, *, graph: bool) -> str:
    """Return the card in Markdown. graph: for an ONNX folder, whose use differs."""
    record = read_run_json(run)
    recipe = model.recipe
    trained = f"the {model.branch} after {model.step:,} of {recipe.steps:,} steps"
    parts = {
        "Use": _use_graph(model) if graph else _use(out, model),
        "Data": _data(record, model),
        "Recipe": _recipe(model),
        "Scores": _scores(run, model),
        "Limits": _limits(model),
        "Licence": _LICENCE,
    }
    head = f"{_FRONT}\n# {recipe.name}\n\nA DNA encoder, {trained}, exported by FinDNA-Kit {version('findna-kit')}."
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in parts.items())]) + "\n"


def _use(out: Path, model: FrozenModel) -> str:
    """Return the section on use from Python."""
    return (
        f'```python\nimport findna_kit  # pip install findna-kit\n\nmodel = findna_kit.load("{out.name}")\n'
        f'embeddings = model.embed(["ACGTNNACGT", "ttgaca"])  # [2, {model.dim}]\n```'
    )


def _use_graph(model: FrozenModel) -> str:
    """Return the section on the inputs and outputs of the ONNX graph."""
    outputs = "`mean` (over the valid nucleotides)" + (
        " and `class` (over the class tokens)" if model.recipe.class_tokens else ""
    )
    bound = model.network.encoder.max_length
    return (
        "`model.onnx` takes `bases` (float32 [batch, length, 5], one-hot over A C G T N, others as N) and `valid` (bool "
        "[batch, length], false at the padding, which is N at the end) and returns "
        f"{outputs}, float32 [batch, {model.dim}]: the same embeddings as `embed` of FinDNA-Kit in fp32. "
        f"Batch and length are dynamic{f', up to {bound} nucleotides' if bound else ''}."
    )


def _data(record: RunJson, model: FrozenModel) -> str:
    """Return the section on the training data, from run.json."""
    if record.imported is not None:
        file = f"`{Path(record.imported.file or 'not recorded').name}`, sha256 `{record.imported.sha256}`"
        return (
            f"The authors' released checkpoint ({file}), imported. According to the paper (Yu et al. 2025, "
            "doi 10.1016/j.neunet.2024.106978) trained on windows of the human reference genome, whose regions are unknown."
        )
    if not record.genomes:
        return "Not recorded: the run has no run.json."
    rows = [["genome", "bases", "training", "validation", "share of the windows", "digest"]]
    for genome in record.genomes:
        bases = (f"{count:,}" for count in (genome.bases, genome.training_bases, genome.validation_bases))
        rows.append([_genome(genome.path), *bases, f"{genome.weight:.2f}", f"`{genome.digest}`"])
    return f"Windows of {model.recipe.data.length} nucleotides.\n\n{_table(rows)}"


def _genome(path: str) -> str:
    """Return the name of a genome without the folders of the machine that trained."""
    return "builtin (D. melanogaster, dm3, chr2R:2,000,000-7,000,000)" if path == "builtin" else Path(path).name


def _recipe(model: FrozenModel) -> str:
    """Return the section on the recipe: components, steps, batch size and seed."""
    recipe = model.recipe
    parameters = sum(parameter.numel() for parameter in model.network.encoder.parameters())
    encoder = {key: value for key, value in recipe.encoder.plain().items() if (key, value) != ("rc", "none")}
    lines = [
        f"encoder: {_component(encoder)}; {parameters:,} parameters, embeddings of {model.dim}",
        *(f"loss `{label}`: {_component(loss.plain())}" for label, loss in recipe.losses.items()),
        f"teacher: {_component(recipe.teacher_update.plain())}",
        f"{recipe.steps:,} steps of {recipe.data.batch_size} windows, seed {recipe.seed}, {recipe.class_tokens} class tokens",
    ]
    return "`recipe.yaml` is the complete recipe. In short:\n\n" + "\n".join(f"- {line}" for line in lines)


def _component(plain: Mapping[str, Any]) -> str:
    """Format a component with its parameters."""
    parameters = [f"{key} {json.dumps(value)}" for key, value in plain.items() if key != "name" and value is not None]
    return f"`{plain['name']}` ({', '.join(parameters)})" if parameters else f"`{plain['name']}`"


def _scores(run: Path, model: FrozenModel) -> str:
    """Return the scores of this branch at this step; results of others are only counted."""
    if not (run / EVALUATION_JSON).is_file():
        return "None: the run was not evaluated. `findna-kit evaluate RUN TASK` does that, with controls."
    try:
        tasks = read_scores(read_evaluation(run, "evaluate the run again"), model)
    except FindnaError:
        return f"They are in `{EVALUATION_JSON}`, in a format that this version of FinDNA-Kit cannot show here."
    shown = [task for task in tasks if not task.of_another_model]
    texts = [_score(task) for task in shown]
    if len(shown) < len(tasks):
        count = len(tasks) - len(shown)
        texts.append(f"Results of another branch or step, not shown: {count}.")
    return "\n\n".join(texts) if texts else "None: the run was not evaluated."


def read_scores(results: Mapping[str, TaskResult], model: FrozenModel) -> list[CardScores]:
    """Return the results as the card shows them. Raises FindnaError for a result without scores."""
    # Imports numpy and the tasks' readers, which most exports without scores do not need.
    from findna_kit.evaluation.result_tables import leakage_lines, table_rows

    found = []
    for result in results.values():
        rows = table_rows(result)
        if len(rows) < 2:
            raise FindnaError(f"{result.task}: has no scores")
        sizes = ", ".join(f"{part} {size:,}" for part, size in result.sizes.items())
        how = f"{sizes}; pooling {result.pooling}, strand {result.strand}; in brackets 95 % intervals"
        other = (result.branch, result.step) != (model.branch, model.step)
        remarks = [*result.notes, *leakage_lines(result)]
        found.append(CardScores(result.task, how, tuple(remarks), rows, other))
    return found


def _score(task: CardScores) -> str:
    """Return the section on one task."""
    remarks = "\n".join(f"- {remark}" for remark in task.remarks)
    parts = [f"### {task.task}", f"{task.how}.", _table(task.rows), remarks]
    return "\n\n".join(part for part in parts if part)


def _limits(model: FrozenModel) -> str:
    """Return the section on limits: lengths, strands, seeds and validation."""
    encoder, recipe = model.network.encoder, model.recipe
    bound = encoder.max_length
    beyond = (
        f"longer than {bound} it takes no sequence at once, and `embed` averages windows."
        if bound
        else "other lengths are accepted but were not tested."
    )
    lines = [
        f"It was trained on windows of {recipe.data.length} nucleotides; {beyond}",
        "One run with one seed: the intervals do not include the variance between pretraining runs.",
        "Letters other than A C G T are read as N; lower case as upper case.",
        "A score on one task says little about others; compare it with its controls.",
        "Not validated for clinical decisions.",
    ]
    # Users often assume that an encoder of DNA ignores the strand.
    if encoder.strand == "none":
        strands = 'A sequence and its reverse complement get different embeddings; `embed(..., strand="both")` averages them.'
        lines.insert(1, strands)
    return "\n".join(f"- {line}" for line in lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is its header."""
    # A bar in a cell would end it.
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))
