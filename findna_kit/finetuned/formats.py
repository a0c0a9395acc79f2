"""The output formats of `predict`, chosen by suffix: .tsv, .csv and .parquet. Ids come first, then the prediction."""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.atomic import sync
from findna_kit.errors import FindnaError
from findna_kit.inference.embedding.formats import RowFormat, row_blocks
from findna_kit.inference.embedding.tsv import tsv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from findna_kit.inference.embedding.partial_output import PartialOutput

    Encode = Callable[[Iterable[Sequence[str]]], bytes]

PREDICTED = "predicted"
"""Name of the column with the most probable class."""


def columns_of(classes: Sequence[str]) -> list[str]:
    """Return the names of the columns of a prediction: the most probable class, and the probability of each."""
    return [PREDICTED, *(f"p_{name}" for name in classes)]


def check_columns(columns: Sequence[str], classes: Sequence[str]) -> None:
    """Raise FindnaError if a column of the input has the name of a column of the predictions."""
    both = next((name for name in columns_of(classes) if name in columns), None)
    if both is not None:
        raise FindnaError(f"the input has a column {both!r}, which is the name of a column of predictions: rename it")


def formats_of(classes: Sequence[str]) -> dict[str, RowFormat]:
    """Return the formats of the predictions of `classes`, by suffix."""
    return {
        ".tsv": RowFormat(None, partial(_make_text, classes, tsv)),
        ".csv": RowFormat(None, partial(_make_text, classes, _csv)),
        ".parquet": RowFormat(("pyarrow", "parquet"), partial(_make_parquet, classes)),
    }


def _make_text(classes: Sequence[str], encode: Encode, part: PartialOutput, integers: frozenset[str]) -> Path:
    """Write a text table, block by block."""
    made = part.folder / "made.text"
    with made.open("wb") as file:
        file.write(encode([[*part.description["columns"], *columns_of(classes)]]))
        for block in row_blocks(part):
            labels = [classes[number] for number in block.numbers.argmax(1)]
            # The shortest digits that are read back as the same float32.
            numbers = [[str(number) for number in column] for column in np.exp(block.numbers).T]
            file.write(encode(zip(*block.ids, labels, *numbers, strict=True)))
    sync(made)
    return made


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    """Return `rows` as lines of comma-separated values in UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _make_parquet(classes: Sequence[str], part: PartialOutput, integers: frozenset[str]) -> Path:
    """Write a table with the id columns, the most probable class, and a float32 column for each class, block by block."""
    import pyarrow as pa
    from pyarrow import parquet

    names, (predicted, *probable) = part.description["columns"], columns_of(classes)
    fields = [(name, pa.int64() if name in integers else pa.string()) for name in [*names, predicted]]
    metadata = {"findna_kit": json.dumps(part.description)}
    schema = pa.schema([*fields, *((name, pa.float32()) for name in probable)], metadata=metadata)
    made = part.folder / "made.parquet"
    with parquet.ParquetWriter(made, schema) as writer:
        for block in row_blocks(part):
            ids = zip(names, block.ids, strict=True)
            cells = [[*map(int, column)] if name in integers else column for name, column in ids]
            labels = [classes[number] for number in block.numbers.argmax(1)]
            numbers = np.ascontiguousarray(np.exp(block.numbers).T)
            writer.write_table(pa.Table.from_arrays([*map(pa.array, (*cells, labels, *numbers))], schema=schema))
    sync(made)
    return made
