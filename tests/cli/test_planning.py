"""`findna-kit plan`: tables or JSON on stdout, and no run."""

import json

import pytest
import torch

from tests.building import SMALL, SMALL_HEAD, command, sets

CUT = sets(*SMALL, *SMALL_HEAD)


def test_plan_prints_tables(tmp_path):
    done = command("plan", "self_distill", *CUT, "--steps", "2", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for said in (
        "trained",
        "weights of both branches",
        "measured peak, resident in main memory",
        "cpu, fp32, micro-batch 8",
        "over 2 steps)",
        "FLOPs per base",
        "losses.distill",
        "the largest batch that fits in one pass: ",
        "to finish",
        "core-hours",
        "800 steps, 201 looks, 0 at tasks, and 268 checkpoints; counting baselines and the evaluation after training",
    ):
        assert said in done.stdout
    assert "taking 2 steps to warm up and 2 to measure" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_plan_as_json_and_with_nothing_to_train():
    done = command("plan", "self_distill", *CUT, "--set", "steps=0", "--json", "--device", "cpu")
    assert json.loads(done.stdout)["nothing_to_train"] == "steps is 0"
    told = command("plan", "self_distill", *CUT, "--set", "steps=0", "--device", "cpu").stdout
    assert "self_distill: there is nothing to train: steps is 0" in told
    assert "optimizer" in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["self_distill", "--set", "data.genome=absent.fa"], "absent.fa: no such file or folder"),
        (["self_distill", "--set", "trainer.devices=2"], "plan measures one process"),
        (["self_distill", "--steps", "0"], "--steps"),
        (["self_distill", "--device", "tpu"], "auto, cpu or cuda is wanted"),
    ],
)
def test_a_users_mistake_is_a_sentence(arguments, sentence):
    done = command("plan", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused():
    done = command("plan", "self_distill", "--device", "cuda")
    assert done.returncode == 2
    assert "torch sees no CUDA device here" in done.stderr
