"""A component as a recipe chooses it: its name looked up in the registry, its parameters read by its own `Config`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from findna_kit.components.interfaces import RESERVED
from findna_kit.errors import ComponentClash, UnknownComponent
from findna_kit.model.reverse_complement import RC
from findna_kit.recipe.error_messages import SAID, Issue, explain, unknown_key
from findna_kit.recipe.yaml_nodes import display_value
from findna_kit.schedules import Schedule, ScheduleValue, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import GetCoreSchemaHandler

    from findna_kit.components.interfaces import ComponentConfig
    from findna_kit.plugins.registry import Components, Registry

_DEFAULT_WEIGHT = 1.0
WEIGHT: TypeAdapter[Any] = TypeAdapter(
    Annotated[Schedule, within(0), Field(_DEFAULT_WEIGHT, description="multiplies the term in the objective")]
)


@dataclass(frozen=True)
class ValidationContext:
    """What validation needs beside the document: pass it as pydantic's `context`."""

    components: Components
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComponentSpec:
    """A component that the recipe names, with its parameters read.

    weight: of a loss, a Schedule; elsewhere None. rc: of an encoder, how it reads both strands; elsewhere None.
    """

    name: str
    component: type[Any]
    config: ComponentConfig
    weight: Any = None
    rc: RC | None = None

    def plain(self) -> dict[str, Any]:
        """As a recipe states it, every default filled in."""
        weight = {} if self.weight is None else {"weight": WEIGHT.dump_python(self.weight)}
        rc = {} if self.rc is None else {"rc": self.rc}
        return {"name": self.name, **weight, **rc, **self.config.model_dump(mode="json")}


@dataclass(frozen=True)
class ComponentField:
    """Marks a `ComponentSpec` field with the registry, an attribute of Components, that its name is looked up in."""

    registry: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """A function that reads and one that writes."""
        write = core_schema.plain_serializer_function_ser_schema(ComponentSpec.plain)
        return core_schema.with_info_plain_validator_function(self.read, serialization=write)

    def read(self, value: Any, info: ValidationInfo) -> ComponentSpec:
        """`{name: ..., params}`, or the name alone. Raises ValidationError with all that is wrong."""
        registry: Registry[Any] = getattr(cast("ValidationContext", info.context).components, self.registry)
        if not isinstance(value, (str, dict)):
            wanted = f"the name of a component, or a map with name and parameters, is wanted (got {display_value(value)})"
            raise refusal_of(registry.kind, [Issue((), wanted)], value)
        stated = {"name": value} if isinstance(value, str) else dict(value)
        said: list[Issue] = []
        component = _component(registry, stated, said)
        weight = self._weight(stated, said)
        rc = self._rc(stated, component, said)
        parameters = {key: one for key, one in stated.items() if key not in RESERVED}
        config = None if component is None else self._config(component, parameters, said)
        if component is None or config is None or said:
            raise refusal_of(registry.kind, said, value)
        return ComponentSpec(stated["name"], component, config, weight, rc)

    def _weight(self, stated: dict[str, Any], said: list[Issue]) -> Any:
        if self.registry != "losses":
            if "weight" in stated:
                said.append(Issue(("weight",), "only a loss has a weight; leave it out", at_key=True))
            return None
        try:
            return WEIGHT.validate_json(json.dumps(stated.get("weight", _DEFAULT_WEIGHT)), strict=True)
        except ValidationError as error:
            inside = explain(error, ScheduleValue, stated["weight"])
            said += [Issue(("weight", *one.path), one.message, one.at_key) for one in inside]
            return None

    def _rc(self, stated: dict[str, Any], component: type[Any] | None, said: list[Issue]) -> RC | None:
        if self.registry != "encoders":
            if "rc" in stated:
                said.append(Issue(("rc",), "only an encoder has rc; leave it out", at_key=True))
            return None
        rc = stated.get("rc", "none")
        if rc not in get_args(RC):
            said.append(Issue(("rc",), f"none, average or equivariant is wanted (got {display_value(rc)})"))
            return None
        if rc != "none" and component is not None and component.strand != "none":
            said.append(Issue(("rc",), f"{stated['name']} is strand-{component.strand} by itself; leave rc out"))
        return cast("RC", rc)

    @property
    def own_keys(self) -> list[str]:
        """Keys beside the parameters that a component of the kind may have."""
        return ["name", *{"losses": ["weight"], "encoders": ["rc"]}.get(self.registry, [])]

    def _config(self, component: type[Any], parameters: dict[str, Any], said: list[Issue]) -> ComponentConfig | None:
        known = [*self.own_keys, *component.Config.model_fields]
        unknown = [key for key in parameters if key not in known]
        said += [Issue((key,), unknown_key(key, known), at_key=True) for key in unknown]
        rest = {key: value for key, value in parameters.items() if key not in unknown}
        try:
            config: ComponentConfig = component.Config.model_validate_json(json.dumps(rest), strict=True)
        except ValidationError as error:
            said += explain(error, component.Config, rest)
            return None
        return config


def _component(registry: Registry[Any], stated: dict[str, Any], said: list[Issue]) -> type[Any] | None:
    if "name" not in stated:
        said.append(Issue(("name",), f"missing; it is required (known: {', '.join(registry) or 'none'})"))
        return None
    if not isinstance(stated["name"], str):
        said.append(Issue(("name",), f"the name of one {registry.kind} is wanted (got {display_value(stated['name'])})"))
        return None
    try:
        return registry[stated["name"]]
    except (UnknownComponent, ComponentClash) as error:
        said.append(Issue(("name",), str(error), unknown=isinstance(error, UnknownComponent)))
        return None


def refusal_of(title: str, said: Sequence[Issue], value: Any) -> ValidationError:
    """All that is wrong with a value, to be raised in a validator."""
    # A name alone has no keys of its own: what is wrong with them is said of the name.
    flat = isinstance(value, str)
    lines = []
    for one in said:
        named = flat and one.path not in ((), ("name",))
        message = f"{'.'.join(map(str, one.path))}: {one.message}" if named else one.message
        whole = replace(one, message=message, at_key=one.at_key and not flat)
        kind = PydanticCustomError(SAID, "see said", {"said": whole})
        lines.append(InitErrorDetails(type=kind, loc=() if flat else one.path, input=value))
    return ValidationError.from_exception_data(title, lines)
