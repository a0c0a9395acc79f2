"""Checkpoints: whole or absent, loaded whole or refused."""

import json

import pytest
import torch

from findna_kit import checkpoint
from findna_kit.errors import CheckpointMismatch


def write(run, step, value=1.0):
    checkpoint.save(run, step, {"a": torch.full((2, 3), value)}, {"b": torch.tensor(step)}, {"latest": {"loss": value}})


def test_what_was_saved_comes_back(tmp_path):
    write(tmp_path, 5)
    model, state, values = checkpoint.load(tmp_path, 5)
    assert torch.equal(model["a"], torch.ones(2, 3))
    assert torch.equal(state["b"], torch.tensor(5))
    assert values == {"step": 5, "latest": {"loss": 1.0}}
    assert sorted(path.name for path in checkpoint.path_of(tmp_path, 5).iterdir()) == [
        "model.safetensors", "state.json", "state.safetensors",
    ]  # fmt: skip


def test_nothing_good_is_written_over(tmp_path):
    write(tmp_path, 5, 1.0)
    write(tmp_path, 5, 2.0)
    assert checkpoint.load_model(tmp_path, 5)["a"][0, 0] == 1.0


def test_the_first_and_the_newest_are_kept(tmp_path):
    for step in (0, 10, 20, 30):
        write(tmp_path, step)
    (tmp_path / "checkpoints" / ".step-00000040.123").mkdir()
    checkpoint.prune(tmp_path, 2)
    assert checkpoint.steps_saved(tmp_path) == [0, 20, 30]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 3
    checkpoint.prune(tmp_path / "nothing", 2)


def test_folders_with_other_names_are_ignored_and_left(tmp_path):
    steps = [0, 5, 99_999_999, 100_000_000]
    for step in steps:
        write(tmp_path, step)
    others = [
        "step-00000100-old",
        "step-00000005.bak",
        "step-5",
        "step-000000005",
        "step-",
        "step-1e3",
        "astep-00000005",
        "step-٠٠٠٠٠٠٠٥",
    ]
    for name in others:
        (tmp_path / "checkpoints" / name).mkdir()
    (tmp_path / "checkpoints" / "step-00000007").write_text("not a folder")
    assert checkpoint.steps_saved(tmp_path) == steps
    assert checkpoint.find_step(tmp_path) == 100_000_000
    checkpoint.prune(tmp_path, 1)
    assert checkpoint.steps_saved(tmp_path) == [0, 100_000_000]
    assert all((tmp_path / "checkpoints" / name).is_dir() for name in others)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_refused(tmp_path, name):
    write(tmp_path, 5)
    path = checkpoint.path_of(tmp_path, 5) / name
    path.write_bytes(path.read_bytes()[:7])
    with pytest.raises(CheckpointMismatch, match="is not a complete checkpoint"):
        checkpoint.load(tmp_path, 5)


def test_a_damaged_model_is_refused(tmp_path):
    write(tmp_path, 5)
    (checkpoint.path_of(tmp_path, 5) / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        checkpoint.load_model(tmp_path, 5)


def test_all_that_differs_is_listed_and_nothing_is_copied():
    target = {"same": torch.zeros(2), "shape": torch.zeros(2), "type": torch.zeros(2), "lost": torch.zeros(1)}
    source = {"same": torch.ones(2), "shape": torch.ones(3), "type": torch.ones(2, dtype=torch.float64), "new": torch.ones(1)}
    with pytest.raises(CheckpointMismatch) as refused:
        checkpoint.fill("the model", target, source)
    for sentence in (
        "the model does not fit", "missing: lost", "unexpected: new",
        "shape: float32[3] in the checkpoint, float32[2] expected", "type: float64[2] in the checkpoint, float32[2] expected",
    ):  # fmt: skip
        assert sentence in str(refused.value)
    assert all(tensor.sum() == 0 for tensor in target.values())


def test_a_long_list_of_differences_is_cut():
    with pytest.raises(CheckpointMismatch, match="and 8 more"):
        checkpoint.fill("x", {str(i): torch.zeros(1) for i in range(20)}, {})


def test_parts_have_their_own_names():
    named = checkpoint.add_prefix("student", {"a.b": torch.zeros(1)})
    assert list(named) == ["student.a.b"]
    assert list(checkpoint.strip_prefix("student", {**named, "studentish.c": torch.zeros(1)})) == ["a.b"]


def test_a_tensor_that_shares_memory_is_saved_whole(tmp_path):
    base = torch.arange(6.0)
    checkpoint.save(tmp_path, 1, {"a": base[:3], "b": base.view(2, 3).T}, {}, {})
    model = checkpoint.load_model(tmp_path, 1)
    assert torch.equal(model["b"], base.view(2, 3).T)
    assert json.loads((checkpoint.path_of(tmp_path, 1) / "state.json").read_text()) == {"step": 1}
