"""Tests of every recipe of the package: it runs, and a resumed run equals an uninterrupted one."""

import json

import pytest
from findna_kit_teachers import SWA
from teaching import DILATED, RECIPES, assert_same_run, interrupt_at, run

import findna_kit
from findna_kit import checkpoint
from findna_kit.errors import Interrupted
from findna_kit.metrics.writers import read_rows
from findna_kit.runs import RunLocation
from findna_kit.trainer import Observer

VARIANTS = {
    "ema_half_life": (),
    "ema_warmup": ("teacher_update.form=power", "teacher_update.buffers=average"),
    "swa": ("teacher_update.start=0.3", "teacher_update.every=2"),
    "gated": ("teacher_update.tolerance=0", "teacher_update.patience=0"),
    "external": (),
}


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A run of another architecture to be taught by."""
    folder = tmp_path_factory.mktemp("other") / "run"
    run(RunLocation(folder), "self_distill", "steps=2", DILATED)
    return folder


def test_there_is_a_recipe_for_every_rule():
    assert {path.stem for path in RECIPES.glob("*.yaml")} == set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_interrupted_and_resumed_equals_uninterrupted(name, tmp_path, other):
    recipe = RECIPES / f"{name}.yaml"
    overrides = [*VARIANTS[name], *([f"teacher_update.run={other}"] if name == "external" else [])]
    run(RunLocation(tmp_path / "whole"), recipe, *overrides)
    with pytest.raises(Interrupted, match="step 4 of 7 is saved"):
        run(RunLocation(tmp_path / "cut"), recipe, *overrides, observer=interrupt_at(4))
    said = []
    run(RunLocation(resume=tmp_path / "cut"), recipe, *overrides, observer=Observer(said.append))
    assert said == [f"{name}: 7 steps in {tmp_path / 'cut'}, resumed at step 4"], "nothing differs"
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    record = json.loads((tmp_path / "cut" / "run.json").read_text())
    assert record["components"]["teacher_update"] == {name: "findna-kit-teachers 0.1.0"}
    model = findna_kit.load(tmp_path / "cut", device="cpu")
    assert model.branch == ("student" if name == "external" else "teacher")
    assert model.embed(["ACGT" * 12]).shape == (1, 16)


def test_a_gate_is_shut_by_the_looks_of_a_real_run(tmp_path):
    """A rate so large that the student gets better and worse."""
    strict = ("teacher_update.tolerance=0", "teacher_update.patience=0")
    run(RunLocation(tmp_path / "run"), RECIPES / "gated.yaml", "optimizer.learning_rate=0.05", *strict)
    rows = {row["step"]: row for row in read_rows(tmp_path / "run")}
    looks = {step: row["held_out/masked/loss"] for step, row in rows.items() if "held_out/masked/loss" in row}
    assert sorted(looks) == [0, 2, 4, 6, 7]
    for step in range(1, 8):
        past = [value for at, value in sorted(looks.items()) if at < step]
        assert (rows[step]["momentum"] < 1) == (past[-1] <= min(past)), step
    assert {rows[step]["momentum"] < 1 for step in range(1, 8)} == {True, False}


def test_swa_saves_its_count(tmp_path):
    run(RunLocation(tmp_path / "run"), RECIPES / "swa.yaml", "teacher_update.start=0")
    _, state, _ = checkpoint.load(tmp_path / "run", 7)
    assert int(state["teacher_update.averaged"]) == 7
    rule = SWA(SWA.Config())
    rule.load_state_dict(checkpoint.strip_prefix("teacher_update", state))
    assert rule.averaged == 7
