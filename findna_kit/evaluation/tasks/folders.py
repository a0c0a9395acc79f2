"""Folders of rows as the suites publish them: tables by part (GUE), and by part and class (GenomicBenchmarks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.errors import TaskError
from findna_kit.evaluation.tasks.intervals import read_interval_list
from findna_kit.evaluation.tasks.rows import Rows
from findna_kit.evaluation.tasks.tables import SUFFIXES, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from findna_kit.evaluation.tasks.intervals import Genomes

PARTS = ("train", "dev", "test")
_LISTS = (".csv.gz", ".csv")


def read_folder(folder: Path, genomes: Genomes) -> dict[str, Rows]:
    """The parts that a folder holds, in whichever of the layouts.

    Tables: PART.csv, .tsv (either .gz) or .parquet, or PART-*-of-*.parquet (Hugging Face), there or in `data/`.
    The cache of the package genomic-benchmarks: PART/CLASS/*.txt, a sequence each. Its interval lists: PART/CLASS.csv.gz,
    cut from `genomes`. TaskError where there is no test part, or nothing to train on.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise TaskError(f"{folder} {what}: a task is `builtin`, a shipped name, a task file (.yaml) or a folder with {_SOUGHT}")
    found = {part: rows for part in PARTS if (rows := _read_part(folder, part, genomes)) is not None}
    if "test" not in found:
        raise TaskError(f"{folder} has no test part: looked for {_sought('test')}")
    if len(found) == 1:
        raise TaskError(f"{folder} has nothing to train on: looked for {_sought('train')}, and the same of dev")
    return found


def _sought(part: str) -> str:
    return f"{part}{SUFFIXES[0]} ({', '.join(SUFFIXES[1:])}) and {part}/"


_SOUGHT = _sought("train") + ", and the same of dev and test"


def _read_part(folder: Path, part: str, genomes: Genomes) -> Rows | None:
    files = _tables(folder, part)
    inside = folder / part
    by_class = sorted(path for path in inside.iterdir() if not path.name.startswith(".")) if inside.is_dir() else []
    if files and by_class:
        raise TaskError(f"{folder} has both {files[0].name} and {part}/: remove the one that is not meant")
    if files:
        return read_table(files[0]) if len(files) == 1 else Rows.concatenate(folder, [read_table(file) for file in files])
    lists = _lists(by_class)
    classes = [path for path in by_class if path.is_dir()]
    if lists and classes:
        raise TaskError(f"{inside} has both interval lists and folders of sequences: remove what is not meant")
    if lists:
        return Rows.concatenate(inside, [read_interval_list(lists[name], name, genomes) for name in sorted(lists)]).checked()
    return Rows.concatenate(inside, [_texts(path) for path in classes]).checked() if classes else None


def _lists(inside: Sequence[Path]) -> dict[str, Path]:
    """The interval list of each class."""
    lists: dict[str, Path] = {}
    for path in inside:
        name = next((path.name.removesuffix(suffix) for suffix in _LISTS if path.name.endswith(suffix)), None)
        if name in lists:
            raise TaskError(f"{path.parent} has both {lists[name].name} and {path.name}: remove the one that is not meant")
        if name is not None:
            lists[name] = path
    return lists


def _tables(folder: Path, part: str) -> list[Path]:
    there = [path for suffix in SUFFIXES if (path := folder / f"{part}{suffix}").is_file()]
    if len(there) > 1:
        raise TaskError(f"{folder} has both {there[0].name} and {there[1].name}: remove the one that is not meant")
    return there or sorted(folder.glob(f"{part}-*-of-*.parquet")) or sorted(folder.glob(f"data/{part}-*-of-*.parquet"))


def _texts(folder: Path) -> Rows:
    """The sequences in a class's folder, in the order of the names; the class is the folder's."""
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise TaskError(f"{folder} holds no sequences (files .txt, one each): fill it or remove it")
    try:
        sequences = [path.read_text(encoding="utf-8").strip() for path in files]
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{folder} cannot be read ({error}): fetch it again") from error
    _refuse_empty(files, sequences)
    return Rows(folder, sequences, [folder.name] * len(files), [str(path) for path in files])


def _refuse_empty(files: Sequence[Path], sequences: Sequence[str]) -> None:
    if "" in sequences:
        raise TaskError(f"{files[sequences.index('')]} is empty: fetch it again")
