"""Whether the components that a run was made with are registered now, and how to get them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import PLUGINS_ENV, installed
from findna_kit.records.run_json import read_run_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components


def refuse_missing(run: Path, components: Components, failed: Sequence[Plugin]) -> None:
    """Raise FindnaError if a component of the run is not registered now; it names the distributions that provided them."""
    refuse_missing_of(run, read_run_json(run).components, components, failed)


def refuse_missing_of(
    folder: Path, used: Mapping[str, Mapping[str, str]], components: Components, failed: Sequence[Plugin]
) -> None:  # fmt: skip
    """Raise the same for a folder that needs the components `used`: by kind and name, the distribution."""
    registered = {registry.kind: registry for registry in components.registries()}
    missing = {
        (kind, name): distribution
        for kind, names in used.items()
        for name, distribution in names.items()
        if name not in registered.get(kind, ())
    }
    if missing:
        listed = "; ".join(f"{kind} {name!r} of {distribution}" for (kind, name), distribution in missing.items())
        broken = {plugin.owner.distribution for plugin in failed}
        remedies = [line for distribution in dict.fromkeys(missing.values()) if (line := _remedy(distribution, broken))]
        raise FindnaError(
            "\n".join([f"{folder}: uses components that no installed plugin provides: {listed}", *remedies, *map(str, failed)])
        )


def _remedy(distribution: str, broken: Collection[str]) -> str | None:
    """Return how to get a plugin back, given as `NAME VERSION`; None if it failed to load: its own error is shown then."""
    name, _, version = distribution.rpartition(" ")
    now = next((offer.owner.version for offer in installed() if offer.owner.distribution == name), None)
    if now is None:
        return f"pip install {name}    (the run was made with {version})"
    if name in broken:
        return None
    if now == version:
        return f"{distribution} is installed, but excluded by --without or {PLUGINS_ENV}"
    return f"{name} {now} is installed and does not provide it, or is excluded: pip install {name}=={version}"
