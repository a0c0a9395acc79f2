"""The models of a recipe. A component's parameters are read by its own `Config`, found in the registry of `Reading`."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from findna_kit.errors import ComponentClash, UnknownComponent
from findna_kit.interfaces import RESERVED
from findna_kit.recipe.document import dump, got
from findna_kit.recipe.sentences import SAID, Said, explain, unknown_key
from findna_kit.schedules import Schedule, ScheduleValue, within
from findna_kit.settings import (
    DataSettings,
    EvaluationSettings,
    InitialWeights,
    OptimizerSettings,
    Settings,
    TrainerSettings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import GetCoreSchemaHandler

    from findna_kit.interfaces import ComponentConfig
    from findna_kit.registry import Components, Registry

_DEFAULT_WEIGHT = 1.0
WEIGHT: TypeAdapter[Any] = TypeAdapter(
    Annotated[Schedule, within(0), Field(_DEFAULT_WEIGHT, description="multiplies the term in the objective")]
)


@dataclass(frozen=True)
class Reading:
    """What validation needs beside the document: pass it as pydantic's `context`."""

    components: Components
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """A component that the recipe names, with its parameters read. `weight`: of a loss, a Schedule; elsewhere None."""

    name: str
    component: type[Any]
    config: ComponentConfig
    weight: Any = None

    def plain(self) -> dict[str, Any]:
        """As a recipe states it, every default filled in."""
        weight = {} if self.weight is None else {"weight": WEIGHT.dump_python(self.weight)}
        return {"name": self.name, **weight, **self.config.model_dump(mode="json")}


@dataclass(frozen=True)
class Kind:
    """Marks a `Chosen` field with the registry, an attribute of Components, that its name is looked up in."""

    registry: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """A function that reads and one that writes."""
        write = core_schema.plain_serializer_function_ser_schema(Chosen.plain)
        return core_schema.with_info_plain_validator_function(self.read, serialization=write)

    def read(self, value: Any, info: ValidationInfo) -> Chosen:
        """`{name: ..., params}`, or the name alone. Raises ValidationError with all that is wrong."""
        registry: Registry[Any] = getattr(cast("Reading", info.context).components, self.registry)
        if not isinstance(value, (str, dict)):
            wanted = f"the name of a component, or a map with name and parameters, is wanted (got {got(value)})"
            raise _refusal(registry.kind, [Said((), wanted)], value)
        stated = {"name": value} if isinstance(value, str) else dict(value)
        said: list[Said] = []
        component = _component(registry, stated, said)
        weight = self._weight(stated, said)
        if "rc" in stated:
            said.append(Said(("rc",), "rc comes with a later release; leave it out", at_key=True))
        parameters = {key: one for key, one in stated.items() if key not in RESERVED}
        config = None if component is None else self._config(component, parameters, said)
        if component is None or config is None or said:
            raise _refusal(registry.kind, said, value)
        return Chosen(stated["name"], component, config, weight)

    def _weight(self, stated: dict[str, Any], said: list[Said]) -> Any:
        if self.registry != "losses":
            if "weight" in stated:
                said.append(Said(("weight",), "only a loss has a weight; leave it out", at_key=True))
            return None
        try:
            return WEIGHT.validate_json(json.dumps(stated.get("weight", _DEFAULT_WEIGHT)), strict=True)
        except ValidationError as error:
            inside = explain(error, ScheduleValue, stated["weight"])
            said += [Said(("weight", *one.path), one.message, one.at_key) for one in inside]
            return None

    def _config(self, component: type[Any], parameters: dict[str, Any], said: list[Said]) -> ComponentConfig | None:
        known = ["name", *(["weight"] if self.registry == "losses" else []), *component.Config.model_fields]
        unknown = [key for key in parameters if key not in known]
        said += [Said((key,), unknown_key(key, known), at_key=True) for key in unknown]
        rest = {key: value for key, value in parameters.items() if key not in unknown}
        try:
            config: ComponentConfig = component.Config.model_validate_json(json.dumps(rest), strict=True)
        except ValidationError as error:
            said += explain(error, component.Config, rest)
            return None
        return config


def _component(registry: Registry[Any], stated: dict[str, Any], said: list[Said]) -> type[Any] | None:
    if "name" not in stated:
        said.append(Said(("name",), f"missing; it is required (known: {', '.join(registry) or 'none'})"))
        return None
    if not isinstance(stated["name"], str):
        said.append(Said(("name",), f"the name of one {registry.kind} is wanted (got {got(stated['name'])})"))
        return None
    try:
        return registry[stated["name"]]
    except (UnknownComponent, ComponentClash) as error:
        said.append(Said(("name",), str(error), unknown=isinstance(error, UnknownComponent)))
        return None


def _refusal(title: str, said: Sequence[Said], value: Any) -> ValidationError:
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


_LABEL = "[a-z][a-z0-9_]*"
_FOLDER_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"


def _label(text: str) -> str:
    if not re.fullmatch(_LABEL, text):
        raise ValueError("a label is made of lower-case letters, digits and _, a letter first")
    return text


def _folder_name(text: str) -> str:
    if not re.fullmatch(_FOLDER_NAME, text):
        raise ValueError("the name becomes a folder's: letters, digits, '.', '_' and '-' only, a letter or digit first")
    return text


def _matching(pattern: str) -> WithJsonSchema:
    """Tells editors what a validator of ours holds text to."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


Label = Annotated[str, AfterValidator(_label), _matching(_LABEL)]


class ViewChoice(Settings):
    """One view: who sees it, and what is done to it."""

    see: tuple[Literal["student", "teacher"], ...] = Field(min_length=1, description="the branches that are shown it")
    length: int | None = Field(None, gt=0, description="nucleotides of a random crop of the window; null: all of it")
    count: int = Field(1, gt=0, description="views made so, each with its own crop, augmentations and mask")
    augment: tuple[Annotated[Chosen, Kind("augmentations")], ...] = Field((), description="augmentations, in this order")
    mask: Annotated[Chosen, Kind("maskings")] | None = Field(None, description="what is hidden in the student's copy")

    @field_validator("see")
    @classmethod
    def _once_each(cls, see: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(see)) != len(see):
            raise ValueError("a branch is stated twice; once is enough")
        return see


class Recipe(Settings):
    """A run, complete: every default filled in, every path absolute. Equal recipes are equal runs; `notes` do not count."""

    name: Annotated[str, AfterValidator(_folder_name), _matching(_FOLDER_NAME)] = Field(
        description="what runs of it are called"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="of everything random")
    steps: int = Field(ge=0, description="optimizer steps; 0: the initial network")
    data: DataSettings = Field(description="the genome and its windows")
    views: dict[Label, ViewChoice] = Field(min_length=1, description="by label: what is made of a window")
    encoder: Annotated[Chosen, Kind("encoders")] = Field(description="bases to embeddings")
    class_tokens: int = Field(0, ge=0, description="learned rows that stand before the sequence")
    losses: dict[Label, Annotated[Chosen, Kind("losses")]] = Field(description="by label: the terms of the objective")
    teacher_update: Annotated[Chosen, Kind("teacher_updates")] = Field(description="the rule that moves the teacher")
    init_from: InitialWeights | None = Field(None, description="a run to begin with; null: initial weights from the seed")
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings, description="how the student is moved")
    trainer: TrainerSettings = Field(default_factory=TrainerSettings, description="how the loop runs")
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, description="what scores the finished run")

    _notes: tuple[str, ...] = PrivateAttr(())

    @field_validator("views")
    @classmethod
    def _crops_fit(cls, views: dict[str, ViewChoice], info: ValidationInfo) -> dict[str, ViewChoice]:
        # `data` is absent where it was wrong itself.
        window = info.data["data"].length if "data" in info.data else math.inf
        longer = [label for label, view in views.items() if view.length is not None and view.length > window]
        if longer:
            wrong = f"a crop is no longer than the window; data.length is {window}"
            said = [Said((label, "length"), f"{wrong} (got {views[label].length})") for label in longer]
            raise _refusal("views", said, dict(views))
        return views

    @field_validator("losses")
    @classmethod
    def _something_to_learn(cls, losses: dict[str, Chosen], info: ValidationInfo) -> dict[str, Chosen]:
        # `steps` is absent where it was wrong itself.
        if not losses and info.data.get("steps", 0) > 0:
            raise ValueError(f"{info.data['steps']} steps without a loss; state a loss, or steps: 0 for the initial network")
        return losses

    def model_post_init(self, context: Any) -> None:
        """Takes the notes from the reading."""
        if isinstance(context, Reading):
            self._notes = context.notes

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should be told of how it was read."""
        return self._notes

    def __eq__(self, other: object) -> bool:
        """Whether every key is equal."""
        return self.__dict__ == other.__dict__ if isinstance(other, Recipe) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its maps have none

    def plain(self) -> dict[str, Any]:
        """Maps, lists and scalars, every default filled in."""
        return self.model_dump(mode="json")

    def dump(self) -> str:
        """The resolved recipe as YAML; read again, it gives an equal Recipe."""
        return dump(self.plain())
