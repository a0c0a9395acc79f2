"""Small components, and a whole recipe of them, to be changed one thing at a time."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from findna_kit.builtin.optimizers.adamw import AdamW
from findna_kit.components.interfaces import Augmentation, ComponentConfig, Encoder, Loss, Masking, TeacherUpdate
from findna_kit.errors import RecipeError
from findna_kit.plugins.entry_points import PluginSource
from findna_kit.plugins.registry import Components
from findna_kit.recipe import load_recipe
from findna_kit.schedules import SHAPES, Schedule, within

RECIPE = """\
name: small
seed: 7
steps: 20
data:
  genome: builtin
  length: 64
  batch_size: 4
views:
  masked:
    see: [student]
    augment: [{name: deletion, maximum: 3}, insertion]
    mask: {name: independent, fraction: 0.3}
  shifted: {see: [teacher], augment: [deletion]}
encoder: {name: chordmixer, dim: 12}
class_tokens: 2
losses:
  masked: masked_nucleotides
  distill: {name: self_distillation, weight: 0.5, student_temperature: 0.2}
teacher_update: {name: ema, momentum: {cosine: {start: 0.9, end: 1.0}}}
"""


class ToyEncoder(Encoder):
    class Config(ComponentConfig):
        dim: int = Field(8, gt=0, multiple_of=4, description="width")
        dropout: float | None = Field(0.1, ge=0, lt=1, description="share dropped; null: none")
        blocks: int = Field(2, gt=0, le=10, description="depth")

    def __init__(self, config, *, length, class_tokens):
        super().__init__()

    def forward(self, bases, valid, *, layers=()):
        return bases, {}


class Stem(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    kernel: int = Field(3, description="width")
    strides: tuple[int, ...] = Field((1,), min_length=1, max_length=2, description="steps")


class PickyEncoder(ToyEncoder):
    """Fields of every sort, for the sentences."""

    class Config(ComponentConfig):
        width: int = Field(description="required")
        stem: Stem = Field(default_factory=Stem, description="nested")
        flavour: Literal["plain", "fancy"] = Field("plain", description="a word")
        size: Literal["auto"] | Annotated[int, Field(gt=0)] = Field("auto", description="a word or a number")
        odd: int = Field(1, description="checked by hand")
        code: str = Field("ab", pattern="^[a-z]+$", description="letters")
        on: bool = Field(False, description="switch")
        table: dict[str, int] = Field(default_factory=dict, description="map")

        @field_validator("odd")
        @classmethod
        def _odd(cls, value):
            if value % 2 == 0:
                raise ValueError("expected an odd number")
            return value


class Deletion(Augmentation):
    class Config(ComponentConfig):
        maximum: int = Field(20, ge=0, description="longest")

    def __call__(self, view, draw):
        return view


class Independent(Masking):
    class Config(ComponentConfig):
        fraction: float = Field(0.3, gt=0, lt=1, description="share masked")

    def __call__(self, view, draw):
        return view


class MaskedNucleotides(Loss):
    head_input = "masked"

    class Config(ComponentConfig):
        pass

    def forward(self, student, teacher, clock):
        raise NotImplementedError

    def count(self, *args, **kwargs):
        raise NotImplementedError


class SelfDistillation(MaskedNucleotides):
    class Config(ComponentConfig):
        student_temperature: Annotated[Schedule, within(0)] = Field(..., description="sharpness")
        prototypes: int = Field(16, gt=1, description="how many")


class NoTeacher(TeacherUpdate):
    class Config(ComponentConfig):
        pass

    def initial(self, student):
        return student

    def __call__(self, teacher, student, clock, metrics):
        return {}


class EMA(NoTeacher):
    class Config(ComponentConfig):
        momentum: Annotated[Schedule, within(0, 1)] = Field(..., description="kept per step")


@pytest.fixture
def components():
    components = Components()
    with components.registering(PluginSource("builtin", "findna-kit", "0")):
        components.encoders.add("chordmixer", ToyEncoder)
        components.encoders.add("transformer", ToyEncoder)
        components.encoders.add("picky", PickyEncoder)
        components.augmentations.add("deletion", Deletion)
        components.augmentations.add("insertion", Deletion)
        components.maskings.add("independent", Independent)
        components.losses.add("masked_nucleotides", MaskedNucleotides)
        components.losses.add("self_distillation", SelfDistillation)
        components.teacher_updates.add("none", NoTeacher)
        components.teacher_updates.add("ema", EMA)
        components.optimizers.add("adamw", AdamW)
        for name, shape in SHAPES.items():
            components.schedules.add(name, shape)
    return components


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file into the working folder; gives its name."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="recipe.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


@pytest.fixture
def load(write, components):
    """Reads the recipe, or another text, with some `--set`s."""

    def load(*sets, text=RECIPE, failed=()):
        return load_recipe(write(text), components, overrides=sets, failed=failed)

    return load


@pytest.fixture
def problems(load):
    """The problems of what must have some, as lines."""

    def problems(*sets, text=RECIPE, failed=()):
        with pytest.raises(RecipeError) as caught:
            load(*sets, text=text, failed=failed)
        return str(caught.value).splitlines()

    return problems


@pytest.fixture
def text():
    """A recipe that is right."""
    return RECIPE


@pytest.fixture
def changed():
    """The recipe with one piece of its text replaced."""

    def changed(old, new):
        assert RECIPE.count(old) == 1, f"{old!r} is not there once"
        return RECIPE.replace(old, new)

    return changed


@pytest.fixture
def over(write, load, text):
    """A recipe that says `lines` over the whole one."""

    def over(lines, *sets):
        write(text, "whole.yaml")
        return load(*sets, text=f"base: whole.yaml\n{lines}")

    return over


@pytest.fixture
def refused(over):
    """The problems of such a recipe, as lines."""

    def refused(lines, *sets):
        with pytest.raises(RecipeError) as caught:
            over(lines, *sets)
        return str(caught.value).splitlines()

    return refused


@pytest.fixture
def dropped():
    """The notes of a recipe but those on what was read."""
    return lambda recipe: [note for note in recipe.notes if not note.startswith(("recipe: ", "base: "))]
