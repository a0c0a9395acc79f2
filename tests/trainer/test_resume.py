"""A resumed run equals an uninterrupted one, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from findna_kit import checkpoint
from findna_kit.builtin.teacher_updates.ema import EMA
from findna_kit.errors import CheckpointMismatch, Interrupted
from findna_kit.metrics.writers import read_rows
from findna_kit.runs import RunLocation, start
from findna_kit.trainer import Observer
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.state import VALIDATION_STEP, TrainingState, write_checkpoint
from tests.building import SMALL, SMALL_HEAD, command, experiment_of, sets, small

TIMES = ("bases_per_second",)
VARIANTS = {
    "self_distill": (),
    "dropout and micro-batches": ("encoder.dropout=0.2", "trainer.micro_batch=3"),
    "pooled embeddings, batch norm in the head": (
        "losses.distill.reads=pooled",
        "losses.distill.norm=batch",
        "trainer.micro_batch=3",
    ),
    "sinkhorn, predictor, prototypes frozen over the cut": (
        "losses.distill.centering=sinkhorn",
        "losses.distill.predictor_layers=2",
        "losses.distill.freeze_last_layer=0.7",
        "losses.distill.teacher_temperature={linear: {start: 0.04, end: 0.07, until: 0.7}}",
    ),
    "five_way": ("losses.distill.head=five_way",),
    "info_nce": (
        "views.shifted.see=[student, teacher]",
        "losses.contrast={name: info_nce, hidden: 16, output: 8}",
        "trainer.micro_batch=4",
    ),
    "sigreg, visreg of class tokens, embedding_prediction": (
        "views.shifted.see=[student, teacher]",
        "losses.agree={name: sigreg, hidden: 16, output: 8, slices: 32, global_views: [shifted]}",
        "losses.shape={name: visreg, hidden: 16, output: 8, slices: 32, reads: class}",
        "losses.predict={name: embedding_prediction, hidden: 16}",
        "views.masked.see=[student, teacher]",
        "trainer.micro_batch=3",
    ),
    "no teacher": ("teacher_update={name: none}",),
    "frozen teacher": ("teacher_update={name: frozen}",),
    "a copy every 3 steps, where the cut lies between": ("teacher_update={name: periodic, every: 3}",),
    "EMA of buffers, bf16": ("teacher_update.buffers=average", "trainer.precision=bf16"),
    "SGD with Nesterov's momentum": ("optimizer={name: sgd, nesterov: true}",),
    "SGD without state": ("optimizer={name: sgd, momentum: 0}",),
    "Lion, a delayed loss, a stable rate": (
        "optimizer={name: lion, learning_rate: {wsd: {start: 1.0e-3, end: 0, warmup: 0.2, decay: 0.3}}}",
        "losses.masked.weight={constant: {value: 1, delay: 0.5}}",
    ),
    "Muon": ("optimizer={name: muon}", "trainer.micro_batch=3"),
    "transformer": ("encoder={name: transformer, dim: 16, hidden: 32, blocks: 1, heads: 2, dropout: 0.1}",),
    "patches, with a masked loss and dropout": (
        "encoder={name: patch_transformer, patch: 6, kernel: 9, dim: 16, hidden: 32, blocks: 1, heads: 2, dropout: 0.1}",
        "trainer.micro_batch=3",
    ),
    "chordmixer with a norm and class vectors": ("encoder.norm=layer", "encoder.learned_class_tokens=true"),
    "dilated convolutions, inversion, masked spans": (
        "encoder={name: dilated_conv, dim: 16, hidden: 32, blocks: 2, kernel: 3, dropout: 0.1}",
        "views.masked.mask={name: span, fraction: 0.3}",
        "views.shifted.augment=[inversion, translocation]",
    ),
}


def without_times(rows):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def assert_same_run(one, other):
    step = checkpoint.steps_saved(one)[-1]
    assert step == checkpoint.steps_saved(other)[-1]
    for name in (checkpoint.MODEL, checkpoint.STATE):
        mine, theirs = (load_file(checkpoint.path_of(run, step) / name) for run in (one, other))
        assert mine.keys() == theirs.keys()
        assert [key for key in mine if not mine[key].equal(theirs[key])] == []
    assert without_times(read_rows(one)) == without_times(read_rows(other))


def interrupt_at(step):
    def report(done, metrics):
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return Observer(report=report)


@pytest.mark.parametrize("variant", VARIANTS)
def test_interrupted_and_resumed_equals_uninterrupted(variant, tmp_path):
    recipe, components, plugins = small("self_distill", "steps=7", *VARIANTS[variant])
    common = {"components": components, "plugins": plugins, "device": "cpu"}
    start(recipe, RunLocation(tmp_path / "whole"), **common)
    with pytest.raises(Interrupted, match="SIGTERM: step 4 of 7 is saved") as stopped:
        start(recipe, RunLocation(tmp_path / "cut"), **common, observer=interrupt_at(4))
    assert stopped.value.exit_code == 143
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["status"] == "interrupted"
    lines = []
    start(recipe, RunLocation(resume=tmp_path / "cut"), **common, observer=Observer(lines.append))
    line = f"self_distill: 7 steps in {tmp_path / 'cut'}"
    assert lines == [f"{line}, resumed at step 4"], "nothing differs"
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["status"] == "finished"
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    start(recipe, RunLocation(resume=tmp_path / "cut"), **common, observer=Observer(lines.append))
    assert lines[1:] == [f"{line}, which is complete: nothing to train"]


def test_the_validation_step_of_a_0_1_checkpoint_is_migrated(tmp_path):
    """Its `latest` has it as `look`, and teacher updates read it as `validation_step`."""
    recipe, components, plugins = small("self_distill", "steps=7")
    common = {"components": components, "plugins": plugins, "device": "cpu"}
    with pytest.raises(Interrupted):
        start(recipe, RunLocation(tmp_path / "run"), **common, observer=interrupt_at(4))
    path = checkpoint.path_of(tmp_path / "run", 4) / checkpoint.JSON
    values = json.loads(path.read_text())
    values["latest"]["look"] = values["latest"].pop(VALIDATION_STEP)
    path.write_text(json.dumps(values))
    experiment, _, engine = experiment_of(recipe)
    state = TrainingState(experiment, engine, tmp_path / "run")
    state.load()
    assert state.latest[VALIDATION_STEP] == 4.0
    assert "look" not in state.latest
    assert state.step == 4


@pytest.mark.parametrize("part", ["teacher update", "network"])
def test_a_checkpoint_that_does_not_fit_loads_nothing(part, tmp_path):
    """Neither the networks and the optimizer, nor the state of the teacher update."""

    class Counting(EMA):
        count = 0

        def state_dict(self):
            return {"count": torch.tensor(self.count)}

        def load_state_dict(self, state):
            self.count = int(state["count"])

    recipe, _, _ = small("self_distill", "steps=7")
    experiment, _, engine = experiment_of(recipe)
    experiment.teacher_update.__class__ = Counting
    experiment.teacher_update.count = 4
    write_checkpoint(tmp_path, 0, experiment, ScheduledOptimizer(experiment), {})

    other, _, _ = experiment_of(recipe)
    other.teacher_update.__class__ = Counting if part == "network" else EMA
    tensors = {**other.model_tensors(), **other.loss_tensors()}
    for tensor in tensors.values():
        tensor.data.zero_()
    if part == "network":
        other.student.register_buffer("added", torch.zeros(1))
    with pytest.raises(
        CheckpointMismatch, match="state does not fit: .* keeps no state" if part == "teacher update" else "added"
    ):
        TrainingState(other, engine, tmp_path).load()
    assert not any(tensor.any() for tensor in tensors.values())
    assert getattr(other.teacher_update, "count", 0) == 0


def test_signal_handlers_are_restored(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    recipe, components, plugins = small("masked_only", "steps=1")
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def long_run(folder, *, resume):
    overrides = sets(*SMALL, *SMALL_HEAD, "steps=60", "trainer.checkpoint_every=5", "trainer.validate_every=10")
    where = ["--resume" if resume else "--out", str(folder)]
    return [sys.executable, "-m", "findna_kit", "run", "self_distill", *overrides, *where, "--device", "cpu"]


def wait_for(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def test_killed_at_random_moments_and_resumed_equals_uninterrupted(tmp_path):
    """kill -9, twice, at random moments; the folder afterwards equals that of an uninterrupted run."""
    assert subprocess.run(long_run(tmp_path / "whole", resume=False), capture_output=True, timeout=240).returncode == 0
    cut, moments = tmp_path / "cut", random.Random()
    for attempt in (0, 1):
        process = subprocess.Popen(long_run(cut, resume=True), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda seen=attempt: len(checkpoint.steps_saved(cut)) > seen, process)
        time.sleep(moments.uniform(0, 1.0))
        process.kill()
        process.communicate()
    finished = subprocess.run(long_run(cut, resume=True), capture_output=True, timeout=240, text=True)
    assert finished.returncode == 0, finished.stderr
    assert_same_run(tmp_path / "whole", cut)
    assert not list((cut / "checkpoints").glob(".*")), "what a killed process left is removed"


def test_ctrl_c_saves_and_prints_how_to_resume(tmp_path):
    process = subprocess.Popen(
        long_run(tmp_path / "run", resume=False), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: bool(checkpoint.steps_saved(tmp_path / "run")), process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "SIGINT" in stderr
    assert f"--resume {tmp_path / 'run'}" in stderr
    assert "Traceback" not in stderr


def test_a_run_is_resumed_with_its_own_recipe(tmp_path):
    recipe, components, plugins = small("masked_only", "steps=3")
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu", observer=interrupt_at(1))
    refused = command("run", "--resume", folder, *sets("encoder.dim=33"), "--device", "cpu")
    assert refused.returncode == 2
    assert "leave out RECIPE and --set to use it. The differences:\n  encoder.dim: 22 -> 33" in refused.stderr
    done = command("run", "--resume", folder, *sets("trainer.keep_last=1"), "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in read_rows(folder)] == [0, 1, 2, 3]
    assert checkpoint.steps_saved(folder) == [0, 3]


def moving(folder):
    """The keys of a genome and a BED file that were written into a new folder."""
    bases = random.Random(5)
    folder.mkdir()
    (folder / "genome.fa").write_text("".join(f">{name}\n{''.join(bases.choices('ACGT', k=9000))}\n" for name in "ab"))
    (folder / "held out.bed").write_text("b\t1000\t3000\n")
    return f"data.genome={folder / 'genome.fa'}", f"data.validation={{bed: {folder / 'held out.bed'}}}"


def test_a_run_is_resumed_after_its_files_and_its_folder_moved(tmp_path):
    recipe, components, plugins = small("masked_only", "steps=6", "trainer.keep_last=5", *moving(tmp_path / "old"))
    common = {"components": components, "plugins": plugins, "device": "cpu"}
    start(recipe, RunLocation(tmp_path / "whole"), **common)
    with pytest.raises(Interrupted):
        start(recipe, RunLocation(tmp_path / "first"), **common, observer=interrupt_at(2))
    run = (tmp_path / "first").rename(tmp_path / "moved")
    (tmp_path / "old").rename(tmp_path / "new")
    gone = command("run", "--resume", run, "--device", "cpu")
    assert gone.returncode == 2
    assert f"{tmp_path / 'old'}/genome.fa: no such file or folder (another path: --set data.genome=PATH)" in gone.stderr
    genome, bed = f"data.genome={tmp_path / 'new' / 'genome.fa'}", f"data.validation.bed={tmp_path / 'new' / 'held out.bed'}"
    before = (run / "recipe.yaml").read_text()
    (tmp_path / "other.fa").write_text((tmp_path / "new" / "genome.fa").read_text().replace("ACG", "TTT", 1))
    other = command("run", "--resume", run, *sets(f"data.genome={tmp_path / 'other.fa'}", bed), "--device", "cpu")
    assert other.returncode == 2
    assert f"other.fa: is not the file that {run} was started with (another digest); restore it" in other.stderr
    assert (run / "recipe.yaml").read_text() == before
    done = command("run", "--resume", run, *sets(genome, bed, "trainer.keep_last=4"), "--device", "cpu")
    assert done.returncode == 0, done.stderr
    for key in ("genome", "validation.bed"):
        assert f"the same content at another path: data.{key}: '{tmp_path / 'old'}/" in done.stderr
    assert (run / "recipe.yaml").read_text() == before.replace(f"{tmp_path / 'old'}/", f"{tmp_path / 'new'}/")
    assert_same_run(tmp_path / "whole", run)


def test_more_steps_are_refused_with_the_way_to_train_them(tmp_path):
    recipe, components, plugins = small("masked_only", "steps=1")
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    refused = command("run", "--resume", tmp_path / "run", *sets("steps=3"), "--device", "cpu")
    assert refused.returncode == 2
    assert "  steps: 1 -> 3\n  to train for more steps, start a new run from the weights of this one: --set '" in refused.stderr
    stated = refused.stderr.split("--set '")[1].split("'")[0]
    longer = command(
        "run", tmp_path / "run" / "recipe.yaml", *sets(stated, "steps=3"), "--out", tmp_path / "on", "--device", "cpu"
    )
    assert longer.returncode == 0, longer.stderr
    assert read_rows(tmp_path / "on")[-1]["step"] == 3


def test_resume_starts_where_there_is_nothing(tmp_path):
    done = command("run", "masked_only", *sets(*SMALL, "steps=2"), "--resume", tmp_path / "new", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    again = command("run", "masked_only", *sets(*SMALL, "steps=2"), "--resume", tmp_path / "new", "--device", "cpu")
    assert again.returncode == 0, again.stderr
    assert [row["step"] for row in read_rows(tmp_path / "new")] == [0, 1, 2]


@pytest.mark.slow
def test_a_compiled_run_equals_an_eager_one_to_rounding(tmp_path):
    overrides = sets(*SMALL, *SMALL_HEAD, "steps=4")
    for name, compiled in (("eager", "false"), ("compiled", "true")):
        done = command(
            "run", "self_distill", *overrides, *sets(f"trainer.compile={compiled}"), "--out", tmp_path / name, "--device", "cpu"
        )
        assert done.returncode == 0, done.stderr
    eager, compiled = (without_times(read_rows(tmp_path / name)) for name in ("eager", "compiled"))
    assert [row["step"] for row in eager] == [row["step"] for row in compiled]
    for mine, theirs in zip(eager, compiled, strict=True):
        assert theirs["step"] == mine["step"]
        if "loss" in mine:
            assert theirs["loss"] == pytest.approx(mine["loss"], rel=1e-3)
