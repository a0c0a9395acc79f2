"""A run or a study, whatever state it is in; what is neither, and what is damaged, in one sentence."""

import json
import shutil
import subprocess
import sys

import pytest

from findna_kit.errors import FindnaError, RecipeError
from findna_kit.report.folders import RunFolder, StudyFolder, read_folder
from findna_kit.report.page import read, render
from findna_kit.study.files import FAILED


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made / "one", tmp_path / "run")


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_run_and_a_study_are_told_apart(made, study):
    assert isinstance(read_folder(made / "one", "one"), RunFolder)
    found = read_folder(study, "tiny")
    assert isinstance(found, StudyFolder)
    assert [(cell.condition, cell.seed, cell.state) for cell in found.cells] == [
        ("reference", 0, "finished"), ("reference", 1, "finished"), ("rate-high", 0, "finished"), ("rate-high", 1, "finished"),
    ]  # fmt: skip


def test_a_run_that_is_running_and_one_that_was_killed(run):
    change(run / "run.json", status="running", reason=None)
    assert read_folder(run, "run").status.startswith(
        "recorded as running, but no process on this machine holds its lock: it was killed"
    )
    hold = "import sys; from pathlib import Path; from findna_kit.records.run_folder import exclusive_lock\n"
    hold += "with exclusive_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold, run], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert read_folder(run, "run").status == "running"
        holder.communicate("")
    assert read_folder(run, "run").status != "running"


def test_how_a_run_ended_is_said(run):
    change(run / "run.json", status="stopped", reason="masked: the loss is not finite at step 3")
    assert read_folder(run, "run").status == "stopped: masked: the loss is not finite at step 3"
    (run / "run.json").unlink()
    assert read_folder(run, "run").status == "not recorded: there is no run.json"
    (run / "run.json").write_text('{"imported": {"file": "theirs.pt"}}')
    assert read_folder(run, "run").status == "imported"
    assert "unknown: imported from theirs.pt" in render(read([run]))


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_run_cut_short_has_a_page(run, status):
    change(run / "run.json", status=status, reason="a reason" if status != "running" else None)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:4]) + lines[4][:20])
    (run / "evaluation.json").unlink()
    text = render(read([run]))
    assert "3 of 8" in text and status in text and "not evaluated yet" in text


def test_a_cell_that_failed_or_is_not_scored(study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "study")
    cells = copy / "cells" / "rate-high"
    (cells / "seed-0" / FAILED).write_text('{"reason": "exit code 1"}')
    (cells / "seed-1" / "run" / "evaluation.json").unlink()
    states = {(cell.condition, cell.seed): cell.state for cell in read_folder(copy, "study").cells}
    assert states["rate-high", 0] == "failed: exit code 1"
    assert states["rate-high", 1] == "trained, not scored yet"


def test_what_is_neither_is_refused(tmp_path, study):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "recipe.yaml").write_text("years of work")
    with pytest.raises(
        FindnaError, match=r"thesis: neither a run's folder nor a study's; give a folder that `run` or `ablate` made$"
    ):
        read_folder(tmp_path / "thesis", "thesis")
    with pytest.raises(FindnaError, match="nowhere: is not a folder"):
        read_folder(tmp_path / "nowhere", "nowhere")
    with pytest.raises(FindnaError, match=r"recipe.yaml: is not a folder"):
        read_folder(tmp_path / "thesis" / "recipe.yaml", "recipe.yaml")
    cell = study / "cells" / "reference" / "seed-0"
    with pytest.raises(FindnaError, match=rf"the run of this cell is {cell}/run"):
        read_folder(cell, "cell")


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("run.json", "{", r"run\.json: not valid JSON \(.*\); restore the file from a copy"),
    ("run.json", "[]", r"run\.json: unexpected content \(the whole file: "),
    ("run.json", '{"seed": "seven"}', r"run\.json: unexpected content \(seed: "),
    ("evaluation.json", "{", r"evaluation\.json: not valid JSON"),
    ("evaluation.json", '{"task": {}}', r"evaluation\.json: unexpected content .*call `findna-kit evaluate` again"),
    ("audit.json", '{"task": {"between": 3}}', r"audit\.json: unexpected content .*`findna-kit tasks audit` again"),
    ("metrics.jsonl", '{"step": 0}\nnothing\n{"step": 1}\n', r"metrics\.jsonl: line 2 is not a row of metrics"),
    ("metrics.jsonl", '{"step": 0}\n{"loss": 1}\n', r"metrics\.jsonl: line 2 is not a row of metrics"),
    ("metrics.jsonl", '{"step": "one"}\n', r"metrics\.jsonl: line 1 is not a row of metrics"),
])  # fmt: skip
def test_a_damaged_file_is_named(run, name, content, sentence):
    (run / name).write_text(content)
    with pytest.raises(FindnaError, match=sentence):
        render(read([run]))


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("study.json", '{"name": "tiny"}', r"study\.json: unexpected content \(recipe: Field required"),
    ("result.json", "[1]", r"result\.json: unexpected content \(the whole file"),
    ("result.json", '{"study": {}}', r"result\.json: unexpected content \(tasks: Field required"),
    ("cells/reference/seed-0/failed.json", "{", r"failed\.json: not valid JSON"),
])  # fmt: skip
def test_a_damaged_file_of_a_study_is_named(study, tmp_path, name, content, sentence):
    copy = shutil.copytree(study, tmp_path / "study")
    (copy / name).write_text(content)
    with pytest.raises(FindnaError, match=sentence):
        render(read([copy]))


def test_a_recipe_is_read_without_its_plugins(run, made):
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("name: chordmixer", "name: nobody_has_this"))
    assert "nobody_has_this" in render(read([run, made / "one"]))
    (run / "recipe.yaml").write_text("a: [1")
    with pytest.raises(RecipeError, match=r"recipe\.yaml:1:\d+"):
        render(read([run, made / "one"]))
