"""`findna-kit ablate --executor slurm` on a real Slurm: whatever is killed, what is finished stays; only the rest is run."""

import json
import os
import signal
from pathlib import Path

import pytest

from findna_kit import checkpoint
from findna_kit.metrics.writers import read_rows
from findna_kit.study.executors.local import ExecutionOptions
from findna_kit.study.executors.slurm import SlurmExecutor
from tests.slurm.starting import NODES
from tests.study.executors.test_local import folders, rows_kept
from tests.study.writing import CUT, write_study

LONG = 1200
"""Steps of cells that are to be caught at work, also by a test that a loaded machine slows down."""
FOUR = f"{{rate: {{low: {{steps: 2}}, long: {{steps: {LONG}}}, high: {{steps: 3}}, higher: {{steps: 4}}}}}}"
SELDOM = CUT.replace("validate_every: 4", "validate_every: 200").replace("checkpoint_every: 3", "checkpoint_every: 10")


class Cell:
    def __init__(self, out, name):
        self.folder = out / "cells" / name
        self.run = self.folder / "run"

    @property
    def jobs(self):
        """The numbers of all jobs that it ever had."""
        return sorted(int(path.name.partition("_")[0]) for path in self.folder.glob("job/*_submission.sh"))

    @property
    def job(self):
        return json.loads((self.folder / "job.json").read_text())["id"]

    def finished(self):
        """Trained, scored, and its job judged."""
        return (self.run / "evaluation.json").is_file() and not (self.folder / "job.json").exists()

    def processes(self):
        """All that its job has started, submitit's own too."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_text().split("\0")
            except OSError:
                continue
            if any(word.startswith(str(self.folder)) for word in words):
                found.append(int(entry.parent.name))
        return found


def ablating(cluster, study, out, *more):
    words = ("ablate", study, "--out", out, "--device", "cpu", "--executor", "slurm", "--slurm", "time=10", *more)
    return cluster.start(*cluster.findna(*words))


def ended(process, seconds=240):
    out, err = process.communicate(timeout=seconds)
    assert "Traceback" not in err
    return process.returncode, out, err


def steps_of(cell):
    return [row["step"] for row in read_rows(cell.run)]


def job_log(cell):
    """All that the cell's jobs have printed."""
    return "".join(path.read_text() for path in cell.folder.glob("job/*_log.out"))


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_what_is_killed_is_run_by_the_second_call_and_nothing_else(cluster, tmp_path):
    study, out = write_study(tmp_path, factors=FOUR, budget=None, overrides=SELDOM), tmp_path / "out"
    conditions = ("reference", "rate-long", "rate-high", "rate-higher")
    names = [f"{condition}/seed-{seed}" for condition in conditions for seed in (0, 1)]
    cells = {name: Cell(out, name) for name in names}
    cancelled, killed = cells["rate-long/seed-0"], cells["rate-long/seed-1"]
    first = ablating(cluster, study, out, "--jobs", "4")
    cluster.until(lambda: rows_kept(cancelled) and rows_kept(killed), what="training")
    cluster.until(lambda: any(cell.finished() for cell in cells.values()), what="a finished cell")
    dead = (cancelled.job, killed.job)
    assert cluster.ask("scancel", cancelled.job)[0] == 0
    for process in killed.processes():
        os.kill(process, signal.SIGKILL)
    first.kill()
    first.communicate()
    done = [cell for cell in cells.values() if cell.finished()]
    before = {cell.folder: files(cell.folder) for cell in done}
    assert done and cancelled not in done and killed not in done
    cluster.until(lambda: {cluster.state(job) for job in dead} == {"CANCELLED", "FAILED"}, what="the end of both jobs")
    kept = {cell: rows_kept(cell) for cell in (cancelled, killed)}

    code, printed, said = ended(ablating(cluster, study, out, "--jobs", "4"))
    assert code == 0, said
    assert f"cells/rate-long/seed-0: was ended by scancel (job {dead[0]}) since the last call, and is submitted again" in said
    assert f"cells/rate-long/seed-1: was ended by SIGKILL (job {dead[1]}) since the last call, and is submitted again" in said
    assert "rate-higher" in printed and (out / "result.json").is_file()
    assert {folder: files(folder) for folder in before} == before, "what was finished was not touched"
    assert {name: len(cell.jobs) for name, cell in cells.items()} == {name: 1 + ("long" in name) for name in names}
    for cell, rows in kept.items():
        assert rows and (cell.run / "metrics.jsonl").read_text().startswith(rows), "gone on with, not begun anew"
        assert steps_of(cell) == list(range(LONG + 1)), "no step twice"
    nodes = {
        cluster.ask("squeue", "-h", "--states=all", "-j", job, "-o", "%N")[1].strip()
        for one in cells.values()
        for job in one.jobs
    }
    assert nodes == set(NODES), "a job has one core, a node two"


def test_what_becomes_of_each_job_is_noticed_and_said_by_a_call_that_lives(cluster, tmp_path):
    """One job is warned, one cancelled, one killed with all its processes; Ctrl-C of an earlier call leaves them alone."""
    factors = "{rate: {low: {}, high: {optimizer.learning_rate: 0.01}, higher: {optimizer.learning_rate: 0.02}}}"
    study = write_study(tmp_path, seeds=1, factors=factors, budget=f"{{steps: {LONG}}}", overrides=SELDOM)
    out = tmp_path / "out"
    warned, cancelled, killed = cells = [Cell(out, f"{name}/seed-0") for name in ("reference", "rate-high", "rate-higher")]
    first = ablating(cluster, study, out, "--jobs", "3")
    cluster.until(lambda: all(cell.processes() for cell in cells), what="all jobs")
    numbers = [cell.job for cell in cells]
    first.send_signal(signal.SIGINT)
    code, _, said = ended(first)
    assert (code, said.splitlines()[-1]) == (
        130, f"jobs {', '.join(numbers)} continue without this command; run the same command to follow them again, "
        f"or end them with `scancel {' '.join(numbers)}`",
    )  # fmt: skip
    second = ablating(cluster, study, out, "--jobs", "3")
    cluster.until(lambda: all(rows_kept(cell) for cell in cells), what="training")
    assert [cell.job for cell in cells] == numbers
    cluster.ask("scancel", "--signal=USR2", warned.job)
    cluster.ask("scancel", cancelled.job)
    for process in killed.processes():
        os.kill(process, signal.SIGKILL)
    # The job's own log, because squeue shows it pending only until it starts again.
    cluster.until(lambda: f"Requeued job {numbers[0]}" in job_log(warned), what="the requeue")
    stopped_at = checkpoint.steps_saved(warned.run)[-1]
    kept = {cell: rows_kept(cell) for cell in cells}
    code, _, said = ended(second)
    assert code == 3, said
    assert said.splitlines()[-1] == f"{out}: 1 finished, 2 missing"
    assert set(said.splitlines()[-3:-1]) == {
        f"cells/rate-high/seed-0: was ended by scancel (job {numbers[1]}); the same command continues it",
        f"cells/rate-higher/seed-0: was ended by SIGKILL (job {numbers[2]}); the same command continues it",
    }
    assert 0 < stopped_at < LONG
    log = (warned.folder / "log.txt").read_text()
    assert f"SIGUSR2: step {stopped_at} of {LONG} is saved" in log

    before = files(warned.folder)
    code, _, said = ended(ablating(cluster, study, out, "--jobs", "3"))
    assert code == 0, said
    assert files(warned.folder) == before, "what was finished was not touched"
    assert [len(cell.jobs) for cell in cells] == [1, 2, 2], "the one that was warned was queued again as the same job"
    for cell, rows in kept.items():
        assert rows and (cell.run / "metrics.jsonl").read_text().startswith(rows), "gone on with, not begun anew"
        assert steps_of(cell) == list(range(LONG + 1)), "no step twice"


@pytest.fixture
def forgetful(cluster):
    """Slurm forgets a job seconds after its end, and not minutes."""
    conf = Path(cluster.environment["SLURM_CONF"])
    as_it_was = conf.read_text()
    conf.write_text(f"{as_it_was}MinJobAge=2\n")
    assert cluster.ask("scontrol", "reconfigure")[0] == 0
    yield
    conf.write_text(as_it_was)
    assert cluster.ask("scontrol", "reconfigure")[0] == 0


def test_a_job_that_slurm_has_forgotten_is_noticed_by_a_call_that_lives(forgetful, cluster, tmp_path, monkeypatch):
    """It is killed, and forgotten, between two looks of a call that was asleep meanwhile."""
    for name in ("SLURM_CONF", "PATH", "MASTER_ADDR", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, cluster.environment[name])
    (one,) = folders(tmp_path, seeds=1, budget="{steps: 100000}", overrides=SELDOM)[:1]
    cell, dead = Cell(tmp_path / "out", "reference/seed-0"), []

    def changed():
        if not dead and rows_kept(cell):
            dead.append(cell.job)
            for process in cell.processes():
                os.kill(process, signal.SIGKILL)
            cluster.until(lambda: "Invalid job id" in cluster.ask("squeue", "-h", "--states=all", "-j", dead[0])[2])

    found = SlurmExecutor({"time": 10}, lambda sentence: None, timeout=15).run([one], ExecutionOptions(device="cpu"), changed)
    assert found == {one.cell.relative_path: f"the end of its job, which Slurm no longer knows (job {dead[0]})"}
    assert one.state() == "missing"


def test_cells_of_two_nodes_and_one_that_fails(cluster, tmp_path):
    rates = "{rate: {low: {}, mad: {optimizer.learning_rate: 1.0e+30}}}"
    overrides = CUT[:-1] + ", trainer.nodes: 2}"
    study, out = write_study(tmp_path, seeds=1, factors=rates, budget="{steps: 6}", overrides=overrides), tmp_path / "out"
    good, bad = Cell(out, "reference/seed-0"), Cell(out, "rate-mad/seed-0")
    code, _, said = ended(ablating(cluster, study, out, "--jobs", "2", "--slurm", "cpus_per_task=1"))
    assert code == 3, said
    assert f"{out}: 1 finished, 1 failed" in said
    assert "cells/rate-mad/seed-0: exit code 3: " in said and "losses.masked is nan" in said
    record = json.loads((good.run / "run.json").read_text())
    assert (record["status"], record["resolved"]["processes"]) == ("finished", 2)
    assert "srun: 2 processes on 2 nodes share each batch" in (good.folder / "log.txt").read_text()
    before = files(out / "cells")
    assert ended(ablating(cluster, study, out))[0] == 3
    assert files(out / "cells") == before, "one that failed is not tried again"
    assert ended(ablating(cluster, study, out, "--retry"))[0] == 3
    assert (len(good.jobs), len(bad.jobs)) == (1, 2)


def test_a_job_that_slurm_refuses_is_one_sentence(cluster, tmp_path):
    study, out = write_study(tmp_path, seeds=1), tmp_path / "out"
    code, _, said = ended(ablating(cluster, study, out, "--slurm", "partition=nowhere"))
    assert code == 2, said
    assert said.splitlines()[-1].startswith("cells/reference/seed-0: Slurm refuses the job: "), said
    assert "invalid partition" in said.splitlines()[-1]
    assert not Cell(out, "reference/seed-0").folder.joinpath("job.json").exists()
