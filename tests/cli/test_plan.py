"""`findna-kit plan`: tables or JSON on stdout, and no run."""

import json
import re

import pytest
import torch

from tests.building import SMALL, SMALL_HEAD, command, sets
from tests.study.writing import write_study

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
        "maximum batch size without gradient accumulation: ",
        "the whole run",
        "core-hours",
        "600 steps, 151 validations, 0 evaluations of tasks, 201 checkpoints; fitting the baselines and the evaluation",
    ):
        assert said in done.stdout
    assert "running 2 warm-up steps, 2 measured steps and the validation" in done.stderr
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
        (["self_distill", "--device", "tpu"], "must be auto, cpu or cuda"),
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


def test_plan_of_a_study(tmp_path):
    study = write_study(tmp_path, seeds=5)
    done = command("plan", study, "--device", "cpu", "--steps", "1", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.split("  +", lines[0])[:4] == ["condition", "memory, MiB", "time/step", "time/cell"]
    assert [line.split()[0] for line in lines[1:3]] == ["reference", "rate-high"]
    assert re.split("  +", lines[4]) == ["FLOPs per base", "total"]
    assert [line.split()[0] for line in lines[5:7]] == ["reference", "rate-high"]
    assert "tiny: 10 cells, " in done.stdout
    assert "with --jobs 2" in done.stdout
    assert "; start-up and evaluation of each cell are not included" in done.stdout
    assert "2 conditions, 5 seeds: the smallest adjusted p that a single condition can reach is 0.062" in done.stdout
    assert "with fewer than 6 seeds, no difference can reach 0.05, however large it is" in done.stdout
    assert "rate-high: measuring 1 steps" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"study.yaml", "task"}
    lines = command("plan", study, "--device", "cpu", "--steps", "1", "--wide").stdout.splitlines()
    assert re.split("  +", lines[0])[:4] == ["condition", "parameters", "memory, MiB", "max. batch"]
    assert {"encoder, backward", "losses.masked"} < set(re.split("  +", lines[4]))
    told = json.loads(command("plan", study, "--device", "cpu", "--steps", "1", "--json").stdout)
    assert (told["smallest_p"], told["cells"], told["conditions"].keys()) == (0.0625, 10, {"reference", "rate-high"})


def test_a_study_s_mistakes_are_sentences(tmp_path):
    study = write_study(tmp_path, metric="knn/mc")
    done = command("plan", study)
    assert (done.returncode, "study.yaml:8:9  metric: " in done.stderr, done.stdout) == (2, True, "")
    done = command("plan", write_study(tmp_path), "--set", "steps=3")
    assert (done.returncode, done.stderr) == (2, "--set applies to a recipe; a study states its overrides in its file\n")
    done = command("plan", write_study(tmp_path, factors=None))
    assert (done.returncode, "factors: missing; it is required" in done.stderr) == (2, True)
