"""Checks that the components of a run are registered now and unchanged; messages name the way to get them back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import PLUGINS_ENV, SESSION, installed
from findna_kit.records.run_json import read_run_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components

log = logging.getLogger(__name__)


def refuse_missing(run: Path, components: Components, failed: Sequence[Plugin]) -> None:
    """Raise FindnaError if a component of the run is not registered now; it names the distributions that provided them.

    Warn of each component that this session registered with another source than the run was made with.
    """
    refuse_missing_of(run, read_run_json(run).components, components, failed)


def refuse_missing_of(
    folder: Path, used: Mapping[str, Mapping[str, str]], components: Components, failed: Sequence[Plugin]
) -> None:  # fmt: skip
    """Raise or warn likewise for a folder that needs the components `used`: by kind and name, the distribution."""
    registered = {registry.kind: registry for registry in components.registries()}
    missing = {
        (kind, name): distribution
        for kind, names in used.items()
        for name, distribution in names.items()
        if name not in registered.get(kind, ())
    }
    if missing:
        listed = "; ".join(f"{kind} {name!r}{_origin(distribution)}" for (kind, name), distribution in missing.items())
        broken = {plugin.owner.distribution for plugin in failed}
        remedies = dict.fromkeys(line for distribution in missing.values() if (line := _remedy(distribution, broken)))
        raise FindnaError(
            "\n".join([f"{folder}: uses components that no installed plugin provides: {listed}", *remedies, *map(str, failed)])
        )
    for line in _changed_in_session(used, components):
        log.warning("%s: %s", folder, line)


def _changed_in_session(used: Mapping[str, Mapping[str, str]], components: Components) -> list[str]:
    """Return a sentence for each component that this session registered with another source than the run was made with."""
    lines = []
    for kind, names in used.items():
        for name, before in names.items():
            for owner in components.of(kind).owners(name):
                if owner.is_session and before.startswith(f"{SESSION} ") and before != f"{SESSION} {owner.version}":
                    lines.append(
                        f"{kind} {name!r} is registered here with another source ({owner.version}) than the run was made with "
                        f"({before.partition(' ')[2]}): results may differ; run the cell as it was to get the same"
                    )
    return lines


def _origin(distribution: str) -> str:
    """Return where a missing component came from, as it follows its name in a message."""
    return ", written in a notebook or Python session" if distribution.startswith(f"{SESSION} ") else f" of {distribution}"


def _remedy(distribution: str, broken: Collection[str]) -> str | None:
    """Return how to get a plugin back, given as `NAME VERSION`; None if it failed to load: its own error is shown then."""
    name, _, version = distribution.rpartition(" ")
    if name == SESSION:
        return (
            "what is written in a notebook exists in its own process alone: put the class into a plugin package, which "
            "`findna-kit plugins new` creates, and install that; or call findna_kit.register before you open the folder"
        )
    now = next((offer.owner.version for offer in installed() if offer.owner.distribution == name), None)
    if now is None:
        return f"pip install {name}    (the run was made with {version})"
    if name in broken:
        return None
    if now == version:
        return f"{distribution} is installed, but excluded by --without or {PLUGINS_ENV}"
    return f"{name} {now} is installed and does not provide it, or is excluded: pip install {name}=={version}"
