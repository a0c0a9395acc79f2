"""Reporters of plugins: callbacks that receive the logged metrics of a run and cannot stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError, PluginError, nearest
from findna_kit.plugins.entry_points import REPORTERS, enabled_entries, unique_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from findna_kit.plugins.entry_points import PluginEntry
    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Reporter

    Factory = Callable[[Path, dict[str, Any]], Callable[[int, dict[str, float]], object]]


class Reporters:
    """The reporters with these names, imported but not started.

    Raises FindnaError for a name that no plugin provides, or that two provide; PluginError for one that cannot be imported.
    """

    def __init__(self, names: Sequence[str]) -> None:
        entries = enabled_entries(REPORTERS)
        chosen = [_choose(name, entries) for name in dict.fromkeys(names)]
        self._factories = [(entry, load_reporter(entry)) for entry in chosen]

    def start(self, run: Path, recipe: Recipe, report: Reporter, log: Callable[[str], None]) -> Reporter:
        """Start all reporters, and return a callback that calls `report` at every step and them at every logged step.

        A reporter that fails later is dropped and logged once: training does not depend on it, and metrics.jsonl has every
        row. Raises PluginError for one that cannot start.
        """
        # Each gets its own copy of the recipe, as plain values.
        started = [_StartedReporter(entry, factory, run, recipe.plain(), log) for entry, factory in self._factories]

        def report_all(step: int, metrics: Mapping[str, float]) -> None:
            report(step, metrics)
            if metrics:
                for reporter in started:
                    reporter.report(step, metrics)

        return report_all


class _StartedReporter:
    """One reporter of one run, until it fails."""

    def __init__(
        self, entry: PluginEntry, factory: Factory, run: Path, recipe: dict[str, Any], log: Callable[[str], None]
    ) -> None:  # fmt: skip
        self._label, self._log = _label(entry), log
        try:
            self._callback: Callable[[int, dict[str, float]], object] | None = factory(run, recipe)
        except (Exception, SystemExit) as error:  # the plugin's code may raise anything, or exit
            raise PluginError(f"{self._label} could not start: {type(error).__name__}: {error}; run without it") from error
        if not callable(self._callback):
            raise PluginError(f"{self._label} returned {self._callback!r} instead of a callable(step, metrics); run without it")

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Call the reporter with a copy of the metrics, which it may change."""
        if self._callback is None:
            return
        try:
            self._callback(step, dict(metrics))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            self._callback = None  # never called again: it would fail at every step
            self._log(
                f"{self._label} failed at step {step} and receives no more metrics: {type(error).__name__}: {error}; "
                "the run continues, and its metrics.jsonl has every row"
            )


def load_reporter(entry: PluginEntry) -> Factory:
    """Import the plugin's function `make(run, recipe) -> callable(step, metrics)`. Raises PluginError if that fails."""
    try:
        factory: Factory = entry.entry.load()
    except (Exception, SystemExit) as error:
        hint = "findna-kit plugins doctor shows the traceback"
        raise PluginError(f"{_label(entry)} cannot be imported: {type(error).__name__}: {error}; {hint}") from error
    if not callable(factory):
        raise PluginError(f"{_label(entry)} is not a function: {entry.entry.value} is {factory!r}")
    return factory


def _choose(name: str, entries: Sequence[PluginEntry]) -> PluginEntry:
    """Return the entry with that name. Raises FindnaError, with the nearest name, if there is none."""
    entry = unique_entry(entries, name, "the reporter")
    if entry is None:
        names = [other.owner.plugin for other in entries]
        known = ", ".join(names) or "none"
        raise FindnaError(f"--report {name}: no plugin has a reporter of that name{nearest(name, names)} (known: {known})")
    return entry


def _label(entry: PluginEntry) -> str:
    return f"the reporter {entry.owner.plugin!r} of {entry.owner.distribution} {entry.owner.version}"
