"""The registries: the components of each kind by name, and the plugin that each one comes from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from findna_kit.components.interfaces import Reads
from findna_kit.errors import ComponentClash, PluginError, UnknownComponent, nearest
from findna_kit.plugins.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.components.interfaces import Augmentation, Encoder, Loss, Masking, TeacherUpdate
    from findna_kit.components.optimizer import Optimizer
    from findna_kit.plugins.entry_points import PluginSource
    from findna_kit.plugins.kinds import Kind
    from findna_kit.schedules import Schedule

Component = TypeVar("Component")

_ALLOWED: dict[str, tuple[str, ...]] = {
    "strand": ("none", "invariant", "equivariant"),
    "head_input": get_args(Reads),
    "coupling": ("sample", "batch"),
    "export_branch": ("teacher", "student"),
}
"""Allowed values of the attributes that a class declares. Checked on registration: the trainer would notice only in a run."""


class Registry(Mapping[str, type[Component]], Generic[Component]):
    """Component classes of one kind, by name, and the plugin that registered each."""

    def __init__(self, kind: Kind) -> None:
        self.spec, self.kind = kind, kind.name
        self._entries: dict[str, list[tuple[type[Component], PluginSource]]] = {}
        self._owner: PluginSource | None = None

    def add(self, name: str, component: type[Component]) -> None:
        """Register `component` as `name`. Raise PluginError where it is not what this kind requires."""
        if self._owner is None:
            raise PluginError(f"{self.kind} {name!r}: components are registered inside findna_kit_register only")
        if not (isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name)):
            raise PluginError(f"{self.kind} {name!r}: a name is made of lower-case letters, digits and _, a letter first")
        self._refuse_class(name, component)
        self._refuse_config(name, component)
        self._refuse_values(name, component)
        # Two plugins may register one name: only a recipe that uses the name is refused, in __getitem__.
        claims = self._entries.setdefault(name, [])
        if any(owner == self._owner for _, owner in claims):
            raise PluginError(f"{self.kind} {name!r}: registered twice by one plugin; give the second another name")
        claims.append((component, self._owner))

    def _refuse_class(self, name: str, component: type[Component]) -> None:
        """Raise PluginError unless the class is a concrete subclass of the kind's base."""
        base = self.spec.base_class
        if not (inspect.isclass(component) and issubclass(component, base)):
            raise PluginError(f"{self.kind} {name!r}: {component!r} is not a subclass of {base.__name__}")
        # Python refuses to build an abstract class too, but only when a recipe is assembled.
        if inspect.isabstract(component):
            missing = ", ".join(sorted(getattr(component, "__abstractmethods__", ())))
            raise PluginError(f"{self.kind} {name!r}: {component.__qualname__} does not define {missing}")

    def _refuse_config(self, name: str, component: type[Component]) -> None:
        """Raise PluginError unless the nested `Config` derives from the kind's, and leaves the recipe's own keys free."""
        config, base = getattr(component, "Config", None), self.spec.config_class
        if not (inspect.isclass(config) and issubclass(config, base)):
            raise PluginError(f"{self.kind} {name!r}: {component.__qualname__} has no nested Config({base.__name__})")
        if taken := sorted(set(self.spec.keys) & set(config.model_fields)):
            raise PluginError(f"{config.__qualname__}.{taken[0]}: the recipe uses this key itself; take another name")

    def _refuse_values(self, name: str, component: type[Component]) -> None:
        """Raise PluginError for a class attribute whose value is none of those that the kit knows."""
        for attribute, allowed in _ALLOWED.items():
            # Only the base that declares an attribute is checked: `strand` of a loss may be anything.
            if attribute not in inspect.get_annotations(self.spec.base_class):
                continue
            value = getattr(component, attribute, None)
            if value not in allowed:
                known, shown = ", ".join(allowed), "nothing" if value is None else repr(value)
                raise PluginError(
                    f"{self.kind} {name!r}: {component.__qualname__}.{attribute} must be one of {known} (got {shown})"
                )

    def __getitem__(self, name: str) -> type[Component]:
        """Return the class. Raise UnknownComponent with the nearest name, or ComponentClash where two plugins register it."""
        if name not in self._entries:
            known = ", ".join(self) or "none"
            raise UnknownComponent(f"no {self.kind} is called {name!r}{nearest(name, self)} (known: {known})")
        claims = self._entries[name]
        if len(claims) > 1:
            owners = " and ".join(str(owner) for _, owner in claims)
            # The last owner is the one to leave out. It is never the kit itself, whose components are loaded first.
            last, others = claims[-1][1], [owner.plugin for _, owner in claims[:-1]]
            # Plugins of two distributions may have one name; --without must then name the distribution.
            out = last.distribution if last.plugin in others else last.plugin
            raise ComponentClash(f"{self.kind} {name!r} is claimed by {owners}; leave one out with --without {out}")
        return claims[0][0]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in alphabetical order."""
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._entries)

    def owners(self, name: str) -> tuple[PluginSource, ...]:
        """Return every plugin that registers the name."""
        return tuple(owner for _, owner in self._entries[name])

    def drop(self, owner: PluginSource) -> None:
        """Remove what a plugin registered before it failed."""
        for name, claims in list(self._entries.items()):
            self._entries[name] = [claim for claim in claims if claim[1] != owner]
            if not self._entries[name]:
                del self._entries[name]


class Components:
    """The registries, one for each kind of the table: `components.losses`, `components.encoders` and so on."""

    encoders: Registry[Encoder]
    augmentations: Registry[Augmentation]
    maskings: Registry[Masking]
    losses: Registry[Loss]
    teacher_updates: Registry[TeacherUpdate]
    optimizers: Registry[Optimizer]
    schedules: Registry[Schedule]

    def __init__(self, kinds: Sequence[Kind] = KINDS) -> None:
        self.kinds = tuple(kinds)
        self._registries: dict[str, Registry[Any]] = {kind.name: Registry(kind) for kind in self.kinds}
        # The attributes above are declared for type checkers; the table is what creates them.
        for kind in self.kinds:
            setattr(self, kind.plural, self._registries[kind.name])

    def of(self, kind: Kind | str) -> Registry[Any]:
        """Return the registry of a kind, given the kind or its name. Raise KeyError where there is none."""
        return self._registries[kind if isinstance(kind, str) else kind.name]

    def registries(self) -> tuple[Registry[Any], ...]:
        """Return every registry, in the order of the table."""
        return tuple(self._registries.values())

    @contextmanager
    def registering(self, owner: PluginSource) -> Iterator[None]:
        """Set `owner` as the source of what is added inside the block; remove all of it if the block raises."""
        for registry in self.registries():
            registry._owner = owner
        try:
            yield
        # BaseException, since a plugin may also exit: what it had registered until then must not stay.
        except BaseException:
            for registry in self.registries():
                registry.drop(owner)
            raise
        finally:
            for registry in self.registries():
                registry._owner = None
