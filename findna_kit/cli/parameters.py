"""Descriptions of a component's parameters, read from its `Config`, for `findna-kit components` and the reference pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from findna_kit.components.interfaces import ComponentConfig

_SIGNS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_SCHEDULE = "#/$defs/Schedule"


def parameters(config: type[ComponentConfig]) -> list[dict[str, str]]:
    """Return a record of each field in order: name, type with bounds, default and meaning.

    The default of a field without one is `required`. Values are text.
    """
    schema = config.model_json_schema(mode="serialization")
    # `model_construct` skips validation, so it builds a config whose required fields are missing.
    defaults = config.model_construct().model_dump(mode="json", warnings=False)
    rows = []
    for name, info in config.model_fields.items():
        kind = _kind(schema["properties"][name], schema.get("$defs", {}))
        # A path is a string to JSON Schema; the reader should know that a file is expected.
        if name in config.paths():
            kind = kind.replace("string", "path")
        default = "required" if info.is_required() else json.dumps(defaults[name])
        rows.append({"name": name, "type": kind, "default": default, "meaning": info.description or ""})
    return rows


def _kind(schema: dict[str, Any], named: dict[str, Any]) -> str:
    """Return the type that a JSON Schema describes, in words such as `list of integer >= 1`; `named` holds its definitions."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " | ".join(_kind(part, named) for part in schema["anyOf"])
    if "allOf" in schema:  # a schedule and the bounds of its values
        first, *bounds = schema["allOf"]
        return " ".join([_kind(first, named), *filter(None, map(_bounds, bounds))])
    if "$ref" in schema:
        return "schedule" if schema["$ref"] == _SCHEDULE else _kind(named[schema["$ref"].rpartition("/")[2]], named)
    kind = str(schema.get("type", "anything"))
    if kind == "array" and isinstance(schema.get("items"), dict):
        kind = f"list of {_kind(schema['items'], named)}"
    return f"{kind} {_bounds(schema)}".strip()


def _bounds(schema: dict[str, Any]) -> str:
    """Return the bounds of a number, such as `>= 0, < 1`."""
    return ", ".join(f"{sign} {schema[key]:g}" for key, sign in _SIGNS.items() if key in schema)
