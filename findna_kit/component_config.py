"""The base of every component's `Config`: a frozen pydantic model in which each parameter is declared and described once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from findna_kit.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence

RESERVED = ("name", "weight", "rc")
"""Keys that no component may use as a parameter: the recipe itself gives them a meaning."""

Examples = tuple[Mapping[str, Any], ...]
"""Parameters of small instances of a component, written as in a recipe. The conformance checks build these."""


@dataclass(frozen=True)
class _IsPath:
    """Marker of a `Config` field that holds a path."""


RecipePath = Annotated[str, Field(min_length=1), _IsPath()]
"""Type of a field that names a file or folder.

The path is relative to the file that states it, saved as an absolute path, and checked before a run begins. A component must
open the file on first use, not in its constructor: a finished run is assembled again wherever it is loaded.
"""


class ComponentConfig(BaseModel):
    """The parameters of a component: frozen, every field described, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Raise PluginError for a reserved or an undescribed field as soon as the class is defined."""
        # Not __init_subclass__: Python calls that one before pydantic has collected the fields.
        super().__pydantic_init_subclass__(**kwargs)
        for name, info in cls.model_fields.items():
            # Checked when the class is defined, so that its author sees it, and not the first user of a recipe.
            if name in RESERVED:
                raise PluginError(f"{cls.__qualname__}.{name}: the recipe uses this key itself; take another name")
            if not info.description:
                raise PluginError(f"{cls.__qualname__}.{name}: has no description; write Field(..., description=...)")
            # `paths` returns names of fields with one path each: a path in a list would be neither made absolute nor checked.
            if _contains_path(info.annotation) and not _is_path(info.annotation, info.metadata):
                raise PluginError(
                    f"{cls.__qualname__}.{name}: the type must be RecipePath or RecipePath | None; use one field per file"
                )

    @classmethod
    def paths(cls) -> tuple[str, ...]:
        """Return the names of the fields whose type is RecipePath, or RecipePath or None."""
        return tuple(name for name, info in cls.model_fields.items() if _is_path(info.annotation, info.metadata))


def _is_path(annotation: Any, metadata: Sequence[Any]) -> bool:
    # pydantic moves the marks of a plain RecipePath into the field's metadata, and leaves those inside `RecipePath | None`.
    if any(isinstance(mark, _IsPath) for mark in metadata):
        return True
    options = get_args(annotation)
    return type(None) in options and any(isinstance(mark, _IsPath) for option in options for mark in get_args(option))


def _contains_path(annotation: Any) -> bool:
    return any(isinstance(option, _IsPath) or _contains_path(option) for option in get_args(annotation))
