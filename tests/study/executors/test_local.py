"""Cells as processes of this machine: so many at a time, judged when they end, none of them twice at once."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from findna_kit import checkpoint
from findna_kit.errors import Interrupted
from findna_kit.plugins.loading import load_plugins
from findna_kit.study.cells import cell_folders
from findna_kit.study.executors.local import ExecutionOptions, cell_command, run_locally
from findna_kit.study.load import build_cells, load_study
from tests.study.writing import CUT, write_study

COMPONENTS = load_plugins()[0]
CPU = ExecutionOptions(device="cpu")
LONG = "{steps: 100000}"
"""Far more than a test waits for."""


def folders(tmp_path, **keys):
    stated = load_study(str(write_study(tmp_path, **keys)))
    cells = build_cells(stated, COMPONENTS, [], lambda recipe: None)
    return cell_folders(cells, tmp_path / "out", {str(tmp_path / "task"): "task"})


def until(true, seconds=60):
    """Waits until it holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def at_work(one):
    """The process that holds a cell, by its command."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_text().split("\0")
        except OSError:
            continue
        if str(one.run) in words:
            return int(entry.parent.name)
    return None


def trained_some(one):
    return any((one.run / "checkpoints").glob("*")) and (one.run / "metrics.jsonl").is_file()


def rows_kept(one):
    """What stands of its metrics up to its newest checkpoint, with speeds that no second run has again; "" before a step."""
    steps = checkpoint.steps_saved(one.run)
    if not steps or not steps[-1]:
        return ""
    return "".join((one.run / "metrics.jsonl").read_text().splitlines(keepends=True)[: steps[-1] + 1])


def aside(work):
    """Does it once in a thread; a test's main thread is where signals arrive."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_cell_is_a_run_that_goes_on_where_it_was(tmp_path):
    (one, *_) = folders(tmp_path)
    words = cell_command(one, ExecutionOptions(device="cpu", without=("example", "teachers")))
    assert words[1:4] == ["-m", "findna_kit", "run"]
    assert words[words.index("--resume") + 1] == str(one.run)
    assert words[-4:] == ["--without", "example", "--without", "teachers"]


def test_so_many_at_a_time_and_one_that_fails_is_kept_with_its_reason(tmp_path):
    rates = "{rate: {low: {}, mad: {optimizer.learning_rate: 1.0e+30}, high: {optimizer.learning_rate: 0.01}}}"
    cells, seen = folders(tmp_path, seeds=1, factors=rates, budget="{steps: 6}"), []
    assert run_locally(cells, ExecutionOptions(jobs=2, device="cpu"), lambda: seen.append([one.state() for one in cells])) == {}
    assert [one.state() for one in cells] == ["finished", "failed", "finished"]
    assert max(states.count("running") for states in seen) == 2
    assert cells[1].failure_reason().startswith("exit code 3: ")
    assert "losses.masked is nan; nothing of this step was applied" in cells[1].failure_reason()
    assert cells[1].failure_reason().removeprefix("exit code 3: ") in (cells[1].folder / "log.txt").read_text()


def test_a_cell_may_be_several_processes(tmp_path):
    (one, *_) = folders(tmp_path, seeds=1, overrides=CUT[:-1] + ", trainer.devices: 2}")
    assert run_locally([one], CPU, lambda: None) == {}
    record = json.loads((one.run / "run.json").read_text())
    assert (record["status"], record["resolved"]["processes"], one.state()) == ("finished", 2, "finished")


def test_one_that_is_killed_is_missing_and_named(tmp_path):
    (one, *_) = folders(tmp_path, seeds=1, budget=LONG)

    def kill():
        until(lambda: trained_some(one))
        os.kill(at_work(one), signal.SIGKILL)

    thread = aside(kill)
    assert run_locally([one], CPU, lambda: None) == {"cells/reference/seed-0": "SIGKILL"}
    thread.join()
    assert one.state() == "missing"


def test_a_signal_stops_the_cells_when_they_have_saved(tmp_path):
    cells = folders(tmp_path, seeds=1, budget=LONG)

    def stop():
        until(lambda: trained_some(cells[0]))
        os.kill(os.getpid(), signal.SIGUSR2)

    thread = aside(stop)
    with pytest.raises(Interrupted, match="stopped; the running cells have saved a checkpoint") as error:
        run_locally(cells, CPU, lambda: None)
    thread.join()
    assert error.value.exit_code == 128 + signal.SIGUSR2
    record = json.loads((cells[0].run / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert [one.state() for one in cells] == ["missing", "missing"]
    assert not cells[1].folder.exists(), "nothing more was begun"
    assert at_work(cells[0]) is None


def test_a_second_signal_kills_them(tmp_path):
    (one, *_) = folders(tmp_path, seeds=1, budget=LONG)

    def stop():
        until(lambda: trained_some(one))
        os.kill(at_work(one), signal.SIGSTOP)  # one that does not answer
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = aside(stop)
    with pytest.raises(KeyboardInterrupt):
        run_locally([one], CPU, lambda: None)
    thread.join()
    assert at_work(one) is None
    assert one.state() == "missing"
