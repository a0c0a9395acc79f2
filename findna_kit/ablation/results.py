"""What a finished study says: effects of every condition on the declared score, as JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.ablation.cells import scores_of
from findna_kit.ablation.statistics import FEW, effects, paired_interval, smallest_family_p
from findna_kit.evaluation.table import FEATURE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.ablation.cells import CellFolder
    from findna_kit.ablation.study import Study

LEVEL = 0.95


def analyse(study: Study, folders: Sequence[CellFolder]) -> dict[str, Any]:
    """The study's result, ready for JSON: what was declared, every condition's scores, and its difference to the first.

    The controls of a cell (a network of its kind that has learned nothing, k-mers, the majority) stand beside its scores.
    """
    conditions = list(study.conditions())
    tasks = list(folders[0].tasks.values())
    scores = {name: scores_of(study, folders, name) for name in conditions}
    first, *others = conditions
    found = effects(
        scores[first], {name: scores[name] for name in others}, tasks, correction=study.correction, level=LEVEL
    )  # fmt: skip
    return {
        "study": study.model_dump(mode="json"),
        "tasks": {name: path for path, name in folders[0].tasks.items()},
        "seeds": list(study.every_seed),
        "interval": {"level": LEVEL, "method": "Student's, of paired differences over seeds"},
        "test": "permutation of signs over seeds, a seed's tasks together; two-sided",
        "smallest_p": smallest_p_of(study),
        "conditions": {
            name: {
                "levels": study.conditions()[name],
                "steps": next(one.cell.recipe.steps for one in folders if one.cell.condition == name),
                "scores": {
                    task: {"mean": asdict(paired_interval(column, LEVEL)), "each": column.tolist()}
                    for task, column in zip(tasks, scores[name].T, strict=True)
                },
                **_controls(study, [one for one in folders if one.cell.condition == name]),
                **({"effect": asdict(found[name])} if name in found else {}),
            }
            for name in conditions
        },
    }  # fmt: skip


def _controls(study: Study, folders: Sequence[CellFolder]) -> dict[str, dict[str, dict[str, Any]]]:
    """Of one condition: each control's score by task, its mean over seeds; and beside them the intervals of these means."""
    means: dict[str, dict[str, Any]] = {}
    intervals: dict[str, dict[str, Any]] = {}
    for path, name in folders[0].tasks.items():
        read = [one.score(path, study.protocol, study.score) for one in folders]
        for who in [who for who in read[0] if who != "encoder"]:
            found = paired_interval(np.array([each[who] for each in read]), LEVEL)
            means.setdefault(who, {})[name] = found.value
            intervals.setdefault(who, {})[name] = asdict(found)
    return {"controls": means, "control_intervals": intervals}


def smallest_p_of(study: Study) -> float:
    """The smallest adjusted p that a condition alone can reach."""
    return smallest_family_p(len(study.every_seed), len(study.conditions()) - 1, study.correction)


def warnings_of(study: Study) -> list[str]:
    """What a design cannot say, before it is run."""
    seeds, others = len(study.every_seed), len(study.conditions()) - 1
    least = smallest_p_of(study)
    conditions = f"{others + 1} conditions, {seeds} seed{'' if seeds == 1 else 's'}"
    said = [f"{conditions}: the smallest adjusted p that a condition alone can reach is {least:.2g}"]
    if seeds < FEW:
        said.append(f"below {FEW} seeds no difference can be shown at 0.05, however large")
    elif least > 1 - LEVEL:
        said.append(f"with {others} comparisons, more seeds are needed for one of them alone to reach 0.05")
    return said


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A header, then each condition: its difference to the first with its interval, p, size and verdict; then the controls.

    The controls are the first condition's: what learned nothing (its network untrained), or needs no network.
    """
    metric, tasks, seeds = result["study"]["metric"], result["tasks"], str(len(result["seeds"]))
    out = [["condition", "seeds", "steps", *tasks, f"difference of {metric}", "p", "adjusted", "Hedges' g", "verdict"]]
    for name, condition in result["conditions"].items():
        means = [f"{condition['scores'][task]['mean']['value']:.3f}" for task in tasks]
        out.append([name, seeds, f"{condition['steps']}", *means, *_told(condition.get("effect"))])
    controls = next(iter(result["conditions"].values()))["controls"]
    out += [
        [FEATURE_NAMES[who], seeds, "", *(f"{by_task[task]:.3f}" for task in tasks), *_CONTROL]
        for who, by_task in controls.items()
    ]
    return out


_CONTROL = ("", "", "", "", "a control")


def _told(effect: Mapping[str, Any] | None) -> list[str]:
    if effect is None:
        return ["", "", "", "", "the others are compared with this one"]
    size = "" if effect["size"] is None else f"{effect['size']:+.2f}"
    return [_interval(effect["overall"]), f"{effect['p']:.3g}", f"{effect['adjusted']:.3g}", size, effect["verdict"]]


def _interval(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['value']:+.3f}"
    return f"{found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def as_csv(result: Mapping[str, Any]) -> str:
    """The rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows(result))
    return text.getvalue()


def as_markdown(result: Mapping[str, Any]) -> str:
    """The rows as a table, and how to read it."""
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows(result))
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join([*lines, "", legend(result), ""])


def as_latex(result: Mapping[str, Any]) -> str:
    """The rows as a booktabs table."""
    head, *body = ([_escaped(cell) for cell in row] for row in rows(result))
    lines = [" & ".join(row) + r" \\" for row in body]
    columns = "l" + "r" * (len(head) - 2) + "l"
    head_line = " & ".join(head) + r" \\"
    begin = ["% " + legend(result), rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head_line, r"\midrule"]
    return "\n".join([*begin, *lines, r"\bottomrule", r"\end{tabular}", ""])


def legend(result: Mapping[str, Any]) -> str:
    """How the rows are to be read."""
    study, seeds = result["study"], len(result["seeds"])
    return (
        f"{study['name']}: mean {study['metric']} over {seeds} seeds; differences are paired by seed and averaged over tasks, "
        f"with {LEVEL:.0%} Student intervals; p by {result['test']}, adjusted by {study['correction'].replace('_', ' and ')} "
        f"(smallest that can be reached: {result['smallest_p']:.2g})."
        + (f" Every condition has {result['search']['words']}." if "search" in result else "")
    )


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip
