"""`findna-kit import findna` and `export`: what comes in and goes out by the command line, and what is done with it then."""

import json
import os
import re
import shutil

import numpy as np
import pytest
import torch

import findna_kit
from findna_kit import checkpoint
from findna_kit.runs import RunLocation, start
from tests.authors import authors, content
from tests.building import SMALL, command, sets, small
from tests.installing import findna
from tests.variants import GENOME, HEAD, at, fasta, other, row, table

SIZES = {"dim": 22, "hidden": 16, "blocks": 2}
FC1 = "encoder.SwanDNA_blocks.1.SwanDNA_blocks.3.column_transform.fc1.weight"


def released(path, change=lambda made: None):
    made = content(authors(1, **SIZES), authors(2, **SIZES))
    for branch in ("Teacher", "Student"):
        made[branch] = dict(made[branch])
    change(made)
    torch.save(made, path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return released(tmp_path_factory.mktemp("file") / "released.pt")


@pytest.fixture(scope="module")
def taken(file, tmp_path_factory):
    """The import's folder, and what the command printed."""
    folder = tmp_path_factory.mktemp("runs") / "released"
    return folder, findna("import", "findna", file, "--out", folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe, components, plugins = small("self_distill", "steps=3")
    folder = tmp_path_factory.mktemp("runs") / "run"
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


def refused(done, *sentences):
    code, out, err = done
    assert code == 2, (code, out, err)
    assert "Traceback" not in err
    assert out == ""
    for sentence in sentences:
        assert sentence in err, err


def test_an_import_prints_where_every_tensor_came_from(taken, file):
    folder, (code, out, err) = taken
    assert code == 0, err
    assert "all 168 tensors of" in out
    assert f"{folder}: the folder of the run; its step 0 is a random initialisation, its last step the checkpoint" in out
    lines = {
        line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line.startswith(("teacher", "student"))
    }
    assert lines["teacher.heads.masked.classifier.weight"] == "Teacher.linear.weight, rows a c g t, times 10"
    assert set(lines) == set(checkpoint.load_model(folder, checkpoint.find_step(folder)))
    assert findna_kit.load(folder).branch == "teacher"


class Code:
    def __reduce__(self):
        return os.mkdir, ("it-was-run",)


def missing(made):
    del made["Teacher"][FC1]


def extra(made):
    made["Student"]["linear.scale"] = torch.ones(5)


def misshapen(made):
    made["Teacher"][FC1] = torch.zeros(16, 30)


def code(made):
    made["EPOCHS_RUN"] = Code()


@pytest.mark.parametrize(("change", "sentence"), [
    (missing, f"missing: Teacher.{FC1}"),
    (extra, "unexpected: Student.linear.scale"),
    (misshapen, f"Teacher.{FC1}: must be floating-point [16, 22] (got float32[16, 30])"),
    (code, ".mkdir), which a checkpoint does not need; nothing in it was run"),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path, monkeypatch, change, sentence):
    monkeypatch.chdir(tmp_path)
    released(tmp_path / "released.pt", change)
    refused(findna("import", "findna", "released.pt", "--out", "run"), "released.pt: ", sentence)
    assert os.listdir(tmp_path) == ["released.pt"]


def test_a_process_of_its_own_refuses_code_too(tmp_path):
    done = command("import", "findna", released(tmp_path / "released.pt", code), "--out", "run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "contains code (" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["released.pt"]


def test_imports_that_are_refused_for_what_is_asked(file, taken, tmp_path):
    refused(
        findna("import", "findna", tmp_path / "absent.pt", "--out", tmp_path / "run"), "absent.pt: cannot be read: No such file"
    )
    refused(
        findna("import", "findna", file, "--out", tmp_path / "run", "--length", 200),
        "give the --length of the training windows, 503 to 1014",
    )
    refused(findna("import", "findna", file, "--out", taken[0]), "already exists; take another --out")
    assert os.listdir(tmp_path) == []
    assert findna("import", "findna", file, "--out", tmp_path / "run", "--length", 600)[0] == 0
    assert findna("import", "findna", file, "--out", tmp_path / "run", "--overwrite")[0] == 0
    assert findna_kit.load(tmp_path / "run").recipe.data.length == 1000


def test_without_out_it_lies_among_the_runs(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert findna("import", "findna", file)[0] == 0
    assert (tmp_path / "runs" / "findna-released-1" / "run.json").is_file()


def test_variants_are_scored_with_an_import(taken, tmp_path):
    (tmp_path / "in.vcf").write_text(HEAD + row("one", 90, at(90), other(at(90))) + row("one", 50, at(50, 3), at(50)))
    genome = fasta(tmp_path / "genome.fa", GENOME)
    words = ["variants", taken[0], tmp_path / "in.vcf", "--genome", genome, "--out", tmp_path / "out.tsv", "--device", "cpu"]
    code, _, err = findna(*words)
    assert code == 0, err
    found = table((tmp_path / "out.tsv").read_text())
    assert [line["status"] for line in found] == ["scored", "distance_only"]
    assert np.isfinite(float(found[0]["llr"]))


def test_sequences_are_embedded_with_an_import(taken, tmp_path):
    fasta(tmp_path / "in.fa", {"a": "ACGT" * 30, "b": "TTTGACA" * 9})
    code, _, err = findna("embed", taken[0], tmp_path / "in.fa", "--out", tmp_path / "out.npy", "--device", "cpu")
    assert code == 0, err
    wanted = findna_kit.load(taken[0], device="cpu").embed(["ACGT" * 30, "TTTGACA" * 9])
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), wanted, rtol=1e-5, atol=1e-6)


def pretrain(source, out, *overrides):
    """Two steps on the genome in the package, from weights that are there."""
    encoder = "encoder={name: chordmixer, dim: 22, hidden: 16, blocks: 2, layers: 10}"
    words = [*SMALL, encoder, "class_tokens=10", "steps=2", "data.genome=builtin", *overrides]
    return findna(
        "run", "findna", *sets(*words, f"init_from={{run: {source}, parts: [encoder, heads]}}"), "--out", out, "--device", "cpu"
    )


def test_pretraining_goes_on_from_an_import(taken, tmp_path):
    code, _, err = pretrain(taken[0], tmp_path / "run", "losses.distill={name: self_distillation, head: five_way}")
    assert code == 0, err
    begun, came = checkpoint.load_model(tmp_path / "run", 0), checkpoint.load_model(taken[0], 46_860)
    assert all(begun[name].equal(came[name.replace("student.", "teacher.")]) for name in came)
    assert checkpoint.find_step(tmp_path / "run") == 2
    ended = checkpoint.load_model(tmp_path / "run", 2)
    assert not ended["student.encoder.embed.weight"].equal(begun["student.encoder.embed.weight"])


def test_an_import_is_exported_and_pretraining_goes_on_from_that(taken, tmp_path):
    code, _, err = findna("export", taken[0], "--out", tmp_path / "model")
    assert code == 0, err
    models = [findna_kit.load(folder, device="cpu") for folder in (taken[0], tmp_path / "model")]
    assert np.array_equal(*(model.embed(["ACGTNACGT", "gattaca"]) for model in models))
    code, _, err = pretrain(tmp_path / "model", tmp_path / "run", "losses.distill={name: self_distillation, head: five_way}")
    assert code == 0, err


def test_an_export_lists_its_files_and_asks_for_a_licence(run, tmp_path):
    code, out, err = findna("export", run, "--out", tmp_path / "model")
    assert code == 0, err
    for name in ("README.md", "config.json", "model.safetensors", "recipe.yaml", "run.json"):
        assert re.search(rf"^{re.escape(name)} +[\d.,]+ *$", out, re.MULTILINE), out
    assert (
        out.splitlines()[-1]
        == f"{tmp_path / 'model'}: the teacher at step 3; before you publish it, fill in the licence in README.md"
    )
    assert json.loads((tmp_path / "model" / "config.json").read_text())["step"] == 3


def test_an_export_of_the_other_branch_and_step(run, tmp_path):
    code, out, _ = findna("export", run, "--out", tmp_path / "model", "--branch", "student", "--step", 0)
    assert code == 0
    assert "the student at step 0" in out
    assert findna_kit.load(tmp_path / "model").branch == "student"


def test_scores_go_with_an_export_and_an_import_is_scored(taken, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(taken[0], folder)
    random = np.random.default_rng(0)
    for name in ("train", "dev", "test"):
        rows = [f"{''.join(random.choice(list('AAAC' if row % 2 else 'GGGT'), 60))},{row % 2}" for row in range(30)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["sequence,label", *rows, ""]))
    code, _, err = findna("evaluate", folder, tmp_path, "--protocol", "knn", "--device", "cpu")
    assert code == 0, err
    code, out, err = findna("export", folder, "--out", tmp_path / "model")
    assert code == 0, err
    assert "evaluation.json" in out
    assert (tmp_path / "model" / "evaluation.json").read_bytes() == (folder / "evaluation.json").read_bytes()
    card = (tmp_path / "model" / "README.md").read_text()
    for features in ("encoder", "random initialisation", "k-mer logistic regression", "majority class"):
        assert re.search(rf"^\| k-NN \| {features} \|.*\| \d\.\d+ \[", card, re.MULTILINE), card
    code, _, err = findna("evaluate", tmp_path / "model", tmp_path, "--protocol", "knn", "--device", "cpu")
    assert code == 0, err
    code, _, err = findna("export", folder, "--out", tmp_path / "model", "--overwrite")
    assert code == 0, err


def test_exports_that_are_refused(run, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("mine")
    refused(findna("export", run, "--out", tmp_path / "model"), "already exists; use another --out, or --overwrite")
    refused(
        findna("export", run, "--out", tmp_path / "model", "--overwrite"),
        "is not an export (",
        "nothing in it was changed",
    )
    refused(findna("export", tmp_path, "--out", tmp_path / "new"), "is not a run folder")
    refused(findna("export", run, "--out", tmp_path / "new", "--step", 1), "has no checkpoint of step 1; saved: 0, 3")
    refused(
        findna("export", run, "--out", tmp_path / "new", "--format", "onxx"),
        "--format onxx: must be huggingface or onnx; did you mean 'onnx'?",
    )
    assert findna("export", run)[0] == 2
    assert os.listdir(tmp_path) == ["model"]
    assert (tmp_path / "model" / "mine.txt").read_text() == "mine"


def test_onnx_without_its_packages_names_the_extra(run, tmp_path, monkeypatch):
    monkeypatch.setattr("findna_kit.errors.find_spec", lambda name: None)
    refused(
        findna("export", run, "--out", tmp_path / "model", "--format", "onnx"),
        "--format onnx needs onnx, which is not installed: pip install 'findna-kit[onnx]'",
    )
    assert os.listdir(tmp_path) == []
