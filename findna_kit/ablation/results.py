"""What a finished study says: effects of every condition on the declared score, as JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.ablation.cells import scores_of
from findna_kit.ablation.statistics import FEW, effects, paired_interval, smallest_family_p

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.ablation.cells import CellFolder
    from findna_kit.ablation.statistics import Interval
    from findna_kit.ablation.study import Study

LEVEL = 0.95


def analyse(study: Study, folders: Sequence[CellFolder]) -> dict[str, Any]:
    """The study's result, ready for JSON: what was declared, every condition's scores, and its difference to the first.

    The controls of a cell (a network of its kind that has learned nothing, k-mers, the majority) stand beside its scores.
    """
    conditions = list(study.conditions())
    tasks = list(folders[0].tasks())
    scores = {name: scores_of(study, folders, name) for name in conditions}
    first, *others = conditions
    found = effects(
        scores[first], {name: scores[name] for name in others}, tasks, correction=study.correction, level=LEVEL
    )  # fmt: skip
    return {
        "study": study.model_dump(mode="json"),
        "tasks": tasks,
        "seeds": list(study.every_seed),
        "interval": {"level": LEVEL, "method": "Student's, of paired differences over seeds"},
        "test": "permutation of signs over seeds, a seed's tasks together; two-sided",
        "smallest_p": smallest_family_p(len(study.every_seed), len(others), study.correction),
        "conditions": {
            name: {
                "levels": study.conditions()[name],
                "scores": {
                    task: {"mean": asdict(paired_interval(column, LEVEL)), "each": column.tolist()}
                    for task, column in zip(tasks, scores[name].T, strict=True)
                },
                "controls": _controls(study, folders, name, tasks),
                **({"effect": asdict(found[name])} if name in found else {}),
            }
            for name in conditions
        },
    }  # fmt: skip


def _controls(study: Study, folders: Sequence[CellFolder], condition: str, tasks: Sequence[str]) -> dict[str, dict[str, float]]:
    """The mean over seeds of each control's score, by task."""
    own = [one for one in folders if one.cell.condition == condition]
    read = {task: [one.score(task, study.protocol, study.score) for one in own] for task in tasks}
    return {
        task: {who: float(np.mean([each[who] for each in found])) for who in found[0] if who != "encoder"}
        for task, found in read.items()
    }


def warnings_of(study: Study) -> list[str]:
    """What a design cannot say, before it is run."""
    seeds, others = len(study.every_seed), len(study.conditions()) - 1
    least = smallest_family_p(seeds, others, study.correction)
    said = [f"{others + 1} conditions, {seeds} seeds: the smallest p that a condition can reach is {least:.2g}"]
    if seeds < FEW:
        said.append(f"below {FEW} seeds no difference can be shown at 0.05, however large")
    elif least > 1 - LEVEL:
        said.append(f"the family of {others} comparisons needs more seeds for any of them to reach 0.05")
    return said


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A header, then each condition: its difference to the first with its interval, p, size and verdict."""
    metric, tasks = result["study"]["metric"], result["tasks"]
    out = [["condition", "seeds", *tasks, f"difference of {metric}", "p", "adjusted", "Hedges' g", "verdict"]]
    for name, condition in result["conditions"].items():
        means = [f"{condition['scores'][task]['mean']['value']:.3f}" for task in tasks]
        effect = condition.get("effect")
        if effect is None:
            told = ["", "", "", "", "the others are compared with this one"]
        else:
            size = "" if effect["size"] is None else f"{effect['size']:+.2f}"
            told = [_interval(effect["overall"]), f"{effect['p']:.3g}", f"{effect['adjusted']:.3g}", size, effect["verdict"]]
        out.append([name, str(len(result["seeds"])), *means, *told])
    return out


def _interval(found: Mapping[str, Any] | Interval) -> str:
    told = found if isinstance(found, dict) else asdict(found)  # type: ignore[arg-type]
    if told["low"] is None:
        return f"{told['value']:+.3f}"
    return f"{told['value']:+.3f} [{told['low']:+.3f}, {told['high']:+.3f}]"


def as_csv(result: Mapping[str, Any]) -> str:
    """The rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows(result))
    return text.getvalue()


def as_markdown(result: Mapping[str, Any]) -> str:
    """The rows as a table, and how to read it."""
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows(result))
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join([*lines, "", _legend(result), ""])


def as_latex(result: Mapping[str, Any]) -> str:
    """The rows as a booktabs table."""
    head, *body = ([_escaped(cell) for cell in row] for row in rows(result))
    lines = [" & ".join(row) + r" \\" for row in body]
    columns = "l" + "r" * (len(head) - 2) + "l"
    head_line = " & ".join(head) + r" \\"
    begin = [rf"% {_legend(result)}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head_line, r"\midrule"]
    return "\n".join([*begin, *lines, r"\bottomrule", r"\end{tabular}", ""])


def _legend(result: Mapping[str, Any]) -> str:
    study, seeds = result["study"], len(result["seeds"])
    return (
        f"{study['name']}: mean {study['metric']} over {seeds} seeds; differences are paired by seed and averaged over tasks, "
        f"with {LEVEL:.0%} Student intervals; p by {result['test']}, adjusted by {study['correction'].replace('_', ' and ')} "
        f"(smallest that can be reached: {result['smallest_p']:.2g})."
    )


def _escaped(text: str) -> str:
    table = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "\\": r"\textbackslash{}"}
    return "".join(table.get(letter, letter) for letter in text)
