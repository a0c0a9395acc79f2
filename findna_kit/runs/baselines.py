"""Fitting the count baselines of a run: their training bases, and the masked positions at which they predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from findna_kit import alphabet, rng
from findna_kit.data.genome import Regions
from findna_kit.metrics.baselines import masked_baselines
from findna_kit.trainer.forward import make_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from findna_kit.data.genome import TokenStore
    from findna_kit.data.genomes import GenomeData
    from findna_kit.metrics.baselines import BaselineValues
    from findna_kit.trainer import Experiment

BASELINE_BASES = 64_000_000
"""Most training bases that baselines are fitted on: it takes seconds, and covers every context of five bases to each side."""

_PIECE = 1 << 16


def fit_baselines(experiment: Experiment, data: GenomeData) -> dict[str, BaselineValues]:
    """Fit the count baselines and score them at the masked positions at which the validation accuracy is measured.

    Returns, by baseline: `accuracy`, `bits_per_base`, `fitted_on_bases` and, of the back-off, `strengths`; nothing if no loss
    reads masked positions. They are fitted on the training regions of each genome, or on a sample of them of the genome's share
    of BASELINE_BASES.
    """
    masked_views = [pipeline for pipeline in experiment.pipelines if pipeline.plan.student and pipeline.plan.masked]
    if not masked_views or not any(weighted.loss.head_input == "masked" for weighted in experiment.losses.values()):
        return {}
    windows = data.windows.validation.fixed(experiment.trainer.validation_windows)
    indices = torch.arange(len(windows.tokens))
    all_views = make_batch(experiment, windows, step="validation", rows=indices, plain=True).views
    views = [all_views[pipeline.name] for pipeline in masked_views]
    tokens = np.concatenate([view.tokens.numpy() for view in views])
    # Counted, because an unused slot (weight 0) may point anywhere, also at a position that another slot masks.
    slots = [torch.zeros_like(v.tokens).scatter_add(1, v.masked_index, (v.masked_weight > 0).long()) for v in views]
    masked = (torch.cat(slots) > 0).numpy()
    training = [
        _tokens_of(
            genome.store,
            # At least one piece, even of a genome with a tiny weight, whose sample would otherwise be empty.
            sample_regions(genome.split.train, max(_PIECE, int(genome.weight * BASELINE_BASES)), seed=experiment.seed),
        )
        for genome in data.genomes
    ]
    return masked_baselines(np.concatenate(training), tokens, masked)


def sample_regions(regions: Regions, max_bases: int, *, seed: int, piece: int = _PIECE) -> Regions:
    """Return the regions, or a sample if they hold more than `max_bases`: one piece of `piece` bases from each equal share.

    Each piece lies at a random place of its share, so that the sample covers the regions evenly.
    """
    if regions.bases <= max_bases:
        return regions
    count = max_bases // piece
    share = np.arange(count + 1) * regions.bases // count
    # Never negative: `count` pieces fit into max_bases, which is less than what the regions hold, so a share holds a piece.
    slack = np.diff(share) - piece
    # The mask clears the sign of the key, since numpy accepts no negative seed.
    random = np.random.default_rng(rng.key(seed, "baselines") & (2**63 - 1))
    first = share[:-1] + random.integers(0, slack, endpoint=True)
    # Offsets count the bases of the regions alone, end to end: a piece that reaches the end of a region continues in the next.
    edge = np.append(0, np.cumsum(regions.end - regions.start))
    cut = np.unique(np.concatenate([first, first + piece, edge]))
    low, high = cut[:-1], cut[1:]
    index = np.searchsorted(first, low, "right") - 1
    inside = (index >= 0) & (low < first[index] + piece)
    low, high = low[inside], high[inside]
    # Back from offsets to positions in the contigs.
    region = np.searchsorted(edge, low, "right") - 1
    shift = regions.start[region] - edge[region]
    return Regions.of(regions.contig[region], low + shift, high + shift)


def _tokens_of(store: TokenStore, regions: Regions) -> NDArray[np.uint8]:
    """Return the tokens of the regions, with an N after each so that no context crosses from one into the next."""
    gap = np.full(1, alphabet.N, dtype=np.uint8)
    bounds = zip(regions.contig.tolist(), regions.start.tolist(), regions.end.tolist(), strict=True)
    return np.concatenate([tokens for region in bounds for tokens in (store.tokens(*region), gap)])
