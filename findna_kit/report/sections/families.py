"""Which metrics stand beside each other: those of one kind share their axis of values; and under which heading."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Heading = Literal["losses", "masked", "looks", "collapse", "optimiser", "speed", "other"]
_SIGNALS = re.compile(r"(^|_)(entropy|deviation|rank|rankme|spread|variance|information)(_|$)")
_ONE_EACH: dict[str, Heading] = {
    "loss": "losses", "learning_rate": "optimiser", "momentum": "optimiser", "gradient_norm": "optimiser",
    "bases_per_second": "speed",
}  # fmt: skip
_ALONE: dict[Heading, str] = {"optimiser": "what moves the weights", "speed": "nucleotides a second", "other": "all others"}


@dataclass
class Family:
    """Metrics of one kind. panels: by metric what its panel is called; level: metrics that are constant, drawn as a line."""

    title: str
    heading: Heading
    panels: dict[str, str] = field(default_factory=dict)
    levels: dict[str, list[str]] = field(default_factory=dict)
    """By the last word of a baseline's or control's name; the metrics that hold it."""
    best: Literal["high", "low"] = "high"
    from_zero: bool = False
    shared: bool = True
    """Whether its panels have one axis of values."""


def families(names: Iterable[str]) -> list[Family]:
    """Every metric in its family, in the order in which they were given."""
    found: dict[tuple[str, ...], Family] = {}
    baselines: dict[str, list[str]] = {}
    for name in names:
        first, *rest = name.split("/")
        if first == "baseline" and len(rest) == 2:
            baselines.setdefault(rest[1], []).append(name)
        elif first == "evaluation" and len(rest) >= 3:
            _look(found, name, rest)
        else:
            key, family, panel = _placed(name, first, rest)
            found.setdefault(key, family).panels[name] = panel
    for key, family in found.items():
        if family.heading == "masked":
            family.levels = {name.split("/")[1]: [name] for name in baselines.get(key[2], [])}
            family.best = "low" if key[2] in ("bits_per_base", "loss") else "high"
    for family in found.values():  # the first look at what is held out comes before the first step
        family.panels = dict(sorted(family.panels.items(), key=lambda panel: panel[1] == "held out"))
    return [family for family in found.values() if family.panels]


def _placed(name: str, first: str, rest: list[str]) -> tuple[tuple[str, ...], Family, str]:
    """The key of a metric's family, the family as it begins, and the title of the metric's panel."""
    if first == "held_out_plain" and len(rest) == 3:
        label, metric, branch = rest
        title = f"{label}: {_words(metric)}, held-out windows without augmentation"
        return ("masked", label, metric), Family(title, "masked"), branch
    if first == "collapse" and len(rest) == 2:
        branch, metric = rest
        return ("collapse", metric), Family(_words(metric), "collapse", from_zero=True), branch
    if first == "held_out" and len(rest) == 2:
        return _term(rest[0], rest[1], "held out")
    if len(rest) == 1:
        return _term(first, rest[0], "in training")
    heading: Heading = "other" if rest else _ONE_EACH.get(first, "other")
    if heading == "losses":
        return ("alone", name), Family("loss: all terms, weighted", heading), "in training"
    return ("alone", heading), Family(_ALONE[heading], heading, shared=False), _words(name)


def _term(label: str, metric: str, where: str) -> tuple[tuple[str, ...], Family, str]:
    """Of a loss: in training and held out on one axis."""
    signal = _SIGNALS.search(metric) is not None
    family = Family(f"{label}: {_words(metric)}", "collapse" if signal else "losses", from_zero=signal)
    return ("term", label, metric), family, where


def _look(found: dict[tuple[str, ...], Family], name: str, rest: list[str]) -> None:
    """Scores of a task while the run goes on; the control among them is the same at every look."""
    control = rest[-1] == "kmer"
    *task, protocol, score = rest[:-1] if control else rest
    key = ("look", *task, score)
    family = found.setdefault(key, Family(f"{'/'.join(task)}: {score}", "looks"))
    if control:
        family.levels.setdefault("k-mers", []).append(name)
    else:
        family.panels[name] = protocol


def _words(metric: str) -> str:
    return metric.replace("_", " ")
