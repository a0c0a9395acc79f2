"""Registration of a component from a notebook or an interactive session: `findna_kit.register`."""

from __future__ import annotations

from typing import Any

from findna_kit.errors import PluginError
from findna_kit.plugins.entry_points import SESSION
from findna_kit.plugins.loading import load_plugins
from findna_kit.plugins.registry import Components
from findna_kit.plugins.session import describe, keep


def register(name: str, component: type[Any], /) -> None:
    """Register a class as the component `name` until this process ends; recipes name it like one of a plugin.

    The kind follows from the base class (`Loss`, `Encoder`, ...). A second call with the same name replaces the class, so that
    a cell can be edited and run again. A run records the digest of the source, and other processes refuse the run. Raises
    FindnaError for a class that is no component or incomplete, and for a name that a plugin has.
    """
    described = describe(name, component)
    # On registries of its own, so that an unsuitable class is refused before it replaces a suitable one.
    checked = Components()
    with checked.registering(described.owner):
        checked.of(described.kind).add(name, component)
    taken = load_plugins([SESSION])[0].of(described.kind)
    if name in taken:
        owners = " and ".join(map(str, taken.owners(name)))
        raise PluginError(f"{described.kind.name} {name!r} is the name of a component of {owners}; take another name")
    keep(described)
