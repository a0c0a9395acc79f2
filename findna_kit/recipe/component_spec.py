"""A component as a recipe names it: the name is looked up in the registry, the parameters are read by its own `Config`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from findna_kit.errors import ComponentClash, UnknownComponent
from findna_kit.recipe.error_messages import ISSUE, Issue, explain, unknown_key
from findna_kit.recipe.extra_keys import keys_of, refuse_foreign
from findna_kit.recipe.yaml_nodes import display_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import GetCoreSchemaHandler

    from findna_kit.component_config import ComponentConfig
    from findna_kit.model.reverse_complement import RC
    from findna_kit.plugins.kinds import Kind
    from findna_kit.plugins.registry import Components, Registry
    from findna_kit.recipe.extra_keys import ExtraKey
    from findna_kit.schedules import Schedule


@dataclass(frozen=True)
class ValidationContext:
    """What validation needs beside the document; it is passed as pydantic's `context`."""

    components: Components
    notes: tuple[str, ...] = ()

    @property
    def schedules(self) -> Mapping[str, type[Schedule]]:
        """Return the registered schedules; the type `Schedule` looks names up here."""
        return self.components.schedules


@dataclass(frozen=True)
class ComponentSpec:
    """A component that the recipe names, with its parameters read. extras: the values of the kind's extra keys."""

    name: str
    component: type[Any]
    config: ComponentConfig
    kind: Kind
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weight(self) -> Schedule:
        """Return the schedule that multiplies the term of a loss; None for other kinds."""
        return cast("Schedule", self.extras.get("weight"))

    @property
    def rc(self) -> RC:
        """Return how an encoder reads both strands; None for other kinds."""
        return cast("RC", self.extras.get("rc"))

    @property
    def clip_norm(self) -> float | None:
        """Return the largest norm of the gradient that an optimizer gets; None: no limit, or another kind."""
        return cast("float | None", self.extras.get("clip_norm"))

    def plain(self) -> dict[str, Any]:
        """Return the component as a recipe states it, with every default filled in."""
        keys = keys_of(self.kind)
        first = {key.name: key.plain(self.extras[key.name]) for key in keys if not key.last}
        last = {key.name: key.plain(self.extras[key.name]) for key in keys if key.last}
        return {"name": self.name, **first, **self.config.model_dump(mode="json"), **last}


@dataclass(frozen=True)
class ComponentField:
    """Marks a `ComponentSpec` field of the schema with the kind, by name, whose registry its name is looked up in."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Return a schema of two functions: `read`, and `ComponentSpec.plain` for writing."""
        write = core_schema.plain_serializer_function_ser_schema(ComponentSpec.plain)
        return core_schema.with_info_plain_validator_function(self.read, serialization=write)

    def read(self, value: Any, info: ValidationInfo) -> ComponentSpec:
        """Read `{name: ..., parameters}` or the name alone. Raise ValidationError with every issue."""
        return read_component(self.kind, value, cast("ValidationContext", info.context))


def read_component(kind: str, value: Any, context: ValidationContext) -> ComponentSpec:
    """Return the component of that kind which `value` states. Raise ValidationError with every issue."""
    registry = context.components.of(kind)
    if not isinstance(value, (str, dict)):
        # A null removes a key that a base or the recipe states. Here the key, perhaps misspelt, is stated nowhere else.
        hint = "; null removes only a key that the recipe has" if value is None else ""
        message = f"expected the name of a component, or a map with name and parameters (got {display_value(value)}{hint})"
        raise refusal_of(kind, [Issue((), message)], value)
    stated = {"name": value} if isinstance(value, str) else dict(value)
    # The parameters of the default component may be stated without its name: `optimizer: {learning_rate: 0.01}`.
    if registry.spec.default is not None:
        stated.setdefault("name", registry.spec.default)
    # An unknown component does not end the reading: its extra keys are checked all the same, to report every issue at once.
    issues: list[Issue] = []
    component = _component(registry, stated, issues)
    fields = [] if component is None else list(component.Config.model_fields)
    issues += refuse_foreign(registry.spec, context.components.kinds, stated, fields)
    extras = _extras(keys_of(registry.spec), stated, component, context, issues)
    config = None if component is None else _config(registry.spec, component, stated, context, issues)
    if component is None or config is None or issues:
        raise refusal_of(kind, issues, value)
    return ComponentSpec(stated["name"], component, config, registry.spec, extras)


def _extras(
    keys: Sequence[ExtraKey], stated: Mapping[str, Any], component: type[Any] | None, context: Any, issues: list[Issue]
) -> dict[str, Any]:
    """Return the values of the extra keys; add to `issues` what is wrong with them."""
    extras = {}
    for key in keys:
        extras[key.name] = key.read(stated, context, issues)
        if component is not None and (reason := key.conflict(stated["name"], component, extras[key.name])):
            issues.append(Issue((key.name,), reason))
    return extras


def _config(
    kind: Kind, component: type[Any], stated: Mapping[str, Any], context: Any, issues: list[Issue]
) -> ComponentConfig | None:
    """Return the parameters read by the component's Config, or None; add to `issues` what is wrong with them."""
    keys = keys_of(kind)
    parameters = list(component.Config.model_fields)
    known = ["name", *(key.name for key in keys if not key.last), *parameters, *(key.name for key in keys if key.last)]
    # A key of another kind, such as `weight` outside of a loss, has a message of its own already.
    reported = {issue.path[0] for issue in issues if issue.path}
    unknown = [key for key in stated if key not in known]
    issues += [Issue((key,), unknown_key(key, known), at_key=True) for key in unknown if key not in reported]
    # Unknown keys have their message already; the Config, which forbids them, would report them a second time.
    rest = {key: item for key, item in stated.items() if key in parameters}
    # As JSON in strict mode: what YAML can say, without conversions such as "1" to 1.
    try:
        config: ComponentConfig = component.Config.model_validate_json(json.dumps(rest), strict=True, context=context)
    except ValidationError as error:
        issues += explain(error, component.Config, rest)
        return None
    return config


def _component(registry: Registry[Any], stated: Mapping[str, Any], issues: list[Issue]) -> type[Any] | None:
    """Return the registered class, or None; add to `issues` why there is none."""
    if "name" not in stated:
        issues.append(Issue(("name",), f"missing; it is required (known: {', '.join(registry) or 'none'})"))
        return None
    if not isinstance(stated["name"], str):
        issues.append(Issue(("name",), f"expected the name of one {registry.kind} (got {display_value(stated['name'])})"))
        return None
    try:
        return registry[stated["name"]]
    except (UnknownComponent, ComponentClash) as error:
        issues.append(Issue(("name",), str(error), unknown=isinstance(error, UnknownComponent)))
        return None


def refusal_of(title: str, issues: Sequence[Issue], value: Any) -> ValidationError:
    """Return an error with every issue of a value, to be raised in a validator."""
    # A component that is only a name has no keys of its own: issues of its parameters are reported at the name.
    name_only = isinstance(value, str)
    lines = []
    for issue in issues:
        named = name_only and issue.path not in ((), ("name",))
        message = f"{'.'.join(map(str, issue.path))}: {issue.message}" if named else issue.message
        whole = replace(issue, message=message, at_key=issue.at_key and not name_only)
        # pydantic takes no error type of ours, so the Issue travels in the context of its error to `explain`.
        kind = PydanticCustomError(ISSUE, "see the issue", {"issue": whole})
        lines.append(InitErrorDetails(type=kind, loc=() if name_only else issue.path, input=value))
    return ValidationError.from_exception_data(title, lines)
