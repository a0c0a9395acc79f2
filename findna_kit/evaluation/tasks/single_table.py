"""One table of all samples: divided by its split column, or here by the rules of a task file."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.data.table_columns import find_named, listed, matching_columns
from findna_kit.errors import TaskError, nearest
from findna_kit.evaluation.tasks.clusters import split_by_cluster
from findna_kit.evaluation.tasks.raw_samples import class_indices, class_names
from findna_kit.evaluation.tasks.sample_tables import CONTIGS, SUFFIXES, read_table_with
from findna_kit.evaluation.tasks.split_rules import SPLITS, split_by_class, split_by_group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.data.table_columns import ColumnNames
    from findna_kit.evaluation.tasks.raw_samples import RawSamples
    from findna_kit.evaluation.tasks.task_file import SplitShares

    Integers = NDArray[np.int64]

SPLIT_COLUMNS = ("split", "set", "partition")
_SPLIT_OF = {"train": "train", "dev": "dev", "validation": "dev", "val": "dev", "valid": "dev", "test": "test"}
_TABLES = (*SUFFIXES, ".pq")
_SEED = 0
_LEAST, _MOST = 0.5, 1.5
"""Times its share that a split by groups may have; another one is refused, because groups cannot be divided."""
_PLAIN_YAML = re.compile(r"[A-Za-z][\w./-]*")


def is_table(path: Path) -> bool:
    """Return whether a file is a table, by its name."""
    return path.name.lower().endswith(_TABLES)


def table_name(path: Path) -> str:
    """Return the name of a table's file without the suffix of its format."""
    suffix = next(suffix for suffix in sorted(_TABLES, key=len, reverse=True) if path.name.lower().endswith(suffix))
    return path.name[: -len(suffix)] or path.name


def read_by_split_column(path: Path, columns: ColumnNames, *, task_file: str | None) -> dict[str, RawSamples]:
    """Return the splits that a table's column `split`, `set` or `partition` states.

    task_file: the file that names the table, for messages; None if the table was given as the task. Raises TaskError for a
    table without such a column, for a value that is no split, and if there are no test rows or no others.
    """
    samples, column = read_table_with(path, columns, lambda others: _split_column(path, others, columns, task_file))
    values, name = ([], "") if column is None else (column.cells, column.name)
    names = [_SPLIT_OF.get(value.casefold(), "") for value in values]
    if "" in names:
        row = names.index("")
        raise TaskError(
            f"{samples.places[row]}: {values[row]!r} in the column {name!r} is no split{nearest(values[row], _SPLIT_OF)}; "
            f"expected {', '.join(_SPLIT_OF)}"
        )
    split = np.array([SPLITS.index(name) for name in names])
    found = {name: samples.selected(np.flatnonzero(split == number)) for number, name in enumerate(SPLITS) if name in names}
    if "test" not in found or len(found) == 1:
        missing = "test" if "test" not in found else "train or dev"
        raise TaskError(f"{path}: the column {name!r} has no {missing} rows, only {listed(list(found))}: add them")
    return found


def read_and_split(
    path: Path, columns: ColumnNames, shares: SplitShares, fit: Callable[[RawSamples], RawSamples]
) -> dict[str, RawSamples]:
    """Return the samples of a table, split here; the order of the rows in the file does not matter.

    fit: cuts or pads the sequences; near duplicates are searched among what the models read. Raises TaskError if groups do
    not allow the shares, or if a class would be missing where it is needed.
    """
    unused = list[str]()

    def choose(others: tuple[str, ...]) -> str | None:
        unused.extend(matching_columns(others, SPLIT_COLUMNS))
        return _group_column(path, others, shares)

    samples, column = read_table_with(path, columns, choose)
    groups = [] if column is None else column.cells
    whole = fit(samples)
    keys = list(zip(whole.sequences, whole.labels, groups or whole.labels, strict=True))
    # Sorted, so that the same rows in another order are the same task.
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    whole = whole.selected(order)
    labels = class_indices(whole, class_names(whole), whole)
    split, how = _split(whole, [groups[row] for row in order.tolist()] if groups else [], labels, shares)
    _check(path, labels, split, shares, how)
    note = (
        f"the rows were split here: {shares.of_test:.0%} for test and {shares.of_validation:.0%} for validation "
        f"were asked for, {how}, by class and with seed {shares.seed or _SEED}"
    )
    if shares.by is None:
        note += "; copies of one sequence may lie in several splits"
    if unused and (shares.group_column or "").casefold() not in SPLIT_COLUMNS:
        note += f"; the table's column {listed(unused)} was not used"
    return {name: whole.selected(np.flatnonzero(split == number), note) for number, name in enumerate(SPLITS)}


def _split_column(path: Path, others: tuple[str, ...], columns: ColumnNames, task_file: str | None) -> str:
    """Return the split column. Raises TaskError if there is none, with the task file to write, or if there are several."""
    found = matching_columns(others, SPLIT_COLUMNS)
    if len(found) == 1:
        return str(found[0])
    if found:
        raise TaskError(f"{path}: the columns {listed(found)} are ambiguous: keep the one that states the splits")
    missing = f"{path} has no split column ({', '.join(SPLIT_COLUMNS[:-1])} or {SPLIT_COLUMNS[-1]}, with the values train, "
    missing += f"validation and test); beside sequences and labels its columns are {listed(others)}"
    if task_file is not None:
        raise TaskError(f"{task_file}: {missing}: add `{_EXAMPLE}` to the task file")
    stated = "".join(f"{key}: {_yaml(name)}\n" for key, name in columns.stated.items())
    raise TaskError(
        f"{missing}. Add the column, or write this task file beside the table and give it as the task:\n\n"
        f"# {table_name(path)}.yaml\ntable: {_yaml(path.name)}\n{stated}{_EXAMPLE}\n\n"
        "by: cluster keeps near duplicates in one split; by: chromosome keeps each chromosome in one; by: group does it with "
        "the groups of group_column; without by, rows are drawn at random."
    )


_EXAMPLE = "split: {validation: 0.1, test: 0.2, by: cluster, seed: 0}"


def _yaml(text: str) -> str:
    # JSON strings are YAML; plain names are easier to read.
    return text if _PLAIN_YAML.fullmatch(text) else json.dumps(text)


def _group_column(path: Path, others: tuple[str, ...], shares: SplitShares) -> str | None:
    """Return the column whose groups stay together; None if no column is needed. Raises TaskError if it is missing."""
    if shares.by == "group" and shares.group_column is not None:
        return str(find_named(str(path), others, shares.group_column))
    if shares.by != "chromosome":
        return None
    found = matching_columns(others, CONTIGS)
    if len(found) != 1:
        what = f"the columns {listed(found)} are ambiguous" if found else f"no column is called {' or '.join(CONTIGS)}"
        raise TaskError(
            f"{path}: split by chromosome: {what}; the columns are {listed(others)}: choose one with `by: group` and "
            "`group_column`"
        )
    return str(found[0])


def _split(samples: RawSamples, groups: Sequence[str], labels: Integers, shares: SplitShares) -> tuple[Integers, str]:
    """Return the split of each sample [n], as an index of SPLITS, and how it was made."""
    seed = _SEED if shares.seed is None else shares.seed
    if shares.by is None:
        return split_by_class(labels, shares, seed), "by rows"
    if shares.by == "cluster":
        made = split_by_cluster(samples.sequences, labels, shares, seed)
        return made.split, _groups_text("clusters of near duplicates", made.cluster)
    _, group = np.unique(np.array(groups, dtype=object), return_inverse=True)
    what = "chromosomes" if shares.by == "chromosome" else f"groups of {shares.group_column}"
    return split_by_group(group, labels, shares, seed), _groups_text(what, group)


def _groups_text(what: str, group: Integers) -> str:
    sizes = np.bincount(group)
    return f"by {np.count_nonzero(sizes):,} {what}, the largest with {sizes.max() / len(group):.1%} of the rows"


def _check(path: Path, labels: Integers, split: Integers, shares: SplitShares, how: str) -> None:
    """Raise TaskError if a split's size is far from its share, or if a class is missing where it is needed."""
    share = np.bincount(split, minlength=len(SPLITS)) / len(split)
    wanted = {"dev": shares.of_validation, "test": shares.of_test}
    # A split of few samples cannot be closer to its share than one sample.
    near = [_LEAST * wanted[name] - 1 / len(split) <= share[SPLITS.index(name)] <= _MOST * wanted[name] + 1 / len(split)
            for name in wanted]  # fmt: skip
    if not share.all() or (shares.by is not None and not all(near)):
        raise TaskError(
            f"{path}: it cannot be split {how}, into {wanted['dev']:.0%} for validation and {wanted['test']:.0%} for test: the "
            f"closest split found has {share[1]:.1%} and {share[2]:.1%}; state other shares, or another `by`"
        )
    classes = np.unique(labels).size
    for name, least in (("train", classes), ("dev", 2), ("test", 2)):
        found = np.unique(labels[split == SPLITS.index(name)]).size
        if found < least:
            raise TaskError(
                f"{path}: split {how}, the {'validation' if name == 'dev' else name} split has {found} of {classes} classes, "
                f"and needs {least}: add samples of the rare classes, or state other shares, another seed or another `by`"
            )
