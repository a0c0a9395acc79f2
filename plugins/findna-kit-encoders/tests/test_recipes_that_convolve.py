"""Tests of the recipes of the convolutional encoders through the command line. The plugin must be installed."""

import json
from pathlib import Path

import findna_kit_encoders
import numpy as np
import pytest

import findna_kit
from findna_kit import alphabet

SIZES = {
    "cdil": ("encoder.dim=16", "class_tokens=2"),
    "convnext": ("encoder.dim=16", "encoder.blocks=2", "class_tokens=2"),
    "deepsea": ("encoder.first=8", "encoder.second=12", "encoder.dim=16", "class_tokens=2"),
    "gpn": ("encoder.dim=16", "encoder.blocks=2"),
}
LOSSES = {"cdil": {"masked", "distill"}, "convnext": {"masked", "distill"}, "deepsea": {"contrast"}, "gpn": {"masked"}}
PLAIN = ("class_tokens=0", "trainer.precision=fp32")
HEAD = ("losses.distill.hidden=16", "losses.distill.bottleneck=8", "losses.distill.prototypes=12")


@pytest.fixture(scope="module", params=sorted(SIZES))
def run(request, encoder_run, tmp_path_factory):
    """The name of a recipe, and the folder of two steps."""
    head = HEAD if "distill" in LOSSES[request.param] else ()
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, encoder_run(f"encoders:{request.param}", folder, *SIZES[request.param], *head)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_as_shipped_it_checks(findna, name):
    code, err = findna("check", f"encoders:{name}")
    assert code == 0, err


def test_every_encoder_has_a_recipe():
    """In the package's folder, so that a wheel carries it; it names the encoder."""
    folder = Path(findna_kit_encoders.__file__).parent / "recipes"
    for name in (*SIZES, "pretrained"):
        assert f"name: {name}" in (folder / f"{name}.yaml").read_text()


def test_it_runs_with_the_losses_it_says(run):
    name, folder = run
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["components"]["encoder"] == {name: "findna-kit-encoders 0.1.0"}
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = {key.split("/")[0] for row in rows for key in row if key.endswith("/loss")}
    assert losses >= LOSSES[name] and not losses & ({"masked", "distill", "contrast"} - LOSSES[name])
    assert all(np.isfinite(value) for row in rows for key, value in row.items() if key.endswith("/loss"))


def test_it_embeds_alone_as_beside_others(run):
    name, folder = run
    model = findna_kit.load(folder, device="cpu")
    sequences = ["ACGGT" * 8, "acgtn", "GATTACA" * 9]
    poolings = ["mean"] if name == "gpn" else ["mean", "class"]
    for pooling in poolings:
        together = model.embed(sequences, pooling=pooling)
        assert together.shape == (3, 16)
        for sequence, expected in zip(sequences, together, strict=True):
            np.testing.assert_allclose(model.embed([sequence], pooling=pooling)[0], expected, atol=1e-2)
    other = model.embed([alphabet.reverse_complement(sequences[0])])
    assert not np.allclose(other, model.embed(sequences[:1]), atol=1e-3), "without rc the strands differ"


def test_masked_bases_are_predicted_where_an_embedding_stands_for_sixteen(findna, tmp_path):
    (tmp_path / "mine.yaml").write_text("base: self_distill\nname: mine\nencoder: {name: deepsea}\n")
    code, err = findna("check", tmp_path / "mine.yaml")
    assert code == 0, err


def test_without_a_folder_the_pretrained_recipe_says_what_is_missing(findna):
    code, err = findna("check", "encoders:pretrained")
    assert code == 2
    assert "encoder.folder" in err and "Traceback" not in err


def test_a_folder_that_is_not_there_is_refused(findna, tmp_path):
    code, err = findna("check", "encoders:pretrained", "--set", f"encoder.folder={tmp_path / 'gone'}")
    assert code == 2
    assert str(tmp_path / "gone") in err and "Traceback" not in err


@pytest.mark.parametrize("strands", ["average", "equivariant"])
@pytest.mark.parametrize("name", sorted(SIZES))
def test_with_rc_both_strands_are_embedded_alike(encoder_run, tmp_path, name, strands):
    """The switch of any encoder; a loss on single bases is refused where the strands are averaged."""
    losses = ("losses={agree: {name: info_nce}}", "views={a: {see: [student]}, b: {see: [student]}}")
    if name == "deepsea":
        losses = ()
    sizes = [size for size in SIZES[name] if not size.startswith("class_tokens")]
    folder = encoder_run(f"encoders:{name}", tmp_path / "run", *sizes, *losses, f"encoder.rc={strands}", *PLAIN)
    model = findna_kit.load(folder, device="cpu")
    sequences = ["ACGGTTTACCAGATTACAGG", "ACGGT" * 8, "TTAGC"]
    here, there = model.embed(sequences), model.embed([alphabet.reverse_complement(sequence) for sequence in sequences])
    assert here.shape == (3, 16)
    np.testing.assert_allclose(here, there, atol=1e-5)
