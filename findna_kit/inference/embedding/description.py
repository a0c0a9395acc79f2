"""The JSON that describes an output of `embed` or `predict`, and the state of an unfinished one."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class RowsDescription(TypedDict):
    """Which network computed numbers for which sequences; written next to the output.

    run: absolute path of the folder. weights: SHA-256 of its tensors. dim: numbers of a sequence, or of a base. rows: number of
    sequences. columns: of the ids. input: path, format, digest and options of the input file. made_with: device, threads and
    versions. embeddings: number of vectors of `dim` numbers, if a sequence has one for every base.
    """

    run: str
    name: str
    weights: str
    strand: str
    precision: str
    dim: int
    rows: int
    columns: list[str]
    input: dict[str, str | int]
    made_with: dict[str, str | int]
    embeddings: NotRequired[int]


class EmbeddingDescription(RowsDescription):
    """Which model embedded what, and how.

    pooling: `none` for one embedding per base. bases_per_embedding: only then; 1, or the bases of a patch.
    """

    step: int
    branch: str
    pooling: str
    layer: int | None
    bases_per_embedding: NotRequired[int]


PLACE = ("first", "count")
"""The last columns of the ids with one embedding per base: the number of a sequence's first embedding, and how many it has."""


def embedding_count(description: RowsDescription) -> int:
    """Return the number of embeddings: one for each row of the ids, or those of all bases."""
    return description.get("embeddings", description["rows"])


class PartialState(TypedDict):
    """How many rows of an unfinished output are complete, and at which byte its two files then end."""

    description: RowsDescription
    rows: int
    ends: list[int]
