"""Reports a genome without soft-masking to a run whose maskings depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from findna_kit.data.genomes import GenomeData
    from findna_kit.trainer import Experiment


def missing_soft_masking(experiment: Experiment, genome: GenomeData) -> list[str]:
    """Return a sentence for each genome without lower case, if a masking of the views depends on it."""
    pipelines = [p for p in experiment.pipelines if p.masking is not None and p.masking[1].uses_soft_masking]
    if not pipelines:
        return []
    views = ", ".join(f"views.{label}.mask" for label in dict.fromkeys(p.name.split(".")[0] for p in pipelines))
    return [
        f"{one.path}: no base is lower case (soft-masked), so {views} treats repeats as any other bases; use a soft-masked "
        "FASTA, or leave out the weight of repeats"
        for one in genome.genomes
        if not one.store.has_soft_masking
    ]
