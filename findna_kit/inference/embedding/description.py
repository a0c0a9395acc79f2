"""The JSON that describes an output of `embed`, and the state of an unfinished one."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class EmbeddingDescription(TypedDict):
    """Which model embedded what, and how; written next to the output.

    run: absolute path. weights: SHA-256 of the checkpoint. dim: length of an embedding. rows: number of sequences. columns: of
    the ids. input: path, format, digest and options of the input file. made_with: device, threads and versions.

    Only of an output with one embedding per base, whose `pooling` is `none`: bases_per_embedding: 1, or the bases of a patch.
    embeddings: their number. The last two columns of the ids, `first` and `count`, tell which of them belong to a sequence.
    """

    run: str
    name: str
    step: int
    branch: str
    weights: str
    pooling: str
    layer: int | None
    strand: str
    precision: str
    dim: int
    rows: int
    columns: list[str]
    input: dict[str, str | int]
    made_with: dict[str, str | int]
    bases_per_embedding: NotRequired[int]
    embeddings: NotRequired[int]


PLACE = ("first", "count")
"""Columns of the ids of an output with one embedding per base: the number of a sequence's first embedding, and how many."""


def embedding_count(description: EmbeddingDescription) -> int:
    """Return the number of embeddings: one for each row of the ids, or those of all bases."""
    return description.get("embeddings", description["rows"])


class PartialState(TypedDict):
    """How many rows of an unfinished output are complete, and at which byte its two files then end."""

    description: EmbeddingDescription
    rows: int
    ends: list[int]
