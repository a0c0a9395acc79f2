"""What a study declared before its first run, and what its search, if it has one, came to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from findna_kit.report.blocks import Note, Section, Table

if TYPE_CHECKING:
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import StudyFolder, Trial
    from findna_kit.study.search_space import Range, Search


def declared_section(part: str, of: StudyFolder) -> Section:
    """The study's file."""
    study = of.study
    facts = {
        "folder": str(of.folder.resolve()), "recipe": study.recipe, "design": study.design.replace("_", " "),
        "seeds": ", ".join(map(str, study.every_seed)), "tasks": ", ".join(study.tasks), "metric": study.metric,
        "correction": study.correction.replace("_", " "),
        "budget": "the recipe's own steps" if study.budget is None else _plain(study.budget.model_dump(exclude_none=True)),
        "overrides": _plain(study.overrides) if study.overrides else "none",
    }  # fmt: skip
    levels = [
        [f"{factor}: {label}", _plain(level) if level else "as the recipe has it"]
        for (factor, label), level in study.every_level().items()
    ]
    conditions = [[name, *chosen.values()] for name, chosen in study.conditions().items()]
    searched = [] if study.search is None else _search(study.search, of)
    return Section(f"{part}-declared", "Declared before the first run", [
        Table("The study", ["", study.name], [[name, value] for name, value in facts.items()], words=True),
        Table("Levels of each factor; the first is its reference", ["level", "what it states"], levels, words=True),
        Table("Conditions; all are compared with the first", ["condition", *study.factors], conditions, folded=True),
        *searched,
    ])  # fmt: skip


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _search(search: Search, of: StudyFolder) -> list[Block]:
    """What it chose from and by what, and every trial that has begun."""
    facts = {
        "metric": search.by.words, "sampler": search.sampler, "trials": f"{search.count:,}", "seed": str(search.seed),
        **{path: _allowed(one) for path, one in search.space.items()},
    }  # fmt: skip
    blocks: list[Block] = [
        Table(
            "The search for values that every condition gets", ["", "search"], [[*fact] for fact in facts.items()], words=True
        )
    ]
    if not of.trials:
        return [*blocks, Note("No trial of the search has begun.", missing=True)]
    rows = [
        [f"{one.number}", *(_plain(one.values.get(path)) for path in search.space), *_came_to(one, of)] for one in of.trials
    ]
    return [*blocks, Table("Trials of the search", ["trial", *search.space, search.metric, "state"], rows)]


def _allowed(one: Range) -> str:
    if one.choices is not None:
        return f"one of {', '.join(map(_plain, one.choices))}"
    kind = "a whole number" if one.integer else "a number"
    return f"{kind} from {one.low:g} to {one.high:g}{', drawn on a logarithmic scale' if one.log else ''}"


def _came_to(trial: Trial, of: StudyFolder) -> list[str]:
    value = "" if trial.value is None else f"{trial.value:.6g}"
    if trial.state == "failed":
        return [value, f"failed: {trial.reason}"]
    return [value, "not ended" if trial.state is None else f"{trial.state}, taken" if trial.number == of.taken else trial.state]
