"""The genome of a run: its store, its parts, the windows drawn from them, and what counting predicts there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from findna_kit import alphabet, rng
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
from findna_kit.metrics.baselines import masked_baselines
from findna_kit.trainer.forward import make_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from findna_kit.data.sources import Windows
    from findna_kit.recipe import Recipe
    from findna_kit.settings import GenomeSettings
    from findna_kit.trainer import Experiment

BASELINE_BASES = 64_000_000
"""Bases of the training part that counting is fitted on at most; seconds, and enough for every context of five bases a side."""
_PIECE = 1 << 16


@dataclass(frozen=True)
class Genome:
    """A store, and its training and held-out parts. `path`: as the recipe states it; `weight`: its share of the windows."""

    path: str
    weight: float
    store: TokenStore
    parts: Split


@dataclass(frozen=True)
class GenomeData:
    """The genomes of a recipe, weights adding up to 1, and the windows of their parts."""

    genomes: tuple[Genome, ...]
    windows: Data

    @property
    def contigs(self) -> list[Contig]:
        """Of all genomes, in the order in which views count them."""
        return [Contig(contig.name, contig.length) for genome in self.genomes for contig in genome.store.contigs]


def open_genome(recipe: Recipe, reading: Callable[[int, int], None] | None = None) -> GenomeData:
    """Opens the recipe's genomes, reading a FASTA first where that was not done before (`reading(done, all)` bases).

    GenomeError for one that cannot be used, or that is stated twice: what one entry holds out the other would train on.
    """
    stated = recipe.data.genomes
    total = sum(choice.weight for choice in stated)
    genomes = tuple(_open(choice, choice.weight / total, recipe, reading) for choice in stated)
    for first, second in combinations(genomes, 2):
        if first.store.same_bases(second.store):
            raise GenomeError(f"data.genome: {first.path} and {second.path} hold the same bases; state them once")
    windows = Data(_windows(genomes, "training", recipe), _windows(genomes, "validation", recipe))
    return GenomeData(genomes, windows)


def _open(choice: GenomeSettings, weight: float, recipe: Recipe, reading: Callable[[int, int], None] | None) -> Genome:
    """One genome.

    The bases of the built-in genome are the built-in genome, whatever file they came in: the stretch of its task's test part is
    left out, its own stretch validates, and the store has its digest, by which runs and results know it.
    """
    store = open_store(builtin_genome() if choice.path == "builtin" else Path(choice.path), report=reading)
    own: dict[str, Regions] = {}
    if is_builtin(store):
        store = replace(store, digest=builtin_digest())
        own = builtin_regions(open_store(builtin_genome()))  # by its own contig's name; another file may have another
    never = [own["test"]] if own else []
    if choice.exclude is not None:
        never.append(read_bed(Path(choice.exclude), store))
    parts = split(
        store,
        choice.validation,
        seed=recipe.seed,
        included=None if choice.include is None else read_bed(Path(choice.include), store),
        excluded=reduce(Regions.union, never) if never else None,
        own=own.get("validation"),
        length=recipe.data.length,
    )
    return Genome(choice.path, weight, store, parts)


def _windows(genomes: Sequence[Genome], purpose: Literal["training", "validation"], recipe: Recipe) -> Windows:
    data, seed = recipe.data, recipe.seed
    samplers = [
        WindowSampler(
            genome.store,
            genome.parts.train if purpose == "training" else genome.parts.validation,
            length=data.length, max_unknown=data.max_unknown, seed=seed, purpose=purpose,
        )
        for genome in genomes
    ]  # fmt: skip
    if len(samplers) == 1:
        return samplers[0]
    return MixedWindows(samplers, [genome.weight for genome in genomes], seed=seed, purpose=purpose)


def fit_baselines(experiment: Experiment, data: GenomeData) -> dict[str, dict[str, float]]:
    """What counting predicts at the very positions where the held-out masked accuracy is taken; nothing without such a loss.

    By model: accuracy, bits_per_base, and fitted_on_bases: of each genome all of its training part, up to its share by weight
    of BASELINE_BASES.
    """
    masked_views = [pipeline for pipeline in experiment.pipelines if pipeline.plan.student and pipeline.plan.masked]
    if not masked_views or not any(term.loss.head_input == "masked" for term in experiment.losses.values()):
        return {}
    windows = data.windows.validation.fixed(experiment.trainer.validation_windows)
    rows = torch.arange(len(windows.tokens))
    views = make_batch(experiment, windows, step="validation", rows=rows, plain=True).views
    chosen = [views[pipeline.name] for pipeline in masked_views]
    tokens = np.concatenate([view.tokens.numpy() for view in chosen])
    masked = torch.cat([torch.zeros_like(v.valid).scatter(1, v.masked_index, v.masked_weight > 0) for v in chosen]).numpy()
    read = [
        _joined(
            genome.store, spread(genome.parts.train, max(_PIECE, int(genome.weight * BASELINE_BASES)), seed=experiment.seed)
        )
        for genome in data.genomes
    ]
    return masked_baselines(np.concatenate(read), tokens, masked)


def spread(regions: Regions, most: int, *, seed: int, piece: int = _PIECE) -> Regions:
    """All of the regions, or, where they hold more than `most` bases, a piece at a random place of each of equal shares."""
    if regions.bases <= most:
        return regions
    share = np.arange(most // piece + 1) * regions.bases // (most // piece)
    slack = np.diff(share) - piece
    random = np.random.default_rng(rng.key(seed, "baselines") & (2**63 - 1))
    first = share[:-1] + random.integers(0, slack, endpoint=True)
    # Places count the regions' bases alone, end to end: a piece that meets a region's end goes on at the start of the next.
    edge = np.append(0, np.cumsum(regions.end - regions.start))
    cut = np.unique(np.concatenate([first, first + piece, edge]))
    low, high = cut[:-1], cut[1:]
    number = np.searchsorted(first, low, "right") - 1
    taken = (number >= 0) & (low < first[number] + piece)
    low, high = low[taken], high[taken]
    region = np.searchsorted(edge, low, "right") - 1
    shift = regions.start[region] - edge[region]
    return Regions.of(regions.contig[region], low + shift, high + shift)


def _joined(store: TokenStore, regions: Regions) -> NDArray[np.uint8]:
    """Tokens of the regions, an N after each."""
    gap = np.full(1, alphabet.N, dtype=np.uint8)
    stretches = zip(regions.contig.tolist(), regions.start.tolist(), regions.end.tolist(), strict=True)
    return np.concatenate([part for stretch in stretches for part in (store.tokens(*stretch), gap)])
