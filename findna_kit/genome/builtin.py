"""The genome that lies in the package: a stretch of *D. melanogaster* chr2R, and what of it is held out."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.genome.regions import Regions, read_named_bed

if TYPE_CHECKING:
    from findna_kit.genome.store import TokenStore


def builtin_genome() -> Path:
    """The built-in FASTA."""
    return _data("genome.fa.gz")


def builtin_regions(store: TokenStore) -> dict[str, Regions]:
    """Its held-out stretches: `validation`, of the pretraining; `test`, of the built-in task, never trained on."""
    return read_named_bed(_data("regions.bed"), store)


def _data(name: str) -> Path:
    return Path(str(resources.files("findna_kit"))) / "data" / "builtin" / name
