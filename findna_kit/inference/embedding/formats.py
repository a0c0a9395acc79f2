"""The output formats of `embed`, chosen by suffix: .npy (ids in a file next to it), .parquet and .zarr."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from findna_kit.atomic import sync
from findna_kit.errors import FindnaError, OutputExists, require_extra
from findna_kit.inference.embedding.description import PLACE, embedding_count
from findna_kit.inference.embedding.tsv import read_tsv
from findna_kit.records.json_files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.inference.embedding.description import EmbeddingDescription
    from findna_kit.inference.embedding.partial_output import PartialOutput

    Indices = NDArray[np.int64]
    Ids = list[tuple[str, ...]]

Format = TypeVar("Format", bound="RowFormat")

COLUMN = "embedding"
"""Name of the parquet column; the zarr array is called `embeddings`."""
_ROWS = 4096
_ARRAY, _ZARR = "embeddings", "zarr.json"
_REQUIRED = {"weights", "rows", "dim", "columns", "input"}


@dataclass(frozen=True)
class RowFormat:
    """A file format of numbers with ids.

    module: the optional package that it needs, and the extra that installs it. make(partial, integers): write the output
    into the temporary folder and return its path, ready to be renamed.
    """

    module: tuple[str, str] | None
    make: Callable[[PartialOutput, frozenset[str]], Path]


@dataclass(frozen=True)
class EmbeddingFormat(RowFormat):
    """A file format of embeddings.

    read(out, columns, rows): return embeddings and ids of the rows with these ascending indices.
    """

    read: Callable[[Path, list[str], Indices], tuple[NDArray[np.float32], Ids]]


def format_of(out: Path, known: Mapping[str, Format]) -> Format:
    """Return the format for the suffix of `out`. Raises FindnaError for an unknown suffix or a missing package."""
    chosen = known.get(out.suffix)
    if chosen is None:
        raise FindnaError(f"--out {out}: the suffix must be one of {', '.join(known)}")
    if chosen.module is not None:
        require_extra(*chosen.module, f"--out {out.name}")
    return chosen


def check_columns(out: Path, columns: tuple[str, ...], *, per_base: bool = False) -> None:
    """Raise FindnaError if a column of the ids has a name that the format, or one embedding per base, needs for itself."""
    taken = next((name for name in columns if per_base and name in PLACE), None)
    if taken is not None:
        raise FindnaError(f"the column {taken!r} has a name that --per-base needs for where embeddings begin: rename it")
    reserved = {".parquet": COLUMN, ".zarr": _ARRAY}.get(out.suffix)
    zarr = out.suffix == ".zarr"
    # zarr keeps its own metadata in names that begin with a dot or underscore, and reads `/` as a path.
    conflict = next(
        (name for name in columns if name == reserved or (zarr and ("/" in name or name[0] in "._" or name == _ZARR))), None
    )
    if conflict is not None:
        raise FindnaError(
            f"the column {conflict!r} has a name that {out.suffix} does not allow: rename it, or use --out FILE.npy"
        )


def finish(part: PartialOutput, out: Path, form: RowFormat, integers: frozenset[str]) -> None:
    """Write the output from all rows: build every file in the temporary folder, then rename them, the output last."""
    made = form.make(part, integers)
    description, ids = part.folder / "beside.json", part.folder / "beside.tsv"
    # The output is renamed last: its presence means that everything next to it is complete.
    write_json(description, dict(part.description))
    if out.suffix == ".npy":
        shutil.copyfile(part.ids, ids)  # a copy: if a kill comes before the output is renamed, resuming needs the ids
        sync(ids)
        ids.replace(ids_path(out))
    description.replace(description_path(out))
    if out.is_dir():
        shutil.rmtree(part.folder / "old", ignore_errors=True)
        # A folder cannot be replaced by a rename; the old one moves into the temporary folder and goes with it.
        out.rename(part.folder / "old")
    made.rename(out)
    sync(out.parent)


def refuse_existing(out: Path, *, replace: bool) -> None:
    """Raise OutputExists if writing would replace an output or a file next to it without `replace`, or anything else."""
    if out.is_dir() and not (out.suffix == ".zarr" and (out / _ZARR).is_file()):
        raise OutputExists(f"{out}: is a folder that this command did not write; use another --out")
    if out.is_file() and out.suffix == ".zarr":
        raise OutputExists(f"{out}: is a file, but a .zarr output is a folder; use another --out")
    outputs = (out, description_path(out), *([ids_path(out)] if out.suffix == ".npy" else []))
    existing = next((path for path in outputs if path.exists()), None)
    if existing is not None and not replace:
        raise OutputExists(f"{existing}: already exists; use another --out, or --overwrite to replace it")


def description_path(out: Path) -> Path:
    """Return the path of the JSON description next to an output."""
    return out.with_name(f"{out.name}.json")


def ids_path(out: Path) -> Path:
    """Return the path of the ids next to a .npy output."""
    return out.with_name(f"{out.name}.ids.tsv")


def read_description(out: Path) -> EmbeddingDescription | None:
    """Return the description of a complete output, or None if there is no output or no description of ours."""
    path = description_path(out)
    # A description alone is what is left when a user deletes the output.
    if not (out.exists() and path.is_file()):
        return None
    try:
        description = json.loads(path.read_bytes())
    except ValueError:  # a file that another program wrote
        return None
    if not (isinstance(description, dict) and description.keys() >= _REQUIRED):
        return None
    return cast("EmbeddingDescription", description)


@dataclass(frozen=True)
class RowBlock:
    """Some rows of an output. rows: which; ids: the cells of each column.

    numbers [n, dim]: one vector per row, or with one embedding per base those of all its bases. placed: which of all vectors.
    """

    rows: slice
    ids: list[list[str]]
    placed: slice
    numbers: NDArray[np.float32]


def row_blocks(part: PartialOutput) -> Iterator[RowBlock]:
    """Read the rows back block by block."""
    count, dim, per_base = part.description["rows"], part.description["dim"], "embeddings" in part.description
    with part.embeddings.open("rb") as numbers, closing(read_tsv(part.ids)) as cells:
        # The array is read sequentially, not memory-mapped, so that memory stays bounded on any file system.
        np.lib.format.read_magic(numbers)
        np.lib.format.read_array_header_1_0(numbers)
        low = first = 0
        while low < count:
            # The embeddings of the bases of one sequence are a block, because they are many.
            rows = 1 if per_base else min(_ROWS, count - low)
            ids = [list(column) for column in zip(*islice(cells, rows), strict=True)]
            # The last column of the ids is the number of a sequence's embeddings.
            vectors = int(ids[-1][0]) if per_base else rows
            block = np.frombuffer(numbers.read(vectors * dim * 4), dtype="<f4").reshape(vectors, dim)
            yield RowBlock(slice(low, low + rows), ids, slice(first, first + vectors), block)
            low, first = low + rows, first + vectors


def _make_npy(part: PartialOutput, integers: frozenset[str]) -> Path:
    """Return the .npy of the temporary folder, which already has its final content."""
    return part.embeddings


def _read_npy(out: Path, columns: list[str], rows: Indices) -> tuple[NDArray[np.float32], Ids]:
    """Return embeddings and ids of some rows; the array is memory-mapped, the ids are scanned."""
    selected = set(rows.tolist())
    ids = [tuple(row) for number, row in enumerate(read_tsv(ids_path(out))) if number in selected]
    return np.asarray(np.load(out, mmap_mode="r")[rows]), ids


def _make_parquet(part: PartialOutput, integers: frozenset[str]) -> Path:
    """Write a table with the id columns and one fixed-size list column, block by block."""
    import pyarrow as pa
    from pyarrow import parquet

    columns, dim = part.description["columns"], part.description["dim"]
    types = {name: pa.int64() if name in integers else pa.string() for name in columns}
    vector = pa.list_(pa.float32(), dim)
    per_base = "embeddings" in part.description
    column_type = pa.list_(vector) if per_base else vector
    metadata = {"findna_kit": json.dumps(part.description)}
    schema = pa.schema([*((name, types[name]) for name in columns), (COLUMN, column_type)], metadata=metadata)
    made = part.folder / "made.parquet"
    with parquet.ParquetWriter(made, schema) as writer:
        for block in row_blocks(part):
            cells = [
                pa.array([*map(int, column)] if name in integers else column, types[name])
                for name, column in zip(columns, block.ids, strict=True)
            ]
            # A fixed-size list stores the numbers contiguously, so that readers get a matrix without a copy.
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.numbers.ravel()), type=vector)
            if per_base:
                # A list around the block: all its embeddings are those of one row.
                vectors = pa.ListArray.from_arrays(pa.array([0, len(block.numbers)], pa.int32()), vectors)
            writer.write_table(pa.Table.from_arrays([*cells, vectors], schema=schema))
    sync(made)
    return made


def _read_parquet(out: Path, columns: list[str], rows: Indices) -> tuple[NDArray[np.float32], Ids]:
    """Return embeddings and ids of some rows, reading one batch at a time."""
    from pyarrow import parquet

    embeddings: list[NDArray[np.float32]] = []
    ids: Ids = []
    low = 0
    with parquet.ParquetFile(out) as file:
        for batch in file.iter_batches(_ROWS):
            # Rows are ascending, so that each batch is read at most once.
            table = batch.take(rows[(rows >= low) & (rows < low + batch.num_rows)] - low)
            vectors = table[COLUMN]
            embeddings.append(vectors.flatten().to_numpy().reshape(-1, vectors.type.list_size))
            ids += zip(*(map(str, table[name].to_pylist()) for name in columns), strict=True)
            low += batch.num_rows
    return np.concatenate(embeddings), ids


def _make_zarr(part: PartialOutput, integers: frozenset[str]) -> Path:
    """Write a zarr v3 group: the array of embeddings and one array per id column."""
    import zarr

    count, dim, embedded = part.description["rows"], part.description["dim"], embedding_count(part.description)
    made = part.folder / "made.zarr"
    shutil.rmtree(made, ignore_errors=True)
    group = zarr.open_group(made, mode="w", zarr_format=3, attributes={"findna_kit": cast("Any", part.description)})
    numbers = group.create_array(_ARRAY, shape=(embedded, dim), chunks=(min(_ROWS, embedded), dim), dtype="float32")
    names = part.description["columns"]
    types = {name: "int64" if name in integers else str for name in names}
    cells = {name: group.create_array(name, shape=(count,), chunks=(min(_ROWS, count),), dtype=types[name]) for name in names}
    for block in row_blocks(part):
        numbers[block.placed] = block.numbers
        for name, column in zip(names, block.ids, strict=True):
            cells[name][block.rows] = np.array(column, dtype=np.int64 if name in integers else object)
    # A zarr is many files; each must be on the disk before the folder is renamed.
    for path in made.rglob("*"):
        sync(path)
    return made


def _read_zarr(out: Path, columns: list[str], rows: Indices) -> tuple[NDArray[np.float32], Ids]:
    """Return embeddings and ids of some rows."""
    import zarr

    group: Any = zarr.open_group(out, mode="r")
    ids = zip(*(map(str, group[name].oindex[rows]) for name in columns), strict=True)
    return group[_ARRAY].oindex[rows], list(ids)


FORMATS = {
    ".npy": EmbeddingFormat(None, _make_npy, _read_npy),
    ".parquet": EmbeddingFormat(("pyarrow", "parquet"), _make_parquet, _read_parquet),
    ".zarr": EmbeddingFormat(("zarr", "zarr"), _make_zarr, _read_zarr),
}
