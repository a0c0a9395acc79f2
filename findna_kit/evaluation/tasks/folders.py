"""Folders of samples as benchmark suites publish them: by split (GUE), or by split and class (GenomicBenchmarks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.errors import TaskError
from findna_kit.evaluation.tasks.genomic_intervals import read_interval_list
from findna_kit.evaluation.tasks.raw_samples import RawSamples
from findna_kit.evaluation.tasks.sample_tables import SUFFIXES, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from findna_kit.data.table_columns import ColumnNames
    from findna_kit.evaluation.tasks.genomic_intervals import TaskGenomes

SPLITS = ("train", "dev", "test")
_LISTS = (".csv.gz", ".csv")


def read_folder(folder: Path, genomes: TaskGenomes, columns: ColumnNames | None = None) -> dict[str, RawSamples]:
    """Return the splits that a folder holds, in any of these layouts.

    Tables: SPLIT.csv, .tsv (either .gz) or .parquet, or SPLIT-*-of-*.parquet (Hugging Face), in the folder or in `data/`.
    The cache of the package genomic-benchmarks: SPLIT/CLASS/*.txt, one sequence each. Its interval lists: SPLIT/CLASS.csv.gz,
    whose sequences are read from `genomes`. Raises TaskError if there is no test split, or no samples to train on.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        tables = f"a table ({', '.join(SUFFIXES)})"
        raise TaskError(
            f"{folder} {what}: give `builtin`, a shipped name, {tables}, a task file (.yaml), or a folder with {_EXPECTED}"
        )
    splits = {split: samples for split in SPLITS if (samples := _read_split(folder, split, genomes, columns)) is not None}
    if "test" not in splits:
        raise TaskError(f"{folder} has no test split: looked for {_expected('test')}")
    if len(splits) == 1:
        raise TaskError(f"{folder} has no samples to train on: looked for {_expected('train')}, and the same for dev")
    return splits


def _expected(split: str) -> str:
    return f"{split}{SUFFIXES[0]} ({', '.join(SUFFIXES[1:])}) or {split}/"


_EXPECTED = _expected("train") + ", and the same for dev and test"


def _read_split(folder: Path, split: str, genomes: TaskGenomes, columns: ColumnNames | None) -> RawSamples | None:
    """Return the samples of one split; None if the folder does not have it. Raises TaskError for two layouts at once."""
    files = _tables(folder, split)
    inside = folder / split
    # Hidden files, such as .DS_Store, are no classes.
    by_class = sorted(path for path in inside.iterdir() if not path.name.startswith(".")) if inside.is_dir() else []
    if files and by_class:
        raise TaskError(f"{folder} has both {files[0].name} and {split}/: remove the one that is not meant")
    if files:
        tables = [read_table(file, columns) for file in files]
        return tables[0] if len(tables) == 1 else RawSamples.concatenate(folder, tables)
    if by_class and columns is not None and columns.stated:
        raise TaskError(f"leave out {' and '.join(columns.stated)}, for tables only: there are none in {inside}")
    lists = _lists(by_class)
    classes = [path for path in by_class if path.is_dir()]
    if lists and classes:
        raise TaskError(f"{inside} has both interval lists and folders of sequences: remove what is not meant")
    if lists:
        read = [read_interval_list(lists[name], name, genomes) for name in sorted(lists)]
        return RawSamples.concatenate(inside, read).checked()
    return RawSamples.concatenate(inside, [_read_texts(path) for path in classes]).checked() if classes else None


def _lists(inside: Sequence[Path]) -> dict[str, Path]:
    """Return the interval list of each class."""
    lists: dict[str, Path] = {}
    for path in inside:
        name = next((path.name.removesuffix(suffix) for suffix in _LISTS if path.name.endswith(suffix)), None)
        if name in lists:
            raise TaskError(f"{path.parent} has both {lists[name].name} and {path.name}: remove the one that is not meant")
        if name is not None:
            lists[name] = path
    return lists


def _tables(folder: Path, split: str) -> list[Path]:
    """Return the table of a split, or its parts in the layout of Hugging Face."""
    tables = [path for suffix in SUFFIXES if (path := folder / f"{split}{suffix}").is_file()]
    if len(tables) > 1:
        raise TaskError(f"{folder} has both {tables[0].name} and {tables[1].name}: remove the one that is not meant")
    return tables or sorted(folder.glob(f"{split}-*-of-*.parquet")) or sorted(folder.glob(f"data/{split}-*-of-*.parquet"))


def _read_texts(folder: Path) -> RawSamples:
    """Return the sequences in a class's folder, in the order of the file names; the folder's name is the label."""
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise TaskError(f"{folder} holds no sequences (.txt files with one each): fill it or remove it")
    try:
        sequences = [path.read_text(encoding="utf-8").strip() for path in files]
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{folder} cannot be read ({error}): download it again") from error
    if "" in sequences:
        raise TaskError(f"{files[sequences.index('')]} is empty: download it again")
    return RawSamples(folder, sequences, [folder.name] * len(files), [str(path) for path in files])
