"""The output by its suffix: .npy with ids beside, .parquet, .zarr; made of a whole part, and read back for pictures."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.atomic import sync
from findna_kit.errors import FindnaError, OutputExists, require_extra
from findna_kit.inference.embedding.tsv import read_tsv
from findna_kit.records.json_files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.inference.embedding.partial_output import Part

    Rows = NDArray[np.int64]
    Ids = list[tuple[str, ...]]

COLUMN = "embedding"
"""Of a parquet table; in a zarr the array is `embeddings`."""
_ROWS = 4096
_ARRAY, _ZARR = "embeddings", "zarr.json"
_TOLD = {"weights", "rows", "dim", "columns", "input"}


@dataclass(frozen=True)
class Format:
    """One way to keep embeddings.

    module: what it needs beyond the core, with its extra. make(part, integers): a path beside, ready to be renamed to the
    output. read(out, columns, rows): embeddings and ids of some rows, ascending.
    """

    module: tuple[str, str] | None
    make: Callable[[Part, frozenset[str]], Path]
    read: Callable[[Path, list[str], Rows], tuple[NDArray[np.float32], Ids]]


def format_of(out: Path) -> Format:
    """By the suffix. Raises FindnaError for another, and where the package that it needs is missing."""
    found = FORMATS.get(out.suffix)
    if found is None:
        raise FindnaError(f"--out {out}: embeddings are kept as {', '.join(FORMATS)}: give it one of these suffixes")
    if found.module is not None:
        require_extra(*found.module, f"--out {out.name}")
    return found


def refuse_columns(out: Path, columns: tuple[str, ...]) -> None:
    """FindnaError for a column of the ids whose name the format keeps for the embeddings."""
    own = {".parquet": COLUMN, ".zarr": _ARRAY}.get(out.suffix)
    zarr = out.suffix == ".zarr"
    strange = next(
        (name for name in columns if name == own or (zarr and ("/" in name or name[0] in "._" or name == _ZARR))), None
    )
    if strange is not None:
        raise FindnaError(f"the column {strange!r} cannot be one of a {out.suffix}: rename it, or take --out FILE.npy")


def finish(part: Part, out: Path, integers: frozenset[str]) -> None:
    """Puts a whole part in its place: all made in the part's folder and then renamed, the output last."""
    made = format_of(out).make(part, integers)
    told, ids = part.folder / "beside.json", part.folder / "beside.tsv"
    write_json(told, dict(part.description))
    if out.suffix == ".npy":
        shutil.copyfile(part.ids, ids)  # the part keeps its own: a kill may come before the output is renamed
        sync(ids)
        ids.replace(ids_of(out))
    told.replace(description_of(out))
    if out.is_dir():
        shutil.rmtree(part.folder / "old", ignore_errors=True)
        out.rename(part.folder / "old")
    made.rename(out)
    sync(out.parent)


def refuse_what_is_there(out: Path, *, replace: bool) -> None:
    """OutputExists where an output, or what lies beside it, would be replaced that nobody said may be; or what is no output."""
    if out.is_dir() and not (out.suffix == ".zarr" and (out / _ZARR).is_file()):
        raise OutputExists(f"{out}: is a folder that no embedding made; name another --out")
    if out.is_file() and out.suffix == ".zarr":
        raise OutputExists(f"{out}: is a file, and a .zarr is a folder; name another --out")
    own = (out, description_of(out), *([ids_of(out)] if out.suffix == ".npy" else []))
    there = next((path for path in own if path.exists()), None)
    if there is not None and not replace:
        raise OutputExists(f"{there}: is there already; take another --out, or --overwrite it")


def description_of(out: Path) -> Path:
    """What tells of an output, beside it."""
    return out.with_name(f"{out.name}.json")


def ids_of(out: Path) -> Path:
    """The ids of a .npy, beside it."""
    return out.with_name(f"{out.name}.ids.tsv")


def read_description(out: Path) -> dict[str, Any] | None:
    """What is told of an output that is whole; None where there is none, or nothing is told."""
    path = description_of(out)
    if not (out.exists() and path.is_file()):
        return None
    try:
        told = json.loads(path.read_bytes())
    except ValueError:  # somebody else's file
        return None
    return told if isinstance(told, dict) and told.keys() >= _TOLD else None


def _blocks(part: Part) -> Iterator[tuple[slice, NDArray[np.float32], list[list[str]]]]:
    """Where a block of rows stands, its embeddings, and the cells of each column of its ids."""
    count, dim = part.description["rows"], part.description["dim"]
    with part.embeddings.open("rb") as numbers, closing(read_tsv(part.ids)) as cells:
        np.lib.format.read_magic(numbers)
        np.lib.format.read_array_header_1_0(numbers)
        for low in range(0, count, _ROWS):
            rows = min(_ROWS, count - low)
            block = np.frombuffer(numbers.read(rows * dim * 4), dtype="<f4").reshape(rows, dim)
            yield slice(low, low + rows), block, [list(column) for column in zip(*islice(cells, rows), strict=True)]


def _make_npy(part: Part, integers: frozenset[str]) -> Path:
    return part.embeddings


def _read_npy(out: Path, columns: list[str], rows: Rows) -> tuple[NDArray[np.float32], Ids]:
    wanted = set(rows.tolist())
    ids = [tuple(row) for number, row in enumerate(read_tsv(ids_of(out))) if number in wanted]
    return np.asarray(np.load(out, mmap_mode="r")[rows]), ids


def _make_parquet(part: Part, integers: frozenset[str]) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    columns, dim = part.description["columns"], part.description["dim"]
    types = {name: pa.int64() if name in integers else pa.string() for name in columns}
    vector = pa.list_(pa.float32(), dim)
    told = {"findna_kit": json.dumps(part.description)}
    schema = pa.schema([*((name, types[name]) for name in columns), (COLUMN, vector)], metadata=told)
    made = part.folder / "made.parquet"
    with parquet.ParquetWriter(made, schema) as writer:
        for _, block, ids in _blocks(part):
            cells = [
                pa.array([*map(int, column)] if name in integers else column, types[name])
                for name, column in zip(columns, ids, strict=True)
            ]
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), type=vector)
            writer.write_table(pa.Table.from_arrays([*cells, vectors], schema=schema))
    sync(made)
    return made


def _read_parquet(out: Path, columns: list[str], rows: Rows) -> tuple[NDArray[np.float32], Ids]:
    from pyarrow import parquet

    found: list[NDArray[np.float32]] = []
    ids: Ids = []
    low = 0
    with parquet.ParquetFile(out) as file:
        for batch in file.iter_batches(_ROWS):
            table = batch.take(rows[(rows >= low) & (rows < low + batch.num_rows)] - low)
            vectors = table[COLUMN]
            found.append(vectors.flatten().to_numpy().reshape(-1, vectors.type.list_size))
            ids += zip(*(map(str, table[name].to_pylist()) for name in columns), strict=True)
            low += batch.num_rows
    return np.concatenate(found), ids


def _make_zarr(part: Part, integers: frozenset[str]) -> Path:
    import zarr

    count, dim = part.description["rows"], part.description["dim"]
    made = part.folder / "made.zarr"
    shutil.rmtree(made, ignore_errors=True)
    group = zarr.open_group(made, mode="w", zarr_format=3, attributes={"findna_kit": dict(part.description)})
    numbers = group.create_array(_ARRAY, shape=(count, dim), chunks=(min(_ROWS, count), dim), dtype="float32")
    names = part.description["columns"]
    types = {name: "int64" if name in integers else str for name in names}
    cells = {name: group.create_array(name, shape=(count,), chunks=(min(_ROWS, count),), dtype=types[name]) for name in names}
    for rows, block, ids in _blocks(part):
        numbers[rows] = block
        for name, column in zip(names, ids, strict=True):
            cells[name][rows] = np.array(column, dtype=np.int64 if name in integers else object)
    for path in made.rglob("*"):
        sync(path)
    return made


def _read_zarr(out: Path, columns: list[str], rows: Rows) -> tuple[NDArray[np.float32], Ids]:
    import zarr

    group: Any = zarr.open_group(out, mode="r")
    ids = zip(*(map(str, group[name].oindex[rows]) for name in columns), strict=True)
    return group[_ARRAY].oindex[rows], list(ids)


FORMATS = {
    ".npy": Format(None, _make_npy, _read_npy),
    ".parquet": Format(("pyarrow", "parquet"), _make_parquet, _read_parquet),
    ".zarr": Format(("zarr", "zarr"), _make_zarr, _read_zarr),
}
