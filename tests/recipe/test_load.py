"""A recipe read whole; every problem in plain words, on its line, all at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from findna_kit.errors import FindnaError, RecipeError
from findna_kit.interfaces import ComponentConfig
from findna_kit.plugins import Plugin
from findna_kit.recipe import Recipe, load_recipe
from findna_kit.registry import Owner
from findna_kit.schedules import Clock


def test_a_whole_recipe_is_typed(load):
    recipe = load()
    assert (recipe.name, recipe.seed, recipe.steps, recipe.class_tokens) == ("small", 7, 20, 2)
    assert recipe.encoder.name == "chordmixer"
    assert recipe.encoder.config.dim == 12
    assert isinstance(recipe.encoder.config, ComponentConfig)
    assert recipe.encoder.component.Config is type(recipe.encoder.config)
    assert [one.config.maximum for one in recipe.views["masked"].augment] == [3, 20]
    assert recipe.views["masked"].mask.config.fraction == 0.3
    assert recipe.views["shifted"].mask is None
    assert recipe.losses["distill"].weight(Clock(0, 20)) == 0.5
    assert recipe.losses["masked"].weight(Clock(0, 20)) == 1.0
    assert recipe.encoder.weight is None
    assert recipe.teacher_update.config.momentum(Clock(20, 20)) == 1.0


def test_labels_keep_their_order(load):
    assert list(load().losses) == ["masked", "distill"]
    assert list(load().views) == ["masked", "shifted"]


def test_what_is_not_stated_takes_its_default(load, changed):
    recipe = load(changed("teacher_update: {name: ema, momentum: {cosine: {start: 0.9, end: 1.0}}}\n", "").replace("seed: 7\n", ""))
    assert recipe.teacher_update.name == "none"
    assert recipe.seed == 0
    assert recipe.trainer.precision == "auto"
    assert recipe.optimizer.clip_norm == 0.5
    assert recipe.evaluation.tasks == ()


def test_the_initial_network_needs_no_loss(load, changed):
    start = changed("steps: 20", "steps: 0").split("losses:")[0]
    assert load(start + "losses: {}\n").losses == {}


def test_a_weight_may_be_a_schedule(load):
    recipe = load(None or _recipe(), "losses.distill.weight={linear: {start: 0, end: 2}}")
    assert recipe.losses["distill"].weight(Clock(10, 20)) == 1.0


def _recipe():
    from recipe.conftest import RECIPE  # noqa: PLC0415

    return RECIPE
