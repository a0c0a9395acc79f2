"""The README of an exported model: what it learned from, how, what it scored beside its controls, and what it is not for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from findna_kit import __version__
from findna_kit.runs.folder import EVALUATION, RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.frozen import FrozenModel

_FRONT = """---
library_name: findna-kit
tags: [dna, genomics, self-supervised-learning]
# license: not stated by findna-kit; fill it in before you publish this folder
---"""
_LICENCE = (
    "Not stated: whoever publishes this folder fills it in, here and as `license:` at the top of this file. The genome and the "
    "tasks may have terms of their own. `recipe.yaml` and `run.json` name files by their whole path on the machine that trained."
)


def model_card(run: Path, out: Path, model: FrozenModel, *, graph: bool) -> str:
    """Markdown. graph: of the ONNX folder, which is used otherwise."""
    record = _read(run / RECORD)
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
    head = f"{_FRONT}\n# {recipe.name}\n\nA DNA encoder, {trained}, exported by FinDNA-Kit {__version__}."
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in parts.items())]) + "\n"


def _use(out: Path, model: FrozenModel) -> str:
    of = "" if model.branch == model.recipe.teacher_update.component.serves else f', "{model.branch}"'
    return (
        f'```python\nimport findna_kit  # pip install findna-kit\n\nmodel = findna_kit.load("{out.name}"{of})\n'
        f'embeddings = model.embed(["ACGTNNACGT", "ttgaca"])  # [2, {model.dim}]\n```'
    )


def _use_graph(model: FrozenModel) -> str:
    outputs = "`mean` (over the valid nucleotides)" + (
        " and `class` (over the class tokens)" if model.recipe.class_tokens else ""
    )
    return (
        "`model.onnx` takes `bases` (float32 [batch, length, 5], one-hot over A C G T N, any other letter N) and `valid` (bool "
        f"[batch, length], false where a sequence is padded, with N) and gives {outputs}, float32 [batch, {model.dim}]: what "
        "`embed` of FinDNA-Kit gives, in fp32. Batch and length are open."
    )


def _data(record: Mapping[str, Any], model: FrozenModel) -> str:
    if "imported" in record:
        came = record["imported"]
        return (
            f"The authors' released checkpoint (`{Path(came['file']).name}`, sha256 `{came['sha256']}`), imported. By their paper "
            "(Yu et al. 2025, doi 10.1016/j.neunet.2024.106978) it learned from windows of the human reference genome; which "
            "stretches they were is not known."
        )
    if not record.get("genomes"):
        return "Not recorded: the run has no run.json."
    rows = [["genome", "bases", "trained on", "held out", "share of the windows", "digest"]]
    for genome in record["genomes"]:
        bases = (f"{genome[name]:,}" for name in ("bases", "training_bases", "validation_bases"))
        rows.append([Path(genome["path"]).name, *bases, f"{genome['weight']:.2f}", f"`{genome['digest']}`"])
    return f"Windows of {model.recipe.data.length} nucleotides.\n\n{_table(rows)}"


def _recipe(model: FrozenModel) -> str:
    recipe = model.recipe
    parameters = sum(parameter.numel() for parameter in model.network.encoder.parameters())
    lines = [
        f"encoder: {_stated(recipe.encoder.plain())}; {parameters:,} parameters, embeddings of {model.dim}",
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
    from findna_kit.evaluation import table_rows  # scikit-learn comes with it

    results = list(_read(run / EVALUATION).values())
    own = [result for result in results if (result["branch"], result["step"]) == (model.branch, model.step)]
    texts = [_score(result, table_rows(result)) for result in own]
    if len(own) < len(results):
        texts.append(f"{len(results) - len(own)} results of the run are of another branch or step, and are not shown.")
    if not own:
        texts.append(
            "None: this branch and step was scored on no task. `findna-kit evaluate RUN TASK` does, beside the controls."
        )
    return "\n\n".join(texts)


def _score(result: Mapping[str, Any], rows: Sequence[Sequence[str]]) -> str:
    sizes = ", ".join(f"{part} {size:,}" for part, size in result["sizes"].items())
    notes = "".join(f"\n{note}." for note in result["notes"])
    how = f"pooling {result['pooling']}, strand {result['strand']}, digest `{result['digest']}`"
    return f"Task {result['task']} ({sizes}; {how}); in brackets 95 % intervals over the test rows.{notes}\n\n{_table(rows)}"


def _limits(model: FrozenModel) -> str:
    encoder, recipe = model.network.encoder, model.recipe
    bound = encoder.max_length
    lines = [
        f"It learned from windows of {recipe.data.length} nucleotides; "
        + (f"it takes at most {bound}, and `embed` averages windows beyond." if bound else "other lengths are taken, and are untried."),
        "One run with one seed: no interval here holds the chance of another pretraining.",
        "Letters other than A C G T are N; lower case is read as upper case.",
        "A score says how one task went, and little of others; read it beside its controls.",
        "Nothing here has been validated for decisions about patients.",
    ]  # fmt: skip
    if encoder.strand == "none":
        lines.insert(
            1, 'A sequence and its reverse complement get different embeddings; `embed(..., strand="both")` averages them.'
        )
    return "\n".join(f"- {line}" for line in lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
