"""Cells that have to make room for another job, in each way that Slurm has: they save, they go on, and none has failed."""

from tests.slurm.starting import PREEMPTED
from tests.slurm.test_ablate import LONG, SELDOM, Cell, ablating, ended, steps_of
from tests.study.executors.test_local import rows_kept
from tests.study.writing import write_study

TWO = f"{{rate: {{long: {{steps: {LONG}}}, high: {{steps: 2}}}}}}"
ALONE = "requeue"
"""The partition whose jobs Slurm queues again by itself: they are given no time in which they could end otherwise."""


class Preempted:
    """A study whose first cell is at work in a partition whose jobs make room."""

    def __init__(self, cluster, folder, partition):
        study, out = write_study(folder, seeds=1, factors=TWO, budget=None, overrides=SELDOM), folder / "out"
        self.long, self.short = Cell(out, "reference/seed-0"), Cell(out, "rate-high/seed-0")
        self.call = lambda: ablating(cluster, study, out, "--slurm", f"partition={partition}")
        self.process = self.call()


def test_every_cell_that_is_preempted_goes_on(cluster, tmp_path):
    """Four studies at a time, a partition each. Of the last, `ablate` is killed before, and another call finds what became."""
    studies = {partition: Preempted(cluster, tmp_path / partition, partition) for partition in PREEMPTED}
    assert len(studies) == 4
    last = studies["cancel-grace"]
    kept = {
        partition: cluster.until(lambda one=one: rows_kept(one.long), what="training") for partition, one in studies.items()
    }
    numbers = {partition: int(one.long.job) for partition, one in studies.items()}
    last.process.kill()
    last.process.communicate()
    cluster.ask("sbatch", "--partition=first", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 1")
    gone = {"requeue": "PENDING", "requeue-grace": "COMPLETED", "cancel": "PREEMPTED", "cancel-grace": "COMPLETED"}
    for partition, state in gone.items():
        cluster.until(lambda job=numbers[partition], state=state: cluster.state(job) == state, what=f"{partition}: {state}")
    last.process = last.call()
    for partition, one in studies.items():
        code, _, said = ended(one.process)
        assert code == 0, f"{partition}: {said}"
        states = [line.rpartition(": ")[2] for line in said.splitlines() if line.startswith("cells/reference/seed-0: ")]
        again = f"cells/reference/seed-0: was preempted (job {numbers[partition]}), and is submitted again"
        assert said.splitlines().count(again) == (partition != ALONE), said
        assert [state for state in states if state in ("queued", "running", "finished", "failed")][-3:] == [
            "queued", "running", "finished",
        ], said  # fmt: skip
        assert one.long.jobs[0] == numbers[partition] and len(one.long.jobs) == 1 + (partition != ALONE)
        log = (one.long.folder / "log.txt").read_text()
        assert log.count("SIGTERM: step ") == 1, "it has saved"
        assert (one.long.run / "metrics.jsonl").read_text().startswith(kept[partition]), "gone on with, not begun anew"
        assert steps_of(one.long) == list(range(LONG + 1)), "no step twice"
        assert len(one.short.jobs) == 1
    assert "Restarts=1" in cluster.ask("scontrol", "show", "job", "-o", numbers[ALONE])[1]
