"""A recipe made ready to be measured: its genome open, and what `auto` becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.assemble import assemble
from findna_kit.distributed import current_launch, start_engine
from findna_kit.errors import FindnaError
from findna_kit.records.run_json import ResolvedSettings
from findna_kit.runs.genome_data import open_genome
from findna_kit.runs.start import resolve_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from findna_kit.distributed import Engine
    from findna_kit.recipe import Recipe
    from findna_kit.runs.genome_data import GenomeData
    from findna_kit.trainer import Experiment


@dataclass(frozen=True)
class Workload:
    """What is measured: a recipe with something to train, on one process."""

    recipe: Recipe
    genome: GenomeData
    engine: Engine
    micro_batch: int

    @property
    def bases(self) -> int:
        """Drawn from the genome in a step."""
        return self.recipe.data.batch_size * self.recipe.data.length

    def experiment(self) -> Experiment:
        """Assembled anew, on its device, as training begins with it: each measurement has its own."""
        experiment = assemble(self.recipe)
        experiment.on_genome(self.genome.contigs)
        experiment.to(self.engine.device)
        experiment.student.train()
        experiment.teacher.eval()
        return experiment


def ready(recipe: Recipe, device: str, reading: Callable[[int, int], None] | None = None) -> Workload:
    """Raises FindnaError where `run` would, and for more than one process."""
    refuse_processes(recipe)
    experiment, engine = assemble(recipe), start_engine(device, recipe.trainer.precision)
    genome = open_genome(recipe, reading)
    experiment.on_genome(genome.contigs)
    engine, micro_batch = resolve_engine(experiment, genome, engine, ResolvedSettings())
    return Workload(recipe, genome, engine, micro_batch)


def refuse_processes(recipe: Recipe) -> None:
    """FindnaError where the recipe, or a launcher, wants several."""
    launch = current_launch()
    if recipe.trainer.devices * recipe.trainer.nodes > 1 or (launch is not None and launch.world_size > 1):
        raise FindnaError("plan measures one process: leave trainer.devices and trainer.nodes at 1")
