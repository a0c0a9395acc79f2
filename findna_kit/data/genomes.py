"""The genomes of a recipe: opening their token stores, splitting them into regions, and the windows drawn from these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from findna_kit.components.interfaces import Contig
from findna_kit.data.genome import (
    MixedWindows,
    Regions,
    Split,
    TokenStore,
    WindowSampler,
    builtin_digest,
    builtin_genome,
    builtin_regions,
    is_builtin,
    open_store,
    read_bed,
    split,
)
from findna_kit.data.sources import Data
from findna_kit.errors import GenomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.data.sources import Windows
    from findna_kit.settings import DataSettings, GenomeSettings

    ReadProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class SplitGenome:
    """A genome's token store and its training and validation regions.

    path: as the recipe gives it. weight: the share of all windows that comes from this genome, in (0, 1].
    """

    path: str
    weight: float
    store: TokenStore
    split: Split


@dataclass(frozen=True)
class GenomeData:
    """The genomes of a recipe, whose weights add up to 1, and their training and validation windows."""

    genomes: tuple[SplitGenome, ...]
    windows: Data

    @property
    def contigs(self) -> list[Contig]:
        """List the contigs of all genomes; `View.contig` is an index into this list."""
        return [Contig(contig.name, contig.length) for genome in self.genomes for contig in genome.store.contigs]


def open_genomes(data: DataSettings, seed: int, on_read: ReadProgress | None = None) -> GenomeData:
    """Open the genomes of a recipe's `data` section, building a token store for each FASTA that has none yet.

    seed: the run's seed, which places the validation blocks and draws the windows.
    on_read: called as on_read(bases read, all bases) while a FASTA is read.
    Raises GenomeError for a genome that cannot be used, and for two entries with the same bases: the validation region of one
    would be training data of the other.
    """
    total = sum(settings.weight for settings in data.genomes)
    genomes = tuple(
        _open(settings, settings.weight / total, length=data.length, seed=seed, on_read=on_read) for settings in data.genomes
    )
    # Digests are not enough: the same bases in another file have another digest.
    for first, second in combinations(genomes, 2):
        if first.store.same_bases(second.store):
            raise GenomeError(f"data.genome: {first.path} and {second.path} hold the same bases; state them once")
    windows = Data(_windows(genomes, "training", data, seed), _windows(genomes, "validation", data, seed))
    return GenomeData(genomes, windows)


def _open(settings: GenomeSettings, weight: float, *, length: int, seed: int, on_read: ReadProgress | None) -> SplitGenome:
    """Open one genome and split it.

    A file with the bases of the built-in genome is treated as the built-in genome, whatever its name: the test region of the
    built-in task is excluded, the built-in validation region is the default, and the store gets the built-in digest, by which
    runs and results identify it. Otherwise a user's copy could train on the test region of the task that scores it.
    """
    store = open_store(builtin_genome() if settings.path == "builtin" else Path(settings.path), report=on_read)
    builtin: dict[str, Regions] = {}
    if is_builtin(store):
        store = replace(store, digest=builtin_digest())
        # Read against the built-in store: the regions name its contig, which another file may call otherwise.
        builtin = builtin_regions(open_store(builtin_genome()))
    # Excluded whatever the recipe says: the built-in task would otherwise score bases that were trained on.
    excluded = [builtin["test"]] if builtin else []
    if settings.exclude is not None:
        excluded.append(read_bed(Path(settings.exclude), store))
    regions = split(
        store,
        settings.validation,
        seed=seed,
        included=None if settings.include is None else read_bed(Path(settings.include), store),
        excluded=reduce(Regions.union, excluded) if excluded else None,
        default=builtin.get("validation"),
        length=length,
    )
    return SplitGenome(settings.path, weight, store, regions)


def _windows(
    genomes: Sequence[SplitGenome], purpose: Literal["training", "validation"], data: DataSettings, seed: int
) -> Windows:
    """Return the source of training or validation windows."""
    samplers = [
        WindowSampler(
            genome.store,
            genome.split.train if purpose == "training" else genome.split.validation,
            length=data.length, max_unknown=data.max_unknown, seed=seed, purpose=purpose,
        )
        for genome in genomes
    ]  # fmt: skip
    # A single genome is drawn from directly: its windows do not depend on whether the recipe gives a path or a list of one.
    if len(samplers) == 1:
        return samplers[0]
    return MixedWindows(samplers, [genome.weight for genome in genomes], seed=seed, purpose=purpose)
