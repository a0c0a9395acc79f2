"""Grouping of metrics into figures: metrics of one kind share their axis of values, and each figure has a heading."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from findna_kit.metrics.names import MetricKind, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from findna_kit.metrics.names import MetricName

Heading = Literal["losses", "masked", "probes", "collapse", "optimiser", "speed", "other"]
"""Keys of the headings, which are part of the links to sections."""
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
    baselines: dict[str, dict[str, list[str]]] = {}
    for name in names:
        metric = parse(name)
        if metric.kind is MetricKind.BASELINE:
            baselines.setdefault(metric.metric, {})[metric.source] = [name]
        elif metric.kind is MetricKind.TASK:
            _add_task_score(by_key, name, metric)
        else:
            key, family, panel = _family_of(name, metric)
            by_key.setdefault(key, family).panels[name] = panel
    # After all names: a baseline may come before the metric that it is drawn with.
    for key, family in by_key.items():
        if family.heading == "masked":
            family.levels = baselines.get(key[2], {})
            family.best = "low" if key[2] in ("bits_per_base", "loss") else "high"
    for family in by_key.values():
        # The first validation precedes the first step, so validation would come first; put training before it.
        family.panels = dict(sorted(family.panels.items(), key=lambda panel: panel[1] == "validation"))
    # A control whose score is missing has no panel to be drawn in.
    return [family for family in by_key.values() if family.panels]


def _family_of(name: str, metric: MetricName) -> tuple[Key, Family, str]:
    """Return the key of a metric's family, a new family for it, and the title of the metric's panel."""
    if metric.kind is MetricKind.PLAIN_VALIDATION:
        title = f"{metric.source}: {_words(metric.metric)}, validation windows without augmentation"
        return ("masked", metric.source, metric.metric), Family(title, "masked"), metric.detail
    if metric.kind is MetricKind.COLLAPSE:
        return ("collapse", metric.metric), Family(_words(metric.metric), "collapse", from_zero=True), metric.source
    if metric.kind is MetricKind.VALIDATION:
        return _loss_family(metric.source, metric.metric, "validation")
    if metric.kind is MetricKind.TRAINING:
        return _loss_family(metric.source, metric.metric, "training")
    heading = _SCALAR_HEADINGS.get(name, "other")
    if heading == "losses":
        return ("alone", name), Family("total loss (weighted sum)", heading), "training"
    return ("alone", heading), Family(_SCALAR_TITLES[heading], heading, shared=False), _words(name)


def _loss_family(label: str, metric: str, panel: str) -> tuple[Key, Family, str]:
    """Return the family of a loss's metric, whose training and validation values share their axis."""
    signal = _SIGNALS.search(metric) is not None
    family = Family(f"{label}: {_words(metric)}", "collapse" if signal else "losses", from_zero=signal)
    return ("term", label, metric), family, panel


def _add_task_score(by_key: dict[Key, Family], name: str, metric: MetricName) -> None:
    """Add a task's score during training to its family; its k-mer control, which is constant, as a horizontal line."""
    key = ("probes", metric.source, metric.metric)
    family = by_key.setdefault(key, Family(f"{metric.source}: {metric.metric}", "probes"))
    if metric.control:
        family.levels.setdefault("k-mers", []).append(name)
    else:
        family.panels[name] = metric.detail


def _words(metric: str) -> str:
    return metric.replace("_", " ")
