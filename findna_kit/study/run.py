"""Running a study: all recipes are validated first, missing cells are run, and the result is written when all have ended."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout
from pydantic import ValidationError

from findna_kit.atomic import atomic_write
from findna_kit.distributed import current_launch
from findna_kit.errors import FindnaError, OutputExists
from findna_kit.records.json_files import write_json
from findna_kit.records.paths import LOCK
from findna_kit.study.budgets import apply_steps, determine_steps, record_given_steps
from findna_kit.study.cells import cell_folders
from findna_kit.study.files import RESULT, STEPS, STUDY
from findna_kit.study.hparams_export import export_hparams
from findna_kit.study.load import build_cells, load_study, task_names, with_values
from findna_kit.study.results import analyse, design_warnings
from findna_kit.study.schema import Study
from findna_kit.study.search import Searcher
from findna_kit.study.tables import as_csv, as_latex, as_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.study.cells import CellFolder
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.files import SearchResult, StudyResult
    from findna_kit.study.schema import Budget, StudyCell


@dataclass(frozen=True)
class StudyObserver:
    """Callbacks of a running study.

    log: receives sentences. show_states: receives the state of every cell, whenever one may have changed. check: validates a
    recipe, as `findna-kit check` does.
    """

    log: Callable[[str], None]
    show_states: Callable[[dict[str, str]], None]
    check: Callable[[Recipe], object]


class Executor(Protocol):
    """A place where cells are run: this machine, or a cluster."""

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise FindnaError for a recipe that cannot be run there."""
        ...

    def run(self, folders: Sequence[CellFolder], options: ExecutionOptions, changed: Callable[[], None]) -> dict[str, str]:
        """Run the cells, and call `changed` whenever a state may have changed.

        Returns what ended a cell from outside (a signal, a time limit), by the cell's path.
        """
        ...


@dataclass(frozen=True)
class AblationState:
    """State of a study after a call of `ablate`.

    failed: reasons by cell. killed: what ended a cell from outside in this call. result: of the conditions without failed
    cells; None while cells are missing, and where the reference or all others failed.
    """

    folder: Path
    states: dict[str, str]
    failed: dict[str, str] = field(default_factory=dict)
    killed: dict[str, str] = field(default_factory=dict)
    result: StudyResult | None = None


def ablate(
    source: str, out: Path | None, options: ExecutionOptions, *, components: Components, plugins: Sequence[Plugin],
    observer: StudyObserver, executor: Executor,
) -> AblationState:  # fmt: skip
    """Run the missing cells of a study, and write its result when all are finished.

    Nothing is written before the recipe of every condition has been validated. Raises FindnaError; Interrupted on a signal.
    """
    # Under torchrun or srun every process would start all cells.
    if current_launch() is not None:
        raise FindnaError("ablate starts the processes of its cells itself: call it without torchrun or srun")
    loaded = load_study(source)
    study = loaded.study
    check = _recipe_check(executor, observer)
    folder, failed_plugins = out or Path("studies") / study.name, [plugin for plugin in plugins if plugin.failure]
    searcher = None
    if study.search is not None:
        searcher = Searcher(loaded, folder, components, failed_plugins, check, observer.log, study.search)
    cells = searcher.validated_cells() if searcher else build_cells(loaded, components, failed_plugins, check)
    names = task_names(study.tasks)  # loads the tasks: one that is missing must show before the first training
    for sentence in design_warnings(study):
        observer.log(sentence)
    with _locked_folder(folder, study):
        search_result = None
        if study.budget is not None and study.budget.measured:
            cells = _with_measured_steps(study, study.budget, cells, folder, options, observer)
        else:
            _declare(folder, study)
        if searcher:
            progress = searcher.run(lambda trials: _run_cells(trials, trials, options, observer, executor))
            if progress.result is None:
                return AblationState(folder, progress.states, killed=progress.killed)
            search_result = progress.result
            cells = build_cells(with_values(loaded, search_result.values), components, failed_plugins, check)
        folders = cell_folders(cells, folder, names)
        # All cells are checked before the first one runs: a mixture of old and new recipes could not be compared.
        for cell_folder in folders:
            cell_folder.check_same_recipe(components)
        if study.budget is not None and not study.budget.measured:
            # After the check, so that a call with changed recipes is refused before it overwrites the record of the first one.
            record_given_steps(study.budget, cells).write(folder / STEPS)
        killed = _run_missing(folders, options, observer, executor)
        return _progress(study, folder, folders, killed, search_result)


def _recipe_check(executor: Executor, observer: StudyObserver) -> Callable[[Recipe], None]:
    """Return the check of every condition's recipe: by the executor, which must be able to run it, and by the command."""

    def check(recipe: Recipe) -> None:
        executor.check_recipe(recipe)
        observer.check(recipe)

    return check


def _progress(
    study: Study, folder: Path, folders: Sequence[CellFolder], killed: dict[str, str], search: SearchResult | None
) -> AblationState:  # fmt: skip
    """Return the state of the study; if every cell has ended and two conditions can be compared, write the result first.

    One of the two is the first condition, the reference of all differences.
    """
    states = _states(folders)
    failures = [cell for cell in folders if states[cell.cell.relative_path] == "failed"]
    reasons = {cell.cell.relative_path: cell.failure_reason() for cell in failures}
    failed = {name: _why_failed(name, failures) for name in dict.fromkeys(cell.cell.condition for cell in failures)}
    first, *_ = conditions = list(study.conditions())
    ended = set(states.values()) <= {"finished", "failed"}
    # Differences are to the first condition: without it, or with it alone, there is nothing to compare.
    comparable = first not in failed and (not failed or len(conditions) - len(failed) > 1)
    if not ended or not comparable:
        return AblationState(folder, states, reasons, killed)
    result = analyse(study, folders, search, failed)
    write_result(folder, result)
    export_hparams(folder, result)
    return AblationState(folder, states, reasons, result=result)


def _why_failed(condition: str, failures: Sequence[CellFolder]) -> str:
    """Return how many cells of a condition failed, and the reason of the first."""
    first, *others = [cell for cell in failures if cell.cell.condition == condition]
    count = f"{len(others) + 1} cell{'s' if others else ''} failed"
    return f"{count}, seed {first.cell.seed} because: {first.failure_reason()}"


def _with_measured_steps(
    study: Study, budget: Budget, cells: Sequence[StudyCell], folder: Path, options: ExecutionOptions, observer: StudyObserver
) -> list[StudyCell]:  # fmt: skip
    """Return the cells with the steps that the budget allows, after writing study.json and steps.json."""
    # Measured before the study is declared: a study that cannot be measured leaves no folder behind.
    record = determine_steps(budget, cells, folder, options, observer.log)
    _declare(folder, study)
    record.write(folder / STEPS)
    steps = ", ".join(f"{name} {condition.steps:,}" for name, condition in record.conditions.items())
    observer.log(f"steps, kept in {folder / STEPS}: {steps}")
    return apply_steps(record, cells)


def _declare(folder: Path, study: Study) -> None:
    """Write study.json, which makes the folder a study's."""
    write_json(folder / STUDY, study.model_dump(mode="json"))


def _run_missing(
    folders: Sequence[CellFolder], options: ExecutionOptions, observer: StudyObserver, executor: Executor
) -> dict[str, str]:
    """Run the cells that are not finished; failed ones only if the options say so."""
    missing = [folder for folder in folders if (state := folder.state()) != "finished" and (options.retry or state != "failed")]
    return _run_cells(missing, folders, options, observer, executor)


def _run_cells(
    cells: Sequence[CellFolder], shown: Sequence[CellFolder], options: ExecutionOptions, observer: StudyObserver,
    executor: Executor,
) -> dict[str, str]:  # fmt: skip
    """Run the cells, and show the states of `shown`."""

    def changed() -> None:
        observer.show_states(_states(shown))

    changed()  # so that the states show before the first cell starts
    return executor.run(cells, options, changed)


def write_result(folder: Path, result: StudyResult) -> None:
    """Write the result as JSON, CSV, Markdown and LaTeX."""
    result.write(folder / RESULT)
    for suffix, text in ((".csv", as_csv(result)), (".md", as_markdown(result)), (".tex", as_latex(result))):
        with atomic_write((folder / RESULT).with_suffix(suffix)) as temporary:
            temporary.write_text(text)


def _states(folders: Sequence[CellFolder]) -> dict[str, str]:
    """Return the state of each cell by its path in the study's folder."""
    return {folder.cell.relative_path: folder.state() for folder in folders}


@contextmanager
def _locked_folder(folder: Path, study: Study) -> Iterator[None]:
    """Create the study's folder and hold its lock. Raise OutputExists where it holds another study, or something else."""
    try:
        if folder.exists() and not (folder / STUDY).is_file() and any(path.name != LOCK for path in folder.iterdir()):
            raise OutputExists(f"{folder}: exists and is not a study's folder; take another --out")
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise FindnaError(f"{folder}: another `findna-kit ablate` is running there; wait until it has ended") from None
    except OSError as error:
        raise OutputExists(f"{folder}: cannot be created or written to: {error.strerror}; take another --out") from error
    try:
        _check_same_study(folder, study)
        yield
    finally:
        lock.release()


def _check_same_study(folder: Path, study: Study) -> None:
    """Raise OutputExists where the folder has another study, or this one before it was edited."""
    path = folder / STUDY
    if not path.is_file():
        return
    try:
        before = Study.model_validate_json(path.read_text())
    except ValidationError:
        before = None
    # The path of the recipe may change (a shipped recipe moves with every environment); its content is compared cell by cell.
    # Maps are equal in any order, but the first level of a factor is its reference, so the order of conditions is compared too.
    if (
        before is None
        or before.model_copy(update={"recipe": study.recipe}) != study
        or list(before.conditions()) != list(study.conditions())
    ):
        raise OutputExists(f"{folder}: holds another study, or an earlier version of this one; take another --out")
