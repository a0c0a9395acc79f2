"""The genome of a run: its store, its parts, the windows drawn from them, and what counting predicts there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from findna_kit import dna, seeds
from findna_kit.genome import (
    Regions,
    Split,
    TokenStore,
    WindowSampler,
    builtin_digest,
    builtin_genome,
    builtin_regions,
    is_builtin,
    open_store,
    split,
)
from findna_kit.metrics.baselines import masked_baselines
from findna_kit.trainer import Data
from findna_kit.trainer.terms import make_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Experiment

BASELINE_BASES = 64_000_000
"""Bases of the training part that counting is fitted on at most; seconds, and enough for every context of five bases a side."""
_PIECE = 1 << 16


@dataclass(frozen=True)
class GenomeData:
    """A store, its training and held-out parts, and the windows of each."""

    store: TokenStore
    parts: Split
    windows: Data


def open_genome(recipe: Recipe, reading: Callable[[int, int], None] | None = None) -> GenomeData:
    """Opens the recipe's genome, reading its FASTA first where that was not done before (`reading(done, all)` bases).

    The bases of the built-in genome are the built-in genome, whatever file they came in: the stretch of its task's test part is
    left out, its own stretch validates, and the store has its digest, by which runs and results know it.
    """
    settings = recipe.data
    store = open_store(builtin_genome() if settings.genome == "builtin" else Path(settings.genome), report=reading)
    own: dict[str, Regions] = {}
    if is_builtin(store):
        store = replace(store, digest=builtin_digest())
        own = builtin_regions(open_store(builtin_genome()))  # by its own contig's name; another file may have another
    parts = split(
        store,
        settings.validation,
        seed=recipe.seed,
        excluded=own.get("test"),
        own=own.get("validation"),
        length=settings.length,
    )
    common: dict[str, Any] = {"length": settings.length, "max_unknown": settings.max_unknown, "seed": recipe.seed}
    windows = Data(
        WindowSampler(store, parts.train, purpose="training", **common),
        WindowSampler(store, parts.validation, purpose="validation", **common),
    )
    return GenomeData(store, parts, windows)


def fit_baselines(experiment: Experiment, genome: GenomeData) -> dict[str, dict[str, float]]:
    """What counting predicts at the very positions where the held-out masked accuracy is taken; nothing without such a loss.

    By model: accuracy, bits_per_base, and fitted_on_bases, which is all of the training part up to BASELINE_BASES.
    """
    masked_views = [pipeline for pipeline in experiment.pipelines if pipeline.plan.student and pipeline.plan.masked]
    if not masked_views or not any(term.loss.reads == "masked" for term in experiment.losses.values()):
        return {}
    windows = genome.windows.validation.fixed(experiment.trainer.validation_windows)
    rows = torch.arange(len(windows.tokens))
    views = make_batch(experiment, windows, step="validation", rows=rows, plain=True).views
    chosen = [views[pipeline.name] for pipeline in masked_views]
    tokens = np.concatenate([view.tokens.numpy() for view in chosen])
    masked = torch.cat([torch.zeros_like(v.valid).scatter(1, v.masked_index, v.masked_weight > 0) for v in chosen]).numpy()
    taken = spread(genome.parts.train, BASELINE_BASES, seed=experiment.seed)
    return masked_baselines(_joined(genome.store, taken), tokens, masked)


def spread(regions: Regions, most: int, *, seed: int, piece: int = _PIECE) -> Regions:
    """All of the regions, or, where they hold more than `most` bases, a piece at a random place of each of equal shares."""
    if regions.bases <= most:
        return regions
    share = np.arange(most // piece + 1) * regions.bases // (most // piece)
    slack = np.diff(share) - piece
    random = np.random.default_rng(seeds.key(seed, "baselines") & (2**63 - 1))
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
    gap = np.full(1, dna.N, dtype=np.uint8)
    stretches = zip(regions.contig.tolist(), regions.start.tolist(), regions.end.tolist(), strict=True)
    return np.concatenate([part for stretch in stretches for part in (store.tokens(*stretch), gap)])
