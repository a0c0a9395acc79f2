"""Seeds are paired: cells of one seed draw the same windows in the same order, and make the same views of them.

Whatever a condition changes; but for the views whose own settings it does.
"""

from dataclasses import fields
from itertools import product

import pytest
import torch

from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.study.cells import RECIPE, cell_folders
from findna_kit.study.load import build_cells, load_study
from findna_kit.trainer.forward import training_batch
from tests.building import SMALL_HEAD, experiment_of
from tests.study.writing import CUT, write_study

COMPONENTS = load_plugins()[0]
STEPS = 4
HEAD = ", ".join(one.replace("=", ": ") for one in SMALL_HEAD)
FACTORS = """
  encoder: {chordmixer: {}, wide: {encoder.hidden: 64}, conv: {encoder: {name: dilated_conv, dim: 16, hidden: 16, blocks: 1}}}
  loss:
    both: {}
    masked: {losses.distill: null, views.shifted: null}
    contrast: {losses.distill: null, losses.contrast: info_nce, views.shifted.see: [student]}
  mask: {less: {}, more: {views.masked.mask.fraction: 0.6}}
  augmentation:
    three: {}
    mutated: {"views.shifted.augment": [{name: mutation, fraction: 0.1}]}
  rate: {low: {}, high: {optimizer.learning_rate: 0.01}}
"""
SAME = {
    "encoder-wide": {"masked", "shifted"}, "encoder-conv": {"masked", "shifted"}, "loss-masked": {"masked"},
    "loss-contrast": {"masked", "shifted"}, "mask-more": {"shifted"}, "augmentation-mutated": {"masked"},
    "rate-high": {"masked", "shifted"},
}  # fmt: skip
"""By condition: views that are made as the reference makes them, whoever sees them."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """By condition and seed: windows and views of the first steps, as a run of the cell's saved recipe draws them."""
    folder = tmp_path_factory.mktemp("study")
    path = write_study(
        folder, recipe="self_distill", overrides=f"{CUT[:-1]}, {HEAD}}}", factors=FACTORS, seeds="[5, 0]", budget="{steps: 9}"
    )
    stated = load_study(str(path))
    found = {}
    for one in cell_folders(build_cells(stated, COMPONENTS, [], lambda recipe: None), folder / "out", {}):
        one.prepare()
        experiment, genome, _ = experiment_of(load_recipe(one.folder / RECIPE, COMPONENTS))
        rows = torch.arange(experiment.batch_size)
        found[one.cell.condition, one.cell.seed] = [
            (genome.training.draw(step, rows), training_batch(experiment, genome, step, rows)) for step in range(STEPS)
        ]
    return found


def differs(one, other):
    """Fields of two views that are not equal, value by value."""
    pairs = {field.name: (getattr(one, field.name), getattr(other, field.name)) for field in fields(one)}
    return {name for name, (mine, its) in pairs.items() if not (mine is its or torch.equal(mine, its))}


def each_pair(drawn, condition):
    """Of every seed and step: the reference's draw, and the condition's."""
    for seed in (0, 5):
        yield from zip(drawn["reference", seed], drawn[condition, seed], strict=True)


def test_every_condition_is_looked_at(drawn):
    assert {condition for condition, _ in drawn} == {"reference", *SAME}


@pytest.mark.parametrize("condition", SAME)
def test_windows_are_the_same_in_the_same_order(drawn, condition):
    for (windows, _), (others, _) in each_pair(drawn, condition):
        assert len(windows.tokens) == 8 and differs(windows, others) == set()


@pytest.mark.parametrize("condition", SAME)
def test_views_are_the_same_where_their_settings_are(drawn, condition):
    for (_, batch), (_, other) in each_pair(drawn, condition):
        for name in SAME[condition]:
            assert differs(batch.views[name], other.views[name]) == set()
            noise, again = batch.noise[name], other.noise[name]
            assert noise is again is None or torch.equal(noise, again)


def test_what_a_condition_changes_of_a_view_is_all_that_changes(drawn):
    for (_, batch), (_, other) in each_pair(drawn, "mask-more"):
        masked = {"masked_index", "masked_weight", "corrupted"}
        assert differs(batch.views["masked"], other.views["masked"]) == masked, "the bases and their strand are the same"
        assert torch.equal(batch.noise["masked"], other.noise["masked"])
    for (_, batch), (_, other) in each_pair(drawn, "augmentation-mutated"):
        assert "tokens" in differs(batch.views["shifted"], other.views["shifted"])


def test_of_two_seeds_and_of_two_steps_windows_and_views_differ(drawn):
    seen = [(windows, batch.views["masked"]) for seed in (0, 5) for windows, batch in drawn["reference", seed]]
    for (windows, view), (others, other) in product(seen, seen):
        assert windows is others or "start" in differs(windows, others)
        assert view is other or "masked_index" in differs(view, other)
