"""Run by torchrun: fifty steps of every recipe of recipes/methods on this process's share; process 0 writes what came out."""

import sys
from pathlib import Path

import torch

from findna_kit.assemble import assemble
from findna_kit.data.genomes import open_genomes
from findna_kit.distributed import Engine, start_engine
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.schedules import Clock
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import train_step
from tests.building import ROOT

METHODS = sorted((ROOT / "recipes" / "methods").glob("*.yaml"))
STEPS, SHORTER = 50, 4
MICRO_BATCH = 3
"""Of 8 rows: 3, 3 and 2 in one process, 3 and 1 in each of two."""

RATE = 1e-4
DESCENT = {"byol": 1e-2, "relational": 1e-2, "simsiam": 1e-2, "swav": 1e-2}
"""These take plain gradient descent at a rate of their own, not clipped. Batch normalisation multiplies rounding, and AdamW,
which divides each gradient by its own size, makes whole steps of it: at 1e-4 byol in ONE process with micro-batches of 4 is
6e-3 from itself with micro-batches of 3 within 50 steps, and the norm of swav's gradient 2e-3. Without the division byol is
2e-6 from itself; its loss goes from 2.2 to 0.7. relational has no batch normalisation, but a weight of 1,000: with AdamW two
processes differed by 3e-5 of a weight on one machine and by 1.1e-4 on another, without the division by 1.5e-5."""


class Descent(ScheduledOptimizer):
    """Gradient descent, without moments."""

    @torch.no_grad()
    def step(self, clock: Clock) -> dict[str, float]:
        """Moves every parameter against its gradient."""
        for parameter in self.parameters:
            if parameter.grad is None:  # a frozen head
                continue
            parameter -= self.rule.config.learning_rate(clock) * parameter.grad
        return {}


def recipe_of(path, processes):
    """The recipe with windows and crops a quarter as long, no dropout, and a rate at which rounding does not grow."""
    components, _ = load_plugins()
    whole = load_recipe(str(path), components)
    crops = [
        f"views.{label}.length={view.length // SHORTER}" for label, view in whole.views.items() if isinstance(view.length, int)
    ]
    dropout = ["encoder.dropout=0"] if "dropout" in type(whole.encoder.config).model_fields else []
    rate = [f"optimizer.learning_rate={DESCENT.get(path.stem, RATE)}"]
    if path.stem in DESCENT:
        rate.append("optimizer.clip_norm=null")
    overrides = [
        f"steps={STEPS}", f"trainer.devices={processes}", "data.batch_size=8", f"trainer.micro_batch={MICRO_BATCH}",
        "trainer.precision=fp32", "evaluation.tasks=[]", *rate,
        f"data.length={whole.data.length // SHORTER}", *crops, *dropout,
    ]  # fmt: skip
    return load_recipe(str(path), components, overrides=overrides)


def steps(engine: Engine, path: Path) -> dict[str, object]:
    """Metrics of every step; the model before the first; model, losses and optimizer after the last, and whether all processes
    hold the same bits then.
    """
    recipe = recipe_of(path, engine.world_size)
    experiment = assemble(recipe)
    experiment.train()
    genome = open_genomes(recipe.data, recipe.seed)
    experiment.on_genome(genome.contigs)
    optimizer = (Descent if path.stem in DESCENT else ScheduledOptimizer)(experiment)
    before = {name: tensor.clone() for name, tensor in experiment.model_tensors().items()}
    metrics = [
        train_step(experiment, genome.windows, engine, optimizer, Clock(step, STEPS), {}, MICRO_BATCH) for step in range(STEPS)
    ]
    after, moments = {**experiment.model_tensors(), **experiment.loss_tensors()}, optimizer.tensors()
    agree = engine.replicas_agree([*after.values(), *moments.values()])
    return {"metrics": metrics, "before": before, "after": after, "moments": moments, "agree": agree}


if __name__ == "__main__":
    torch.set_num_threads(1)
    engine = start_engine("cpu", "fp32")
    kept = ("metrics", "after", "agree")
    done = {path.stem: {name: made for name, made in steps(engine, path).items() if name in kept} for path in METHODS}
    if engine.is_main_process:
        torch.save(done, sys.argv[1])
    engine.close()
