"""Benchmark of the training step: the kit's and the reference's, with the same network, views and precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch

from benchmarks.recipes import experiment_of
from benchmarks.reference.training import BASES, Inputs, Network, Training
from benchmarks.report import AS_WRITTEN, IMPROVED, Row
from benchmarks.turns import ratios
from findna_kit.components.views import View
from findna_kit.distributed import Engine
from findna_kit.model.branch import encode_bases
from findna_kit.schedules import Clock
from findna_kit.trainer import Data
from findna_kit.trainer.compilation import compiled_encoders
from findna_kit.trainer.forward import make_batch
from findna_kit.trainer.micro_batch import choose_micro_batch
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import train_step

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmarks.recipes import Size
    from findna_kit.components.interfaces import ViewPlan
    from findna_kit.data.sources import Windows
    from findna_kit.data.view_pipeline import ViewPipeline
    from findna_kit.distributed import Precision
    from findna_kit.model.branch import Branch
    from findna_kit.trainer import Experiment
    from findna_kit.trainer.forward import Batch

IMPROVED_ROWS = 8
"""Samples in the reference's micro-batches, small enough that the allocator reuses the memory of activations."""
STEPS = 1_000_000
"""Length of the clock, longer than any measurement."""


@dataclass(frozen=True)
class _Given:
    """A pipeline that returns a view made before, so that only the step is timed; the reference is given its views too."""

    plan: ViewPlan
    made: View
    drawn: Tensor | None

    @property
    def name(self) -> str:
        return self.plan.name

    def view(self, window: View, *, seed: int, step: int | str, rows: Tensor, longest: bool = False) -> View:
        return self.made

    def noise(self, view: View, *, seed: int, step: int | str, rows: Tensor) -> Tensor | None:
        return self.drawn


@dataclass(frozen=True)
class _Same:
    """A source with the same windows at every step."""

    windows: View

    def draw(self, step: int, rows: Tensor) -> View:
        return self.windows


class Ours:
    """The kit's training step on fixed views, with the micro-batch size that a run would choose."""

    def __init__(self, size: Size, batch: int, precision: Precision, *overrides: str) -> None:
        experiment = experiment_of(size, batch, *overrides)
        numbers = torch.Generator().manual_seed(0)
        windows = View.of_windows(torch.randint(0, 4, (batch, size.length), generator=numbers))
        self.batch = make_batch(experiment, windows, step=0, rows=torch.arange(batch))
        given = tuple(_Given(p.plan, self.batch.views[p.name], self.batch.noise[p.name]) for p in experiment.pipelines)
        self.experiment: Experiment = replace(experiment, pipelines=cast("tuple[ViewPipeline, ...]", given))
        source = cast("Windows", _Same(windows))
        self.data, self.engine = Data(source, source), Engine(torch.device("cpu"), precision)
        self.optimizer = ScheduledOptimizer(self.experiment)
        self.micro_batch = choose_micro_batch(self.experiment, self.data, self.engine)
        self._taken = 0

    def step(self) -> float:
        """Take a step and return the loss."""
        clock = Clock(self._taken, STEPS)
        self._taken += 1
        return train_step(self.experiment, self.data, self.engine, self.optimizer, clock, {}, self.micro_batch)["loss"]


class Theirs:
    """The reference's training step, on the same views."""

    def __init__(self, size: Size, batch: Batch, class_tokens: int, precision: Precision, rows: int | None = None) -> None:
        network = Network(dim=size.dim, hidden=size.hidden, blocks=size.blocks, length=size.length, class_tokens=class_tokens)
        self.training = Training(network, bf16=precision == "bf16", rows=rows)
        self.inputs = _inputs(batch)

    def step(self) -> float:
        """Take a step and return the loss."""
        return self.training.step(self.inputs)


def pairs(branch: Branch, network: Network) -> list[tuple[nn.Parameter, nn.Parameter, slice]]:
    """Return each parameter of the kit's branch, the corresponding one of the reference, and the rows of the latter."""
    encoder = cast("nn.Module", branch.encoder)
    blocks = cast("list[list[nn.Module]]", encoder.blocks)
    mlps = [layer.mlp for block in blocks for layer in block]
    owners: list[tuple[object, object, slice]] = [(encoder.embed, network.stem, slice(None))]
    for mlp, layer in zip(mlps, network.layers, strict=True):
        wide, _, narrow, _ = cast("nn.Sequential", mlp)
        owners += [(wide, layer.wide, slice(None)), (narrow, layer.narrow, slice(None))]
    heads = cast("dict[str, dict[str, nn.Module]]", branch.heads)
    owners += [(heads["masked"]["classifier"], network.readout, slice(BASES))]
    owners += [(heads["distill"]["logits"], network.readout, slice(BASES, None))]
    return [(getattr(ours, name), getattr(theirs, name), rows) for ours, theirs, rows in owners for name in ("weight", "bias")]


@torch.no_grad()
def equal_weights(ours: Ours, theirs: Theirs) -> None:
    """Copy the kit's weights into the reference's branches."""
    for branch in ("student", "teacher"):
        for mine, other, rows in pairs(getattr(ours.experiment, branch), getattr(theirs.training, branch)):
            other[rows] = mine


def step_row(size: Size, batch: int, precision: Precision, rounds: int, bar: float) -> Row:
    """Measure the reference's step relative to the kit's; also with micro-batches, if the batch is larger than one of them."""
    ours = Ours(size, batch, precision)
    tokens = ours.experiment.student.class_tokens
    theirs = {AS_WRITTEN: Theirs(size, ours.batch, tokens, precision)}
    if batch > IMPROVED_ROWS:
        theirs[IMPROVED] = Theirs(size, ours.batch, tokens, precision, IMPROVED_ROWS)
    for other in theirs.values():
        equal_weights(ours, other)
    measured = ratios(ours.step, *(other.step for other in theirs.values()), rounds=rounds)
    what = f"step, {size.name}, batch {batch}, {precision}"
    return Row(what, dict(zip(theirs, measured, strict=True)), bar)


def compiled_row(size: Size, batch: int, precision: Precision, rounds: int) -> Row:
    """Measure the kit's eager step relative to its compiled one. Raises FindnaError if there is no compiler."""
    eager, compiled = Ours(size, batch, precision), Ours(size, batch, precision, "trainer.compile=true")
    with compiled_encoders(compiled.experiment):
        [ratio] = ratios(compiled.step, eager.step, rounds=rounds)
    return Row(f"eager step against trainer.compile, {size.name}, batch {batch}, {precision}", {AS_WRITTEN: ratio})


def noise_row(size: Size, batch: int, precision: Precision, rounds: int) -> Row:
    """Measure the kit's step relative to itself: how far from 1 a ratio is on this machine by noise alone."""
    ours, same = Ours(size, batch, precision), Ours(size, batch, precision)
    [ratio] = ratios(ours.step, same.step, rounds=rounds)
    return Row(f"the kit's step against itself, {size.name}, batch {batch}, {precision}", {AS_WRITTEN: ratio})


def _inputs(batch: Batch) -> Inputs:
    masked, shifted = batch.views["masked"], batch.views["shifted"]
    return Inputs(
        student=encode_bases(masked.student_tokens, batch.noise["masked"]),
        teacher=encode_bases(shifted.tokens, batch.noise["shifted"]),
        index=masked.masked_index,
        targets=masked.masked_targets,
    )
