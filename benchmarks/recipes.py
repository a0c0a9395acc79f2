"""The kit's side of a benchmark: the shipped recipe with the paper's formula, at a chosen size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.assemble import assemble
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe

if TYPE_CHECKING:
    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Experiment

PAPER_HEAD = (
    "class_tokens=10",
    "losses.distill={name: self_distillation, head: five_way, teacher_temperature: 0.04}",
    "teacher_update={name: ema, momentum: 0.996}",
    "optimizer={learning_rate: 3.0e-4, clip_norm: 0.5}",
)


@dataclass(frozen=True)
class Size:
    """A network and the windows that it is shown."""

    name: str
    dim: int
    hidden: int
    blocks: int
    length: int

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the arguments of `--set`."""
        encoder = f"{{name: chordmixer, dim: {self.dim}, hidden: {self.hidden}, blocks: {self.blocks}}}"
        return (f"encoder={encoder}", f"data.length={self.length}")


SIZES = {
    size.name: size
    for size in (Size("tiny", 22, 32, 1, 60), Size("recipe", 132, 256, 1, 200), Size("paper", 308, 512, 4, 1000))
}
"""`recipe`: the network of `findna` at laptop size, 0.54 M parameters; `paper`: 12.65 M; `tiny`: for tests and warming up."""


def recipe_of(size: Size, batch: int, *overrides: str) -> Recipe:
    """Return `self_distill` with that network and batch size, the paper's head and constant schedules."""
    components, _ = load_plugins()
    every = (*PAPER_HEAD, *size.overrides, f"data.batch_size={batch}", *overrides)
    return load_recipe("self_distill", components, overrides=every)


def experiment_of(size: Size, batch: int, *overrides: str) -> Experiment:
    """Return the assembled recipe, with both branches in training and evaluation mode."""
    experiment = assemble(recipe_of(size, batch, *overrides))
    experiment.student.train()
    experiment.teacher.eval()
    return experiment
