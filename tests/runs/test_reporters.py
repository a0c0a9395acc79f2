"""Reporters: they receive the rows of metrics.jsonl outside of the step, and none of them can stop a run."""

from __future__ import annotations

import json
import sys

import pytest

from findna_kit.errors import FindnaError, PluginError
from findna_kit.metrics.writers import read_rows
from findna_kit.plugins.entry_points import COMPONENTS, REPORTERS
from findna_kit.runs import Reporters, RunLocation, start
from findna_kit.trainer import Observer
from tests.building import SMALL, sets, small
from tests.installing import findna, install_package

CODE = """
import json

def rows(run, recipe):
    (run / "reports").mkdir(exist_ok=True)
    path = run / "reports" / "rows.jsonl"
    with open(path, "a") as file:
        file.write(json.dumps([recipe["name"], recipe["losses"]["masked"]["name"], str(run)]) + "\\n")
    def tell(step, metrics):
        with open(path, "a") as file:
            file.write(json.dumps([step, metrics]) + "\\n")
        metrics.clear()
    recipe.clear()
    return tell

def tires(run, recipe):
    received = []
    def tell(step, metrics):
        received.append(step)
        if len(received) == 2:
            raise SystemExit("out of paper") if recipe["seed"] else ConnectionError("no network")
        assert len(received) < 2, "it is not called again"
    return tell

def refuses(run, recipe):
    raise OSError("no account")

def nothing(run, recipe):
    return None

def stops(run, recipe):
    def tell(step, metrics):
        raise KeyboardInterrupt
    return tell

number = 3
"""
NAMES = ("rows", "tires", "refuses", "nothing", "stops", "number")


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    """A distribution that brings six reporters, and one that cannot be imported."""
    folder = tmp_path / "site"
    brings = {REPORTERS: {name: f"paper:{name}" for name in NAMES}}
    install_package(folder, "findna-paper", {"paper.py": CODE}, brings, version="1.2")
    install_package(folder, "findna-torn", {"torn.py": "raise OSError('torn')"}, {REPORTERS: {"torn": "torn:tell"}})
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in ("paper", "torn"):
        sys.modules.pop(name, None)


def run(folder, *names, lines=None, overrides=(), **place):
    recipe, components, plugins = small("masked_only", "steps=4", *overrides)
    observer = Observer(*([lines.append] if lines is not None else []))
    where = RunLocation(folder, **place) if "resume" not in place else RunLocation(**place)
    return start(
        recipe, where, components=components, plugins=plugins, device="cpu", observer=observer, reporters=Reporters(names)
    )


def reported(folder):
    return [json.loads(line) for line in (folder / "reports" / "rows.jsonl").read_text().splitlines()]


def test_a_reporter_receives_the_recipe_and_every_logged_row(tmp_path):
    run(tmp_path / "run", "rows", "rows", overrides=["trainer.log_every=2"])
    first, *rows = reported(tmp_path / "run")
    assert first == ["masked_only", "masked_nucleotides", str(tmp_path / "run")]
    written = read_rows(tmp_path / "run")
    assert [step for step, _ in rows] == [row["step"] for row in written if row["step"] > 0] == [2, 4]
    for (_, received), row in zip(rows, [row for row in written if row["step"] > 0], strict=True):
        assert received.items() <= row.items()
        assert received["loss"] == row["loss"]


def test_a_reporter_may_change_its_copies(tmp_path):
    """It clears the metrics and the recipe that it was given."""
    run(tmp_path / "with", "rows", "tires")
    run(tmp_path / "without")
    times = ("seconds", "per_second")
    plain = [
        [{key: value for key, value in row.items() if not key.endswith(times)} for row in read_rows(tmp_path / name)]
        for name in ("with", "without")
    ]
    assert plain[0] == plain[1]
    assert (tmp_path / "with" / "recipe.yaml").read_text() == (tmp_path / "without" / "recipe.yaml").read_text()


@pytest.mark.parametrize(("seed", "reason"), [(0, "ConnectionError: no network"), (1, "SystemExit: out of paper")])
def test_a_reporter_that_fails_is_logged_once_and_not_called_again(tmp_path, seed, reason):
    lines = []
    run(tmp_path / "run", "tires", "rows", lines=lines, overrides=[f"seed={seed}"])
    (line,) = [line for line in lines if "tires" in line]
    assert line == (
        f"the reporter 'tires' of findna-paper 1.2 failed at step 2 and receives no more metrics: {reason}; "
        "the run continues, and its metrics.jsonl has every row"
    )
    assert [row["step"] for row in read_rows(tmp_path / "run")] == [0, 1, 2, 3, 4]
    assert [step for step, _ in reported(tmp_path / "run")[1:]] == [1, 2, 3, 4], "the others continue"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("refuses", "the reporter 'refuses' of findna-paper 1.2 could not start: OSError: no account; run without it"),
        ("nothing", r"the reporter 'nothing' of findna-paper 1.2 returned None instead of a callable\(step, metrics\)"),
    ],
)
def test_a_reporter_that_cannot_start_stops_the_run_before_its_first_file(tmp_path, name, message):
    with pytest.raises(PluginError, match=message):
        run(tmp_path / "run", name)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    run(tmp_path / "run", "rows")


def test_files_of_a_reporter_are_replaced_with_the_run_and_kept_by_a_resume(tmp_path):
    run(tmp_path / "run", "rows")
    before = reported(tmp_path / "run")
    run(tmp_path / "run", "rows", resume=tmp_path / "run")
    assert reported(tmp_path / "run")[: len(before)] == before
    run(tmp_path / "run", "rows", overwrite=True)
    assert len(reported(tmp_path / "run")) == len(before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("row", "--report row: no plugin has a reporter of that name; did you mean 'rows'? (known: "),
        ("torn", "the reporter 'torn' of findna-torn 1.0 cannot be imported: OSError: torn; findna-kit plugins doctor shows"),
        ("number", "the reporter 'number' of findna-paper 1.2 is not a function: paper:number is 3"),
    ],
)
def test_an_unusable_name_is_refused_before_there_is_a_folder(tmp_path, name, message):
    code, stdout, stderr = findna("run", "masked_only", "--out", tmp_path / "run", "--report", name)
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "run").exists()


def test_the_variable_leaves_them_out_and_two_owners_of_a_name_are_an_error(site, monkeypatch):
    install_package(site, "findna-twin", {}, {COMPONENTS: {"twin": "twin"}, REPORTERS: {"rows": "twin:rows"}}, version="4.0")
    with pytest.raises(FindnaError, match=r"the reporter 'rows' is claimed by findna-paper 1\.2 and findna-twin 4\.0"):
        Reporters(["rows"])
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "findna-paper")
    Reporters(["rows"])
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "none")
    with pytest.raises(FindnaError, match=r"--report rows: no plugin has a reporter of that name \(known: none\)"):
        Reporters(["rows"])


def test_ctrl_c_in_a_reporter_is_not_its_failure(tmp_path):
    lines = []
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", "rows", "stops", lines=lines)
    assert [step for step, _ in reported(tmp_path / "run")[1:]] == [1]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert not [line for line in lines if "stops" in line]


def test_the_command_takes_several(tmp_path):
    words = sets(*SMALL, "steps=2")
    code, _, stderr = findna(
        "run", "masked_only", *words, "--out", tmp_path / "run", "--device", "cpu", "--report", "rows", "--report", "tires"
    )
    assert code == 0, stderr
    assert stderr.count("the reporter 'tires' of findna-paper 1.2 failed at step 2") == 1
    assert len(reported(tmp_path / "run")) == 1 + 2
