"""All conformance checks of the components in one installed package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, PluginError, nearest
from findna_kit.plugins.entry_points import COMPONENTS, installed, normal_name
from findna_kit.plugins.loading import load_plugin
from findna_kit.plugins.registry import Components
from findna_kit.testing.checks import Nonconforming
from findna_kit.testing.conformance import build_cases, faults_of, planned_checks

if TYPE_CHECKING:
    from findna_kit.plugins.entry_points import PluginEntry
    from findna_kit.testing.checks import Case, Check


@dataclass(frozen=True)
class Conformance:
    """One check of one example of a component.

    A component without examples cannot be built; it has one entry with neither `case` nor `criterion`.
    """

    kind: str
    name: str
    example: int = 0
    examples: int = 0
    case: Case | None = None
    criterion: Check | None = None

    @property
    def component(self) -> str:
        """Return `kind name`, and the number of the example if there are several."""
        which = f" {self.example + 1}/{self.examples}" if self.examples > 1 else ""
        return f"{self.kind} {self.name}{which}"

    def __str__(self) -> str:
        """Return `encoder-depthwise_conv-padding`, which pytest uses as the id of the test."""
        which = [str(self.example + 1)] if self.examples > 1 else []
        return "-".join([self.kind, self.name, *which, self.criterion.name if self.criterion else "no_examples"])

    def faults(self) -> list[str]:
        """Return a message for each violation."""
        return [] if self.case is None or self.criterion is None else faults_of(self.case, self.criterion)

    def check(self) -> None:
        """Raise Nonconforming with all violations, if there are any."""
        if faults := self.faults():
            lines = [f"{self.kind} {self.case} does not conform:", *(f"  {fault}" for fault in faults)]
            raise Nonconforming("\n".join(lines))


def conformances(package: str) -> list[Conformance]:
    """Return every check of every component of a package, given the name of its plugin or of its distribution.

    Raises FindnaError if no such plugin is installed, PluginError if it fails to load or registers nothing.
    """
    # A registry of its own: components of other packages are neither loaded nor checked.
    components = Components()
    for entry in _entries(package):
        loaded = load_plugin(entry, components)
        if loaded.failure is not None:
            raise PluginError(str(loaded))
    registered = [(registry.kind, name, registry[name]) for registry in components.registries() for name in registry]
    if not registered:
        raise PluginError(f"{package}: registers no component")
    checks: list[Conformance] = []
    for kind, name, component in registered:
        family = build_cases(kind, component)
        checks += [
            Conformance(kind, name, family.index(case), len(family), case, criterion)
            for case, criterion in planned_checks(family)
        ] or [Conformance(kind, name)]
    return checks


def _entries(package: str) -> list[PluginEntry]:
    """Return the package's entry points for components. Raise FindnaError if there are none."""
    entries = [entry for entry in installed() if entry.group == COMPONENTS]
    matching = [
        entry
        for entry in entries
        if package == entry.owner.plugin or normal_name(package) == normal_name(entry.owner.distribution)
    ]
    if not matching:
        known = sorted({name for entry in entries for name in (entry.owner.plugin, entry.owner.distribution)})
        listed = ", ".join(f"{entry.owner.plugin} ({entry.owner.distribution})" for entry in entries)
        raise FindnaError(
            f"no installed plugin or distribution is called {package!r}{nearest(package, known)} (installed: {listed})"
        )
    return matching
