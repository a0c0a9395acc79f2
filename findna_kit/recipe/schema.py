"""The typed schema of a recipe. Fields that name a component are read by `component_spec`."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
)

from findna_kit.plugins.kinds import ANY, KINDS, Kind
from findna_kit.recipe.component_spec import ComponentField, ComponentSpec, ValidationContext, refusal_of
from findna_kit.recipe.error_messages import Issue
from findna_kit.recipe.yaml_nodes import dotted, dump
from findna_kit.schedules import Schedule
from findna_kit.settings import (
    DataSettings,
    EvaluationSettings,
    InitialWeights,
    Settings,
    TrainerSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


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
    """Return the JSON Schema of text that a validator of ours checks against a pattern."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


Label = Annotated[str, AfterValidator(_label), _matching(_LABEL)]


def _in_order(shares: tuple[float, ...]) -> tuple[float, ...]:
    if shares[0] > shares[1]:
        raise ValueError(f"the smallest share comes first (got {list(shares)})")
    return shares


CropLength = (
    Annotated[int, Field(gt=0)]
    | Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=2, max_length=2), AfterValidator(_in_order)]
)
"""Nucleotides, or the smallest and the largest share of the window."""


class ViewChoice(Settings):
    """One view: the branches that receive it, and its crop, augmentations and mask."""

    see: tuple[Literal["student", "teacher"], ...] = Field(min_length=1, description="the branches that receive it")
    length: CropLength | None = Field(
        None,
        description="length of a random crop of the window in nucleotides, or [smallest, largest] share of the window, drawn "
        "once per step; null: the whole window",
    )
    count: int = Field(1, gt=0, description="number of such views, each with its own crop, augmentations and mask")
    augment: tuple[Annotated[ComponentSpec, ComponentField("augmentation")], ...] = Field(
        (), description="augmentations, in order of application"
    )
    mask: Annotated[ComponentSpec, ComponentField("masking")] | None = Field(
        None, description="the masking of the student's copy"
    )

    @field_validator("see")
    @classmethod
    def _once_each(cls, see: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(see)) != len(see):
            raise ValueError("a branch is stated twice; once is enough")
        return see


class Recipe(Settings):
    """A complete description of a run: every default filled in, every path absolute.

    Equal recipes give equal runs; `notes` are not compared.
    """

    name: Annotated[str, AfterValidator(_folder_name), _matching(_FOLDER_NAME)] = Field(description="name of its runs")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of everything random")
    steps: int = Field(ge=0, description="optimizer steps; 0: the initial network")
    data: DataSettings = Field(description="the genome and its windows")
    views: dict[Label, ViewChoice] = Field(min_length=1, description="by label: the views of a window")
    encoder: Annotated[ComponentSpec, ComponentField("encoder")] = Field(description="the network from bases to embeddings")
    class_tokens: int = Field(0, ge=0, description="number of class tokens before the sequence")
    losses: dict[Label, Annotated[ComponentSpec, ComponentField("loss")]] = Field(
        description="by label: the losses, whose weighted sum is the objective"
    )
    teacher_update: Annotated[ComponentSpec, ComponentField("teacher_update")] = Field(
        description="the rule that creates and updates the teacher"
    )
    init_from: InitialWeights | None = Field(
        None, description="a run to start from; null: random initial weights from the seed"
    )
    optimizer: Annotated[ComponentSpec, ComponentField("optimizer")] = Field(
        # Read like a stated one: the table of kinds has the name that is meant where none is given.
        default_factory=lambda: cast("ComponentSpec", {}),
        validate_default=True,
        description="the rule that updates the student",
    )
    trainer: TrainerSettings = Field(default_factory=TrainerSettings, description="how the training loop runs")
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, description="tasks that score the run")

    kinds: ClassVar[tuple[Kind, ...]] = KINDS
    """The table of kinds that the recipe was read with."""
    _notes: tuple[str, ...] = PrivateAttr(())

    @field_validator("views")
    @classmethod
    def _crops_fit(cls, views: dict[str, ViewChoice], info: ValidationInfo) -> dict[str, ViewChoice]:
        # Fields are validated in the order of the class, so `data` must stand before `views`.
        # `data` is missing here if it was refused itself.
        window = info.data["data"].length if "data" in info.data else math.inf
        longer = [label for label, view in views.items() if isinstance(view.length, int) and view.length > window]
        if longer:
            wrong = f"a crop is no longer than the window; data.length is {window}"
            issues = [Issue((label, "length"), f"{wrong} (got {views[label].length})") for label in longer]
            raise refusal_of("views", issues, dict(views))
        return views

    @field_validator("losses")
    @classmethod
    def _something_to_learn(cls, losses: dict[str, ComponentSpec], info: ValidationInfo) -> dict[str, ComponentSpec]:
        # `steps` is missing here if it was refused itself.
        if not losses and info.data.get("steps", 0) > 0:
            raise ValueError(f"{info.data['steps']} steps without a loss; state a loss, or steps: 0 for the initial network")
        return losses

    def model_post_init(self, context: Any) -> None:
        """Take the notes from the validation context."""
        if isinstance(context, ValidationContext):
            self._notes = context.notes

    @property
    def notes(self) -> tuple[str, ...]:
        """Return messages for the user about how the recipe was read."""
        return self._notes

    def __eq__(self, other: object) -> bool:
        """Return whether every key is equal."""
        # pydantic's own comparison includes private attributes, and so the notes.
        return self.__dict__ == other.__dict__ if isinstance(other, Recipe) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its maps have none

    def chosen(self) -> Iterator[tuple[str, ComponentSpec]]:
        """Iterate over the components that keys of the recipe name, each with its key."""
        # The table says where components are named; a field that is added there needs no code here.
        for kind in self.kinds:
            for path, value in _reach(self, kind.path) if kind.path else ():
                if isinstance(value, ComponentSpec):
                    yield dotted(path), value

    def used(self) -> list[tuple[str, str]]:
        """Return kind and name of everything registered that the recipe uses, schedules inside parameters included."""
        names = [(spec.kind.name, spec.name) for _, spec in self.chosen()]
        # A constant that is written as a number names no component.
        schedules = [("schedule", one.name) for one in _schedules(self) if isinstance(one.plain(), dict)]
        return list(dict.fromkeys([*names, *schedules]))

    def component_files(self) -> dict[str, str]:
        """Return the files that its components need, by their key."""
        stated = {f"{key}.{name}": getattr(one.config, name) for key, one in self.chosen() for name in one.config.paths()}
        return {key: path for key, path in stated.items() if path is not None}

    def plain(self) -> dict[str, Any]:
        """Return maps, lists and scalars, with every default filled in; a kind that plugins add is left out where unused."""
        # A recipe that does not use an added kind must have the same text, and so the same digest, as without the plugin.
        added = self.__class__.model_fields.keys() - Recipe.model_fields.keys()
        plain = self.model_dump(mode="json")
        return {key: value for key, value in plain.items() if key not in added or value}

    def dump(self) -> str:
        """Return the resolved recipe as YAML; read again, it gives an equal Recipe."""
        return dump(self.plain())


@cache
def recipe_model(kinds: tuple[Kind, ...]) -> type[Recipe]:
    """Return the model of a recipe for a table of kinds: `Recipe`, with an optional key for each kind that has no field."""
    fields: dict[str, Any] = {}
    for kind in kinds:
        if not kind.path or kind.path[0] in Recipe.model_fields:
            continue
        if kind.path[1:] not in ((), (ANY,)):
            raise ValueError(f"the path of kind {kind.name} must be one key, or one key and ANY (got {kind.path})")
        spec = Annotated[ComponentSpec, ComponentField(kind.name)]
        if ANY in kind.path:
            fields[kind.path[0]] = (dict[Label, spec], Field(default_factory=dict, description=kind.description))
        else:
            fields[kind.path[0]] = (spec | None, Field(None, description=kind.description))
    # The usual case needs no new class, and keeps `Recipe` the type of every recipe of the kit's own kinds.
    if kinds == KINDS:
        return Recipe
    model: type[Recipe] = create_model("Recipe", __base__=Recipe, __doc__=Recipe.__doc__, **fields)
    model.kinds = kinds
    return model


def _reach(
    value: Any, pattern: tuple[str, ...], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Iterate over (path, value) for everything that the path of a kind leads to."""
    if not pattern:
        yield path, value
        return
    # Only models have fixed keys: in maps and tuples every label or index is followed.
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, BaseModel):
        items = [(pattern[0], getattr(value, pattern[0], None))]
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, tuple):
        items = enumerate(value)
    for key, below in items:
        yield from _reach(below, pattern[1:], (*path, key))


def _schedules(value: Any) -> Iterator[Schedule]:
    """Iterate over the schedules in a section, and in the parameters and extra keys of its components."""
    if isinstance(value, Schedule):
        yield value
    elif isinstance(value, ComponentSpec):
        yield from _schedules({"config": value.config, **value.extras})
    elif isinstance(value, BaseModel):
        yield from _schedules(dict(value))
    elif isinstance(value, (dict, tuple, list)):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _schedules(below)
