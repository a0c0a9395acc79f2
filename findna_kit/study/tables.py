"""Tables of a study's result: rows for the terminal and the report, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.evaluation.result_tables import FEATURE_NAMES
from findna_kit.study.results import LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.study.files import StudyResult
    from findna_kit.study.statistics import Effect, MeanInterval

COLUMNS = (
    "kind", "name", "task", "seeds", "steps", "mean", "difference", "low", "high", "p", "adjusted", "hedges_g", "verdict",
)  # fmt: skip
"""Columns of result.csv."""
CsvRow = dict[str, str | int | float | None]
_CONTROL = ("", "", "", "", "control")
_FAILED = ("", "", "", "", "failed")


def tables(result: StudyResult) -> list[list[list[str]]]:
    """Return the tables that `ablate` prints: the conditions and, for a factorial study, the main effects."""
    return [condition_rows(result), *([main_effect_rows(result)] if result.main_effects else [])]


def condition_rows(result: StudyResult) -> list[list[str]]:
    """Return a header, a row for each condition, and a row for each control.

    A condition's row has its difference to the first condition with the interval, p, effect size and verdict; a condition of
    which cells failed has the verdict `failed`, and no numbers. The controls are those of the first condition: its untrained
    network, and baselines without a network.
    """
    tasks, seeds = result.tasks, str(len(result.seeds))
    head = ["condition", "seeds", "steps", *tasks, f"difference of {result.metric}", "p", "adjusted p", "Hedges' g", "verdict"]
    rows = [head]
    for name, condition in result.conditions.items():
        means = [f"{condition.scores[task].mean.value:.3f}" for task in tasks]
        rows.append([name, seeds, f"{condition.steps}", *means, *_effect_cells(condition.effect)])
    rows += [[name, seeds, "", *("" for _ in tasks), *_FAILED] for name in result.failed or ()]
    for name, by_task in result.controls.items():
        means = [f"{by_task[task].value:.3f}" if task in by_task else "" for task in tasks]
        rows.append([FEATURE_NAMES[name], seeds, "", *means, *_CONTROL])
    return rows


def _effect_cells(effect: Effect | None) -> list[str]:
    """Return the last five cells of a row. effect: None for the condition that all others are compared with."""
    if effect is None:
        return ["", "", "", "", "reference"]
    size = "" if effect.size is None else f"{effect.size:+.2f}"
    return [_interval_text(effect.overall), f"{effect.p:.3g}", f"{effect.adjusted:.3g}", size, effect.verdict]


def _interval_text(interval: MeanInterval) -> str:
    """Return a difference with its interval, both with their signs."""
    if interval.low is None:
        return f"{interval.value:+.3f}"
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def main_effect_rows(result: StudyResult) -> list[list[str]]:
    """Return a header and a row for each main effect; the header alone where the study has none."""
    head = ["main effect", f"difference of {result.metric}", "p", "adjusted p", "Hedges' g", "verdict"]
    levels = result.main_effects.levels if result.main_effects else []
    return [head, *([main.label, *_effect_cells(main.effect)] for main in levels)]


def as_csv(result: StudyResult) -> str:
    """Return the result as CSV with the columns `COLUMNS`, for programs.

    Each condition, main effect and control has a row over all tasks (`task` is empty) and one for each task. Numbers have full
    precision, and missing values are empty: p and what follows from it exist over all tasks only.
    """
    seeds, rows = len(result.seeds), list[CsvRow]()
    for name, condition in result.conditions.items():
        means: dict[str, float | None] = {task: scores.mean.value for task, scores in condition.scores.items()}
        row: CsvRow = {"kind": "condition", "name": name, "steps": condition.steps}
        rows += _csv_rows(row, _with_overall(means), condition.effect)
    for name in result.failed or ():
        rows.append({"kind": "condition", "name": name, "task": "", "verdict": "failed"})
    for main in result.main_effects.levels if result.main_effects else ():
        row = {"kind": "main effect", "name": main.label}
        rows += _csv_rows(row, dict.fromkeys(("", *result.tasks)), main.effect)
    for control, by_task in result.controls.items():
        row, means = {"kind": "control", "name": FEATURE_NAMES[control]}, {task: one.value for task, one in by_task.items()}
        rows += _csv_rows(row, _with_overall(means), None)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "seeds": seeds} for row in rows)
    return text.getvalue()


def _with_overall(means: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the means by task, with the mean over all tasks under the empty name."""
    return {"": float(np.mean([value for value in means.values() if value is not None])), **means}


def _csv_rows(row: CsvRow, means: Mapping[str, float | None], effect: Effect | None) -> list[CsvRow]:
    """Return a row for each task of `means`; the empty name stands for all tasks together."""
    rows: list[CsvRow] = []
    for task, mean in means.items():
        values: CsvRow = {**row, "task": task, "mean": mean}
        if effect is not None:
            difference = effect.by_task[task] if task else effect.overall
            values |= {"difference": difference.value, "low": difference.low, "high": difference.high}
            if not task:
                values |= {"hedges_g": effect.size, "p": effect.p, "adjusted": effect.adjusted, "verdict": effect.verdict}
        rows.append(values)
    return rows


def as_markdown(result: StudyResult) -> str:
    """Return the printed tables as Markdown, with the legend."""
    lines = list[str]()
    for table in tables(result):
        head, *body = ([cell.replace("|", "\\|") for cell in row] for row in table)
        lines += ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)] + [""]
    return "\n".join([*lines, legend(result), ""])


def as_latex(result: StudyResult) -> str:
    """Return the printed tables as LaTeX (booktabs), with the legend as a comment."""
    lines = ["% " + legend(result)]
    for table in tables(result):
        head, *body = (" & ".join(map(_escape_latex, row)) + r" \\" for row in table)
        # Names and verdicts are left-aligned, numbers right-aligned.
        columns = "l" + "r" * (len(table[0]) - 2) + "l"
        begin = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule"]
        lines += [*begin, *body, r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines)


def legend(result: StudyResult) -> str:
    """Return the sentences that explain the tables."""
    text = (
        f"{result.name}: mean {result.metric} over {len(result.seeds)} seeds; differences are paired by seed and averaged over "
        f"tasks, with {LEVEL:.0%} Student intervals; p by {result.test}, adjusted by {result.correction.replace('_', ' and ')} "
        f"(smallest p that can be reached: {result.smallest_p:.2g})."
    )
    if result.main_effects:
        text += (
            " A main effect is a level minus the first level of its factor, averaged within a seed over the combinations of "
            "the other factors; main effects are a family of their own "
            f"(smallest p that can be reached: {result.main_effects.smallest_p:.2g})."
        )
    for name, reason in (result.failed or {}).items():
        text += f" {name} is not compared: {reason}."
    return text + (f" Every condition has {result.search.words}." if result.search else "")


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip
