"""A component's parameters in words."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from findna_kit.cli.parameters import parameters
from findna_kit.components.interfaces import ComponentConfig, RecipePath
from findna_kit.plugins.loading import load_plugins
from findna_kit.schedules import Constant, Schedule, within
from tests.installing import findna


class Inner(BaseModel):
    strides: list[int]


class Config(ComponentConfig):
    """One field of every sort."""

    count: int = Field(3, gt=0, le=9, description="how many")
    share: float = Field(ge=0, lt=1, description="how much")
    bound: float = Field(1.0, ge=1e-6, description="above")
    form: Literal["one", "two"] = Field("one", description="which")
    only: Literal["it"] = Field("it", description="this")
    maybe: int | None = Field(None, ge=1, description="or none")
    on: bool = Field(True, description="whether")
    momentum: Annotated[Schedule, within(0, 1)] = Field(Constant(value=0.9), description="follows the clock")
    rate: Schedule | None = Field(None, description="or none")
    file: RecipePath = Field(description="where")
    other: RecipePath | None = Field(None, description="where else")
    word: str = Field("x", description="any")
    inner: Inner = Field(Inner(strides=[1]), description="a map")
    sizes: list[int] = Field([1, 2], description="several")


TYPES = {
    "count": "integer > 0, <= 9",
    "share": "number >= 0, < 1",
    "bound": "number >= 1e-06",
    "form": "one | two",
    "only": "it",
    "maybe": "integer >= 1 | null",
    "on": "boolean",
    "momentum": "schedule >= 0, <= 1",
    "rate": "schedule | null",
    "file": "path",
    "other": "path | null",
    "word": "string",
    "inner": "object",
    "sizes": "list of integer",
}


def test_types_with_their_bounds_in_order():
    assert {row["name"]: row["type"] for row in parameters(Config)} == TYPES


def test_defaults_and_meanings():
    rows = {row["name"]: row for row in parameters(Config)}
    assert [rows[name]["default"] for name in ("count", "share", "form", "maybe", "on", "momentum", "inner", "sizes")] == [
        "3", "required", '"one"', "null", "true", "0.9", '{"strides": [1]}', "[1, 2]",
    ]  # fmt: skip
    assert rows["file"] == {"name": "file", "type": "path", "default": "required", "meaning": "where"}


def test_a_component_without_parameters_has_none():
    assert parameters(ComponentConfig) == []


@pytest.mark.parametrize("registry", load_plugins()[0].registries(), ids=lambda registry: registry.kind)
def test_every_parameter_of_every_component_has_a_type_and_a_meaning(registry):
    for name in registry:
        for row in parameters(registry[name].Config):
            assert "anything" not in row["type"] and row["meaning"], f"{name}.{row['name']}"


def test_the_command_prints_them():
    code, out, _ = findna("components", "ema")
    assert code == 0
    assert "schedule >= 0, <= 1" in out
