"""Components that a notebook or an interactive Python session registered: they exist in this process alone."""

from __future__ import annotations

import ast
import inspect
import linecache
from dataclasses import dataclass
from hashlib import sha256
from textwrap import dedent
from types import FunctionType
from typing import TYPE_CHECKING, Any

from findna_kit.errors import PluginError
from findna_kit.plugins.entry_points import SESSION, PluginSource
from findna_kit.plugins.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from findna_kit.plugins.kinds import Kind


@dataclass(frozen=True)
class SessionComponent:
    """A component of this session. owner: its version is the digest of the class's source."""

    kind: Kind
    name: str
    component: type[Any]
    owner: PluginSource


_registered: dict[tuple[str, str], SessionComponent] = {}
"""By kind and name. Like the installed plugins, these belong to the process, so that `run`, `load` and `Run` all know them."""


def keep(component: SessionComponent) -> None:
    """Add a component for the rest of the session, in place of one of the same kind and name."""
    _registered[component.kind.name, component.name] = component


def session_components(without: Collection[str] = ()) -> list[SessionComponent]:
    """Return the components of this session; none if `without` names `session`."""
    return [] if SESSION in without else list(_registered.values())


def describe(name: str, component: type[Any]) -> SessionComponent:
    """Return the component with its kind and the digest of its source. Raise PluginError where one cannot be told."""
    kind = next((kind for kind in KINDS if inspect.isclass(component) and issubclass(component, kind.base_class)), None)
    if kind is None:
        bases = ", ".join(kind.base_class.__name__ for kind in KINDS)
        raise PluginError(f"{name!r}: {component!r} is not a component; derive a class from one of {bases}")
    digest = sha256(source_of(component).encode()).hexdigest()
    return SessionComponent(kind, name, component, PluginSource(SESSION, SESSION, f"sha256:{digest[:32]}"))


def source_of(component: type[Any]) -> str:
    """Return the source of a class, also of one in a cell. Raise PluginError where it is not known, as after `exec`."""
    # inspect cannot find a class of a cell before Python 3.13, since `__main__` has no file. Its methods know their cell.
    for function in map(_function, vars(component).values()):
        if function is not None and function.__qualname__.startswith(f"{component.__qualname__}."):
            lines = linecache.getlines(function.__code__.co_filename)
            if (source := _class_at(lines, component.__name__, function.__code__.co_firstlineno)) is not None:
                return source
    try:
        return dedent(inspect.getsource(component)).strip()
    except (OSError, TypeError) as error:
        raise PluginError(
            f"{component.__qualname__}: its source cannot be read, and a run must record it; write the class, with at least "
            "one method, in a cell of a notebook or in a file"
        ) from error


def _function(value: object) -> FunctionType | None:
    """Return the function below a method, property, class method or static method; None for anything else."""
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, (classmethod, staticmethod)):
        value = value.__func__
    return value if isinstance(value, FunctionType) else None


def _class_at(lines: list[str], name: str, line: int) -> str | None:
    """Return the lines of the innermost class of that name around a line; None where there is none."""
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:  # the file has changed since it was imported
        return None
    around = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == name and node.lineno <= line <= (node.end_lineno or 0)
    ]  # fmt: skip
    if not around:
        return None
    innermost = max(around, key=lambda node: node.lineno)
    first = min([innermost.lineno, *(decorator.lineno for decorator in innermost.decorator_list)])
    return dedent("".join(lines[first - 1 : innermost.end_lineno])).strip()
