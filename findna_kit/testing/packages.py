"""The components of one installed package, and the checks that there are to be made of them."""

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
    """One check of one component; where the component has no examples there is nothing to check, and `case` is None."""

    kind: str
    name: str
    example: int = 0
    examples: int = 0
    case: Case | None = None
    criterion: Check | None = None

    @property
    def component(self) -> str:
        """`kind name`, and where there are several examples which one."""
        which = f" {self.example + 1}/{self.examples}" if self.examples > 1 else ""
        return f"{self.kind} {self.name}{which}"

    def __str__(self) -> str:
        """`encoder-depthwise_conv-padding`."""
        which = [str(self.example + 1)] if self.examples > 1 else []
        return "-".join([self.kind, self.name, *which, self.criterion.name if self.criterion else "no_examples"])

    def faults(self) -> list[str]:
        """What is wrong, in sentences."""
        return [] if self.case is None or self.criterion is None else faults_of(self.case, self.criterion)

    def check(self) -> None:
        """Raises Nonconforming with all that is wrong."""
        if found := self.faults():
            raise Nonconforming("\n".join([f"{self.kind} {self.case} does not conform:", *(f"  {one}" for one in found)]))


def conformances(package: str) -> list[Conformance]:
    """Every check of every component of a package, by the name of its plugin or its distribution.

    Raises FindnaError where no such plugin is installed, PluginError where it does not load or registers nothing.
    """
    components = Components()
    for offer in _offers(package):
        loaded = load_plugin(offer, components)
        if loaded.failure is not None:
            raise PluginError(str(loaded))
    found = [(registry.kind, name, registry[name]) for registry in components.registries() for name in registry]
    if not found:
        raise PluginError(f"{package}: registers no component")
    made: list[Conformance] = []
    for kind, name, component in found:
        family = build_cases(kind, component)
        made += [
            Conformance(kind, name, family.index(case), len(family), case, criterion)
            for case, criterion in planned_checks(family)
        ] or [Conformance(kind, name)]
    return made


def _offers(package: str) -> list[PluginEntry]:
    """The package's entry points for components."""
    every = [offer for offer in installed() if offer.group == COMPONENTS]
    named = [one for one in every if package == one.owner.plugin or normal_name(package) == normal_name(one.owner.distribution)]
    if not named:
        known = sorted({name for one in every for name in (one.owner.plugin, one.owner.distribution)})
        listed = ", ".join(f"{one.owner.plugin} ({one.owner.distribution})" for one in every)
        raise FindnaError(
            f"no installed plugin or distribution is called {package!r}{nearest(package, known)} (installed: {listed})"
        )
    return named
