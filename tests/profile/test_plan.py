"""What a run would cost: counted by hand, measured on real steps, and nothing left behind."""

import json

import pytest
import torch
from torch import nn

from findna_kit.errors import CheckpointMismatch, FindnaError, GenomeError
from findna_kit.profile.plan import plan
from findna_kit.runs import RunLocation, start
from tests.building import small

HEADS = (22 * 4 + 4) + (22 * 32 + 32 + 32 * 16 + 16) + 24 * 16
"""Of tests.building.SMALL with self_distill: the classifier, the projector, the prototypes."""
ENCODER = (5 * 22 + 22) + 7 * (22 * 32 + 32 + 32 * 22 + 22)
"""The stem and ceil(log2(64 + 2)) layers."""


def planned(*overrides, name="self_distill", **arguments):
    return plan(small(name, *overrides)[0], device="cpu", **{"steps": 3, **arguments})


def test_parameters_and_memory_are_those_counted_by_hand():
    found = planned("steps=0")
    trained = ENCODER + HEADS
    assert found["parameters"] == {"encoder": ENCODER, "heads": HEADS, "trained": trained, "teacher": trained}
    center = 2 * 24
    assert found["memory"] == {"weights": 4 * (2 * trained + center), "optimizer": 8 * trained, "gradients": 4 * trained}
    assert found["nothing_to_train"] == "steps is 0"


def test_predictors_are_heads_and_class_pooling_is_of_the_encoder():
    found = planned("steps=0", "losses.agree={name: pooled_agreement}")["parameters"]
    assert found["encoder"] + found["heads"] == found["trained"]
    assert found["trained"] > found["teacher"] > found["encoder"], "the teacher has no copy of the predictor"
    local = planned("steps=0", "encoder={name: depthwise_conv}")["parameters"]
    assert local["encoder"] + local["heads"] == local["trained"]


def test_without_a_loss_there_is_nothing_to_train_and_no_genome_is_read(tmp_path):
    found = planned("losses={}", "steps=0", f"data.genome={tmp_path / 'absent.fa'}")
    assert found["parameters"]["heads"] == found["parameters"]["trained"] - found["parameters"]["encoder"] == 0
    assert found.keys() == {"name", "parameters", "memory", "nothing_to_train"}


def test_the_figures_follow_from_the_steps_that_were_measured():
    found = planned("steps=4")
    measured, step = found["measured"], found["measured"]["step_seconds"]
    assert 0 < step["lowest"] <= step["median"] <= step["highest"]
    assert measured["steps_per_second"] == pytest.approx(1 / step["median"])
    assert measured["bases_per_second"] == pytest.approx(8 * 64 / step["median"])
    assert found["memory"]["peak"] > 50 * 2**20, "torch alone takes as much"
    finish = found["finish"]
    assert (finish["steps"], finish["looks"], finish["checkpoints"], finish["task_looks"]) == (4, 2, 3, 0)
    beside = measured["start_seconds"] + 2 * measured["look_seconds"] + 3 * measured["checkpoint_seconds"]
    assert finish["seconds"] == pytest.approx(4 * step["median"] + beside)
    assert finish["hours"] == pytest.approx(torch.get_num_threads() * finish["seconds"] / 3600)
    assert finish["hours_of"] == "core"
    assert found["flops"]["base"] == pytest.approx(found["flops"]["step"] / (8 * 64))
    assert found["largest_batch"]["rows"] > 8


def test_settings_are_those_that_the_run_resolves(tmp_path):
    recipe, components, plugins = small("masked_only", "steps=1", "trainer.micro_batch=auto", "trainer.precision=auto")
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    found = plan(recipe, device="cpu", steps=1)
    assert found["resolved"] == json.loads((tmp_path / "run" / "run.json").read_text())["resolved"]


def test_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned()
    assert list(tmp_path.iterdir()) == []


def test_what_run_would_refuse_is_refused(tmp_path):
    with pytest.raises(FindnaError, match=r"plan measures one process: leave trainer\.devices"):
        planned("trainer.devices=2")
    with pytest.raises(GenomeError, match=r"set data\.length to at most that"):
        planned("data.length=6000000", "steps=1")
    recipe, components, plugins = small("masked_only", "steps=0")
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    with pytest.raises(CheckpointMismatch):
        planned(f"init_from={{run: {tmp_path / 'run'}}}", "encoder.dim=24")


@pytest.mark.parametrize("processes", [1, 2])
def test_under_a_launcher_of_several_it_is_refused_and_under_one_of_one_it_is_not(processes, monkeypatch):
    for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": str(processes)}.items():
        monkeypatch.setenv(name, value)
    if processes > 1:
        with pytest.raises(FindnaError, match="plan measures one process"):
            planned("steps=0")
    else:
        assert planned("steps=0")["nothing_to_train"] == "steps is 0"


def test_steps_are_compiled_as_the_recipe_says(monkeypatch):
    asked = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: asked.append(how["backend"]))
    planned("trainer.compile=aot_eager", steps=1)
    assert asked == ["aot_eager", "aot_eager"], "student and teacher"
