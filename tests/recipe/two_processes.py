"""Run by torchrun: fifty steps of every recipe of recipes/methods on this process's share; process 0 writes what came out."""

import json
import sys
from pathlib import Path

import torch

from findna_kit.assemble import assemble
from findna_kit.engine import Engine, start_engine
from findna_kit.plugins import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.runs.genome_data import open_genome
from findna_kit.schedules import Clock
from findna_kit.trainer.optimizer import ScheduledAdamW
from findna_kit.trainer.step import train_step
from tests.building import ROOT

METHODS = sorted((ROOT / "recipes" / "methods").glob("*.yaml"))
STEPS, SHORTER = 50, 4
MICRO_BATCH = 3
"""Of 8 rows: 3, 3 and 2 in one process, 3 and 1 in each of two."""

RATES = {"byol": 2e-7, "simsiam": 1e-6}
"""At which rounding does not grow; elsewhere 1e-4. Batch normalisation multiplies it in these two: at 1e-4, byol in one process
with micro-batches of 4 is 5e-3 from itself with micro-batches of 3 within 30 steps."""


def recipe_of(path, processes):
    """The recipe with windows and crops a quarter as long, no dropout, and a rate at which rounding does not grow."""
    components, _ = load_plugins()
    whole = load_recipe(str(path), components)
    crops = [f"views.{label}.length={view.length // SHORTER}" for label, view in whole.views.items() if view.length]
    dropout = ["encoder.dropout=0"] if "dropout" in type(whole.encoder.config).model_fields else []
    overrides = [
        f"steps={STEPS}", f"trainer.devices={processes}", "data.batch_size=8", f"trainer.micro_batch={MICRO_BATCH}",
        "trainer.precision=fp32", "evaluation.tasks=[]", f"optimizer.learning_rate={RATES.get(path.stem, 1e-4)}",
        f"data.length={whole.data.length // SHORTER}", *crops, *dropout,
    ]  # fmt: skip
    return load_recipe(str(path), components, overrides=overrides)


def steps(engine: Engine, path: Path) -> tuple[list[dict[str, float]], list[torch.Tensor]]:
    """Metrics of every step, and what is the same in all processes after the last."""
    recipe = recipe_of(path, engine.processes)
    experiment = assemble(recipe)
    experiment.student.train()
    experiment.teacher.eval()
    genome = open_genome(recipe)
    experiment.on_genome(genome.contigs)
    optimizer = ScheduledAdamW(experiment)
    metrics = [
        train_step(experiment, genome.windows, engine, optimizer, Clock(step, STEPS), {}, MICRO_BATCH) for step in range(STEPS)
    ]
    kept = {**experiment.model_tensors(), **experiment.loss_tensors(), **optimizer.tensors()}
    return metrics, list(kept.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    engine = start_engine("cpu", "fp32")
    done = {}
    for path in METHODS:
        metrics, tensors = steps(engine, path)
        done[path.stem] = {"metrics": metrics, "agree": engine.agree(tensors)}
    if engine.first:
        Path(sys.argv[1]).write_text(json.dumps(done))
    engine.close()
