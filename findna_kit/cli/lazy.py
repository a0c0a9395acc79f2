"""Modules of the kit that a command imports when it starts its work, not when its options are read.

`findna-kit COMMAND --help` and shell completion import the module of the command. Most commands need torch, whose import takes
about two seconds. A command module therefore states what it needs at its top, for the type checker and for import-linter, and
binds the same names to lazy modules at run time:

    if TYPE_CHECKING:
        from findna_kit import runs
    else:
        runs = LazyModule("findna_kit.runs")

This is what `lazy import` (PEP 810) does from Python 3.15 on.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """A stand-in for a module, which is imported when one of its attributes is first read."""

    def __getattr__(self, attribute: str) -> Any:
        """Import the module if necessary and return its attribute."""
        # Python keeps imported modules, so that only the first attribute costs an import.
        return getattr(import_module(self.__name__), attribute)
