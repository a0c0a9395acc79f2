"""A study, from its file to its tables: every cell validated first, none that is finished made again."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from findna_kit.ablation.cells import STUDY, folders_of
from findna_kit.ablation.local import run_here
from findna_kit.ablation.results import analyse, as_csv, as_latex, as_markdown, warnings_of
from findna_kit.ablation.study import cells_of, load_study
from findna_kit.assemble import assemble
from findna_kit.errors import FindnaError, OutputExists
from findna_kit.evaluation import load_task
from findna_kit.evaluation.summary import rows_scored
from findna_kit.files import whole
from findna_kit.runs.folder import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from findna_kit.ablation.cells import CellFolder
    from findna_kit.ablation.study import Study
    from findna_kit.plugins import Plugin
    from findna_kit.registry import Components

RESULT = "result"


@dataclass(frozen=True)
class Way:
    """How cells are run. retry: those that failed before, too."""

    jobs: int = 1
    device: str = "auto"
    without: Collection[str] = ()
    retry: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a study stands."""

    folder: Path
    states: dict[str, str]
    failed: dict[str, str] = field(default_factory=dict)
    result: dict[str, Any] | None = None


def ablate(
    path: Path, out: Path | None, way: Way, *, components: Components, plugins: Sequence[Plugin],
    say: Callable[[str], None], show: Callable[[dict[str, str]], None],
) -> Progress:  # fmt: skip
    """Runs what of a study is missing, and writes its tables when nothing is. show: is given every cell's state.

    Nothing begins before every cell has been read and assembled, and every task could be scored. FindnaError names the cell.
    """
    study = load_study(path)
    cells = cells_of(study, path.parent, components, [plugin for plugin in plugins if plugin.failure])
    for cell in cells:
        if cell.seed == study.every_seed[0]:
            assemble(cell.recipe, device="meta")
    for task in cells[0].recipe.evaluation.tasks:
        rows_scored(load_task(task))
    for sentence in warnings_of(study):
        say(sentence)
    folder = out or Path("studies") / study.name
    with _claimed(folder, study):
        folders = folders_of(cells, folder)
        wanted = [one for one in folders if (state := one.state()) != "finished" and (way.retry or state != "failed")]

        def changed() -> None:
            show(_states(folders))

        changed()
        run_here(wanted, way.jobs, changed, device=way.device, without=list(way.without))
        states = _states(folders)
        failed = {one.cell.place: one.reason() for one in folders if states[one.cell.place] == "failed"}
        if set(states.values()) != {"finished"}:
            return Progress(folder, states, failed)
        result = analyse(study, folders)
        write_tables(folder, result)
        return Progress(folder, states, failed, result)


def write_tables(folder: Path, result: dict[str, Any]) -> None:
    """The result as JSON, CSV, Markdown and LaTeX."""
    write_json(folder / f"{RESULT}.json", result)
    for ending, text in (("csv", as_csv(result)), ("md", as_markdown(result)), ("tex", as_latex(result))):
        with whole(folder / f"{RESULT}.{ending}") as beside:
            beside.write_text(text)


def _states(folders: Sequence[CellFolder]) -> dict[str, str]:
    return {one.cell.place: one.state() for one in folders}


@contextmanager
def _claimed(folder: Path, study: Study) -> Iterator[None]:
    """The study's folder, held by this process alone. OutputExists where it is another study's, or no study's at all."""
    told, path = study.model_dump(mode="json"), folder / STUDY
    if folder.exists() and not path.is_file() and any(folder.iterdir()):
        raise OutputExists(f"{folder}: holds something that is no study; take another --out")
    if path.is_file() and json.loads(path.read_text()) != told:
        raise OutputExists(f"{folder}: holds another study, or this one before it was changed; take another --out")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FindnaError(f"{folder}: another `findna-kit ablate` is at work there; wait for it") from None
    try:
        write_json(path, told)
        yield
    finally:
        lock.release()
