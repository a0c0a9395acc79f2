"""What the folder of a cell says of it, and who holds it."""

import json
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from filelock import FileLock

from findna_kit.errors import FindnaError
from findna_kit.plugins.loading import load_plugins
from findna_kit.study.cells import CellFolder, cell_folders, condition_scores
from findna_kit.study.load import load_study
from findna_kit.study.schema import StudyCell
from tests.building import small
from tests.records.documents import protocol, task_result
from tests.study.writing import write_study

COMPONENTS = load_plugins()[0]
TASKS = {"/data/one": "one", "builtin": "builtin"}


def recipe(*overrides):
    return small("masked_only", "steps=2", "evaluation={tasks: [/data/one, builtin], protocols: [knn]}", *overrides)[0]


@pytest.fixture
def cell(tmp_path):
    return cell_folders([StudyCell("reference", 3, recipe())], tmp_path, TASKS)[0]


def scored(cell, value=0.5, *, status="finished", tasks=tuple(TASKS), protocols=("knn",)):
    """As `run` leaves it."""
    cell.run.mkdir(parents=True, exist_ok=True)
    (cell.run / "run.json").write_text(json.dumps({"status": status}))
    entry = task_result({name: protocol(value, kmer=value + 0.2, majority=0.0) for name in protocols})
    (cell.run / "evaluation.json").write_text(json.dumps(dict.fromkeys(tasks, entry)))


@contextmanager
def another_process(path):
    """Holds the lock of a file from outside."""
    code = "import sys, filelock; held = filelock.FileLock(sys.argv[1]); held.acquire(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_it_lies_by_its_condition_and_its_seed(cell, tmp_path):
    assert cell.folder == tmp_path / "cells" / "reference" / "seed-3"
    assert cell.run == cell.folder / "run"
    assert cell.state() == "missing"
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


@pytest.mark.parametrize(("how", "state"), [
    ({}, "finished"), ({"status": "running"}, "missing"), ({"status": "interrupted"}, "missing"),
    ({"tasks": ["builtin"]}, "missing"), ({"tasks": []}, "missing"), ({"protocols": ["probe"]}, "missing"),
    ({"protocols": ["probe", "knn"]}, "finished"),
])  # fmt: skip
def test_finished_is_trained_and_scored_on_every_task(cell, how, state):
    scored(cell, **how)
    assert cell.state() == state


@pytest.mark.parametrize("which", ["cell", "run"])
def test_running_is_held_by_some_process(cell, which):
    scored(cell, status="running")
    cell.record_failure("long ago")
    with another_process(cell.folder / ".lock" if which == "cell" else cell.run / ".lock"):
        assert cell.state() == "running"
        assert cell.state() == "running", "asking takes nothing from it"
    assert cell.state() == "failed"


def test_it_is_held_for_as_long_as_its_process_lives(cell):
    cell.prepare()
    with cell.lock_descriptor() as mark:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(mark,))
    assert cell.state() == "running", "though whoever started it has let go"
    process.kill()
    process.wait()
    assert cell.state() == "missing"


def test_a_failure_is_kept_until_it_is_run_again(cell):
    cell.prepare()
    cell.record_failure("exit code 3: the loss is not finite")
    assert (cell.state(), cell.failure_reason()) == ("failed", "exit code 3: the loss is not finite")
    cell.prepare()
    assert cell.state() == "missing"


def test_its_recipe_is_saved_whole(cell):
    cell.prepare()
    assert (cell.folder / "recipe.yaml").read_text() == cell.cell.recipe.dump()
    assert "steps: 2" in (cell.folder / "recipe.yaml").read_text()
    cell.check_same_recipe(COMPONENTS)


def test_another_recipe_is_refused_and_says_what_differs(cell):
    cell.check_same_recipe(COMPONENTS)
    cell.prepare()
    changed = CellFolder(StudyCell("reference", 3, recipe("data.batch_size=4", "trainer.devices=2")), cell.folder, TASKS)
    with pytest.raises(FindnaError) as error:
        changed.check_same_recipe(COMPONENTS)
    first, *differs = str(error.value).splitlines()
    assert first.startswith(f"{cell.folder / 'recipe.yaml'}: this cell was started with another recipe; take another --out")
    assert differs == ["  data.batch_size: 8 -> 4"], "processes may be more or fewer"
    assert (cell.folder / "recipe.yaml").read_text() == cell.cell.recipe.dump()


def test_a_score_stands_beside_its_controls(cell):
    scored(cell, 0.25)
    assert cell.score("builtin", "knn", "mcc") == {"encoder": 0.25, "kmer": 0.45, "majority": 0.0}


def test_a_damaged_result_is_a_sentence(cell):
    scored(cell)
    (cell.run / "evaluation.json").write_text("{")
    with pytest.raises(FindnaError, match=r"evaluation\.json: not valid JSON .*; remove it, and call ablate again"):
        cell.state()


def test_scores_stand_by_seed_and_task(tmp_path):
    study = load_study(str(write_study(tmp_path, seeds="[4, 2]", metric="knn/mcc"))).study
    cells = [StudyCell(condition, seed, recipe()) for condition in study.conditions() for seed in (2, 4)]
    folders = cell_folders(cells, tmp_path, TASKS)
    for place, one in enumerate(folders):
        scored(one, place / 8)
    assert condition_scores(study, folders, "rate-high").tolist() == [[3 / 8, 3 / 8], [2 / 8, 2 / 8]]
    scored(folders[0], np.nan)
    with pytest.raises(FindnaError, match="reference: knn/mcc of a seed is not a finite number"):
        condition_scores(study, folders, "reference")


def test_locks_are_left_as_they_were(cell):
    cell.prepare()
    with FileLock(cell.folder / ".lock", timeout=0):
        assert cell.state() == "running"
    with FileLock(cell.folder / ".lock", timeout=0):
        pass
