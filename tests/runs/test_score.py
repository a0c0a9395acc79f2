"""Results of `evaluate` in a run's folder: one entry a task, nothing lost, nothing mixed."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation import load_task
from findna_kit.genome import builtin_genome
from findna_kit.runs import Place, evaluate_run, start
from findna_kit.runs.score import _keep as keep
from tests.building import small


def write_task(folder, shift=0, rows=(40, 20, 30)):
    folder.mkdir(parents=True)
    for part, count in zip(("train", "dev", "test"), rows, strict=True):
        lines = [f"{('ACGGC' if i % 2 else 'ATTAT') * 8}{'ACGT'[(i + shift) % 4] * (i % 9)},{i % 2}" for i in range(count)]
        (folder / f"{part}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
    return folder


def trained(folder, *overrides):
    recipe, components, plugins = small("masked_only", "steps=1", *overrides)
    return start(recipe, Place(out=folder), components=components, plugins=plugins, device="cpu").folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def task(tmp_path):
    return write_task(tmp_path / "tasks" / "0")


def score(run, tasks, protocols=("knn",), **kwargs):
    return evaluate_run(run, [str(task) for task in tasks], list(protocols), device="cpu", **kwargs)


def kept(run):
    return json.loads((run / "evaluation.json").read_text())


def test_protocols_scored_one_after_the_other_stand_together(run, task):
    (knn,) = score(run, [task], ["knn"])
    (probe,) = score(run, [task], ["probe"])
    (entry,) = kept(run).values()
    assert entry["protocols"] == {"knn": knn["protocols"]["knn"], "probe": probe["protocols"]["probe"]}
    (both,) = score(run, [task], ["knn", "probe"])
    assert kept(run)[str(task)] == json.loads(json.dumps(both))


def test_a_task_has_one_entry_however_its_path_was_typed(run, task, monkeypatch):
    score(run, [task])
    monkeypatch.chdir(task.parent)
    (task.parent / "link").symlink_to(task)
    for typed in ("0", "./0/", "../tasks/0", "link"):
        (result,) = score(run, [typed])
        assert (result["path"], result["task"]) == (str(task.resolve()), "0")
    assert list(kept(run)) == [str(task.resolve())]


def test_tasks_of_one_name_keep_an_entry_each(run, task, tmp_path):
    said = []
    other = write_task(tmp_path / "others" / "0", shift=1)
    score(run, [task, other], say=said.append)
    assert list(kept(run)) == [str(task), str(other)]
    assert said[0] == f"{task}: embedding and scoring 90 sequences"


@pytest.mark.parametrize("change", ["step", "branch", "pooling", "strand", "precision", "seed", "sizes"])
def test_results_of_another_model_are_replaced(run, task, change):
    score(run, [task], ["probe"])
    before = kept(run)
    before[str(task)][change] = "another"
    (run / "evaluation.json").write_text(json.dumps(before))
    score(run, [task], ["knn"])
    assert kept(run)[str(task)]["protocols"].keys() == {"knn"}


def test_results_on_other_rows_are_replaced(run, task):
    score(run, [task], ["probe"])
    shutil.rmtree(task)
    write_task(task, shift=1)
    score(run, [task], ["knn"])
    assert kept(run)[str(task)]["protocols"].keys() == {"knn"}


def test_a_result_says_the_precision(run, task):
    assert score(run, [task])[0]["precision"] == "fp32"


def test_protocols_are_looked_at_before_anything_is_read(run, tmp_path):
    with pytest.raises(FindnaError, match="no protocol 'kn'; did you mean 'knn'"):
        score(tmp_path / "nowhere", ["nothing"], ["kn"])


def test_a_path_that_no_file_can_have_is_a_sentence(run, task):
    with pytest.raises(FindnaError, match=r"is no run's folder \(File name too long\)"):
        score(Path("x" * 300), [task])
    with pytest.raises(FindnaError, match=r"is no run's folder \(No such file"):
        score(run / "nowhere", [task])
    with pytest.raises(TaskError, match=r"is no path of a task \(File name too long\)"):
        score(run, ["x" * 300])
    with pytest.raises(TaskError, match=r"is no path of a task \(Could not determine home directory"):
        score(run, ["~nobody_of_that_name/task"])


def notes_of_the_builtin_task(run, monkeypatch, tmp_path):
    """The built-in task cut to a few rows, by its name."""
    from dataclasses import replace

    from findna_kit import evaluation

    cut = replace(load_task(str(write_task(tmp_path / "cut"))), name="builtin", path="builtin")
    monkeypatch.setattr(evaluation, "load_task", lambda source: cut)
    (result,) = score(run, ["builtin"])
    assert list(kept(run)) == ["builtin"]
    return result["notes"]


def test_a_run_on_another_genome_is_labelled(tmp_path, monkeypatch):
    (tmp_path / "g.fa").write_text(">a\n" + "ACGTTGCAAGCT" * 2000 + "\n")
    run = trained(tmp_path / "run", f"data.genome={tmp_path / 'g.fa'}")
    assert any("was trained on another genome" in note for note in notes_of_the_builtin_task(run, monkeypatch, tmp_path))


@pytest.mark.parametrize("given", ["builtin", "path"])
def test_a_run_on_the_builtin_genome_by_any_path_is_not(given, tmp_path, monkeypatch):
    copy = shutil.copy(builtin_genome(), tmp_path / "mine.fa.gz")
    os.utime(copy, (time.time() - 60,) * 2)
    run = trained(tmp_path / "run", f"data.genome={'builtin' if given == 'builtin' else copy}")
    assert notes_of_the_builtin_task(run, monkeypatch, tmp_path) == []


def test_two_that_score_one_run_lose_no_result(tmp_path):
    """Each reads what is there and writes it whole: without a lock the later one would forget the earlier."""
    same = dict.fromkeys(("step", "branch", "pooling", "strand", "precision", "seed", "sizes", "digest"), 0)
    results = [{**same, "path": f"/tasks/{number}", "protocols": {}} for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda result: keep(tmp_path / "evaluation.json", result), results))
    assert sorted(json.loads((tmp_path / "evaluation.json").read_text())) == sorted(result["path"] for result in results)
