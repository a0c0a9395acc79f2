"""Processes that srun starts are one run: the same numbers, one voice, and an end in time where one is lost."""

import os
import signal
import time
from pathlib import Path

import pytest

import findna_kit
from findna_kit import checkpoint
from findna_kit.metrics.writers import read_rows
from tests.building import SMALL, sets
from tests.runs.test_several import CHOICES, wait_for_step

RUN = ("run", "self_distill", *CHOICES)
STEPS = 50
RECIPES = {
    "self_distill": (*CHOICES, *sets("trainer.checkpoint_every=25")),
    "info_nce": sets(*SMALL, "encoder.dropout=0", "trainer.micro_batch=4", "trainer.checkpoint_every=25"),
    "methods/moco": sets(
        *SMALL, "class_tokens=0", "encoder.dropout=0", "views.crop.length=48", "trainer.micro_batch=4",
        "trainer.checkpoint_every=25", "losses.agree.hidden=32", "losses.agree.output=16", "losses.agree.queue=64",
    ),
}  # fmt: skip
"""Sums of samples and a centre; the whole batch; a queue that is full, and begun anew, after four steps."""
WHOLE = ("loss", "gradient_norm")
LAYOUTS = {"one node": (("-n", "2"), 1), "two nodes": (("-N", "2", "--ntasks-per-node", "1"), 2)}


def run_of(recipe):
    return ("run", recipe, *RECIPES[recipe], "--set", f"steps={STEPS}", "--out", "run")


def every_loss(run):
    """The whole, its terms and the gradient's norm, by step; the optimizer may not show a gradient that is twice as large."""
    rows = [row for row in read_rows(run) if "loss" in row]
    return {(row["step"], name): row[name] for row in rows for name in row if name in WHOLE or name.endswith("/loss")}


@pytest.fixture(scope="module")
def one(cluster, tmp_path_factory):
    """By recipe, the run of one process, by srun too."""
    made = {}

    def run(recipe):
        if recipe not in made:
            made[recipe] = tmp_path_factory.mktemp("one")
            code, _, err = cluster.ask("srun", "-n", "1", *cluster.findna(*run_of(recipe)), cwd=made[recipe])
            assert code == 0, err
            assert "share each batch" not in err
        return made[recipe] / "run"

    return run


@pytest.mark.parametrize(("recipe", "layout"), [("self_distill", "one node"), *((name, "two nodes") for name in RECIPES)])
def test_two_are_one(recipe, layout, cluster, one, tmp_path):
    words, nodes = LAYOUTS[layout]
    code, out, err = cluster.ask("srun", *words, *cluster.findna(*run_of(recipe)), cwd=tmp_path)
    assert code == 0, err
    mine, theirs = every_loss(one(recipe)), every_loss(tmp_path / "run")
    assert theirs == pytest.approx(mine, rel=1e-5)
    assert {step for step, _ in mine} == set(range(1, STEPS + 1))
    assert out.count(f"{STEPS} steps in") == 1
    assert err.count(f"srun: 2 processes on {nodes} node") == 1
    assert "Warning" not in err
    assert f"  devices: {2 // nodes}\n  nodes: {nodes}\n" in (tmp_path / "run" / "recipe.yaml").read_text()


def ranks(run):
    """The processes of a run, by their command, the first one first."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words, variables = entry.read_text().split("\0"), (entry.parent / "environ").read_text().split("\0")
        except OSError:
            continue
        if str(run) in words and "findna_kit" in words and words[0] != "srun":
            found[dict(one.partition("=")[::2] for one in variables).get("SLURM_PROCID")] = int(entry.parent.name)
    return [found[number] for number in sorted(found)]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_ends_the_other_with_one_message(victim, cluster, tmp_path):
    run = tmp_path / "run"
    started = cluster.start("srun", "-n", "2", *cluster.findna(*RUN, "--out", str(run), "--set", "steps=100000"), cwd=tmp_path)
    wait_for_step(run, 3)
    both = ranks(run)
    assert len(both) == 2
    began = time.monotonic()
    os.kill(both[victim], signal.SIGKILL)
    _, err = started.communicate(timeout=60)
    assert time.monotonic() - began < 60
    assert started.returncode != 0
    assert not any(Path(f"/proc/{rank}").exists() for rank in both)
    assert err.count(f"continue with --resume {run}") == 1, err
    assert "Traceback" not in err
    assert findna_kit.load(run, device="cpu").step == checkpoint.steps_saved(run)[-1] >= 3
