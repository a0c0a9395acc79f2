"""The models of a recipe. Where it chooses a component, `choice` reads it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, WithJsonSchema, field_validator

from findna_kit.recipe.component_spec import ComponentField, ComponentSpec, ValidationContext, refusal_of
from findna_kit.recipe.error_messages import Issue
from findna_kit.recipe.yaml_nodes import dump
from findna_kit.settings import (
    DataSettings,
    EvaluationSettings,
    InitialWeights,
    OptimizerSettings,
    Settings,
    TrainerSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    augment: tuple[Annotated[ComponentSpec, ComponentField("augmentations")], ...] = Field(
        (), description="augmentations, in this order"
    )
    mask: Annotated[ComponentSpec, ComponentField("maskings")] | None = Field(
        None, description="what is hidden in the student's copy"
    )

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
    encoder: Annotated[ComponentSpec, ComponentField("encoders")] = Field(description="bases to embeddings")
    class_tokens: int = Field(0, ge=0, description="learned rows that stand before the sequence")
    losses: dict[Label, Annotated[ComponentSpec, ComponentField("losses")]] = Field(
        description="by label: the terms of the objective"
    )
    teacher_update: Annotated[ComponentSpec, ComponentField("teacher_updates")] = Field(
        description="the rule that moves the teacher"
    )
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
            said = [Issue((label, "length"), f"{wrong} (got {views[label].length})") for label in longer]
            raise refusal_of("views", said, dict(views))
        return views

    @field_validator("losses")
    @classmethod
    def _something_to_learn(cls, losses: dict[str, ComponentSpec], info: ValidationInfo) -> dict[str, ComponentSpec]:
        # `steps` is absent where it was wrong itself.
        if not losses and info.data.get("steps", 0) > 0:
            raise ValueError(f"{info.data['steps']} steps without a loss; state a loss, or steps: 0 for the initial network")
        return losses

    def model_post_init(self, context: Any) -> None:
        """Takes the notes from the reading."""
        if isinstance(context, ValidationContext):
            self._notes = context.notes

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should be told of how it was read."""
        return self._notes

    def __eq__(self, other: object) -> bool:
        """Whether every key is equal."""
        return self.__dict__ == other.__dict__ if isinstance(other, Recipe) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its maps have none

    def chosen(self) -> Iterator[tuple[str, ComponentSpec]]:
        """Every component that it names, with the key that it stands at."""
        yield "encoder", self.encoder
        yield "teacher_update", self.teacher_update
        for label, loss in self.losses.items():
            yield f"losses.{label}", loss
        for label, view in self.views.items():
            for number, augmentation in enumerate(view.augment):
                yield f"views.{label}.augment.{number}", augmentation
            if view.mask is not None:
                yield f"views.{label}.mask", view.mask

    def component_files(self) -> dict[str, str]:
        """The files that its components are to find, by their key."""
        stated = {f"{key}.{name}": getattr(one.config, name) for key, one in self.chosen() for name in one.config.paths()}
        return {key: path for key, path in stated.items() if path is not None}

    def plain(self) -> dict[str, Any]:
        """Maps, lists and scalars, every default filled in."""
        return self.model_dump(mode="json")

    def dump(self) -> str:
        """The resolved recipe as YAML; read again, it gives an equal Recipe."""
        return dump(self.plain())
