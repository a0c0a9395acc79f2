"""Facts that a run records about itself: versions, plugins, genome digests, sizes, and settings that `auto` resolved to."""

from __future__ import annotations

import platform
from hashlib import blake2b
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch

from findna_kit.records.run_json import GenomeRecord, ResolvedSettings, RunJson

if TYPE_CHECKING:
    from findna_kit.data.genome import Split
    from findna_kit.data.genomes import GenomeData
    from findna_kit.distributed import Engine
    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Experiment

_VERSIONS = ("findna-kit", "torch", "numpy", "scikit-learn", "pydantic", "pluggy")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}}


def resolved_settings(engine: Engine, micro_batch: int) -> ResolvedSettings:
    """Return everything that must stay the same for a resumed run to be equal bit for bit, with `auto` resolved."""
    # Sums in another order, by another number of processes or threads, differ by rounding.
    return ResolvedSettings(
        device=engine.device.type, precision=engine.precision, micro_batch=micro_batch, processes=engine.world_size,
        threads=torch.get_num_threads(), torch=torch.__version__,
    )  # fmt: skip


def sizes_of(experiment: Experiment, data: GenomeData) -> RunJson:
    """Return the digests and base counts of the genomes, and the parameter counts."""
    genomes = [
        GenomeRecord(
            path=genome.path, weight=genome.weight, digest=genome.store.digest, parts=split_digest(genome.split),
            bases=genome.store.bases, training_bases=genome.split.train.bases, validation_bases=genome.split.validation.bases,
        )
        for genome in data.genomes
    ]  # fmt: skip
    return RunJson(
        genomes=genomes,
        parameters=sum(parameter.numel() for parameter in experiment.trainable().values()),
        encoder_parameters=sum(parameter.numel() for parameter in experiment.student.encoder.parameters()),
    )


def split_digest(split: Split) -> str:
    """Return a digest of the training and validation regions, however the recipe states them."""
    # Regions, not the BED files that state them: another file with the same regions is the same split.
    arrays = [array for regions in (split.train, split.validation) for array in (regions.contig, regions.start, regions.end)]
    return blake2b(b"".join(array.tobytes() for array in arrays), digest_size=16).hexdigest()


def origins_of(recipe: Recipe, components: Components, plugins: list[Plugin]) -> RunJson:
    """Return the loaded plugins, and by kind the distribution and version of every component that the recipe names."""
    origins: dict[str, dict[str, str]] = {}
    for kind, name in recipe.used():
        owner = components.of(kind).owners(name)[0]
        origins.setdefault(kind, {})[name] = f"{owner.distribution} {owner.version}"
    return RunJson(plugins=[str(plugin.owner) for plugin in plugins if plugin.failure is None], components=origins)
