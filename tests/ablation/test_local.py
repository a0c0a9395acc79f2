"""Cells as processes of this machine: so many at a time, judged when they end, none of them twice at once."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from findna_kit.ablation.cells import folders_of
from findna_kit.ablation.local import Way, command, run_here
from findna_kit.ablation.read import cells_of, load_study
from findna_kit.errors import Interrupted
from findna_kit.plugins import load_plugins
from tests.ablation.writing import write_study

COMPONENTS = load_plugins()[0]
CPU = Way(device="cpu")
LONG = "{steps: 100000}"
"""Far more than a test waits for."""


def folders(tmp_path, **keys):
    stated = load_study(str(write_study(tmp_path, **keys)))
    cells = cells_of(stated, COMPONENTS, [], lambda recipe: None)
    return folders_of(cells, tmp_path / "out", {str(tmp_path / "task"): "task"})


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


def aside(work):
    """Does it once in a thread; a test's main thread is where signals arrive."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_cell_is_a_run_that_goes_on_where_it_was(tmp_path):
    (one, *_) = folders(tmp_path)
    words = command(one, Way(device="cpu", without=("example", "teachers")))
    assert words[1:4] == ["-m", "findna_kit", "run"]
    assert words[words.index("--resume") + 1] == str(one.run)
    assert words[-4:] == ["--without", "example", "--without", "teachers"]


def test_so_many_at_a_time_and_the_cores_shared_among_them(tmp_path):
    cells, seen = folders(tmp_path, seeds=1, factors="{rate: {a: {}, b: {optimizer.learning_rate: 0.1}, c: {seed_: 1}}}".replace(
        "{seed_: 1}", "{optimizer.learning_rate: 0.2}"
    )), []  # fmt: skip
    assert run_here(cells, Way(jobs=2, device="cpu"), lambda: seen.append([one.state() for one in cells])) == {}
    assert [one.state() for one in cells] == ["finished"] * 3
    assert max(states.count("running") for states in seen) == 2
    assert all(json.loads((one.run / "run.json").read_text())["steps"] == 2 for one in cells)


def test_a_cell_that_fails_is_kept_with_its_reason_and_the_others_go_on(tmp_path):
    cells = folders(
        tmp_path, seeds=1, factors="{rate: {low: {}, mad: {optimizer.learning_rate: 1.0e+30}}}", budget="{steps: 6}"
    )
    run_here(list(reversed(cells)), CPU, lambda: None)
    assert [one.state() for one in cells] == ["finished", "failed"]
    assert cells[1].reason().startswith("exit code 3: ")
    assert "not finite" in cells[1].reason()
    assert cells[1].reason().removeprefix("exit code 3: ") in (cells[1].folder / "log.txt").read_text()


def test_one_that_is_killed_is_missing_and_named(tmp_path):
    (one, *_) = folders(tmp_path, seeds=1, budget=LONG)

    def kill():
        until(lambda: trained_some(one))
        os.kill(at_work(one), signal.SIGKILL)

    thread = aside(kill)
    assert run_here([one], CPU, lambda: None) == {"cells/reference/seed-0": "SIGKILL"}
    thread.join()
    assert one.state() == "missing"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_stops_the_cells_when_they_have_saved(number, tmp_path):
    cells = folders(tmp_path, seeds=1, budget=LONG)

    def stop():
        until(lambda: trained_some(cells[0]))
        os.kill(os.getpid(), number)

    thread = aside(stop)
    with pytest.raises(Interrupted, match="^stopped, once the running cells had saved; the same command goes on") as error:
        run_here(cells, CPU, lambda: None)
    thread.join()
    assert error.value.exit_code == 128 + number
    record = json.loads((cells[0].run / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert f"step {record['step'] if 'step' in record else ''}".strip()
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
        run_here([one], CPU, lambda: None)
    thread.join()
    assert at_work(one) is None
    assert one.state() == "missing"
