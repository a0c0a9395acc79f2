"""The JSON Schema of a value that may be any of several schedules, and of the bounds of such a value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.json_schema import JsonSchemaValue

    from findna_kit.schedules.config import ScheduleConfig


def schedule_schema(parameters: Mapping[str, JsonSchemaValue]) -> JsonSchemaValue:
    """Return the JSON Schema of a number or of a schedule in either of its two forms.

    parameters: by name of the schedule, the schema of its parameters, with a description.
    """
    closed = {"type": "object", "additionalProperties": False}
    forms: list[JsonSchemaValue] = [{"type": "number"}]
    for name, schema in parameters.items():
        properties, required = schema.get("properties", {}), schema.get("required", [])
        below = {**closed, "description": schema["description"], "properties": properties, "required": required}
        forms.append({**closed, "properties": {name: below}, "required": [name]})
        forms.append({**closed, "properties": {"name": {"const": name}, **properties}, "required": ["name", *required]})
    return {"description": "A number, or a schedule by its name.", "anyOf": forms}


def bounds_schema(low: float, high: float, configs: Mapping[str, type[ScheduleConfig]]) -> JsonSchemaValue:
    """Return the JSON Schema of bounds on a number, and on the levels of every schedule in either of its two forms."""
    bounds = {key: value for key, value in {"minimum": low, "maximum": high}.items() if math.isfinite(value)}
    # A delay and a warm-up begin at 0, and are refused where 0 is out of bounds.
    shares = {} if low <= 0 <= high else {"warmup": {"maximum": 0}, "delay": {"maximum": 0}}
    forms = {name: {"properties": {**dict.fromkeys(config.levels(), bounds), **shares}} for name, config in configs.items()}
    # In the form `{name: ..., start: ...}` a parameter is bounded if it is a level of every schedule that has it.
    names = dict.fromkeys(name for config in configs.values() for name in config.levels())
    levels = [name for name in names if all(name in c.levels() for c in configs.values() if name in c.model_fields)]
    return {**bounds, "properties": {**dict.fromkeys(levels, bounds), **shares, **forms}}
