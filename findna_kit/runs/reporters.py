"""Reporters that plugins bring: told of every logged row of a run, outside of the step, and unable to stop it."""

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

    Making = Callable[[Path, dict[str, Any]], Callable[[int, dict[str, float]], object]]


class Reporters:
    """The reporters of these names, imported but not begun.

    Raises FindnaError for a name that no plugin brings, or that two bring; PluginError for one that cannot be imported.
    """

    def __init__(self, names: Sequence[str]) -> None:
        offers = enabled_entries(REPORTERS)
        self._made = [(offer, load_reporter(offer)) for offer in (_chosen(name, offers) for name in dict.fromkeys(names))]

    def begin(self, run: Path, recipe: Recipe, report: Reporter, say: Callable[[str], None]) -> Reporter:
        """Tells `report` of every step, and each reporter of every row that is logged.

        One that fails later is dropped, which is said once: metrics.jsonl has all of it, and training does not need to be
        watched. Raises PluginError for one that cannot begin.
        """
        begun = [_Begun(offer, make, run, recipe.plain(), say) for offer, make in self._made]

        def tell(step: int, metrics: Mapping[str, float]) -> None:
            report(step, metrics)
            for one in begun if metrics else ():
                one.tell(step, metrics)

        return tell


class _Begun:
    """One reporter of one run, until it fails."""

    def __init__(self, offer: PluginEntry, make: Making, run: Path, recipe: dict[str, Any], say: Callable[[str], None]) -> None:
        self._name, self._say = _named(offer), say
        try:
            self._tell: Callable[[int, dict[str, float]], object] | None = make(run, recipe)
        except (Exception, SystemExit) as error:  # a stranger's code may raise anything, or exit
            raise PluginError(f"{self._name} could not begin: {type(error).__name__}: {error}; run without it") from error
        if not callable(self._tell):
            raise PluginError(f"{self._name} gave {self._tell!r} where callable(step, metrics) is wanted; run without it")

    def tell(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hands over a copy, so that nobody changes what the others are told."""
        if self._tell is None:
            return
        try:
            self._tell(step, dict(metrics))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            self._tell = None
            self._say(
                f"{self._name} failed at step {step} and is told nothing more: {type(error).__name__}: {error}; "
                "the run goes on, and its metrics.jsonl has every row"
            )


def load_reporter(offer: PluginEntry) -> Making:
    """The function `make(run, recipe) -> callable(step, metrics)`. Raises PluginError where it cannot be imported."""
    try:
        make: Making = offer.entry.load()
    except (Exception, SystemExit) as error:
        more = "findna-kit plugins doctor shows the traceback"
        raise PluginError(f"{_named(offer)} cannot be imported: {type(error).__name__}: {error}; {more}") from error
    if not callable(make):
        raise PluginError(f"{_named(offer)} is no function: {offer.entry.value} is {make!r}")
    return make


def _chosen(name: str, offers: Sequence[PluginEntry]) -> PluginEntry:
    found = unique_entry(offers, name, "the reporter")
    if found is None:
        names = [offer.owner.plugin for offer in offers]
        known = ", ".join(names) or "none"
        raise FindnaError(f"--report {name}: no plugin brings a reporter of that name{nearest(name, names)} (known: {known})")
    return found


def _named(offer: PluginEntry) -> str:
    return f"the reporter {offer.owner.plugin!r} of {offer.owner.distribution} {offer.owner.version}"
