"""Analysis of a study: the effect of every condition on the declared metric, and warnings about weak designs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit.study.cells import condition_scores
from findna_kit.study.files import (
    ConditionResult,
    IntervalMethod,
    MainEffect,
    MainEffects,
    SearchResult,
    SeedScores,
    StudyResult,
)
from findna_kit.study.statistics import (
    MIN_SEEDS,
    MeanInterval,
    effects,
    main_effects,
    paired_interval,
    smallest_family_p,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from findna_kit.study.cells import CellFolder
    from findna_kit.study.schema import Study
    from findna_kit.study.statistics import Effect

LEVEL = 0.95
"""Confidence level of all intervals; 1 - LEVEL is the level of the tests."""


def analyse(
    study: Study, folders: Sequence[CellFolder], search: SearchResult | None = None, failed: Mapping[str, str] | None = None
) -> StudyResult:
    """Return the result of a study, all of whose cells are finished but those of conditions that `failed`.

    It holds the declared study, the scores of every condition with those of its controls (the untrained network, k-mers, the
    majority class), and the paired difference of every condition to the first. search, failed: stored with the result. The
    correction is over the comparisons that are left; main effects need every combination, and are left out.
    """
    conditions = [name for name in study.conditions() if name not in (failed or {})]
    tasks = list(folders[0].tasks.values())
    scores = {name: condition_scores(study, folders, name) for name in conditions}
    first, *others = conditions  # the first condition is the reference of all differences
    by_condition = effects(
        scores[first], {name: scores[name] for name in others}, tasks, correction=study.correction, level=LEVEL
    )  # fmt: skip
    # Keys that a study has no value for are left out of the file, so they are passed only where there is one.
    optional: dict[str, MainEffects | SearchResult | dict[str, str]] = {}
    # Main effects average over all combinations of levels; with one missing they would compare unlike averages.
    if failed:
        optional["failed"] = dict(failed)
    elif study.crossed:
        optional["main_effects"] = _main_effects(study, scores, tasks)
    if search is not None:
        optional["search"] = search
    return StudyResult.model_validate(
        {
            "study": study.model_dump(mode="json"),
            "tasks": {name: path for path, name in folders[0].tasks.items()},
            "seeds": list(study.every_seed),
            "interval": IntervalMethod(level=LEVEL, method="Student's, of paired differences over seeds"),
            "test": "permutation of signs over seeds, a seed's tasks together; two-sided",
            "smallest_p": smallest_family_p(len(study.every_seed), len(others), study.correction),
            "conditions": {
                name: _condition_result(study, folders, name, scores[name], by_condition.get(name)) for name in conditions
            },
            **optional,
        }
    )


def _condition_result(
    study: Study, folders: Sequence[CellFolder], condition: str, scores: NDArray[np.float64], effect: Effect | None
) -> ConditionResult:
    """Return the result of one condition. scores: [seeds, tasks]; effect: None for the first condition."""
    cells = [folder for folder in folders if folder.cell.condition == condition]
    tasks = folders[0].tasks.values()
    return ConditionResult.model_validate(
        {
            "levels": study.conditions()[condition],
            "steps": cells[0].cell.recipe.steps,
            "scores": {
                task: SeedScores(mean=paired_interval(column, LEVEL), each=column.tolist())
                for task, column in zip(tasks, scores.T, strict=True)
            },
            "controls": _controls(study, cells),
            **({} if effect is None else {"effect": effect}),
        }
    )


def _main_effects(study: Study, scores: Mapping[str, NDArray[np.float64]], tasks: Sequence[str]) -> MainEffects:
    """Return the main effects of a factorial study. scores: [seeds, tasks] by condition."""
    factors = {factor: list(levels) for factor, levels in study.factors.items()}
    stacked = np.stack([scores[name] for name in study.conditions()])
    # `Study.conditions` goes through the combinations with the last factor fastest, which is NumPy's order of axes.
    by_factor = stacked.reshape(*map(len, factors.values()), *stacked.shape[1:])
    by_level = main_effects(by_factor, factors, tasks, correction=study.correction, level=LEVEL)
    levels = [
        MainEffect(factor=factor, level=level, minus=factors[factor][0], effect=effect)
        for (factor, level), effect in by_level.items()
    ]
    return MainEffects(smallest_p=smallest_main_effect_p(study), levels=levels)


def _controls(study: Study, folders: Sequence[CellFolder]) -> dict[str, dict[str, MeanInterval]]:
    """Return the mean score of each control of one condition by task, with an interval where seeds differ.

    A control that a task or a seed lacks, such as one-hot bases of sequences of several lengths, is left out there.
    """
    controls: dict[str, dict[str, MeanInterval]] = {}
    for path, task in folders[0].tasks.items():
        scores = [folder.score(path, study.protocol, study.score) for folder in folders]
        for name in [name for name in scores[0] if name != "encoder" and all(name in by_name for by_name in scores)]:
            values = np.array([by_name[name] for by_name in scores])
            # k-mers do not depend on the run's seed: an interval of width zero over seeds would look like certainty.
            varies = np.ptp(values) > 0
            mean = paired_interval(values, LEVEL) if varies else MeanInterval(float(values[0]), None, None)
            controls.setdefault(name, {})[task] = mean
    return controls


def smallest_condition_p(study: Study) -> float:
    """Return the smallest adjusted p that a single condition can reach."""
    return smallest_family_p(len(study.every_seed), len(study.conditions()) - 1, study.correction)


def smallest_main_effect_p(study: Study) -> float:
    """Return the smallest adjusted p that a single main effect can reach; main effects are a family of their own."""
    return smallest_family_p(len(study.every_seed), _main_effect_count(study), study.correction)


def _main_effect_count(study: Study) -> int:
    return len(study.every_level()) - len(study.factors)


def design_warnings(study: Study) -> list[str]:
    """Return what the design can show with its number of seeds, before it is run: one sentence each."""
    seeds, others = len(study.every_seed), len(study.conditions()) - 1
    least = smallest_condition_p(study)
    conditions = f"{others + 1} conditions, {seeds} seed{'' if seeds == 1 else 's'}"
    sentences = [f"{conditions}: the smallest adjusted p that a single condition can reach is {least:.2g}"]
    if study.crossed:
        smallest = smallest_main_effect_p(study)
        sentences.append(
            f"{_main_effect_count(study)} main effects: the smallest adjusted p that a single one can reach is {smallest:.2g}"
        )
    if seeds < MIN_SEEDS:
        sentences.append(f"with fewer than {MIN_SEEDS} seeds, no difference can reach 0.05, however large it is")
    elif least > 1 - LEVEL:
        sentences.append(f"with {others} comparisons, a single one needs more seeds to reach 0.05")
    return sentences
