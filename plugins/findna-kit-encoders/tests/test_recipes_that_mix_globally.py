"""Tests of the recipes of the encoders with global mixing through the command line. The plugin must be installed."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

import findna_kit
from findna_kit import alphabet
from findna_kit.cli import main

RECIPES = Path(__file__).parents[1] / "findna_kit_encoders" / "recipes"
NAMES = ["caduceus", "hyena", "mamba"]
SMALL = (
    "steps=2", "data.batch_size=4", "data.length=64", "encoder.blocks=1", "encoder.dim=16", "trainer.validation_windows=8",
    "evaluation.tasks=[]",
)  # fmt: skip


def findna(*arguments):
    """A command in this process: its exit code and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["findna-kit", *map(str, arguments)])
        main()
    return left.value.code or 0, err.getvalue()


def settings(*more):
    return [word for one in (*SMALL, *more) for word in ("--set", one)]


@pytest.fixture(scope="module", params=NAMES)
def run(request, tmp_path_factory):
    """The name of a recipe, and the folder of two steps with two class tokens."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    code, err = findna("run", RECIPES / f"{request.param}.yaml", "--out", folder, *settings("class_tokens=2"))
    assert code == 0, err
    return request.param, folder


@pytest.mark.parametrize("name", NAMES)
def test_as_shipped_it_checks(name):
    code, err = findna("check", RECIPES / f"{name}.yaml")
    assert code == 0, err


def test_runs(run):
    name, folder = run
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["components"]["encoder"] == {name: "findna-kit-encoders 0.1.0"}
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [row["masked/loss"] for row in rows if "masked/loss" in row]
    assert losses and all(0.5 < loss < 3 for loss in losses)


@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_embeds_alone_as_beside_others(run, pooling):
    """Sequences as long as the window, shorter and (where it takes none, in overlapping windows) longer."""
    name, folder = run
    model = findna_kit.load(folder, device="cpu")
    sequences = ["ACGGT" * 12, "acgtn", "GATTACA" * 9]
    together = model.embed(sequences, pooling=pooling)
    assert together.shape == (3, 8 if name == "caduceus" else 16)
    for sequence, expected in zip(sequences, together, strict=True):
        np.testing.assert_allclose(model.embed([sequence], pooling=pooling)[0], expected, atol=1e-5)
    assert np.isfinite(model.embed(["ACGGT" * 50])).all()


def test_only_caduceus_gives_both_strands_the_same(run):
    name, folder = run
    model = findna_kit.load(folder, device="cpu")
    sequence = "ACGGTTTACCA" * 5
    here, there = model.embed([sequence, alphabet.reverse_complement(sequence)])
    assert np.allclose(here, there, atol=1e-5) == (name == "caduceus")
