"""The genome that lies in the package: a stretch of *D. melanogaster* chr2R, and what of it is held out."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from findna_kit.data.genome.regions import Regions, read_named_bed
from findna_kit.data.genome.token_store import open_store

if TYPE_CHECKING:
    from findna_kit.data.genome.token_store import TokenStore


def builtin_genome() -> Path:
    """The built-in FASTA."""
    return _data("genome.fa.gz")


def builtin_regions(store: TokenStore) -> dict[str, Regions]:
    """Its held-out stretches: `validation`, of the pretraining; `test`, of the built-in task, never trained on."""
    return read_named_bed(_data("regions.bed"), store)


def builtin_digest() -> str:
    """sha256 of the built-in FASTA, by the record that lies beside it."""
    return str(_described()["sha256"])


def is_builtin(store: TokenStore) -> bool:
    """Whether a store holds the bases of the built-in genome, from whatever file: a copy, unpacked, in other lines or case."""
    if store.digest == builtin_digest():
        return True
    if [contig.length for contig in store.contigs] != [_described()["bases"]]:
        return False
    return store.same_bases(open_store(builtin_genome()))


def _described() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(_data("SOURCES.json").read_text())["files"]["genome.fa.gz"]
    return described


def _data(name: str) -> Path:
    return Path(str(resources.files("findna_kit"))) / "data" / "builtin" / name
