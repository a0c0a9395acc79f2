"""The built-in genome: a region of *D. melanogaster* chr2R that ships with the package, and its held-out regions."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from findna_kit.data.genome.regions import Regions, read_named_bed
from findna_kit.data.genome.token_store import open_store

if TYPE_CHECKING:
    from findna_kit.data.genome.token_store import TokenStore


def builtin_genome() -> Path:
    """Return the path of the built-in FASTA."""
    return _data("genome.fa.gz")


def builtin_regions(store: TokenStore) -> dict[str, Regions]:
    """Return the held-out regions: `validation` of pretraining, and `test` of the built-in task, which is never trained on."""
    return read_named_bed(_data("regions.bed"), store)


def builtin_digest() -> str:
    """Return the sha256 of the built-in FASTA, as recorded in SOURCES.json."""
    return _source_record()["sha256"]


def is_builtin(store: TokenStore) -> bool:
    """Return whether a store holds the bases of the built-in genome, also from a copy with other compression, lines or case."""
    if store.digest == builtin_digest():
        return True
    # The cheap check comes first: comparing bases opens the built-in store.
    if [contig.length for contig in store.contigs] != [_source_record()["bases"]]:
        return False
    return store.same_bases(open_store(builtin_genome()))


class _SourceRecord(TypedDict):
    """The entry of the genome in SOURCES.json, as far as it is used here."""

    sha256: str
    bases: int


def _source_record() -> _SourceRecord:
    """Read the entry of the genome in SOURCES.json."""
    record: _SourceRecord = json.loads(_data("SOURCES.json").read_text())["files"]["genome.fa.gz"]
    return record


def _data(name: str) -> Path:
    """Return the path of a data file of the package."""
    return Path(str(resources.files("findna_kit"))) / "data" / "builtin" / name
