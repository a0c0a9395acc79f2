"""The README of an exported model: what it learned from, how, what it scored beside its controls, and what it is not for."""

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
    "Not stated: whoever publishes this folder fills it in, here and as `license:` at the top of this file. The genome and the "
    "tasks may have terms of their own. The files beside this one name others by their whole path on the machine that trained."
)


@dataclass(frozen=True)
class CardScores:
    """What the card shows of one task. rows: a table, its header first."""

    task: str
    how: str
    remarks: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    of_another_model: bool


def model_card(run: Path, out: Path, model: FrozenModel, *, graph: bool) -> str:
    """Markdown. graph: of the ONNX folder, which is used otherwise."""
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
    return (
        f'```python\nimport findna_kit  # pip install findna-kit\n\nmodel = findna_kit.load("{out.name}")\n'
        f'embeddings = model.embed(["ACGTNNACGT", "ttgaca"])  # [2, {model.dim}]\n```'
    )


def _use_graph(model: FrozenModel) -> str:
    outputs = "`mean` (over the valid nucleotides)" + (
        " and `class` (over the class tokens)" if model.recipe.class_tokens else ""
    )
    bound = model.network.encoder.max_length
    return (
        "`model.onnx` takes `bases` (float32 [batch, length, 5], one-hot over A C G T N, any other letter N) and `valid` (bool "
        "[batch, length], false where a sequence is padded, at its end, with N) and gives "
        f"{outputs}, float32 [batch, {model.dim}]: what `embed` of FinDNA-Kit gives, in fp32. "
        f"Batch and length are open{f', up to {bound} nucleotides' if bound else ''}."
    )


def _data(record: RunJson, model: FrozenModel) -> str:
    if record.imported is not None:
        file = f"`{Path(record.imported.file or 'not recorded').name}`, sha256 `{record.imported.sha256}`"
        return (
            f"The authors' released checkpoint ({file}), imported. By their paper (Yu et al. 2025, doi "
            "10.1016/j.neunet.2024.106978) it learned from windows of the human reference genome; which stretches they were is "
            "not known."
        )
    if not record.genomes:
        return "Not recorded: the run has no run.json."
    rows = [["genome", "bases", "trained on", "held out", "share of the windows", "digest"]]
    for genome in record.genomes:
        bases = (f"{count:,}" for count in (genome.bases, genome.training_bases, genome.validation_bases))
        rows.append([_genome(genome.path), *bases, f"{genome.weight:.2f}", f"`{genome.digest}`"])
    return f"Windows of {model.recipe.data.length} nucleotides.\n\n{_table(rows)}"


def _genome(path: str) -> str:
    return "builtin (D. melanogaster, dm3, chr2R:2,000,000-7,000,000)" if path == "builtin" else Path(path).name


def _recipe(model: FrozenModel) -> str:
    recipe = model.recipe
    parameters = sum(parameter.numel() for parameter in model.network.encoder.parameters())
    encoder = {key: value for key, value in recipe.encoder.plain().items() if (key, value) != ("rc", "none")}
    lines = [
        f"encoder: {_stated(encoder)}; {parameters:,} parameters, embeddings of {model.dim}",
        *(f"loss `{label}`: {_stated(loss.plain())}" for label, loss in recipe.losses.items()),
        f"teacher: {_stated(recipe.teacher_update.plain())}",
        f"{recipe.steps:,} steps of {recipe.data.batch_size} windows, seed {recipe.seed}, {recipe.class_tokens} class tokens",
    ]
    return "`recipe.yaml` is the whole of it. In short:\n\n" + "\n".join(f"- {line}" for line in lines)


def _stated(plain: Mapping[str, Any]) -> str:
    parameters = [f"{key} {json.dumps(value)}" for key, value in plain.items() if key != "name" and value is not None]
    return f"`{plain['name']}` ({', '.join(parameters)})" if parameters else f"`{plain['name']}`"


def _scores(run: Path, model: FrozenModel) -> str:
    """Of this branch at this step only; others' are counted, not shown."""
    if not (run / EVALUATION_JSON).is_file():
        return "None: the run was scored on no task. `findna-kit evaluate RUN TASK` does, beside the controls."
    try:
        tasks = read_scores(read_evaluation(run, "evaluate the run again"), model)
    except FindnaError:
        return f"They lie in `{EVALUATION_JSON}`, beside this file, in a form that this version of FinDNA-Kit does not show here."
    own = [task for task in tasks if not task.of_another_model]
    texts = [_score(task) for task in own]
    if len(own) < len(tasks):
        count = len(tasks) - len(own)
        texts.append(f"Results of the run that are of another branch or step, and not shown: {count}.")
    return "\n\n".join(texts) if texts else "None: the run was scored on no task."


def read_scores(results: Mapping[str, TaskResult], model: FrozenModel) -> list[CardScores]:
    """Return the results by the task's path as the card shows them. Raises FindnaError for a result without scores."""
    from findna_kit.evaluation.result_tables import leakage_lines, table_rows

    found = []
    for result in results.values():
        rows = table_rows(result)
        if len(rows) < 2:
            raise FindnaError(f"{result.task}: no score is found")
        sizes = ", ".join(f"{part} {size:,}" for part, size in result.sizes.items())
        how = f"{sizes}; pooling {result.pooling}, strand {result.strand}; in brackets 95 % intervals"
        other = (result.branch, result.step) != (model.branch, model.step)
        remarks = [*result.notes, *leakage_lines(result)]
        found.append(CardScores(result.task, how, tuple(remarks), rows, other))
    return found


def _score(task: CardScores) -> str:
    remarks = "\n".join(f"- {remark}" for remark in task.remarks)
    parts = [f"### {task.task}", f"{task.how}.", _table(task.rows), remarks]
    return "\n\n".join(part for part in parts if part)


def _limits(model: FrozenModel) -> str:
    encoder, recipe = model.network.encoder, model.recipe
    bound = encoder.max_length
    beyond = (
        f"it takes at most {bound}, and `embed` averages windows beyond."
        if bound
        else "other lengths are taken, and are untried."
    )
    lines = [
        f"It learned from windows of {recipe.data.length} nucleotides; {beyond}",
        "One run with one seed: no interval here holds the chance of another pretraining.",
        "Letters other than A C G T are N; lower case is read as upper case.",
        "A score says how one task went, and little of others; read it beside its controls.",
        "Nothing here has been validated for decisions about patients.",
    ]
    if encoder.strand == "none":
        turned = 'A sequence and its reverse complement get different embeddings; `embed(..., strand="both")` averages them.'
        lines.insert(1, turned)
    return "\n".join(f"- {line}" for line in lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))
