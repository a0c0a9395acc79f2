"""`init_from`: whole parts of another run, or none of it."""

import shutil

import pytest
import torch

import findna_kit
from findna_kit import checkpoint
from findna_kit.assemble import assemble
from findna_kit.errors import CheckpointMismatch
from findna_kit.runs import RunLocation, start, take_initial_weights
from findna_kit.trainer import Observer
from tests.building import command, sets, small


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of three steps, whose branches have parted."""
    folder = tmp_path_factory.mktemp("source") / "run"
    recipe, components, plugins = small("self_distill", "steps=3", "trainer.checkpoint_every=1", "trainer.keep_last=9")
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


def begun(run, *overrides, device="cpu"):
    """An experiment that has taken its weights, and the remarks."""
    recipe, _, _ = small("self_distill", f"init_from.run={run}", "seed=99", *overrides)
    experiment = assemble(recipe, device)
    remarks = take_initial_weights(experiment, recipe)
    return experiment.model_tensors(), remarks


def saved(run, step=3):
    return checkpoint.load_model(run, step)


def names(tensors, prefix, without="-"):
    return [name.removeprefix(prefix) for name in tensors if name.startswith(prefix) and not name.startswith(without)]


def test_both_branches_start_with_the_encoder_of_the_teacher(source):
    tensors, (remark,) = begun(source)
    before = saved(source)
    for name in names(tensors, "student.", "student.heads."):
        assert tensors[f"student.{name}"].equal(before[f"teacher.{name}"])
        assert tensors[f"teacher.{name}"].equal(before[f"teacher.{name}"])
    assert not tensors["student.heads.masked.classifier.weight"].equal(before["teacher.heads.masked.classifier.weight"])
    assert remark.startswith("init_from: both branches start with encoder of the teacher of ")
    assert remark.endswith("step-00000003")


def test_the_other_branch_another_step_and_the_heads(source):
    tensors, _ = begun(source, "init_from.branch=student", "init_from.step=2", "init_from.parts=[encoder, heads]")
    before = saved(source, 2)
    assert not before["student.encoder.embed.weight"].equal(before["teacher.encoder.embed.weight"])
    for name in names(tensors, "student."):
        assert tensors[f"student.{name}"].equal(before[f"student.{name}"])
        assert tensors[f"teacher.{name}"].equal(before[f"student.{name}"])


def test_heads_alone_leave_the_encoder_to_the_seed(source):
    tensors, _ = begun(source, "init_from.parts=[heads]")
    fresh = assemble(small("self_distill", "seed=99")[0]).model_tensors()
    assert tensors["student.encoder.embed.weight"].equal(fresh["student.encoder.embed.weight"])
    assert tensors["student.heads.distill.logits.weight"].equal(saved(source)["teacher.heads.distill.logits.weight"])


@pytest.mark.parametrize(("overrides", "sentence"), [
    (("encoder.dim=33",), r"init_from: encoder of the teacher of .*step-00000003 does not fit:\n  .*encoder.embed.weight"),
    (("losses.distill.prototypes=9", "init_from.parts=[heads]"), r"distill.logits.weight: float32\[24, 16\] in the checkpoint"),
    (("losses.distill=null", "init_from.parts=[heads]"), "unexpected: student.heads.distill"),
    (("encoder={name: transformer, dim: 24, heads: 2}",), "has the encoder 'chordmixer', this recipe 'transformer'"),
    (("init_from.step=7",), "has no checkpoint of step 7; saved: 0, 1, 2, 3"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_refused_and_none_are_copied(source, overrides, sentence):
    recipe, _, _ = small("self_distill", f"init_from.run={source}", *overrides)
    experiment = assemble(recipe)
    before = {name: tensor.clone() for name, tensor in experiment.model_tensors().items()}
    with pytest.raises(CheckpointMismatch, match=sentence):
        take_initial_weights(experiment, recipe)
    assert all(tensor.equal(before[name]) for name, tensor in experiment.model_tensors().items())


def test_an_encoder_with_other_parameters_is_logged_if_its_tensors_fit(source):
    _, remarks = begun(source, "encoder.dropout=0.1")
    assert remarks[1:] == ["init_from: encoder.dropout: 0.0 -> 0.1; the weights are used anyway"]


def test_a_folder_that_is_not_a_run_is_an_error(tmp_path):
    with pytest.raises(CheckpointMismatch, match="is not a run folder"):
        begun(tmp_path)


def test_a_frozen_teacher_is_the_run_that_it_came_from(source, tmp_path):
    recipe, components, plugins = small("self_distill", f"init_from.run={source}", "teacher_update=frozen", "steps=2")
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    after, before = saved(tmp_path / "run", 2), saved(source)
    assert after["teacher.encoder.embed.weight"].equal(before["teacher.encoder.embed.weight"])
    assert not after["student.encoder.embed.weight"].equal(before["teacher.encoder.embed.weight"])


def test_a_run_resumes_without_the_run_that_it_started_from(source, tmp_path):
    shutil.copytree(source, tmp_path / "first")
    recipe, components, plugins = small("self_distill", f"init_from.run={tmp_path / 'first'}", "steps=2")
    lines = []
    observer = Observer(lines.append)
    start(recipe, RunLocation(resume=tmp_path / "run"), components=components, plugins=plugins, device="cpu", observer=observer)
    assert any("both branches start with" in sentence for sentence in lines)
    shutil.rmtree(tmp_path / "first")
    assert findna_kit.load(tmp_path / "run").embed(["ACGT"]).shape == (1, 22)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000002")
    start(recipe, RunLocation(resume=tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    assert checkpoint.steps_saved(tmp_path / "run") == [0, 2]


def test_check_finds_a_run_that_does_not_fit(source):
    done = command("check", "masked_only", *sets(f"init_from.run={source}", "encoder={name: chordmixer, dim: 44}"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "init_from: encoder of the teacher of" in done.stderr
    assert "does not fit" in done.stderr
    assert "Traceback" not in done.stderr
    missing = command("check", "masked_only", *sets("init_from.run=nowhere", "data.exclude=no.bed"))
    assert missing.returncode == 2
    assert "data.exclude: " in missing.stderr
    assert "init_from.run: " in missing.stderr


def test_meta_is_enough_to_find_out(source):
    tensors, _ = begun(source, device="meta")
    assert {tensor.device for tensor in tensors.values()} == {torch.device("meta")}
