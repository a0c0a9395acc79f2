"""`findna-kit ablate`: a study from its file to its tables, whatever ends it on the way."""

import csv
import io
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys

import pytest

from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe.shipped import find_recipe, shipped_studies
from findna_kit.recipe.yaml_nodes import dump, parse
from findna_kit.records.json_files import write_json
from findna_kit.study.cells import cell_folders
from findna_kit.study.files import STUDY
from findna_kit.study.load import build_cells, load_study
from tests.installing import findna
from tests.metrics.boards import read_hparams
from tests.records.documents import protocol, task_result
from tests.study.executors.test_local import at_work, rows_kept, trained_some, until
from tests.study.writing import CUT, write_study

MINE = "{genome: {fly: {}, mine: {data.genome: mine.fa}}}"


class Cell:
    """Where a cell lies, for those who look for its process."""

    def __init__(self, out, name="reference/seed-0"):
        self.folder = out / "cells" / name
        self.run = self.folder / "run"


def ablate(study, out, *arguments):
    return findna("ablate", study, "--out", out, "--device", "cpu", *arguments)


def started(study, out, *arguments):
    """In a process of its own, that may be killed."""
    words = [sys.executable, "-m", "findna_kit", "ablate", study, "--out", out, "--device", "cpu", *arguments]
    return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def files(folder):
    """When each was written; locks are touched by who looks."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def first_loss(cell):
    return json.loads((cell.run / "metrics.jsonl").read_text().splitlines()[1])["loss"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study's file, its folder, and what the first call said."""
    folder = tmp_path_factory.mktemp("study")
    study = write_study(folder)
    return study, folder / "out", ablate(study, folder / "out", "--jobs", 2)


@pytest.fixture
def copy(finished, tmp_path):
    study, out, _ = finished
    return study, shutil.copytree(out, tmp_path / "out")


def test_a_table_on_stdout_states_on_stderr_and_files_of_both(finished):
    _, out, (code, printed, said) = finished
    assert code == 0, said
    lines = printed.splitlines()
    assert [line.split("  ")[0] for line in lines[:6]] == [
        "condition", "reference", "rate-high", "random initialisation", "k-mer logistic regression", "majority class",
    ]  # fmt: skip
    assert "not enough seeds to say" in lines[2]
    assert lines[-1] == f"{out}: the folder of the study; result.json, .csv, .md and .tex hold all columns of this table"
    begin = said.splitlines()[:2]
    assert begin[0] == "2 conditions, 2 seeds: the smallest adjusted p that a single condition can reach is 0.5"
    assert begin[1] == "with fewer than 6 seeds, no difference can reach 0.05, however large it is"
    for cell in ("reference/seed-0", "reference/seed-1", "rate-high/seed-0", "rate-high/seed-1"):
        states = [line.rpartition(" ")[2] for line in said.splitlines() if line.startswith(f"cells/{cell}: ")]
        assert states == ["running", "finished"]
    table = list(csv.DictReader(io.StringIO((out / "result.csv").read_text())))
    assert [row["name"] for row in table if not row["task"]] == [line.split("  ")[0] for line in lines[1:6]]
    result = json.loads((out / "result.json").read_text())
    assert result["tasks"] == {"task": str(finished[0].parent / "task")}
    assert json.loads((out / "study.json").read_text()) == result["study"]


def test_tensorboard_shows_the_cells_beside_each_other(finished):
    """The page of the study's board, and of its whole folder, where the cells' own curves lie too."""
    _, out, _ = finished
    conditions = json.loads((out / "result.json").read_text())["conditions"]
    wanted = {
        f"{name}/seed-{seed}": (
            {"rate": name.removeprefix("rate-").replace("reference", "low"), "seed": seed},
            {"knn/mcc": round(conditions[name]["scores"]["task"]["each"][seed], 6)},
        )
        for name in conditions
        for seed in (0, 1)
    }
    assert read_hparams(out / "tensorboard")[1] == wanted
    assert read_hparams(out)[1] == wanted


def test_seeds_are_paired(finished):
    """Before the first update nothing differs; and of two seeds everything does."""
    _, out, _ = finished
    losses = {name: [first_loss(Cell(out, f"{name}/seed-{seed}")) for seed in (0, 1)] for name in ("reference", "rate-high")}
    assert losses["reference"] == losses["rate-high"]
    assert losses["reference"][0] != losses["reference"][1]
    scores = [(Cell(out, f"{name}/seed-0").run / "metrics.jsonl").read_text().splitlines()[2] for name in losses]
    assert json.loads(scores[0])["loss"] != json.loads(scores[1])["loss"], "after it the conditions do"


def test_a_cell_is_a_run_like_any_other(finished):
    _, out, _ = finished
    cell = Cell(out, "rate-high/seed-1")
    record = json.loads((cell.run / "run.json").read_text())
    assert (record["name"], record["seed"], record["steps"], record["status"]) == ("rate-high", 1, 2, "finished")
    assert (cell.run / "recipe.yaml").read_text() == (cell.folder / "recipe.yaml").read_text()


def test_a_second_call_runs_nothing_and_says_the_same(copy, finished):
    study, out = copy
    before = files(out / "cells")
    code, printed, said = ablate(study, out)
    assert (code, printed) == (0, finished[2][1].replace(str(finished[1]), str(out)))
    assert "running" not in said
    assert files(out / "cells") == before


def test_as_json_it_is_the_result(copy):
    study, out = copy
    code, printed, _ = ablate(study, out, "--json")
    assert (code, json.loads(printed)) == (0, json.loads((out / "result.json").read_text()))


def test_on_a_terminal_the_states_are_a_table(copy):
    study, out = copy
    own, other = pty.openpty()
    words = [sys.executable, "-m", "findna_kit", "ablate", study, "--out", out]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=other, text=True, env={**os.environ, "TERM": "xterm"})
    os.close(other)
    shown = os.read(own, 2**16).decode()
    os.close(own)
    assert (done.returncode, done.stdout.split()[0]) == (0, "condition")
    assert [row for row in shown.splitlines() if row.split()[-2:] == ["cells/rate-high/seed-1", "finished"]], shown


def test_only_what_is_missing_is_run(copy):
    study, out = copy
    lost, kept = Cell(out, "rate-high/seed-0"), json.loads((out / "result.json").read_text())
    (lost.run / "evaluation.json").unlink()
    before = {path: when for path, when in files(out / "cells").items() if lost.folder not in path.parents}
    code, _, said = ablate(study, out)
    assert code == 0
    assert said.count(": running") == 1
    assert {path: when for path, when in files(out / "cells").items() if lost.folder not in path.parents} == before
    assert json.loads((out / "result.json").read_text()) == kept


def test_a_factorial_study_prints_its_main_effects_below(tmp_path):
    """Its cells are finished by hand: wide adds 0.25, whatever the rate."""
    factors = "{rate: {low: {}, high: {optimizer.learning_rate: 0.01}}, width: {narrow: {}, wide: {encoder.hidden: 64}}}"
    study, out = write_study(tmp_path, factors=factors, design="factorial"), tmp_path / "out"
    stated = load_study(str(study))
    out.mkdir()
    write_json(out / STUDY, stated.study.model_dump(mode="json"))
    for one in cell_folders(build_cells(stated, load_plugins()[0], [], lambda recipe: None), out, {}):
        one.prepare()
        one.run.mkdir()
        write_json(one.run / "run.json", {"status": "finished"})
        score = 0.25 + 0.25 * ("wide" in one.cell.condition) + 0.01 * one.cell.seed
        write_json(one.run / "evaluation.json", {str(tmp_path / "task"): task_result({"knn": protocol(score)})})
    code, printed, said = ablate(study, out)
    assert (code, "2 main effects: the smallest adjusted p that a single one can reach is 1" in said) == (0, True), said
    tables = [[line.split("  ")[0] for line in table.splitlines()] for table in printed.split("\n\n")]
    assert tables[0] == ["condition", "reference", "width-wide", "rate-high", "rate-high+width-wide"]
    assert tables[1] == ["main effect", "rate: high minus low", "width: wide minus narrow"]
    assert [line.split()[4] for line in printed.splitlines() if " minus " in line] == ["+0.000", "+0.250"]


def test_another_study_in_the_folder_is_refused(copy, tmp_path):
    study, out = copy
    before = files(out)
    for keys in (
        {"seeds": 3},
        {"metric": "knn/auroc"},
        {"factors": "{rate: {high: {optimizer.learning_rate: 0.01}, low: {}}}"},
    ):
        shutil.copytree(study.parent / "task", tmp_path / "task", dirs_exist_ok=True)
        code, printed, said = ablate(write_study(tmp_path, **keys), out)
        assert (code, printed) == (2, "")
        assert said.endswith(f"{out}: holds another study, or an earlier version of this one; take another --out\n")
    assert files(out) == before


def test_a_recipe_that_was_changed_meanwhile_is_refused(copy):
    study, out = copy
    saved = Cell(out).folder / "recipe.yaml"
    saved.write_text(saved.read_text().replace("weight_decay: 0.0003", "weight_decay: 0.5"))
    before = files(out)
    code, _, said = ablate(study, out)
    assert code == 2
    assert "this cell was started with another recipe; take another --out" in said
    assert "  optimizer.weight_decay: 0.5 -> 0.0003" in said
    assert files(out).keys() == before.keys()


def test_a_recipe_that_lies_elsewhere_now_is_the_same(copy, tmp_path):
    """As a shipped one does in another environment."""
    study, out = copy
    moved = tmp_path / "moved.yaml"
    moved.write_text(find_recipe("masked_only", tmp_path)[0].read_text())
    elsewhere = study.with_name("elsewhere.yaml")
    elsewhere.write_text(study.read_text().replace("recipe: masked_only", f"recipe: {moved}"))
    before = files(out / "cells")
    code, _, said = ablate(elsewhere, out)
    assert (code, "running" in said) == (0, False), said
    assert files(out / "cells") == before
    moved.write_text(moved.read_text() + "optimizer: {weight_decay: 0.5}\n")
    code, _, said = ablate(elsewhere, out)
    assert (code, "this cell was started with another recipe" in said) == (2, True), said


@pytest.mark.parametrize("content", ["{", "[]", '{"name": 3}'])
def test_a_damaged_study_is_another(copy, content):
    study, out = copy
    (out / "study.json").write_text(content)
    code, _, said = ablate(study, out)
    assert (code, "holds another study" in said) == (2, True)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    study, out = write_study(tmp_path / "here"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("")
    code, _, said = ablate(study, out)
    assert (code, [path.name for path in out.iterdir()]) == (2, ["mine.txt"])
    assert f"{out}: exists and is not a study's folder; take another --out" in said
    code, _, said = ablate(study, out / "mine.txt")
    assert (code, "cannot be created or written to: Not a directory; take another --out" in said) == (2, True)


def test_two_at_a_time_is_refused(copy):
    from filelock import FileLock

    study, out = copy
    with FileLock(out / ".lock"):
        code, _, said = ablate(study, out)
    assert (code, said.splitlines()[-1]) == (2, f"{out}: another `findna-kit ablate` is running there; wait until it has ended")


@pytest.mark.parametrize(("keys", "sentences"), [
    ({"factors": "{rate: {low: {}, high: {optimizer.lerning_rate: 1}}}"}, ["the condition rate-high:", "study.yaml:4:34  "]),
    ({"factors": MINE}, ["the condition genome-mine:", "data.genome: ", "mine.fa: no such file or folder"]),
    ({"tasks": "[nowhere]"}, ["the condition reference:", "nowhere does not exist"]),
    ({"tasks": "[task, ./task/]"}, ["tasks: ", "is listed twice"]),
    ({"tasks": "[task, link]"}, ["two of ", "are the same task; list it once"]),
    ({"overrides": CUT[:-1] + ", trainer.nodes: 2}"}, ["trainer.nodes 2: cells are run on this machine alone"]),
    ({"overrides": CUT[:-1] + ", trainer.devices: 3}"}, ["data.batch_size 8 cannot be divided evenly among trainer.devices 3"]),
    ({"recipe": "self_distill", "factors": "{rows: {two: {}, no: {class_tokens: 0, losses.distill.reads: class}}}"},
     ["the condition rows-no:", "class"]),
    ({"metric": "few_shot/mcc"}, ["few_shot has a score for each number of shots"]),
])  # fmt: skip
def test_what_is_wrong_is_said_before_the_first_cell_starts(tmp_path, keys, sentences):
    study = write_study(tmp_path, **keys)
    (tmp_path / "link").symlink_to(tmp_path / "task")
    code, printed, said = ablate(study, tmp_path / "out")
    assert (code, printed) == (2, ""), said
    assert [sentence for sentence in sentences if sentence not in said] == [], said
    assert not (tmp_path / "out").exists()


def test_under_torchrun_it_is_refused(tmp_path, monkeypatch):
    for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    code, _, said = ablate(write_study(tmp_path), tmp_path / "out")
    assert (code, said) == (2, "ablate starts the processes of its cells itself: call it without torchrun or srun\n")


def test_what_failed_is_run_again_when_it_is_asked_for(tmp_path):
    """A genome too short for a window is found out by the run; a link in a task's path leads where evaluation.json says."""
    study, out = write_study(tmp_path, factors=MINE, seeds=1, tasks="[link]"), tmp_path / "out"
    (tmp_path / "link").symlink_to(tmp_path / "task")
    (tmp_path / "mine.fa").write_text(">a\nACGT\n")
    code, printed, said = ablate(study, out)
    assert (code, printed) == (3, "")
    *_, reason, counted = said.splitlines()
    log = out / "cells" / "genome-mine" / "seed-0" / "log.txt"
    assert reason.startswith("cells/genome-mine/seed-0: exit code 2: ")
    assert reason.endswith(f" (the whole log is {log}; --retry runs it again)")
    assert log.is_file()
    assert counted == f"{out}: 1 finished, 1 failed"
    before = files(out / "cells")
    code, _, said = ablate(study, out)
    assert (code, "running" in said, files(out / "cells") == before) == (3, False, True)
    draw = random.Random(1)
    (tmp_path / "mine.fa").write_text(
        f">a\n{''.join(draw.choices('ACGT', k=4000))}\n>b\n{''.join(draw.choices('ACGT', k=4000))}\n"
    )
    code, printed, said = ablate(study, out, "--retry")
    assert (code, said.count(": running")) == (0, 1), said
    assert json.loads((out / "result.json").read_text())["tasks"] == {"task": str(tmp_path / "task")}


def test_a_level_that_fails_does_not_void_the_others(tmp_path):
    factors = "{genome: {fly: {}, mine: {data.genome: mine.fa}}, rate: {low: {}, high: {optimizer.learning_rate: 0.01}}}"
    study, out = write_study(tmp_path, factors=factors, seeds=1), tmp_path / "out"
    (tmp_path / "mine.fa").write_text(">a\nACGT\n")
    code, printed, said = ablate(study, out)
    assert code == 3
    assert re.search(r"^rate-high .* not enough seeds to say$", printed, re.MULTILINE), printed
    assert re.search(r"^genome-mine .* failed$", printed, re.MULTILINE)
    assert "genome-mine is not compared: 1 cell failed, seed 0 because: exit code 2: " in " ".join(printed.split())
    assert said.splitlines()[-1] == f"{out}: 2 finished, 1 failed"
    result = json.loads((out / "result.json").read_text())
    assert list(result["conditions"]) == ["reference", "rate-high"]
    assert list(result["failed"]) == ["genome-mine"]
    code, printed, _ = findna("report", out)
    assert code == 0
    assert "genome-mine is not compared" in (out / "report.html").read_text()


def test_what_a_killed_ablate_left_running_is_waited_for_and_not_doubled(tmp_path):
    study, out = write_study(tmp_path, seeds=1), tmp_path / "out"
    one, other = Cell(out), Cell(out, "rate-high/seed-0")
    process = started(study, out)
    until(lambda: at_work(one))  # it is importing yet, and holds nothing of the run's
    process.kill()
    process.communicate()
    assert not one.run.exists()
    code, _, said = ablate(study, out)
    assert code == 0
    first = next(line for line in said.splitlines() if line.startswith("cells/"))
    assert first == "cells/reference/seed-0: running"
    assert [cell.folder.joinpath("log.txt").read_text().count(" steps in ") for cell in (one, other)] == [2, 2], "one run each"


@pytest.mark.parametrize(
    "both", [pytest.param(True, id="ablate and its cell"), pytest.param(False, id="the cell alone", marks=pytest.mark.slow)]
)
def test_after_a_kill_only_what_is_missing_is_run(both, tmp_path):
    seldom = CUT.replace("validate_every: 4", "validate_every: 60").replace("checkpoint_every: 3", "checkpoint_every: 10")
    study, out = write_study(tmp_path, seeds=1, budget="{steps: 120}", overrides=seldom), tmp_path / "out"
    one, other = Cell(out), Cell(out, "rate-high/seed-0")
    process = started(study, out)
    until(lambda: rows_kept(one))
    if both:
        process.kill()
        process.communicate()
    os.kill(at_work(one), signal.SIGKILL)
    until(lambda: at_work(one) is None)
    kept = rows_kept(one)
    if not both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 3
        assert said.splitlines()[-2:] == [
            "cells/reference/seed-0: was ended by SIGKILL; the same command continues it", f"{out}: 1 missing, 1 finished",
        ]  # fmt: skip
    before = files(other.folder)
    code, _, said = ablate(study, out, "--jobs", 2)
    assert (code, said.count(": running")) == (0, 2 if both else 1), said
    assert both or files(other.folder) == before
    record = json.loads((one.run / "run.json").read_text())
    rows = (one.run / "metrics.jsonl").read_text()
    assert rows.startswith(kept), "gone on with, not begun anew"
    steps = [json.loads(line)["step"] for line in rows.splitlines()]
    assert (record["status"], steps) == ("finished", list(range(121))), "no step twice"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_ablate_stops_its_cells_with_one_sentence(number, tmp_path):
    study, out = write_study(tmp_path, seeds=1, budget="{steps: 100000}"), tmp_path / "out"
    one = Cell(out)
    process = started(study, out)
    until(lambda: trained_some(one))
    process.send_signal(number)
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed) == (128 + number, "")
    last = said.splitlines()[-1]
    assert last == "stopped; the running cells have saved a checkpoint. Run the same command to continue the study"
    assert "Traceback" not in said
    assert json.loads((one.run / "run.json").read_text())["status"] == "interrupted"
    assert at_work(one) is None


def test_a_shipped_study_by_its_name(tmp_path, monkeypatch):
    """As it is, but for its sizes: a shipped recipe, its own levels, the tables."""
    monkeypatch.chdir(tmp_path)
    code, _, said = findna("ablate", "ablations/objective")
    assert (code, "did you mean 'ablations/objectives'?" in said) == (2, True)
    code, _, said = findna("ablate", "ablations/objectives", "--out", shipped_studies()["ablations/objectives"])
    assert (code, "cannot be created or written to" in said) == (2, True), "and so it was found, read and checked"
    text = shipped_studies()["ablations/objectives"].read_text()
    tree = parse(text, lambda line, column: None, tmp_path, []).plain()
    write_study(tmp_path)
    head = {"losses.distill.hidden": 32, "losses.distill.bottleneck": 16, "losses.distill.prototypes": 24}
    sizes = parse(CUT, lambda line, column: None, tmp_path, []).plain()
    (tmp_path / "cut.yaml").write_text(
        dump({**tree, "seeds": 1, "tasks": ["task"], "budget": {"steps": 2}, "overrides": {**sizes, **head}})
    )
    code, printed, said = findna("ablate", "cut.yaml", "--jobs", 2, "--device", "cpu")
    assert code == 0, said
    assert [line.split()[0] for line in printed.splitlines()[1:5]] == [
        "reference", "objective-masked", "objective-distillation", "objective-none",
    ]  # fmt: skip
    result = json.loads((tmp_path / "studies" / "objectives" / "result.json").read_text())
    none = result["conditions"]["objective-none"]
    assert none["scores"]["task"]["mean"]["value"] == none["controls"]["random_init"]["task"]["value"], "it has learned nothing"


def test_steps_are_kept_before_the_first_cell_and_where_a_study_was_begun_without(finished, copy):
    """Of a budget in steps, too."""
    kept = finished[1] / "steps.json"
    told = json.loads(kept.read_text())
    assert told["budget"] == {"steps": 2}
    assert {name: one["steps"] for name, one in told["conditions"].items()} == {"reference": 2, "rate-high": 2}
    begun = min(path.stat().st_mtime_ns for path in (finished[1] / "cells").rglob("recipe.yaml"))
    assert kept.stat().st_mtime_ns < begun
    study, out = copy
    (out / "steps.json").unlink()
    code, _, said = ablate(study, out)
    assert (code, "running" in said, json.loads((out / "steps.json").read_text())) == (0, False, told)


@pytest.mark.slow
def test_a_budget_of_seconds_is_measured_once_and_outlives_a_kill(tmp_path):
    seldom = CUT.replace("validate_every: 4", "validate_every: 1000").replace("checkpoint_every: 3", "checkpoint_every: 10")
    study, out = write_study(tmp_path, seeds=1, budget="{seconds: 6}", overrides=seldom), tmp_path / "out"
    process = started(study, out)
    until(lambda: trained_some(Cell(out)), seconds=180)
    process.kill()
    _, said = process.communicate()
    os.kill(at_work(Cell(out)), signal.SIGKILL)
    assert "reference: measuring 5 steps, round 3 of 3" in said
    kept = json.loads((out / "steps.json").read_text())
    stated = {name: one["steps"] for name, one in kept["conditions"].items()}
    assert min(stated.values()) > 1
    # As if the machine that goes on had measured otherwise.
    kept["conditions"]["rate-high"]["steps"] = stated["rate-high"] = 3
    (out / "steps.json").write_text(json.dumps(kept))
    code, printed, said = ablate(study, out, "--wide")
    assert code == 0, said
    assert "measuring" not in said
    assert f"steps, kept in {out}/steps.json: reference {stated['reference']:,}, rate-high 3" in said
    assert json.loads((out / "steps.json").read_text()) == kept
    result = json.loads((out / "result.json").read_text())
    for name, steps in stated.items():
        assert json.loads((Cell(out, f"{name}/seed-0").run / "run.json").read_text())["steps"] == steps
        assert result["conditions"][name]["steps"] == steps
    assert printed.splitlines()[2].split()[:3] == ["rate-high", "1", "3"]


@pytest.mark.slow
def test_cells_of_a_budget_of_seconds_take_as_long_as_each_other(tmp_path):
    """Generous, since the machine may be busier while cells are run than when they were measured: within a factor of 2.5 of
    the budget, and of 2 of each other. Of equal steps one would take more than three times as long as the other.
    """
    seldom = CUT.replace("validate_every: 4", "validate_every: 100").replace("checkpoint_every: 3", "checkpoint_every: 100")
    widths = "{width: {narrow: {}, wide: {encoder.hidden: 1024}}}"
    study = write_study(tmp_path, seeds=1, budget="{seconds: 12}", overrides=seldom, factors=widths)
    code, _, said = ablate(study, tmp_path / "out", "--jobs", 1)
    assert code == 0, said
    steps, seconds = {}, {}
    for name in ("reference", "width-wide"):
        record = json.loads((Cell(tmp_path / "out", f"{name}/seed-0").run / "run.json").read_text())
        steps[name], seconds[name] = record["steps"], record["timings"]["training_seconds"]
    told = f"{steps} steps in {seconds} seconds"
    assert steps["reference"] > 3 * steps["width-wide"], told
    assert all(12 / 2.5 < taken < 12 * 2.5 for taken in seconds.values()), told
    assert max(seconds.values()) < 2 * min(seconds.values()), told


def test_a_budget_too_small_leaves_the_folder_free(tmp_path):
    study, out = write_study(tmp_path, budget="{flops: 10}"), tmp_path / "out"
    code, printed, said = ablate(study, out)
    assert (code, printed) == (2, "")
    assert "the condition rate-high:" in said
    assert "floating-point operations, more than the budget's 10 flops" in said
    assert [path.name for path in out.iterdir()] in ([], [".lock"]), "another budget may be tried here"


@pytest.mark.parametrize(("words", "sentence"), [
    (["--slurm", "time=5"], "--slurm is for --executor slurm"),
    (["--executor", "slurm", "--slurm", "partion=gpu"], "did you mean 'partition'?"),
    (["--executor", "slurm"], "--executor slurm: no Slurm answers here (there is no squeue); leave the option out"),
])  # fmt: skip
def test_no_slurm_no_study(words, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, printed, said = ablate(write_study(tmp_path), tmp_path / "out", *words)
    assert (code, printed) == (2, "")
    assert len(said.splitlines()) == 1 and sentence in said
    assert not (tmp_path / "out").exists()


def test_slurm_without_its_extra_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("findna_kit.errors.find_spec", lambda name: None)
    code, _, said = ablate(write_study(tmp_path), tmp_path / "out", "--executor", "slurm")
    assert (code, said) == (
        2, "--executor slurm needs submitit, which is not installed: pip install 'findna-kit[slurm]'\n",
    )  # fmt: skip
    assert not (tmp_path / "out").exists()
