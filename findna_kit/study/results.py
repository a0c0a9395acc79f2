"""What a finished study says: effects of every condition on the declared score, as JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.evaluation.result_tables import FEATURE_NAMES
from findna_kit.study.cells import scores_of
from findna_kit.study.statistics import FEW, Interval, effects, main_effects, paired_interval, smallest_family_p

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from findna_kit.study.cells import CellFolder
    from findna_kit.study.schema import Study

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
                "controls": _controls(study, [one for one in folders if one.cell.condition == name]),
                **({"effect": asdict(found[name])} if name in found else {}),
            }
            for name in conditions
        },
        **({"main_effects": _main_effects(study, scores, tasks)} if study.crossed else {}),
    }  # fmt: skip


def _main_effects(study: Study, scores: Mapping[str, NDArray[np.float64]], tasks: Sequence[str]) -> dict[str, Any]:
    """Every level minus its factor's first, over all combinations of the others; scores [seeds, tasks] by condition."""
    factors = {factor: list(levels) for factor, levels in study.factors.items()}
    each = np.stack([scores[name] for name in study.conditions()])
    whole = each.reshape(*map(len, factors.values()), *each.shape[1:])
    found = main_effects(whole, factors, tasks, correction=study.correction, level=LEVEL)
    return {
        "smallest_p": smallest_main_p_of(study),
        "levels": [
            {"factor": factor, "level": level, "minus": factors[factor][0], "effect": asdict(effect)}
            for (factor, level), effect in found.items()
        ],
    }


def _controls(study: Study, folders: Sequence[CellFolder]) -> dict[str, dict[str, dict[str, Any]]]:
    """Of one condition: each control's score by task, its mean over seeds with an interval where seeds differ."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path, name in folders[0].tasks.items():
        read = [one.score(path, study.protocol, study.score) for one in folders]
        for who in [who for who in read[0] if who != "encoder"]:
            values = np.array([each[who] for each in read])
            # k-mers know no seed of ours: an interval of no width over seeds would look like certainty.
            mean = paired_interval(values, LEVEL) if np.ptp(values) > 0 else Interval(float(values[0]), None, None)
            found.setdefault(who, {})[name] = asdict(mean)
    return found


def smallest_p_of(study: Study) -> float:
    """The smallest adjusted p that a condition alone can reach."""
    return smallest_family_p(len(study.every_seed), len(study.conditions()) - 1, study.correction)


def smallest_main_p_of(study: Study) -> float:
    """Likewise of a level's main effect, which is of another family."""
    return smallest_family_p(len(study.every_seed), _main_count(study), study.correction)


def _main_count(study: Study) -> int:
    return len(study.every_level()) - len(study.factors)


def warnings_of(study: Study) -> list[str]:
    """What a design cannot say, before it is run."""
    seeds, others = len(study.every_seed), len(study.conditions()) - 1
    least = smallest_p_of(study)
    conditions = f"{others + 1} conditions, {seeds} seed{'' if seeds == 1 else 's'}"
    said = [f"{conditions}: the smallest adjusted p that a condition alone can reach is {least:.2g}"]
    if study.crossed:
        said.append(
            f"{_main_count(study)} main effects: the smallest that one alone can reach is {smallest_main_p_of(study):.2g}"
        )
    if seeds < FEW:
        said.append(f"below {FEW} seeds no difference can be shown at 0.05, however large")
    elif least > 1 - LEVEL:
        said.append(f"with {others} comparisons, more seeds are needed for one of them alone to reach 0.05")
    return said


def tables(result: Mapping[str, Any]) -> list[list[list[str]]]:
    """What is printed: the conditions and, of a factorial study, the main effects."""
    return [rows(result), *([main_rows(result)] if "main_effects" in result else [])]


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
        [FEATURE_NAMES[who], seeds, "", *(f"{by_task[task]['value']:.3f}" for task in tasks), *_CONTROL]
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


def main_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A header, then each level minus its factor's first."""
    head = ["main effect", f"difference of {result['study']['metric']}", "p", "adjusted", "Hedges' g", "verdict"]
    return [head, *([main_name(one), *_told(one["effect"])] for one in result["main_effects"]["levels"])]


def main_name(one: Mapping[str, Any]) -> str:
    """What a main effect is called."""
    return f"{one['factor']}: {one['level']} minus {one['minus']}"


COLUMNS = (
    "kind", "name", "task", "seeds", "steps", "mean", "difference", "low", "high", "p", "adjusted", "hedges_g", "verdict",
)  # fmt: skip


def as_csv(result: Mapping[str, Any]) -> str:
    """COLUMNS, for programs: of each condition, main effect and control a row over all tasks (`task` empty), and one for each.

    Numbers at full precision; what there is none of is empty. p and what follows from it are of all tasks together alone.
    """
    seeds, every = len(result["seeds"]), list[dict[str, Any]]()
    for name, condition in result["conditions"].items():
        means = {task: scores["mean"]["value"] for task, scores in condition["scores"].items()}
        row = {"kind": "condition", "name": name, "steps": condition["steps"]}
        every += _numbers(row, {"": float(np.mean([*means.values()])), **means}, condition.get("effect"))
    for one in result["main_effects"]["levels"] if "main_effects" in result else ():
        row = {"kind": "main effect", "name": main_name(one)}
        every += _numbers(row, dict.fromkeys(("", *result["tasks"])), one["effect"])
    for who, by_task in next(iter(result["conditions"].values()))["controls"].items():
        row, means = {"kind": "control", "name": FEATURE_NAMES[who]}, {task: mean["value"] for task, mean in by_task.items()}
        every += _numbers(row, {"": float(np.mean([*means.values()])), **means}, None)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "seeds": seeds} for row in every)
    return text.getvalue()


def _numbers(
    row: Mapping[str, Any], means: Mapping[str, float | None], effect: Mapping[str, Any] | None
) -> list[dict[str, Any]]:  # fmt: skip
    """A row for each task of `means`, "" being all of them."""
    out = []
    for task, mean in means.items():
        out.append({**row, "task": task, "mean": mean})
        if effect is None:
            continue
        found = effect["by_task"][task] if task else effect["overall"]
        out[-1] |= {"difference": found["value"], "low": found["low"], "high": found["high"]}
        if not task:
            out[-1] |= {"hedges_g": effect["size"], **{name: effect[name] for name in ("p", "adjusted", "verdict")}}
    return out


def as_markdown(result: Mapping[str, Any]) -> str:
    """What is printed as tables, and how to read them."""
    lines = list[str]()
    for table in tables(result):
        head, *body = ([cell.replace("|", "\\|") for cell in row] for row in table)
        lines += ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)] + [""]
    return "\n".join([*lines, legend(result), ""])


def as_latex(result: Mapping[str, Any]) -> str:
    """What is printed as booktabs tables."""
    lines = ["% " + legend(result)]
    for table in tables(result):
        head, *body = (" & ".join(map(_escaped, row)) + r" \\" for row in table)
        columns = "l" + "r" * (len(table[0]) - 2) + "l"
        begin = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule"]
        lines += [*begin, *body, r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines)


def legend(result: Mapping[str, Any]) -> str:
    """How the tables are to be read."""
    study, seeds = result["study"], len(result["seeds"])
    told = (
        f"{study['name']}: mean {study['metric']} over {seeds} seeds; differences are paired by seed and averaged over tasks, "
        f"with {LEVEL:.0%} Student intervals; p by {result['test']}, adjusted by {study['correction'].replace('_', ' and ')} "
        f"(smallest that can be reached: {result['smallest_p']:.2g})."
    )
    if "main_effects" in result:
        told += (
            " A main effect is a level minus its factor's first, averaged within a seed over the other factors' combinations; "
            f"they are a family of their own (smallest: {result['main_effects']['smallest_p']:.2g})."
        )
    return told + (f" Every condition has {result['search']['words']}." if "search" in result else "")


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip
