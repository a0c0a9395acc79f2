"""The JSON Schema of a recipe, for editors, built from the models and from the Config of every registered component.

It is draft 7, which every release of the YAML language server supports; later drafts are supported since 2025 only. Rules
that depend on several keys, or on files, are checked by `load_recipe` alone.
"""

from __future__ import annotations

import inspect
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from findna_kit.errors import ComponentClash
from findna_kit.recipe.component_spec import ComponentField, ValidationContext, read_component
from findna_kit.recipe.extra_keys import keys_of
from findna_kit.recipe.schema import recipe_model
from findna_kit.schedules import bounds_schema, schedule_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

    from findna_kit.plugins.kinds import Kind
    from findna_kit.plugins.registry import Components, Registry

_DEFINITIONS = "#/definitions/"
_OVER = "_over_a_base"
_SCHEDULE = "Schedule"
"""Name of the definition that pydantic makes of the type."""
_WHOLE_ONLY = {"required", "default", "minProperties", "not"}
"""Keywords that apply to a whole document only, and not to a part that a base completes."""
_BASE = {"type": "string", "minLength": 1, "description": "the path, or shipped name, of the recipe that this one lies over"}


def recipe_schema(components: Components) -> JsonSchemaValue:
    """Return a schema that accepts a whole recipe or, where `base` is stated, any part of one, with null for keys to drop.

    It is a function of the components alone. A name that two plugins register is no component, as in `load_recipe`.
    """
    whole = _Generator(components).generate(TypeAdapter(recipe_model(components.kinds)).core_schema)
    definitions = whole.pop("$defs", {})
    _put_schedules(whole, definitions, components)
    over = _over(whole)
    # Every definition twice: as a whole, and as a part that is laid over a base.
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


def _put_schedules(whole: JsonSchemaValue, definitions: JsonSchemaValue, components: Components) -> None:
    """Put every registered schedule where the models, which know no registry, list only the kit's own shapes."""
    shapes = {name: shape for name, shape in _unambiguous(components.schedules)}
    definitions[_SCHEDULE] = schedule_schema({name: shape.parameters_schema() for name, shape in shapes.items()})
    configs = {name: shape.Config for name, shape in shapes.items()}
    # A list first, because the loop changes what the iteration goes through.
    for parts in list(_bounded_in([whole, definitions])):
        low, high = parts[1].get("minimum", -math.inf), parts[1].get("maximum", math.inf)
        # One definition for each pair of bounds: written out at every field, they would double the size of the schema.
        name = f"{_SCHEDULE}_from_{low:g}_to_{high:g}"
        definitions[name] = {"allOf": [parts[0], bounds_schema(low, high, configs)]}
        parts[:] = [{"$ref": _DEFINITIONS + name}]


def _bounded_in(schema: Any) -> Iterator[list[Any]]:
    """Iterate over the `allOf` of every field that takes a schedule within bounds: a reference to it, and the bounds."""
    if isinstance(schema, dict):
        parts = schema.get("allOf")
        if isinstance(parts, list) and len(parts) > 1 and parts[0] == {"$ref": _DEFINITIONS + _SCHEDULE}:
            yield parts
    if isinstance(schema, (dict, list)):
        for below in schema.values() if isinstance(schema, dict) else schema:
            yield from _bounded_in(below)


def _unambiguous(registry: Registry[Any]) -> Iterator[tuple[str, type[Any]]]:
    """Iterate over the components of a registry, without names that two plugins register."""
    for name in registry:
        with suppress(ComponentClash):
            yield name, registry[name]


def _over(schema: Mapping[str, Any]) -> JsonSchemaValue:
    """Return the schema of what may be laid over a value: any part of a map, since maps merge; all of a list or a scalar."""
    made: JsonSchemaValue = {}
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


def _or_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    null = {"type": "null"}
    if null in schema.get("anyOf", []):
        return schema
    description = {"description": schema.pop("description")} if "description" in schema else {}
    return {**description, "anyOf": [schema, null]}


def _field_of(schema: Any) -> ComponentField | None:
    """Return the marker of a core schema that reads a component, or None for any other schema."""
    function = schema.get("function", {}).get("function") if schema.get("type") == "function-plain" else None
    field = getattr(function, "__self__", None)
    return field if isinstance(field, ComponentField) else None


class _Generator(GenerateJsonSchema):
    """pydantic's generator, with the registered components where a recipe names one, in the vocabulary of draft 7."""

    def __init__(self, components: Components) -> None:
        super().__init__(ref_template=_DEFINITIONS + "{model}")
        self._components = components

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        """Return the schema of a `ComponentSpec`: the name of a component, or a map with its name and parameters."""
        field = _field_of(schema)
        if field is None:
            return super().function_plain_schema(schema)
        registry = self._components.of(field.kind)
        maps = {name: self._map(name, component, registry.spec) for name, component in _unambiguous(registry)}
        alone: JsonSchemaValue = {"enum": list(maps)}
        lacking = [name for name, map_ in maps.items() if set(map_["required"]) - {"name"}]
        if lacking:
            alone["not"] = {"enum": lacking}  # it has parameters without a default
        return {"anyOf": [alone, *maps.values()]}

    def _map(self, name: str, component: type[Any], kind: Kind) -> JsonSchemaValue:
        # Defined here once for each component: a schema of "any key of the kind" would accept unknown parameters.
        extras = {key.name: self.generate_inner(key.adapter.core_schema) for key in keys_of(kind)}
        parameters = self.resolve_ref_schema(self.generate_inner(TypeAdapter(component.Config).core_schema))
        does = {"description": inspect.cleandoc(component.__doc__)} if component.__doc__ else {}
        return {
            "type": "object",
            "properties": {"name": {"const": name, **does}, **extras, **parameters.get("properties", {})},
            # A map without a name states parameters of the default component.
            "required": [*([] if name == kind.default else ["name"]), *parameters.get("required", [])],
            "additionalProperties": False,
        }

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        """Accept anything for a parameter with a validator of its own, which JSON Schema cannot express."""
        return {}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Include defaults that are computed; the default of a component is shown with all its parameters."""
        field = _field_of(schema["schema"])
        if field is not None and "default_factory" in schema:
            # The factory of such a field gives an empty map; its parameters come from the registry.
            spec = read_component(field.kind, {}, ValidationContext(self._components))
            return {**self.generate_inner(schema["schema"]), "default": spec.plain()}
        if "default_factory" in schema and not schema.get("default_factory_takes_data"):
            schema = {**schema, "default": schema["default_factory"]()}  # type: ignore[call-arg]
        return super().default_schema(schema)

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Refuse keys that do not match their pattern, where pydantic's schema would accept any."""
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """Rename keywords: draft 7 has `items` for `prefixItems`, and `additionalItems` for the items after them."""
        made = super().tuple_schema(schema)
        if "prefixItems" in made:
            further = {"additionalItems": made["items"]} if "items" in made else {}
            made |= {"items": made.pop("prefixItems"), **further}
        return made

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Leave out the name of the class, which no recipe contains."""
        made = super().model_schema(schema)
        made.pop("title")
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: a key is title enough."""
        return False
