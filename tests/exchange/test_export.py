"""An exported folder is the model to the last bit, is taken wherever a run is, and is whole or absent."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import findna_kit
from findna_kit import checkpoint
from findna_kit.assemble import assemble
from findna_kit.errors import CheckpointMismatch, FindnaError, OutputExists
from findna_kit.exchange.export import export_run
from findna_kit.exchange.import_findna import import_findna
from findna_kit.plugins.loading import load_plugins
from findna_kit.runs import RunLocation, start, take_initial_weights
from tests.authors import authors, content
from tests.building import small

SEQUENCES = ["ACGTNNACGT", "ttgaca", "A", "ACGT" * 60]
FILES = ["README.md", "checkpoints", "config.json", "model.safetensors", "recipe.yaml", "run.json"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe, components, plugins = small("self_distill", "steps=3", "optimizer.learning_rate=0.01")
    folder = tmp_path_factory.mktemp("runs") / "run"
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "model"
    export_run(run, out)
    return out


def same(one, other, *poolings):
    for pooling in poolings or ("mean", "class"):
        assert np.array_equal(one.embed(SEQUENCES, pooling), other.embed(SEQUENCES, pooling))


@pytest.mark.parametrize("asked", [{}, {"branch": "student"}, {"step": 0}, {"branch": "student", "step": 0}])
def test_the_embeddings_are_the_same_bits(run, tmp_path, asked):
    made = export_run(run, tmp_path / "model", **asked)
    before, after = findna_kit.load(run, **asked), findna_kit.load(tmp_path / "model")
    assert (made.branch, made.step) == (after.branch, after.step) == (before.branch, before.step)
    assert after.precision == before.precision
    same(before, after)
    position = np.array([3])
    assert np.array_equal(*(model.base_log_probabilities(["ACGTACGT"], position) for model in (before, after)))


def test_what_is_in_it(exported, run):
    assert sorted(path.name for path in exported.iterdir()) == FILES
    config = json.loads((exported / "config.json").read_text())
    assert config["model_type"] == "findna_kit"
    assert (config["branch"], config["step"], config["dim"], config["class_tokens"]) == ("teacher", 3, 22, 2)
    assert config["encoder"]["name"] == "chordmixer"
    assert config["trained_length"] == 64
    tensors = load_file(exported / "model.safetensors")
    assert config["parameters"] == sum(tensor.numel() for tensor in tensors.values())
    saved = checkpoint.load_model(run, 3)
    wanted = {name for name in saved if name.startswith("teacher.")}
    assert set(tensors) == wanted, "one branch, no optimizer"
    assert all(tensors[name].equal(saved[name]) for name in wanted)


@pytest.mark.parametrize("symlinks", [True, False])
def test_a_copy_elsewhere_is_the_same(exported, run, tmp_path, symlinks):
    """The link inside is relative; who follows it has the tensors twice, and nothing else changes."""
    shutil.copytree(exported, tmp_path / "copy", symlinks=symlinks)
    assert (tmp_path / "copy" / "checkpoints" / "step-00000003" / "model.safetensors").is_symlink() == symlinks
    same(findna_kit.load(run), findna_kit.load(tmp_path / "copy"))


def test_a_run_begins_with_it(exported, run):
    begun = []
    for source in (exported, run):
        recipe, _, _ = small("self_distill", f"init_from={{run: {source}, parts: [encoder, heads]}}")
        experiment = assemble(recipe)
        take_initial_weights(experiment, recipe)
        begun.append(experiment.model_tensors())
    assert all(begun[0][name].equal(begun[1][name]) for name in begun[1])
    assert begun[0]["student.encoder.embed.weight"].equal(checkpoint.load_model(run, 3)["teacher.encoder.embed.weight"])


def test_the_branch_that_it_does_not_hold_is_a_sentence(exported, run, tmp_path):
    with pytest.raises(FindnaError, match="contains only the teacher, not the student; export the student"):
        findna_kit.load(exported, "student")
    export_run(run, tmp_path / "student", branch="student")
    recipe, _, _ = small("self_distill", f"init_from.run={tmp_path / 'student'}")
    with pytest.raises(CheckpointMismatch, match="of the teacher of"):
        take_initial_weights(assemble(recipe), recipe)
    recipe, _, _ = small("self_distill", f"init_from.run={tmp_path / 'student'}", "init_from.branch=student")
    assert take_initial_weights(assemble(recipe), recipe)


def test_an_export_is_exported_again(exported, run, tmp_path):
    export_run(exported, tmp_path / "again")
    same(findna_kit.load(run), findna_kit.load(tmp_path / "again"))
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (exported / "model.safetensors").read_bytes()


def test_an_import_is_exported(tmp_path):
    torch.save(content(*(authors(seed, dim=22, hidden=8, blocks=1) for seed in (1, 2))), tmp_path / "released.pt")
    components, plugins = load_plugins()
    place = RunLocation(tmp_path / "run")
    import_findna(tmp_path / "released.pt", place, length=1000, class_tokens=10, components=components, plugins=plugins)
    export_run(tmp_path / "run", tmp_path / "model")
    same(findna_kit.load(tmp_path / "run"), findna_kit.load(tmp_path / "model"))
    assert "The authors' released checkpoint (`released.pt`, sha256" in (tmp_path / "model" / "README.md").read_text()


def test_what_is_there_is_replaced_only_when_told_and_only_an_export(run, tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    export_run(run, out, step=0)  # an empty folder is as good as none
    with pytest.raises(OutputExists, match="already exists; use another --out, or --overwrite"):
        export_run(run, out)
    assert findna_kit.load(out).step == 0
    (out / ".evaluation.json.lock").touch()  # of a call that scored it
    export_run(run, out, overwrite=True)
    assert findna_kit.load(out).step == 3
    assert sorted(path.name for path in out.iterdir()) == FILES
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"is not an export \(it contains notes.txt\); nothing in it was changed"):
        export_run(run, out, overwrite=True)
    with pytest.raises(OutputExists, match="is not an export"):
        export_run(run, run, overwrite=True)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(out)
    for name in ("file", "link"):
        with pytest.raises(OutputExists, match="already exists and is not a folder"):
            export_run(run, tmp_path / name, overwrite=True)
    with pytest.raises(OutputExists, match="file/model: cannot be written: Not a directory"):
        export_run(run, tmp_path / "file" / "model")
    assert (out / "notes.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "model"]


def test_the_working_folder_has_a_name_too(run, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export_run(run, findna_kit.inference.frozen_model.Path("."))
    assert findna_kit.load(tmp_path / "here").step == 3
    assert 'findna_kit.load("here")' in (tmp_path / "here" / "README.md").read_text()


@pytest.mark.parametrize("kind", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_what_was_there_and_nothing_beside(run, tmp_path, monkeypatch, kind):
    out = tmp_path / "model"
    export_run(run, out, step=0)

    def fails(*_):
        raise kind

    monkeypatch.setattr("findna_kit.exchange.export.write_json", fails)
    with pytest.raises(OutputExists if isinstance(kind, OSError) else KeyboardInterrupt):
        export_run(run, out, overwrite=True)
    with pytest.raises(OutputExists if isinstance(kind, OSError) else KeyboardInterrupt):
        export_run(run, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert findna_kit.load(out).step == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from findna_kit.exchange import export
write = export.write_json
def dies(path, content):
    write(path, content)
    os.kill(os.getpid(), signal.SIGKILL)
export.write_json = dies
export.export_run(Path(sys.argv[1]), Path(sys.argv[2]), overwrite=True)
"""


def test_a_kill_in_the_midst_leaves_what_was_there(run, tmp_path):
    out = tmp_path / "model"
    export_run(run, out, step=0)
    done = subprocess.run([sys.executable, "-c", KILLED, str(run), str(out)], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert findna_kit.load(out).step == 0
    export_run(run, out, overwrite=True)
    assert findna_kit.load(out).step == 3


def test_what_is_no_run_and_no_step_is_refused(run, tmp_path):
    for source, asked, sentence in (
        (tmp_path, {}, "is not a run folder"),
        (run, {"step": 2}, "has no checkpoint of step 2; saved: 0, 3"),
    ):
        with pytest.raises(FindnaError, match=sentence):
            export_run(source, tmp_path / "model", **asked)
    assert os.listdir(tmp_path) == []
