"""Loading a task by its name: `builtin`, a table, a folder, a task file, or a shipped task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.data.genome import builtin_genome
from findna_kit.data.table_columns import FOR_TASKS, ColumnNames
from findna_kit.errors import TaskError, nearest
from findna_kit.evaluation.tasks.fasta_records import read_records
from findna_kit.evaluation.tasks.folders import read_folder
from findna_kit.evaluation.tasks.genomic_intervals import TaskGenomes, read_bed_rows
from findna_kit.evaluation.tasks.raw_samples import RawSamples, class_indices, class_names, notes_on
from findna_kit.evaluation.tasks.sample_tables import read_table
from findna_kit.evaluation.tasks.shipped import DATA_VARIABLE, data_folder, shipped_tasks
from findna_kit.evaluation.tasks.single_table import is_table, read_and_split, read_by_split_column, table_name
from findna_kit.evaluation.tasks.splits import scored_on_validation, training_splits
from findna_kit.evaluation.tasks.task import Task, TaskSplit
from findna_kit.evaluation.tasks.task_file import SplitShares, TaskFile, columns_of, read_task_file
from findna_kit.settings import ON_VALIDATION

if TYPE_CHECKING:
    from collections.abc import Sequence

BUILTIN = "builtin"
_TASK_FILES = (".yaml", ".yml")
NO_FOLDER = Path(f"DIR of --data or {DATA_VARIABLE}")
"""Stands for the data folder in messages if the user has named none."""


def load_task(
    source: str, data: Path | None = None, sequence_column: str | None = None, label_column: str | None = None
) -> Task:
    """Return the task named by `source`: `builtin`, a path, or a shipped name if there is no such path.

    No sample is dropped. A name that ends with `@validation` gives the task that `scored_on_validation` makes. data: the
    folder with the data of shipped tasks; by default the one that FINDNA_KIT_TASKS names. sequence_column, label_column: of a
    table or a folder of tables; the path of the task names them, so that results of several label columns are kept apart.
    Raises TaskError if the task cannot be read.
    """
    if source.endswith(ON_VALIDATION):
        task = load_task(source.removesuffix(ON_VALIDATION), data, sequence_column, label_column)
        return scored_on_validation(task)
    columns = ColumnNames(sequence_column, () if label_column is None else (label_column,), FOR_TASKS)
    task = _load(source, data, columns)
    if not columns.stated:
        return task
    chosen = ", ".join(f"{key}={name}" for key, name in columns.stated.items())
    return replace(task, name=f"{task.name}[{chosen}]", path=f"{task.path}[{chosen}]")


def _load(source: str, data: Path | None, columns: ColumnNames) -> Task:
    builtin = Path(str(files("findna_kit"))) / "data" / "builtin" / "coding"
    path = builtin if source == BUILTIN else _expanded(source)
    shipped = shipped_tasks()
    if path.is_file() and is_table(path):
        resolved = path.resolve()
        return _task(table_name(resolved), str(resolved), read_by_split_column(path, columns, task_file=None), None)
    if columns.stated and (source == BUILTIN or not path.is_dir()):
        options = " and ".join(f"--{key.replace('_', '-')}" for key in columns.stated)
        raise TaskError(
            f"{source}: leave out {options}, for tables and folders of tables only"
            + ("; state columns in the task file" if path.suffix in _TASK_FILES else "")
        )
    if source in shipped and not path.exists():
        task_file = LocatedTaskFile(source, data_folder(data), shipped[source].read())
        return _task(source, source, task_file.read(), task_file.file)
    if path.suffix in _TASK_FILES and path.is_file():
        task_file = LocatedTaskFile(str(path), path.absolute().parent, read_task_file(path))
        return _task(path.stem, str(path.resolve()), task_file.read(), task_file.file)
    if not path.exists() and source != BUILTIN:
        raise TaskError(f"{path} does not exist, and no shipped task has that name{nearest(source, shipped)}; {_EXPECTED}")
    resolved = path.resolve()
    # The built-in task has one name wherever the package is installed, so that results can be compared.
    name, location = (BUILTIN, BUILTIN) if resolved == builtin.resolve() else (resolved.name, str(resolved))
    return _task(name, location, read_folder(path, TaskGenomes(), columns), None)


_EXPECTED = (
    "a task is `builtin`, a table with a split column, a folder of train, dev and test, a task file (.yaml), or a name that "
    "`findna-kit tasks` lists"
)


def _expanded(source: str) -> Path:
    """Return the path with `~` replaced. Raises TaskError for text that cannot be a path."""
    try:
        path = Path(source).expanduser()
        path.exists()  # False for a missing file; raises for an impossible name
    except (OSError, RuntimeError) as error:  # a name that is too long; `~` of an unknown user
        why = error.strerror if isinstance(error, OSError) else error
        raise TaskError(f"{source!r} is not a path of a task ({why}): {_EXPECTED}") from error
    return path


@dataclass(frozen=True)
class LocatedTaskFile:
    """A task file with the folder that its relative paths start from; None if the user named none for shipped tasks."""

    name: str
    base: Path | None
    file: TaskFile

    def read(self) -> dict[str, RawSamples]:
        """Return the samples of each split. Raises TaskError if a file is missing; it names the publication then."""
        file = self.file
        self._refuse_absent()
        if file.folder is not None:
            return self._fitted(read_folder(self._first(file.folder), self._genomes(), columns_of(file)))
        if file.tables is not None:
            return self._fitted(
                {split: read_table(self.path(path), columns_of(file)) for split, path in file.tables.stated.items()}
            )
        if file.table is not None:
            path, columns = self.path(file.table), columns_of(file)
            if file.split is not None:
                return read_and_split(path, columns, file.split, self._fit)
            return self._fitted(read_by_split_column(path, columns, task_file=self.name))
        if file.bed is not None and isinstance(file.label_column, int):
            length = file.length if file.fit == "center" else None
            splits = {
                split: read_bed_rows(self.path(path), file.label_column, self._genomes(), length)
                for split, path in file.bed.stated.items()
            }
            return self._fitted(splits)
        paths = {name: [self.path(path) for path in paths] for name, paths in (file.fasta or {}).items()}
        return self._fitted(read_records(paths, file.split or SplitShares(), file.longer_than))

    def path(self, stated: str) -> Path:
        """Return the location of a path in the file."""
        return (self.base or NO_FOLDER) / Path(stated).expanduser()

    def missing(self) -> list[Path]:
        """Return the paths that do not exist; of `folder` all candidates, if none of them exists."""
        file = self.file
        if file.folder is not None:
            candidates = [self.path(stated) for stated in file.folder]
            return [] if any(path.is_dir() for path in candidates) else candidates
        splits = file.tables or file.bed
        stated = list(splits.stated.values()) if splits else [path for paths in (file.fasta or {}).values() for path in paths]
        stated += [] if file.table is None else [file.table]
        genome = [self._genome(file.genome)] if file.bed is not None and isinstance(file.genome, str) else []
        return [path for path in (*map(self.path, stated), *genome) if not path.is_file()]

    def _refuse_absent(self) -> None:
        missing = self.missing()
        if not missing:
            return
        message = f"{self.name}: its data are missing: looked for {', '.join(map(str, missing))}"
        if self.base is None:
            message += f"; give the folder that holds them with --data DIR or the variable {DATA_VARIABLE}"
        raise TaskError(message + (f"; published: {self.file.published.where}" if self.file.published else ""))

    def _first(self, stated: Sequence[str]) -> Path:
        return next(path for candidate in stated if (path := self.path(candidate)).is_dir())

    def _genomes(self) -> TaskGenomes:
        genome = self.file.genome
        if isinstance(genome, dict):
            return TaskGenomes({name: self._genome(path) for name, path in genome.items()})
        return TaskGenomes(None if genome is None else self._genome(genome))

    def _genome(self, stated: str) -> Path:
        return builtin_genome() if stated == BUILTIN else self.path(stated)

    def _fitted(self, splits: dict[str, RawSamples]) -> dict[str, RawSamples]:
        return {name: self._fit(samples) for name, samples in splits.items()}

    def _fit(self, samples: RawSamples) -> RawSamples:
        """Return the samples cut or padded to `length`, if the task file asks for it."""
        length = self.file.length
        # Only a task file that states it changes sequences; nothing is cut silently.
        if self.file.fit != "cut_or_pad" or length is None:
            return samples
        return replace(samples, sequences=[sequence[:length].ljust(length, "N") for sequence in samples.sequences])


def _task(name: str, path: str, raw: dict[str, RawSamples], file: TaskFile | None) -> Task:
    # Some benchmarks publish only a dev and a test split.
    training = raw["train"] if "train" in raw else raw["dev"]
    # Classes come from the training split: one that occurs only in the test split cannot be learned.
    classes = class_names(training)
    labels = {split: class_indices(samples, classes, training) for split, samples in raw.items()}
    train, validation, notes = training_splits(raw, labels, path)
    splits = {"train": train, "validation": validation, "test": TaskSplit(raw["test"].sequences, labels["test"])}
    notes += notes_on(raw)
    if file is None:
        return Task(name, path, splits, classes, tuple(notes))
    if file.classes not in (None, len(classes)):
        notes.append(f"the task is published with {file.classes} classes, but these data have {len(classes)}")
    return Task(name, path, splits, classes, tuple(notes), file.metric, file.published, file.finetune)
