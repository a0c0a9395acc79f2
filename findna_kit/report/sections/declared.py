"""Section "Declared before the first run": the study's file and, if it has a search, the trials of that search."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from findna_kit.report.blocks import Note, Section, TableBlock

if TYPE_CHECKING:
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import StudyFolder
    from findna_kit.study.files import TrialRecord
    from findna_kit.study.search_space import Search, SearchRange


def declared_section(part: str, folder: StudyFolder) -> Section:
    """Return the section."""
    study = folder.study
    facts = {
        "folder": str(folder.folder.resolve()), "recipe": study.recipe, "design": study.design.replace("_", " "),
        "seeds": ", ".join(map(str, study.every_seed)), "tasks": ", ".join(study.tasks),
        "metric": study.metric, "correction": study.correction.replace("_", " "),
        "budget": "the recipe's own steps" if study.budget is None else _json(study.budget.model_dump(exclude_none=True)),
        "overrides": _json(study.overrides) if study.overrides else "none",
    }  # fmt: skip
    levels = [
        [f"{factor}: {label}", _json(level) if level else "no change to the recipe"]
        for (factor, label), level in study.every_level().items()
    ]
    conditions = [[name, *levels.values()] for name, levels in study.conditions().items()]
    search = [] if study.search is None else _search_blocks(study.search, folder)
    return Section(f"{part}-declared", "Declared before the first run", [
        TableBlock("The study", ["", study.name], [[name, value] for name, value in facts.items()], words=True),
        TableBlock("Levels of each factor; the first level is the reference", ["level", "recipe keys"], levels, words=True),
        TableBlock("Conditions; all are compared with the first", ["condition", *study.factors], conditions, folded=True),
        *search,
    ])  # fmt: skip


def _json(value: object) -> str:
    """Return a value as it may stand in a recipe."""
    return json.dumps(value, ensure_ascii=False)


def _search_blocks(search: Search, folder: StudyFolder) -> list[Block]:
    """Return the table of the search's settings, and the table of its trials."""
    facts = {
        "metric": search.criterion.words, "sampler": search.sampler, "trials": f"{search.count:,}", "seed": str(search.seed),
        **{path: _range_text(values) for path, values in search.space.items()},
    }  # fmt: skip
    caption = "Hyperparameter search; every condition gets the best values"
    blocks: list[Block] = [TableBlock(caption, ["", "search"], [list(fact) for fact in facts.items()], words=True)]
    if not folder.trials:
        return [*blocks, Note("No trial of the search has started.", missing=True)]

    rows = [
        [f"{trial.number}", *(_json(trial.values.get(path)) for path in search.space), *_outcome(trial, folder)]
        for trial in folder.trials
    ]
    return [*blocks, TableBlock("Trials of the search", ["trial", *search.space, search.metric, "state"], rows)]


def _range_text(values: SearchRange) -> str:
    """Return the range or the choices of a search in words."""
    if values.choices is not None:
        return f"one of {', '.join(map(_json, values.choices))}"
    kind = "an integer" if values.integer else "a number"
    return f"{kind} from {values.low:g} to {values.high:g}{', sampled on a logarithmic scale' if values.log else ''}"


def _outcome(trial: TrialRecord, folder: StudyFolder) -> list[str]:
    """Return the metric and the state of a trial."""
    value = "" if trial.value is None else f"{trial.value:.6g}"
    if trial.state == "failed":
        return [value, f"failed: {trial.reason}"]
    if trial.state is None:
        return [value, "not finished"]
    return [value, f"{trial.state}, chosen" if trial.number == folder.best_trial else trial.state]
