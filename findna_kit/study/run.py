"""A study, from its file to its tables: every cell validated first, none that is finished made again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout
from pydantic import ValidationError

from findna_kit.atomic import atomic_write
from findna_kit.distributed import current_launch
from findna_kit.errors import FindnaError, OutputExists
from findna_kit.evaluation import load_task
from findna_kit.records.json_files import write_json
from findna_kit.records.paths import LOCK
from findna_kit.study.budgets import STEPS, as_stated, found
from findna_kit.study.cells import STUDY, folders_of
from findna_kit.study.hparams_export import write_board
from findna_kit.study.load import cells_of, load_study, with_values
from findna_kit.study.results import analyse, as_csv, as_latex, as_markdown, warnings_of
from findna_kit.study.schema import Study
from findna_kit.study.search import Searcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.study.cells import CellFolder
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.schema import Budget, Cell

RESULT = "result"


@dataclass(frozen=True)
class StudyObserver:
    """Who is told: sentences; every cell's state, whenever one may have changed. check: refuses a recipe as `check` does."""

    say: Callable[[str], None]
    show: Callable[[dict[str, str]], None]
    check: Callable[[Recipe], object]


class Executor(Protocol):
    """Where cells are run."""

    def refuse(self, recipe: Recipe) -> None:
        """FindnaError for a cell that cannot be run there."""
        ...

    def run(self, folders: Sequence[CellFolder], way: ExecutionOptions, changed: Callable[[], None]) -> dict[str, str]:
        """Runs the cells and calls `changed` whenever a state may have; gives what killed a cell, by its place."""
        ...


@dataclass(frozen=True)
class Progress:
    """Where a study stands. failed: reasons by cell; killed: what ended a cell from outside in this call."""

    folder: Path
    states: dict[str, str]
    failed: dict[str, str] = field(default_factory=dict)
    killed: dict[str, str] = field(default_factory=dict)
    result: dict[str, Any] | None = None


def ablate(
    given: str, out: Path | None, way: ExecutionOptions, *, components: Components, plugins: Sequence[Plugin], watcher: StudyObserver,
    executor: Executor,
) -> Progress:  # fmt: skip
    """Runs what of a study is missing, and writes its tables when nothing is.

    Nothing is written before every condition has been read and checked. Raises FindnaError for what is wrong; Interrupted.
    """
    if current_launch() is not None:
        raise FindnaError("ablate starts the processes of its cells itself: call it without torchrun or srun")
    stated = load_study(given)
    study = stated.study

    def check(recipe: Recipe) -> None:
        executor.refuse(recipe)
        watcher.check(recipe)

    folder, failed_plugins = out or Path("studies") / study.name, [plugin for plugin in plugins if plugin.failure]
    searcher = Searcher(stated, folder, components, failed_plugins, check, watcher.say) if study.search else None
    cells = searcher.refuse() if searcher else cells_of(stated, components, failed_plugins, check)
    labels = _labels(study.tasks)
    for sentence in warnings_of(study):
        watcher.say(sentence)
    with _claimed(folder, study):
        if study.budget is not None and study.budget.measured:
            cells = _with_steps(study, study.budget, cells, folder, way, watcher)
        else:
            _declare(folder, study)
        if searcher:
            searched = searcher.find(lambda trials: _run(trials, way, watcher, executor))
            if searched.result is None:
                return Progress(folder, searched.states, killed=searched.killed)
            cells = cells_of(with_values(stated, searched.result["values"]), components, failed_plugins, check)
        folders = folders_of(cells, folder, labels)
        for one in folders:
            one.refuse_another(components)
        if study.budget is not None and not study.budget.measured:
            as_stated(study.budget, cells).write(folder)
        killed = _run_missing(folders, way, watcher, executor)
        return _come_to(study, folder, folders, killed, {"search": searched.result} if searcher else {})


def _come_to(
    study: Study, folder: Path, folders: Sequence[CellFolder], killed: dict[str, str], beside: dict[str, Any]
) -> Progress:  # fmt: skip
    """Where the study stands; with its result, and `beside` in it, written and told if every cell is finished."""
    states = _states(folders)
    if set(states.values()) != {"finished"}:
        failed = {one.cell.place: one.reason() for one in folders if states[one.cell.place] == "failed"}
        return Progress(folder, states, failed, killed)
    result = analyse(study, folders) | beside
    write_tables(folder, result)
    write_board(folder, result)
    return Progress(folder, states, result=result)


def _with_steps(
    study: Study, budget: Budget, cells: Sequence[Cell], folder: Path, way: ExecutionOptions, watcher: StudyObserver
) -> list[Cell]:  # fmt: skip
    """The cells with the steps that the budget gives; from here on the folder is this study's, and has them."""
    given = found(budget, cells, folder, way, watcher.say)
    _declare(folder, study)
    given.write(folder)
    watcher.say(f"steps, kept in {folder / STEPS}: {', '.join(f'{name} {steps:,}' for name, steps in given.steps.items())}")
    return given.given(cells)


def _declare(folder: Path, study: Study) -> None:
    write_json(folder / STUDY, study.model_dump(mode="json"))


def _run_missing(
    folders: Sequence[CellFolder], way: ExecutionOptions, watcher: StudyObserver, executor: Executor
) -> dict[str, str]:
    wanted = [one for one in folders if (state := one.state()) != "finished" and (way.retry or state != "failed")]
    return _run(wanted, way, watcher, executor, folders)


def _run(
    wanted: Sequence[CellFolder], way: ExecutionOptions, watcher: StudyObserver, executor: Executor, shown: Sequence[CellFolder] | None = None
) -> dict[str, str]:  # fmt: skip
    """Runs these, and shows the states of `shown`, or of these."""

    def changed() -> None:
        watcher.show(_states(shown or wanted))

    changed()
    return executor.run(wanted, way, changed)


def write_tables(folder: Path, result: dict[str, Any]) -> None:
    """The result as JSON, CSV, Markdown and LaTeX."""
    write_json(folder / f"{RESULT}.json", result)
    for ending, text in (("csv", as_csv(result)), ("md", as_markdown(result)), ("tex", as_latex(result))):
        with atomic_write(folder / f"{RESULT}.{ending}") as beside:
            beside.write_text(text)


def _labels(tasks: Sequence[str]) -> dict[str, str]:
    """By each task's key in evaluation.json: its name or, where that is another's too, its path. FindnaError for one twice."""
    loaded = [load_task(task) for task in tasks]
    names = [task.name for task in loaded]
    labels = {task.path: task.name if names.count(task.name) == 1 else task.path for task in loaded}
    if len(labels) < len(loaded):
        raise FindnaError(f"tasks: two of {', '.join(tasks)} are one and the same task; once is enough")
    return labels


def _states(folders: Sequence[CellFolder]) -> dict[str, str]:
    return {one.cell.place: one.state() for one in folders}


@contextmanager
def _claimed(folder: Path, study: Study) -> Iterator[None]:
    """The study's folder, held by this process alone. OutputExists where it is another study's, or no study's at all."""
    try:
        if folder.exists() and not (folder / STUDY).is_file() and any(path.name != LOCK for path in folder.iterdir()):
            raise OutputExists(f"{folder}: holds something that is no study; take another --out")
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise FindnaError(f"{folder}: another `findna-kit ablate` is at work there; wait for it") from None
    except OSError as error:
        raise OutputExists(f"{folder}: cannot be a study's folder: {error.strerror}; name another --out") from error
    try:
        _refuse_another(folder, study)
        yield
    finally:
        lock.release()


def _refuse_another(folder: Path, study: Study) -> None:
    path = folder / STUDY
    if not path.is_file():
        return
    try:
        before = Study.model_validate_json(path.read_text())
    except ValidationError:
        before = None
    # Where the recipe lies may change, as a shipped one's place does with every environment; what it says is compared by cell.
    # Maps are equal in any order, but the first level of a factor is its reference.
    if (
        before is None
        or before.model_copy(update={"recipe": study.recipe}) != study
        or list(before.conditions()) != list(study.conditions())
    ):
        raise OutputExists(f"{folder}: holds another study, or this one before it was changed; take another --out")
