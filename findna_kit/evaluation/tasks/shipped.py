"""The task files that come with the package, and the folder where their data are looked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from findna_kit.evaluation.tasks.description import TaskFile, read_task_file
from findna_kit.recipe import shipped_task_files

DATA_VARIABLE = "FINDNA_KIT_TASKS"


@dataclass(frozen=True)
class Shipped:
    """A task file by its name, such as `gue/prom_core_all`."""

    name: str
    file: Path

    def described(self) -> TaskFile:
        """What it says."""
        return read_task_file(self.file)


def shipped_tasks() -> dict[str, Shipped]:
    """Those beside the shipped recipes, by name, in the order of the names."""
    return {name: Shipped(name, path) for name, path in shipped_task_files().items()}


def data_folder(given: Path | None) -> Path | None:
    """The folder that was given, or that `FINDNA_KIT_TASKS` names; None where neither is."""
    named = given or os.environ.get(DATA_VARIABLE)
    return None if not named else Path(named).expanduser().absolute()
