"""Grouping of metrics into figures: metrics of one kind share their axis of values, and each figure has a heading."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Heading = Literal["losses", "masked", "looks", "collapse", "optimiser", "speed", "other"]
"""Keys of the headings; they become part of the links to sections, so they stay as they are."""
_SIGNALS = re.compile(r"(^|_)(entropy|deviation|rank|rankme|spread|variance|information)(_|$)")
"""Metrics of a loss that are signs of collapse."""
_SCALAR_HEADINGS: dict[str, Heading] = {
    "loss": "losses", "learning_rate": "optimiser", "momentum": "optimiser", "gradient_norm": "optimiser",
    "bases_per_second": "speed",
}  # fmt: skip
"""Headings of metrics whose name is a single word."""
_SCALAR_TITLES: dict[Heading, str] = {
    "optimiser": "learning rate, momentum and gradient norm", "speed": "bases per second", "other": "other metrics",
}  # fmt: skip
Key = tuple[str, ...]


@dataclass
class Family:
    """Metrics of one kind, which are drawn in one figure.

    panels: the title of each metric's panel. levels: constant metrics, drawn as a horizontal line, by the name of their
    baseline or control. best: whether higher or lower values are better. shared: whether panels share the axis of values.
    """

    title: str
    heading: Heading
    panels: dict[str, str] = field(default_factory=dict)
    levels: dict[str, list[str]] = field(default_factory=dict)
    best: Literal["high", "low"] = "high"
    from_zero: bool = False
    shared: bool = True


def families(names: Iterable[str]) -> list[Family]:
    """Return the families of all metrics, in the order in which the metrics are given."""
    by_key: dict[Key, Family] = {}
    baselines: dict[str, list[str]] = {}
    for name in names:
        first, *rest = name.split("/")
        if first == "baseline" and len(rest) == 2:
            baselines.setdefault(rest[1], []).append(name)
        elif first == "evaluation" and len(rest) >= 3:
            _add_task_score(by_key, name, rest)
        else:
            key, family, panel = _family_of(name, first, rest)
            by_key.setdefault(key, family).panels[name] = panel
    # After all names: a baseline may come before the metric that it is drawn with.
    for key, family in by_key.items():
        if family.heading == "masked":
            family.levels = {name.split("/")[1]: [name] for name in baselines.get(key[2], [])}
            family.best = "low" if key[2] in ("bits_per_base", "loss") else "high"
    for family in by_key.values():
        # The first validation precedes the first step, so validation would come first; put training before it.
        family.panels = dict(sorted(family.panels.items(), key=lambda panel: panel[1] == "validation"))
    # A control whose score is missing has no panel to be drawn in.
    return [family for family in by_key.values() if family.panels]


def _family_of(name: str, first: str, rest: list[str]) -> tuple[Key, Family, str]:
    """Return the key of a metric's family, a new family for it, and the title of the metric's panel."""
    if first == "held_out_plain" and len(rest) == 3:
        label, metric, branch = rest
        title = f"{label}: {_words(metric)}, validation windows without augmentation"
        return ("masked", label, metric), Family(title, "masked"), branch
    if first == "collapse" and len(rest) == 2:
        branch, metric = rest
        return ("collapse", metric), Family(_words(metric), "collapse", from_zero=True), branch
    if first == "held_out" and len(rest) == 2:
        return _loss_family(rest[0], rest[1], "validation")
    if len(rest) == 1:
        return _loss_family(first, rest[0], "training")
    heading: Heading = "other" if rest else _SCALAR_HEADINGS.get(first, "other")
    if heading == "losses":
        return ("alone", name), Family("total loss (weighted sum)", heading), "training"
    return ("alone", heading), Family(_SCALAR_TITLES[heading], heading, shared=False), _words(name)


def _loss_family(label: str, metric: str, panel: str) -> tuple[Key, Family, str]:
    """Return the family of a loss's metric, whose training and validation values share their axis."""
    signal = _SIGNALS.search(metric) is not None
    family = Family(f"{label}: {_words(metric)}", "collapse" if signal else "losses", from_zero=signal)
    return ("term", label, metric), family, panel


def _add_task_score(by_key: dict[Key, Family], name: str, rest: list[str]) -> None:
    """Add a task's score during training to its family; its k-mer control, which is constant, as a horizontal line."""
    is_control = rest[-1] == "kmer"
    *task, protocol, score = rest[:-1] if is_control else rest
    key = ("look", *task, score)
    family = by_key.setdefault(key, Family(f"{'/'.join(task)}: {score}", "looks"))
    if is_control:
        family.levels.setdefault("k-mers", []).append(name)
    else:
        family.panels[name] = protocol


def _words(metric: str) -> str:
    return metric.replace("_", " ")
