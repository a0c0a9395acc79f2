"""Packages that only some commands need: asked for where the command begins, not where it would fail."""

from __future__ import annotations

from importlib.util import find_spec

from findna_kit.errors import FindnaError


def need(module: str, extra: str, what: str) -> None:
    """FindnaError that names the extra where `module` is not installed; `what` needs it."""
    if find_spec(module) is None:
        raise FindnaError(f"{what} needs {module}, which is not installed: pip install 'findna-kit[{extra}]'")
