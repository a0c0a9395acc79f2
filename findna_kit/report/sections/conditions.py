"""A study's scores: of each condition on each task, beside their controls, with intervals over seeds."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from findna_kit.evaluation.result_tables import FEATURE_NAMES, score_text
from findna_kit.records.evaluation_json import ScoreInterval
from findna_kit.report.blocks import Note, Section, Table
from findna_kit.report.sections.scores import together, written_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import StudyFolder


def conditions_section(part: str, of: StudyFolder) -> Section:
    """The table, once the study is finished; and where the scores of a single cell are."""
    blocks: list[Block] = []
    if of.result is not None:
        with written_by(of.folder / "result.json", "ablate"):
            blocks += _scores(of.result)
    cell = of.folder / "cells" / "CONDITION" / "seed-N" / "run"
    said = (
        "Every score of a single cell, with its interval over the test rows, is in its own page; no study is judged by those."
    )
    return Section(f"{part}-scores", "Scores", [*blocks, Note(said, command=f"findna-kit report {shlex.quote(str(cell))}")])


def _scores(result: Mapping[str, Any]) -> list[Block]:
    metric, tasks, seeds = result["study"]["metric"], list(result["tasks"]), len(result["seeds"])
    if seeds > 1:
        ends = (
            f"In brackets the {result['interval']['level']:.0%} interval of the mean: Student's, over seeds. Conditions share "
            "their seeds, so whether two of them differ is read from the paired differences under Effects, not from intervals "
            "that overlap."
        )
    else:
        ends = "Of a single seed there is no interval."
    rows = [
        [name, *(_text(condition["scores"][task]["mean"]) for task in tasks)]
        for name, condition in result["conditions"].items()
    ]
    rows += [[f"control: {name}", *(_text(own[task]) for task in tasks)] for name, own in _controls(result).items()]
    caption = f"{metric}: mean over {seeds} seeds" if seeds > 1 else f"{metric} of seed {result['seeds'][0]}"
    said = (
        "Controls are scored as the encoders are: by their own network before training, by k-mers, by the most frequent class. "
        "One without brackets is the same with every seed."
    )
    return [Note(ends), Table(caption, ["condition", *tasks], [together(row) for row in rows]), Note(said)]


def _controls(result: Mapping[str, Any]) -> dict[str, Mapping[str, Mapping[str, Any]]]:
    """Each control by task; one that is not the same in every condition once for each, with the condition's name."""
    found: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    every = {name: condition["controls"] for name, condition in result["conditions"].items()}
    for who in next(iter(every.values())):
        own = {name: controls[who] for name, controls in every.items()}
        first, *others = own.values()
        if all(other == first for other in others):
            found[FEATURE_NAMES[who]] = first
        else:
            found |= {f"{FEATURE_NAMES[who]}, {name}": one for name, one in own.items()}
    return found


def _text(mean: Mapping[str, Any]) -> str:
    """Where seeds do not differ, or there is one, the value alone."""
    if mean["low"] is None:
        return f"{mean['value']:.3f}"
    return score_text(ScoreInterval(value=mean["value"], low=mean["low"], high=mean["high"]))
