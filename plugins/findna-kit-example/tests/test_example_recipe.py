"""Tests of both components in the plugin's recipe through the command line. The plugin must be installed."""

import json
import subprocess
import sys

import pytest

import findna_kit

RECIPE = "example:example"
SMALL = (
    "steps=2", "data.batch_size=4", "data.length=64", "class_tokens=2", "trainer.validation_windows=8", "evaluation.tasks=[]",
)  # fmt: skip


def findna(*arguments, cwd):
    command = [sys.executable, "-m", "findna_kit", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of two steps."""
    folder = tmp_path_factory.mktemp("example")
    done = findna("run", RECIPE, "--out", "run", *(word for one in SMALL for word in ("--set", one)), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_runs(run):
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["components"]["encoder"] == {"depthwise_conv": "findna-kit-example 0.1.0"}
    assert record["components"]["loss"]["pooled_agreement"] == "findna-kit-example 0.1.0"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["agree/loss"] for row in rows if "agree/loss" in row]
    assert losses and all(0 < loss < 2 for loss in losses)


def test_embeds(run):
    embeddings = findna_kit.load(run, device="cpu").embed(["ACGT" * 50, "acgtn"])
    assert embeddings.shape == (2, 64)


def test_class_embeddings_come_by_attention_pooling(run):
    """Though the encoder is given no class rows."""
    assert findna_kit.load(run, device="cpu").embed(["ACGT" * 50], pooling="class").shape == (1, 64)


def test_left_out_it_is_missed(run, tmp_path):
    done = findna("check", RECIPE, "--without", "example", cwd=tmp_path)
    assert done.returncode == 2
    assert "encoder.name: no encoder is called 'depthwise_conv'" in done.stderr
    assert "losses.agree.name: no loss is called 'pooled_agreement'" in done.stderr
