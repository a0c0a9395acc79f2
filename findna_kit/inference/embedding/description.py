"""The JSON that describes an output of `embed`, and the state of an unfinished one."""

from __future__ import annotations

from typing import TypedDict


class EmbeddingDescription(TypedDict):
    """Which model embedded what, and how; written next to the output.

    run: absolute path. weights: SHA-256 of the checkpoint. dim: length of an embedding. rows: number of sequences. columns: of
    the ids. input: path, format, digest and options of the input file. made_with: device, threads and versions.
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


class PartialState(TypedDict):
    """How many rows of an unfinished output are complete, and at which byte its two files then end."""

    description: EmbeddingDescription
    rows: int
    ends: list[int]
