"""A task by what it is called: `builtin`, a folder, a task file, or the name of a task file that comes with the package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.data.genome import builtin_genome
from findna_kit.errors import TaskError, nearest
from findna_kit.evaluation.tasks.description import Shares, TaskFile, read_task_file
from findna_kit.evaluation.tasks.folders import read_folder
from findna_kit.evaluation.tasks.intervals import Genomes, read_bed_rows
from findna_kit.evaluation.tasks.records import read_records
from findna_kit.evaluation.tasks.rows import Rows, class_indices, class_names, notes_on
from findna_kit.evaluation.tasks.shipped import DATA_VARIABLE, data_folder, shipped_tasks
from findna_kit.evaluation.tasks.splits import training_parts
from findna_kit.evaluation.tasks.tables import read_table
from findna_kit.evaluation.tasks.task import Table, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

BUILTIN = "builtin"
_TASK_FILES = (".yaml", ".yml")
NO_FOLDER = Path(f"DIR of --data or {DATA_VARIABLE}")
"""Shown for the data folder where none was named."""


def load_task(source: str, data: Path | None = None) -> Task:
    """The task that `source` means: `builtin`, a path or, where no such file is, a shipped name. No row is dropped.

    data: where the data of shipped tasks lie; None: what FINDNA_KIT_TASKS names. TaskError for what cannot be read.
    """
    own = Path(str(files("findna_kit"))) / "data" / "builtin" / "coding"
    path = own if source == BUILTIN else _expanded(source)
    shipped = shipped_tasks()
    if source in shipped and not path.exists():
        found = Place(source, data_folder(data), shipped[source].described())
        return _made(source, source, found.read(), found.file)
    if path.suffix in _TASK_FILES and path.is_file():
        found = Place(str(path), path.absolute().parent, read_task_file(path))
        return _made(path.stem, str(path.resolve()), found.read(), found.file)
    if not path.exists() and source != BUILTIN:
        raise TaskError(f"{path} does not exist, and no shipped task has that name{nearest(source, shipped)}; {_WANTED}")
    whole = path.resolve()
    name, place = (BUILTIN, BUILTIN) if whole == own.resolve() else (whole.name, str(whole))
    return _made(name, place, read_folder(path, Genomes()), None)


_WANTED = "a task is `builtin`, a folder of train, dev and test, a task file (.yaml), or a name that `findna-kit tasks` lists"


def _expanded(source: str) -> Path:
    """The path with `~` replaced; TaskError for what no file system takes as a path."""
    try:
        path = Path(source).expanduser()
        path.exists()  # False where nothing is; raises where nothing could be
    except (OSError, RuntimeError) as error:  # too long a name; `~` of a user who is not there
        why = error.strerror if isinstance(error, OSError) else error
        raise TaskError(f"{source!r} is no path of a task ({why}): {_WANTED}") from error
    return path


@dataclass(frozen=True)
class Place:
    """A task file with the folder that its relative paths start from: None where the user named none for shipped tasks."""

    name: str
    base: Path | None
    file: TaskFile

    def read(self) -> dict[str, Rows]:
        """The rows of each part. TaskError that says what was looked for, and where it is published."""
        file = self.file
        self._refuse_absent()
        if file.folder is not None:
            return self._fitted(read_folder(self._first(file.folder), self._genomes()))
        if file.tables is not None:
            return self._fitted({part: read_table(self.path(path)) for part, path in file.tables.stated.items()})
        if file.bed is not None:
            length = file.length if file.fit == "center" else None
            stated = file.bed.stated.items()
            rows = {part: read_bed_rows(self.path(path), file.label_column, self._genomes(), length) for part, path in stated}
            return self._fitted(rows)
        paths = {name: [self.path(path) for path in paths] for name, paths in (file.fasta or {}).items()}
        return self._fitted(read_records(paths, file.split or Shares(), file.longer_than))

    def path(self, stated: str) -> Path:
        """Where a path of the file leads."""
        return (self.base or NO_FOLDER) / Path(stated).expanduser()

    def missing(self) -> list[Path]:
        """What was looked for and is not there: of `folder` all its places, where none is."""
        file = self.file
        if file.folder is not None:
            places = [self.path(stated) for stated in file.folder]
            return [] if any(place.is_dir() for place in places) else places
        parts = file.tables or file.bed
        stated = list(parts.stated.values()) if parts else [path for paths in (file.fasta or {}).values() for path in paths]
        genome = [self._genome(file.genome)] if file.bed is not None and isinstance(file.genome, str) else []
        return [place for place in (*map(self.path, stated), *genome) if not place.is_file()]

    def _refuse_absent(self) -> None:
        missing = self.missing()
        if not missing:
            return
        told = f"{self.name}: its data are not there: looked for {', '.join(map(str, missing))}"
        if self.base is None:
            told += f"; name the folder that holds them with --data DIR or the variable {DATA_VARIABLE}"
        raise TaskError(told + (f"; published: {self.file.published.where}" if self.file.published else ""))

    def _first(self, stated: Sequence[str]) -> Path:
        return next(place for path in stated if (place := self.path(path)).is_dir())

    def _genomes(self) -> Genomes:
        genome = self.file.genome
        if isinstance(genome, dict):
            return Genomes({name: self._genome(path) for name, path in genome.items()})
        return Genomes(None if genome is None else self._genome(genome))

    def _genome(self, stated: str) -> Path:
        return builtin_genome() if stated == BUILTIN else self.path(stated)

    def _fitted(self, parts: dict[str, Rows]) -> dict[str, Rows]:
        length = self.file.length
        if self.file.fit != "cut_or_pad" or length is None:
            return parts
        return {
            part: replace(rows, sequences=[sequence[:length].ljust(length, "N") for sequence in rows.sequences])
            for part, rows in parts.items()
        }


def _made(name: str, path: str, read: dict[str, Rows], file: TaskFile | None) -> Task:
    training = read["train"] if "train" in read else read["dev"]
    classes = class_names(training)
    labels = {part: class_indices(rows, classes, training) for part, rows in read.items()}
    train, validation, notes = training_parts(read, labels, path)
    parts = {"train": train, "validation": validation, "test": Table(read["test"].sequences, labels["test"])}
    notes += notes_on(read)
    if file is None:
        return Task(name, path, parts, classes, tuple(notes))
    if file.classes not in (None, len(classes)):
        notes.append(f"the task is published with {file.classes} classes, but these data have {len(classes)}")
    return Task(name, path, parts, classes, tuple(notes), file.metric, file.published, file.finetune)
