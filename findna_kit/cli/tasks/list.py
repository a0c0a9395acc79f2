"""The command `tasks list`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from findna_kit.cli.console import log, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Json, TaskData, Wide
from findna_kit.cli.tables import select

if TYPE_CHECKING:
    from findna_kit.evaluation.tasks import ShippedTask, load, shipped
else:
    load, shipped = LazyModule("findna_kit.evaluation.tasks.load"), LazyModule("findna_kit.evaluation.tasks.shipped")

_COLUMNS = ("name", "metric", "length", "classes", "suite", "status")
_MAIN_COLUMNS = (0, 1, 2, -1)
"""Task, metric, length, and whether its data are present."""


def list_tasks(data: TaskData = None, wide: Wide = False, as_json: Json = False) -> None:
    """List the tasks of the kit and whether their data are present.

    --wide also prints where missing data were searched for, --json where they are published.
    """
    folder = shipped.data_folder(data)
    tasks = [_describe(task, folder) for task in shipped.shipped_tasks().values()]
    if as_json:
        print(json.dumps(tasks, indent=1))
        return
    rows = [[*(str(task[key]) for key in _COLUMNS), _data_text(task, folder, wide=wide)] for task in tasks]
    table = [["task", *_COLUMNS[1:], "data"], *rows]
    print_table(table if wide else select(table, *_MAIN_COLUMNS))
    location = f"in {folder}" if folder else f"nowhere: name their folder with --data DIR or {shipped.DATA_VARIABLE}"
    log(f"data were searched for {location}; `builtin`, a folder and a task file (.yaml) are tasks as well")
    if not all(task["there"] for task in tasks):
        log("missing data: `findna-kit tasks list --json` prints where they are published")


def _describe(task: ShippedTask, folder: Path | None) -> Mapping[str, Any]:
    """Return the task as JSON, with the paths at which its data were searched for and are missing."""
    file = task.read()
    missing = load.LocatedTaskFile(task.name, folder, file).missing()
    return {
        "name": task.name,
        **(file.published.model_dump() if file.published else {}),
        "metric": file.metric,
        "length": file.length,
        "classes": file.classes,
        "finetune": None if file.finetune is None else file.finetune.model_dump(),
        "there": not missing,
        "looked_for": [str(path) for path in missing],
        "file": str(task.file),
    }


def _data_text(task: Mapping[str, Any], folder: Path | None, *, wide: bool) -> str:
    """Return whether the data are present; with --wide also where they were searched for."""
    if task["there"]:
        return "present"
    return f"missing: {_first(task['looked_for'], folder)}" if wide else "missing"


def _first(paths: Sequence[str], folder: Path | None) -> str:
    """Return the first path, relative to the data folder, and how many more there are."""
    first, base = Path(paths[0]), folder or load.NO_FOLDER
    shown = first.relative_to(base) if first.is_relative_to(base) else first
    return f"{shown} and {len(paths) - 1} more" if len(paths) > 1 else str(shown)
