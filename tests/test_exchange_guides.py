"""docs/export.md and docs/score-variants.md: their commands run, their recipe trains, their example loads."""

import re
import shlex

import pytest
import torch

import findna_kit
from findna_kit.inference.variants import STATUSES
from findna_kit.inference.variants.output import _TABLE
from findna_kit.runs import RunLocation, start
from tests.authors import authors, content
from tests.building import ROOT, SMALL, sets, small
from tests.installing import findna
from tests.variants import fasta, table

EXCHANGE, VARIANTS = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("export", "score-variants"))
NAME = "model_29_1000_4l_308_512_noiseandTL.pt"


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(page):
    return [shlex.split(line)[1:] for block in blocks(page, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with everything the pages use: a run, a small version of the authors' file, sequences, and the VCF."""
    folder = tmp_path_factory.mktemp("guide")
    recipe, components, plugins = small("self_distill", "steps=1", "data.genome=builtin")
    start(recipe, RunLocation(folder / "runs" / "mine"), components=components, plugins=plugins, device="cpu")
    torch.save(content(*(authors(seed, dim=22, hidden=16, blocks=1) for seed in (1, 2))), folder / NAME)
    fasta(folder / "sequences.fa", {"one": "ACGT" * 20, "two": "GATTACA"})
    (folder / "variants.vcf").write_text(blocks(VARIANTS, "text")[0])
    return folder


def called(words):
    if words[-1] == "onnx":
        for name in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(name, reason="the extra onnx is not installed")
    code, out, err = findna(*words)
    assert code == 0, err
    return out, err


def test_the_commands_on_models_work_in_their_order(here, monkeypatch):
    monkeypatch.chdir(here)
    for words in commands(EXCHANGE):
        if words[-1] != "onnx":
            called(words)
    (example,) = blocks(EXCHANGE, "python")
    names = {}
    exec(example, names)
    assert names["embeddings"].shape == (2, 22)
    assert findna_kit.load("my-student").branch == "student"


def test_the_recipe_goes_on_with_the_import(here, monkeypatch):
    monkeypatch.chdir(here)
    if not (here / "runs" / "released").exists():
        called(commands(EXCHANGE)[0])
    (here / "gone_on.yaml").write_text(blocks(EXCHANGE, "yaml")[0])
    cut = [one for one in SMALL if not one.startswith(("encoder", "class_tokens"))]
    called(["run", "gone_on.yaml", *sets(*cut, "steps=2"), "--out", "runs/gone-on", "--device", "cpu"])
    assert findna_kit.load("runs/gone-on").step == 2
    came, begun = findna_kit.load("runs/released"), findna_kit.load("runs/gone-on", step=0)
    assert came.network.encoder.embed.weight.equal(begun.network.encoder.embed.weight)


def test_the_graph_is_exported(here, monkeypatch):
    monkeypatch.chdir(here)
    (words,) = [words for words in commands(EXCHANGE) if words[-1] == "onnx"]
    called(words)
    assert (here / "my-graph" / "model.onnx").is_file()


def test_the_commands_on_variants_work(here, monkeypatch):
    monkeypatch.chdir(here)
    for words in commands(VARIANTS):
        _, err = called(words)
        assert "has no contig 'chr2R', which one record of variants.vcf uses" in err
    found = {(line["id"], line["alt"]): line["status"] for line in table((here / "scores.tsv").read_text())}
    assert found == {
        ("edge", "G"): "scored", ("snv", "A"): "scored", ("snv", "C"): "scored", ("deletion", "G"): "distance_only",
        ("other_name", "A"): "contig_absent",
    }  # fmt: skip
    assert (here / "scores.vcf.gz").is_file()


def test_every_status_and_every_column_is_on_the_page():
    told = set(re.findall(r"`([a-z_]+)`", VARIANTS))
    assert set(STATUSES) <= told
    assert set(_TABLE[-4:]) <= told
