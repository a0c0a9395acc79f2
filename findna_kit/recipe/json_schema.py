"""The JSON Schema of a recipe, for editors: made of the models and of every registered component's Config.

Draft 7: every release of the YAML language server, which editors use, checks by it; later drafts are known since 2025 only.
What depends on several keys at once, or on files, `load_recipe` alone knows.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from findna_kit.errors import ComponentClash
from findna_kit.model.reverse_complement import RC
from findna_kit.recipe.component_spec import WEIGHT, ComponentField
from findna_kit.recipe.schema import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

    from findna_kit.plugins.registry import Components, Registry

_DEFINITIONS = "#/definitions/"
_OVER = "_over_a_base"
_WHOLE_ONLY = {"required", "default", "minProperties", "not"}
"""What holds of a whole document, and of a piece that a base completes does not."""
_BASE = {"type": "string", "minLength": 1, "description": "the path, or shipped name, of the recipe that this one lies over"}


def recipe_schema(components: Components) -> dict[str, Any]:
    """Accepts a whole recipe or, where `base` is stated, any piece of one, with a null for each key to be dropped.

    Deterministic for given components. A name that two plugins claim is no component, as in `load_recipe`.
    """
    whole = _Generator(components).generate(TypeAdapter(Recipe).core_schema)
    definitions = whole.pop("$defs", {})
    over = _over(whole)
    definitions |= {name + _OVER: _over(schema) for name, schema in definitions.items()}
    for document in (whole, over):
        del document["description"]  # of what is read, not of what is written
        document["properties"] = {"base": _BASE, **document["properties"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "FinDNA-Kit recipe",
        "if": {"required": ["base"]},
        "then": over,
        "else": whole,
        "definitions": definitions,
    }


def _over(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What may be laid over a value of `schema`: maps merge, so any part of one; lists and scalars replace, so all of one."""
    made: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties"):
            made[keyword] = {key: _or_null(_over(below)) for key, below in value.items()}
        elif keyword == "additionalProperties" and isinstance(value, dict):
            made[keyword] = _or_null(_over(value))
        elif keyword in ("anyOf", "oneOf", "allOf"):
            made[keyword] = [_over(part) for part in value]
        elif keyword == "$ref":
            made[keyword] = value + _OVER
        elif keyword not in _WHOLE_ONLY:
            made[keyword] = value
    return made


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    null = {"type": "null"}
    if null in schema.get("anyOf", []):
        return schema
    description = {"description": schema.pop("description")} if "description" in schema else {}
    return {**description, "anyOf": [schema, null]}


class _Generator(GenerateJsonSchema):
    """pydantic's, with the registered components where a recipe names one, and in draft 7's words."""

    def __init__(self, components: Components) -> None:
        super().__init__(ref_template=_DEFINITIONS + "{model}")
        self._components = components

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        """A `Chosen`: the name of a component, or a map with its name and parameters."""
        kind = getattr(schema["function"]["function"], "__self__", None)
        if not isinstance(kind, ComponentField):
            return super().function_plain_schema(schema)
        own = {"losses": {"weight": self.generate_inner(WEIGHT.core_schema)}, "encoders": {"rc": {"enum": list(get_args(RC))}}}
        return self._choice(getattr(self._components, kind.registry), own.get(kind.registry, {}))

    def _choice(self, registry: Registry[Any], own: JsonSchemaValue) -> JsonSchemaValue:
        maps = {}
        for name in registry:
            try:
                maps[name] = self._map(name, registry[name], own)
            except ComponentClash:
                continue
        alone: JsonSchemaValue = {"enum": list(maps)}
        lacking = [name for name, schema in maps.items() if schema["required"] != ["name"]]
        if lacking:
            alone["not"] = {"enum": lacking}  # its parameters have no defaults
        return {"anyOf": [alone, *maps.values()]}

    def _map(self, name: str, component: type[Any], own: JsonSchemaValue) -> JsonSchemaValue:
        parameters = self.resolve_ref_schema(self.generate_inner(TypeAdapter(component.Config).core_schema))
        does = {"description": inspect.cleandoc(component.__doc__)} if component.__doc__ else {}
        return {
            "type": "object",
            "properties": {"name": {"const": name, **does}, **own, **parameters.get("properties", {})},
            "required": ["name", *parameters.get("required", [])],
            "additionalProperties": False,
        }

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        """A parameter that a plugin reads in a way of its own may be anything here; `load_recipe` has the last word."""
        return {}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """With the defaults that are made, too."""
        if "default_factory" in schema and not schema.get("default_factory_takes_data"):
            schema = {**schema, "default": schema["default_factory"]()}  # type: ignore[call-arg]
        return super().default_schema(schema)

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Keys that do not match their pattern are refused, where pydantic would let them be anything."""
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """Draft 7 calls `prefixItems` items, and what comes after them additionalItems."""
        made = super().tuple_schema(schema)
        if "prefixItems" in made:
            further = {"additionalItems": made["items"]} if "items" in made else {}
            made |= {"items": made.pop("prefixItems"), **further}
        return made

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Without the class's name, which no recipe says."""
        made = super().model_schema(schema)
        made.pop("title")
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A key is its own title."""
        return False
