"""The task files that come with the package, and the folder that holds their data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from findna_kit.evaluation.tasks.task_file import TaskFile, read_task_file
from findna_kit.recipe import shipped_task_files

DATA_VARIABLE = "FINDNA_KIT_TASKS"


@dataclass(frozen=True)
class ShippedTask:
    """A task file by its name, such as `gue/prom_core_all`."""

    name: str
    file: Path

    def read(self) -> TaskFile:
        """Return the validated content of the task file."""
        return read_task_file(self.file)


def shipped_tasks() -> dict[str, ShippedTask]:
    """Return the shipped tasks by name, in the order of the names."""
    return {name: ShippedTask(name, path) for name, path in shipped_task_files().items()}


def data_folder(given: Path | None) -> Path | None:
    """Return the given folder, or that of the variable `FINDNA_KIT_TASKS`; None if there is neither."""
    folder = given or os.environ.get(DATA_VARIABLE)
    return None if not folder else Path(folder).expanduser().absolute()
