"""Every recipe of a published method, made small: it takes fifty steps on the default genome and resumes bit for bit."""

import pytest

from findna_kit.errors import Interrupted
from findna_kit.metrics.writers import read_rows
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.runs import RunLocation, start
from findna_kit.trainer import Observer
from tests.building import ROOT
from tests.trainer.test_resume import assert_same_run, interrupt_at

METHODS = sorted((ROOT / "recipes" / "methods").glob("*.yaml"))
METHODS += [ROOT / "recipes" / f"{name}.yaml" for name in ("genojepa", "jepa_dna", "lejepa")]
STEPS, CUT, SHORTER = 50, 20, 4
SMALL = (
    f"steps={STEPS}", "data.batch_size=8", "trainer.micro_batch=8", "trainer.precision=fp32", "trainer.validation_windows=16",
    "trainer.log_every=1", "trainer.validate_every=10", "trainer.checkpoint_every=15", "evaluation.tasks=[]",
)  # fmt: skip


def small(path):
    """The recipe with windows and crops a quarter as long, and what it was chosen from."""
    components, plugins = load_plugins()
    whole = load_recipe(str(path), components)
    crops = [
        f"views.{label}.length={view.length // SHORTER}" for label, view in whole.views.items() if isinstance(view.length, int)
    ]
    overrides = [*SMALL, f"data.length={whole.data.length // SHORTER}", *crops]
    return whole, load_recipe(str(path), components, overrides=overrides), {"components": components, "plugins": plugins}


def test_there_are_recipes_here():
    assert {"two_views", "byol", "simsiam", "moco", "simclr", "barlow_twins", "vicreg"} <= {path.stem for path in METHODS}


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_says_by_name_and_numbers_what_it_is(path):
    """A first line that cites or explains, the schema for editors, its file's name, and a laptop's size."""
    about, schema, *_ = path.read_text().splitlines()
    assert about.startswith("# ") and len(about) > 40
    assert schema == "# yaml-language-server: $schema=recipe.schema.json"
    recipe, _, _ = small(path)
    assert recipe.name == path.stem
    assert str(recipe.data.genome) == "builtin" and recipe.data.length <= 1024 and recipe.data.batch_size <= 64
    assert recipe.steps <= 1000
    assert recipe.evaluation.tasks == ("builtin",)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_fifty_steps_interrupted_and_resumed_equal_fifty_uninterrupted(path, tmp_path):
    _, recipe, common = small(path)
    common["device"] = "cpu"
    start(recipe, RunLocation(tmp_path / "whole"), **common)
    with pytest.raises(Interrupted, match=f"step {CUT} of {STEPS} is saved"):
        start(recipe, RunLocation(tmp_path / "cut"), **common, observer=interrupt_at(CUT))
    said = []
    start(recipe, RunLocation(resume=tmp_path / "cut"), **common, observer=Observer(said.append))
    assert said == [f"{path.stem}: {STEPS} steps in {tmp_path / 'cut'}, resumed at step {CUT}"], "nothing differs"
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    rows = [row for row in read_rows(tmp_path / "whole") if "loss" in row]
    assert len(rows) == STEPS
    assert all(row["gradient_norm"] > 0 for row in rows[5:]), (
        "it learns from every step, once there is something to compare with"
    )
