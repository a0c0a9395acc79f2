"""Real runs and a real study, small: made once, and copied by who changes them."""

from __future__ import annotations

import shutil

import pytest

from findna_kit.evaluation import EvaluationRequest
from findna_kit.plugins.loading import load_plugins
from findna_kit.records.json_files import write_json
from findna_kit.report import ReportRequest as Page
from findna_kit.report import write_report
from findna_kit.report.sections.embeddings import EmbeddingRequest
from findna_kit.runs import RunLocation, Scoring, evaluate_run, start
from findna_kit.study.cells import cell_folders
from findna_kit.study.executors.local import ExecutionOptions, LocalExecutor
from findna_kit.study.files import STUDY
from findna_kit.study.load import build_cells, load_study
from findna_kit.study.run import StudyObserver, ablate
from tests.building import small
from tests.report.browser import chromium
from tests.report.crafted import crafted, crafted_study
from tests.report.wide import write_wide
from tests.runs.test_evaluate import write_task
from tests.study.writing import write_study


def trained(folder, *overrides, name="self_distill"):
    recipe, components, plugins = small(name, *overrides)
    return start(recipe, RunLocation(out=folder), components=components, plugins=plugins, device="cpu").folder


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with the runs `one` and `two`, both scored on `task`, of which `two` had looks at it, and `bare`, unscored."""
    folder = tmp_path_factory.mktemp("runs")
    task = write_task(folder / "task")
    looks = (f"evaluation.tasks=[{task}]", "evaluation.protocols=[knn]", "evaluation.every=4")
    trained(folder / "one", "steps=8")
    trained(folder / "two", "steps=12", "losses.distill.weight=0.5", *looks)
    trained(folder / "bare", "steps=2", name="masked_only")
    for run in ("one", "two"):
        evaluate_run(folder / run, [str(task)], Scoring(EvaluationRequest(("knn", "probe"))))
    return folder


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A finished study's folder: two conditions, two seeds. Its cells are run in this process, which is all that differs."""
    folder = tmp_path_factory.mktemp("studies")
    file = str(write_study(folder))
    components, plugins = load_plugins()
    stated = load_study(file)
    cells = build_cells(stated, components, [], lambda recipe: None)
    (folder / "tiny").mkdir()
    write_json(folder / "tiny" / STUDY, stated.study.model_dump(mode="json"))  # so that `ablate` goes on with it
    for one in cell_folders(cells, folder / "tiny", {}):
        one.prepare()
        start(one.cell.recipe, RunLocation(resume=one.run), components=components, plugins=plugins, device="cpu")
        evaluate_run(one.run, one.cell.recipe.evaluation.tasks, Scoring(EvaluationRequest(("knn",))))
    watcher = StudyObserver(lambda sentence: None, lambda states: None, lambda recipe: None)
    assert ablate(
        file,
        folder / "tiny",
        ExecutionOptions(),
        components=components,
        plugins=plugins,
        observer=watcher,
        executor=LocalExecutor(),
    ).result
    return folder / "tiny"


@pytest.fixture(scope="session")
def wide(made, tmp_path_factory):
    """A finished study of four conditions, eight seeds and four tasks."""
    return write_wide(tmp_path_factory.mktemp("wide") / "objectives", made / "one")


@pytest.fixture(scope="module")
def browser():
    """One for a module's tests: while it is open no other event loop can run in this process."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def path(made, study, wide, tmp_path_factory):
    """Two runs and a study on one page, with embeddings, and among the names in them some that are more than names.

    Beside it crafted.html, all of whose names are, and wide.html, of a study as large as a laptop makes one.
    """
    folder = tmp_path_factory.mktemp("page")
    run = crafted(shutil.copytree(made / "two", folder / "two"))
    of_study = crafted_study(shutil.copytree(study, folder / "tiny"))
    asked = Page(
        [made / "one", made / "bare", of_study], folder / "page.html", embed=EmbeddingRequest(str(made / "task"), device="cpu")
    )
    write_report(asked)
    write_report(Page([run, made / "one"], folder / "crafted.html"))
    write_report(Page([wide], folder / "wide.html"))
    return folder / "page.html"


@pytest.fixture(params=["page.html", "crafted.html", "wide.html"])
def either(path, request):
    return path.with_name(request.param)
