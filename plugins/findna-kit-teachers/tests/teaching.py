"""A small student that changes step by step, helpers that apply a teacher update to it, and small runs."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from findna_kit import checkpoint
from findna_kit.cli import main
from findna_kit.components import AveragingConfig, Clock
from findna_kit.metrics.writers import read_rows
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.runs import start
from findna_kit.trainer import Observer

RECIPES = Path(__file__).parents[1] / "findna_kit_teachers" / "recipes"
CHORDMIXER = "encoder={name: chordmixer, dim: 16, hidden: 16, blocks: 1}"
DILATED = "encoder={name: dilated_conv, dim: 12, hidden: 16, blocks: 1, kernel: 3}"
SMALL = (
    "steps=7", "data.length=48", "data.batch_size=4", "class_tokens=2", CHORDMIXER, "losses.distill.hidden=16",
    "losses.distill.bottleneck=8", "losses.distill.prototypes=12", "losses.distill.reads=class", "losses.distill.norm=none",
    "losses.distill.weight=1.0", "losses.distill.teacher_temperature=0.01", "losses.distill.center_momentum=0.5",
    "trainer.validation_windows=8", "trainer.precision=fp32",
    "trainer.micro_batch=4", "evaluation.tasks=[]", "trainer.log_every=1", "trainer.validate_every=2",
    "trainer.checkpoint_every=3",
)  # fmt: skip


class Student(nn.Module):
    """A module with parameters, float buffers, and an integer buffer."""

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.linear = nn.Linear(3, 4)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.register_buffer("running", torch.randn(5, generator=generator))
        self.register_buffer("seen", torch.tensor(seed))


def build(rule, **values):
    """Return the teacher update with these parameters, as in a recipe."""
    return rule(rule.Config.model_validate(values))


def state_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def walk(rule, steps, *, teacher=None, begin=0, metrics=None):
    """Return the teacher's state and the logged values after every step; the student of a step is `Student(step + 1)`."""
    teacher = rule.initial(Student(0)) if teacher is None else teacher
    states, logged = [], []
    for step in range(begin, steps):
        logged.append(rule(teacher, Student(step + 1), Clock(step, steps), {} if metrics is None else metrics[step]))
        states.append(state_of(teacher))
    return states, logged


def same(one, other):
    """Return whether two states are equal bit for bit."""
    return one.keys() == other.keys() and all(value.equal(other[name]) for name, value in one.items())


def assert_resumes(make, steps, cut, metrics=None):
    """Assert that a new instance that loads the state of the first one continues bit for bit."""
    whole, _ = walk(make(), steps, metrics=metrics)
    first, rule, teacher = make(), make(), Student(0).requires_grad_(False)
    for step in range(cut):
        first(teacher, Student(step + 1), Clock(step, steps), {} if metrics is None else metrics[step])
    rule.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    rest, _ = walk(rule, steps, teacher=teacher, begin=cut, metrics=metrics)
    assert len(rest) == steps - cut
    assert all(same(mine, theirs) for mine, theirs in zip(rest, whole[cut:], strict=True))


def assert_buffers_go_as_declared(make):
    """Assert that `make(buffers)` copies float buffers, or averages them like parameters, and always copies integers."""
    assert AveragingConfig().buffers == "copy"
    copied, _ = walk(make("copy"), 12)
    averaged, _ = walk(make("average"), 12)
    for step, (one, other) in enumerate(zip(copied, averaged, strict=True)):
        assert int(one["seen"]) == int(other["seen"]) == step + 1
        assert one["linear.weight"].equal(other["linear.weight"])
        assert one["running"].equal(Student(step + 1).running)
    assert not averaged[-1]["running"].equal(Student(12).running)
    return averaged


def recipe_of(source, *overrides):
    """Return a recipe of test size, the components and the plugins."""
    components, plugins = load_plugins()
    assert [str(plugin.failure) for plugin in plugins if plugin.owner.plugin == "teachers" and plugin.failure] == []
    return load_recipe(source, components, overrides=[*SMALL, *overrides]), components, plugins


def run(place, source, *overrides, observer=None):
    recipe, components, plugins = recipe_of(source, *overrides)
    return start(recipe, place, components=components, plugins=plugins, device="cpu", observer=observer)


def interrupt_at(step):
    def report(done, metrics):
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return Observer(report=report)


def assert_same_run(one, other):
    """Assert that all tensors of the last checkpoints, and all metrics but the throughput, are equal."""
    step = checkpoint.steps_saved(one)[-1]
    assert step == checkpoint.steps_saved(other)[-1]
    for name in (checkpoint.MODEL, checkpoint.STATE):
        assert same(*(load_file(checkpoint.path_of(folder, step) / name) for folder in (one, other)))
    mine, theirs = ([{**row, "bases_per_second": None} for row in read_rows(folder)] for folder in (one, other))
    assert mine == theirs


def findna(*arguments):
    """Run a command in this process; return its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["findna-kit", *map(str, arguments)])
        main()
    return left.value.code or 0, out.getvalue(), err.getvalue()


def sets(*overrides):
    """Return `--set` arguments for the command line."""
    return [part for override in overrides for part in ("--set", override)]
