"""The JSON that describes an output of `embed` or `predict`, and the state of an unfinished one."""

from __future__ import annotations

from typing import TypedDict


class RowsDescription(TypedDict):
    """Which network computed numbers for which sequences; written next to the output.

    run: absolute path of the folder. weights: SHA-256 of its tensors. dim: numbers of a sequence. rows: number of sequences.
    columns: of the ids. input: path, format, digest and options of the input file. made_with: device, threads and versions.
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


class EmbeddingDescription(RowsDescription):
    """Which model embedded what, and how."""

    step: int
    branch: str
    pooling: str
    layer: int | None


class PartialState(TypedDict):
    """How many rows of an unfinished output are complete, and at which byte its two files then end."""

    description: RowsDescription
    rows: int
    ends: list[int]
