"""`findna-kit ablate --executor slurm` on a real Slurm: whatever is killed, what is finished stays; only the rest is run."""

import json
import os
import signal
from pathlib import Path

from findna_kit import checkpoint
from findna_kit.metrics.writers import read_rows
from tests.ablation.test_local import trained_some
from tests.ablation.writing import CUT, write_study

LONG = 400
"""Steps of cells that are to be caught at work."""
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


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_what_is_killed_is_run_by_the_second_call_and_nothing_else(cluster, tmp_path):
    study, out = write_study(tmp_path, factors=FOUR, budget=None, overrides=SELDOM), tmp_path / "out"
    conditions = ("reference", "rate-long", "rate-high", "rate-higher")
    names = [f"{condition}/seed-{seed}" for condition in conditions for seed in (0, 1)]
    cells = {name: Cell(out, name) for name in names}
    cancelled, killed = cells["rate-long/seed-0"], cells["rate-long/seed-1"]
    first = ablating(cluster, study, out, "--jobs", "4")
    cluster.until(lambda: trained_some(cancelled) and trained_some(killed), what="training")
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

    code, printed, said = ended(ablating(cluster, study, out, "--jobs", "4"))
    assert code == 0, said
    assert f"cells/rate-long/seed-0: was ended by scancel (job {dead[0]}) meanwhile, and goes on now" in said
    assert f"cells/rate-long/seed-1: was ended by SIGKILL (job {dead[1]}) meanwhile, and goes on now" in said
    assert "rate-higher" in printed and (out / "result.json").is_file()
    assert {folder: files(folder) for folder in before} == before, "what was finished was not touched"
    assert {name: len(cell.jobs) for name, cell in cells.items()} == {name: 1 + ("long" in name) for name in names}
    for cell in (cancelled, killed):
        assert [row["step"] for row in read_rows(cell.run)] == list(range(LONG + 1)), "gone on with, no step twice"


def test_a_job_that_is_warned_is_queued_again_and_one_that_is_cancelled_is_said(cluster, tmp_path):
    """Two cells, and one call. Ctrl-C of an earlier one leaves both jobs as they are."""
    study, out = write_study(tmp_path, seeds=1, budget=f"{{steps: {LONG}}}", overrides=SELDOM), tmp_path / "out"
    warned, cancelled = Cell(out, "reference/seed-0"), Cell(out, "rate-high/seed-0")
    first = ablating(cluster, study, out, "--jobs", "2")
    cluster.until(lambda: warned.processes() and cancelled.processes(), what="both jobs")
    numbers = (warned.job, cancelled.job)
    first.send_signal(signal.SIGINT)
    code, _, said = ended(first)
    assert (code, said.splitlines()[-1]) == (
        130, f"jobs {numbers[0]}, {numbers[1]} go on without this command, and the same one finds them again; "
        f"`scancel {numbers[0]} {numbers[1]}` ends them",
    )  # fmt: skip
    second = ablating(cluster, study, out, "--jobs", "2")
    cluster.until(lambda: trained_some(warned) and trained_some(cancelled), what="training")
    assert (warned.job, cancelled.job) == numbers
    cluster.ask("scancel", "--signal=USR2", warned.job)
    cluster.until(lambda: cluster.state(numbers[0]) == "PENDING", what="the queue")
    stopped_at = checkpoint.steps_saved(warned.run)[-1]
    cluster.ask("scancel", cancelled.job)
    code, _, said = ended(second)
    assert code == 3, said
    assert said.splitlines()[-2:] == [
        f"cells/rate-high/seed-0: was ended by scancel (job {numbers[1]}); the same command goes on with it",
        f"{out}: 1 finished, 1 missing",
    ]  # fmt: skip
    assert 0 < stopped_at < LONG
    assert warned.jobs == [int(numbers[0])], "the same job, queued again"
    assert f"Requeued job {numbers[0]}" in "".join(path.read_text() for path in warned.folder.glob("job/*_log.out"))
    assert [row["step"] for row in read_rows(warned.run)] == list(range(LONG + 1))
    log = (warned.folder / "log.txt").read_text()
    assert f"SIGUSR2: step {stopped_at} of {LONG} is saved" in log


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
