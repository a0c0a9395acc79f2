"""What can be chosen: one registry per kind, and who brought each entry."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from findna_kit.components.interfaces import Augmentation, ComponentConfig, Encoder, Loss, Masking, Reads, TeacherUpdate
from findna_kit.errors import ComponentClash, PluginError, UnknownComponent, nearest

if TYPE_CHECKING:
    from findna_kit.plugins.entry_points import PluginSource

Component = TypeVar("Component")

_WORDS: dict[str, tuple[str, ...]] = {
    "strand": ("none", "invariant", "equivariant"),
    "head_input": get_args(Reads),
    "coupling": ("sample", "batch"),
    "export_branch": ("teacher", "student"),
}
"""What a class may declare where it declares a word; the trainer would meet any other too late."""


class Registry(Mapping[str, type[Component]], Generic[Component]):
    """Component classes of one kind by name."""

    def __init__(self, kind: str, base: type[Any]) -> None:
        self.kind, self._base = kind, base
        self._entries: dict[str, list[tuple[type[Component], PluginSource]]] = {}
        self._owner: PluginSource | None = None

    def add(self, name: str, component: type[Component]) -> None:
        """Registers `component` as `name`. Raises PluginError where it is not what this kind must be."""
        if self._owner is None:
            raise PluginError(f"{self.kind} {name!r}: components are registered inside findna_kit_register only")
        if not (isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name)):
            raise PluginError(f"{self.kind} {name!r}: a name is made of lower-case letters, digits and _, a letter first")
        if not (inspect.isclass(component) and issubclass(component, self._base)):
            raise PluginError(f"{self.kind} {name!r}: {component!r} is not a subclass of {self._base.__name__}")
        if inspect.isabstract(component):
            missing = ", ".join(sorted(getattr(component, "__abstractmethods__", ())))
            raise PluginError(f"{self.kind} {name!r}: {component.__qualname__} does not define {missing}")
        config = getattr(component, "Config", None)
        if not (inspect.isclass(config) and issubclass(config, ComponentConfig)):
            raise PluginError(f"{self.kind} {name!r}: {component.__qualname__} has no nested Config(ComponentConfig)")
        self._refuse_words(name, component)
        claims = self._entries.setdefault(name, [])
        if any(owner == self._owner for _, owner in claims):
            raise PluginError(f"{self.kind} {name!r}: registered twice by one plugin; give the second another name")
        claims.append((component, self._owner))

    def _refuse_words(self, name: str, component: type[Component]) -> None:
        for attribute, words in _WORDS.items():
            if attribute not in inspect.get_annotations(self._base):
                continue
            declared = getattr(component, attribute, None)
            if declared not in words:
                known = ", ".join(words)
                got = "nothing" if declared is None else repr(declared)
                raise PluginError(
                    f"{self.kind} {name!r}: {component.__qualname__}.{attribute} must be one of {known} (got {got})"
                )

    def __getitem__(self, name: str) -> type[Component]:
        """The class. Raises UnknownComponent with the nearest name, ComponentClash where two plugins claim it."""
        if name not in self._entries:
            known = ", ".join(self) or "none"
            raise UnknownComponent(f"no {self.kind} is called {name!r}{nearest(name, self)} (known: {known})")
        claims = self._entries[name]
        if len(claims) > 1:
            owners = " and ".join(str(owner) for _, owner in claims)
            last, others = claims[-1][1], [owner.plugin for _, owner in claims[:-1]]
            out = last.distribution if last.plugin in others else last.plugin
            raise ComponentClash(f"{self.kind} {name!r} is claimed by {owners}; leave one out with --without {out}")
        return claims[0][0]

    def __iter__(self) -> Iterator[str]:
        """Names, sorted."""
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        """How many names."""
        return len(self._entries)

    def owners(self, name: str) -> tuple[PluginSource, ...]:
        """Everyone who claims the name."""
        return tuple(owner for _, owner in self._entries[name])

    def drop(self, owner: PluginSource) -> None:
        """Takes back what a plugin registered before it failed."""
        for name, claims in list(self._entries.items()):
            self._entries[name] = [claim for claim in claims if claim[1] != owner]
            if not self._entries[name]:
                del self._entries[name]


class Components:
    """The registries, one per kind."""

    def __init__(self) -> None:
        self.encoders: Registry[Encoder] = Registry("encoder", Encoder)
        self.augmentations: Registry[Augmentation] = Registry("augmentation", Augmentation)
        self.maskings: Registry[Masking] = Registry("masking", Masking)
        self.losses: Registry[Loss] = Registry("loss", Loss)
        self.teacher_updates: Registry[TeacherUpdate] = Registry("teacher_update", TeacherUpdate)

    def registries(self) -> tuple[Registry[Any], ...]:
        """Every registry, in the order in which a recipe meets the kinds."""
        return (self.augmentations, self.maskings, self.encoders, self.losses, self.teacher_updates)

    @contextmanager
    def registering(self, owner: PluginSource) -> Iterator[None]:
        """Credits what is added inside to `owner`; if the block fails, all of it is taken back."""
        for registry in self.registries():
            registry._owner = owner
        try:
            yield
        except BaseException:
            for registry in self.registries():
                registry.drop(owner)
            raise
        finally:
            for registry in self.registries():
                registry._owner = None
