"""A recipe prepared for measurements: its genome open, and the values of `auto` settings resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.assemble import assemble
from findna_kit.data.genomes import open_genomes
from findna_kit.distributed import current_launch, start_engine
from findna_kit.errors import FindnaError
from findna_kit.records.run_json import ResolvedSettings
from findna_kit.runs.start import resolve_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from findna_kit.data.genomes import GenomeData
    from findna_kit.distributed import Engine
    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Experiment


@dataclass(frozen=True)
class Workload:
    """A recipe to measure, in one process."""

    recipe: Recipe
    genome: GenomeData
    engine: Engine
    micro_batch: int

    @property
    def bases(self) -> int:
        """Return the number of nucleotides drawn from the genome in a step."""
        return self.recipe.data.batch_size * self.recipe.data.length

    def experiment(self) -> Experiment:
        """Assemble a new experiment on the device, in training mode, so that measurements do not affect each other."""
        experiment = assemble(self.recipe)
        experiment.on_genome(self.genome.contigs)
        experiment.to(self.engine.device)
        experiment.train()
        return experiment


def prepare_workload(recipe: Recipe, device: str, reading: Callable[[int, int], None] | None = None) -> Workload:
    """Open the genome and resolve `auto` settings. Raises FindnaError where `run` would, and for more than one process."""
    check_single_process(recipe)
    experiment, engine = assemble(recipe), start_engine(device, recipe.trainer.precision)
    genome = open_genomes(recipe.data, recipe.seed, reading)
    experiment.on_genome(genome.contigs)
    engine, micro_batch = resolve_engine(experiment, genome, engine, ResolvedSettings())
    return Workload(recipe, genome, engine, micro_batch)


def check_single_process(recipe: Recipe) -> None:
    """Raise FindnaError if the recipe or a launcher asks for several processes."""
    launch = current_launch()
    if recipe.trainer.devices * recipe.trainer.nodes > 1 or (launch is not None and launch.world_size > 1):
        raise FindnaError("plan measures one process: leave trainer.devices and trainer.nodes at 1")
