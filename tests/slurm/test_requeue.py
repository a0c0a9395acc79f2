"""A plain sbatch job with trainer.requeue is requeued by Slurm, and ends like an uninterrupted one."""

import json
import shlex

import pytest

from findna_kit import checkpoint
from findna_kit.metrics.writers import read_rows
from tests.pages import blocks, page
from tests.runs.test_several import CHOICES, wait_for_step
from tests.trainer.test_resume import without_times

STEPS = ("--set", "steps=150", "--set", "trainer.validate_every=50", "--set", "trainer.checkpoint_every=10")
RUN = ("run", "self_distill", *CHOICES, *STEPS, "--set", "trainer.requeue=true", "--resume", "run")
(SCRIPT,) = [text for _, text in blocks(page("cluster.md"), "sh") if text.startswith("#!")]
"""The page's own, with other numbers."""


def script(tasks, words):
    text = SCRIPT
    for shown, here in {
        "--ntasks=1": f"--ntasks={tasks}", "--cpus-per-task=8": "--cpus-per-task=1", "--time=4:00:00": "--time=10",
        "findna-kit run mine.yaml --resume runs/mine --set trainer.requeue=true": shlex.join(words),
    }.items():  # fmt: skip
        assert shown in text
        text = text.replace(shown, here)
    return text


def submitted(cluster, folder, tasks, *more):
    folder.mkdir()
    (folder / "job.sh").write_text(script(tasks, cluster.findna(*RUN, *more)))
    code, out, err = cluster.ask("sbatch", "--parsable", "--output=job.txt", "job.sh", cwd=folder)
    assert code == 0, err
    return out.strip()


def over(cluster, job):
    cluster.until(lambda: cluster.state(job) in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"), 200, "its end")
    return cluster.state(job)


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    """What a run of that many processes leaves that nothing interrupts."""
    made = {}

    def run(processes):
        if processes not in made:
            made[processes] = tmp_path_factory.mktemp("whole")
            more = ("--set", f"trainer.devices={processes}")
            code, _, err = cluster.ask(*cluster.findna(*RUN, *more), cwd=made[processes], seconds=200)
            assert code == 0, err
        return made[processes] / "run"

    return run


@pytest.mark.parametrize(("tasks", "processes"), [
    (1, 1),
    (1, 2),  # the kit starts the second process, and Slurm signals all three
    (2, 2),
], ids=["alone", "two by the kit", "two by srun"])  # fmt: skip
def test_a_job_that_gets_sigusr2_is_requeued_and_ends_the_same(tasks, processes, cluster, whole, tmp_path):
    job = submitted(cluster, tmp_path / "job", tasks, "--set", f"trainer.devices={processes}")
    run = tmp_path / "job" / "run"
    wait_for_step(run, 10)
    code, _, err = cluster.ask("scancel", "--signal=USR2", job)
    assert code == 0, err
    cluster.until(lambda: json.loads((run / "run.json").read_text())["status"] == "interrupted", what="the interruption")
    stopped_at = checkpoint.steps_saved(run)[-1]
    assert 10 <= stopped_at < 150
    assert over(cluster, job) == "COMPLETED", (tmp_path / "job" / "job.txt").read_text()
    said = (tmp_path / "job" / "job.txt").read_text()
    assert said.count(f"SIGUSR2: step {stopped_at} of 150 is saved") == 1, said
    assert said.count(f"trainer.requeue: job {job} is requeued") == 1, said
    assert "Traceback" not in said and "was killed by" not in said, said
    assert cluster.ask("scontrol", "show", "job", "-o", job)[1].count("Restarts=1") == 1
    mine, theirs = (checkpoint.path_of(folder, 150) for folder in (run, whole(processes)))
    for name in (checkpoint.MODEL, checkpoint.STATE):
        assert (mine / name).read_bytes() == (theirs / name).read_bytes(), name
    assert without_times(read_rows(run)) == without_times(read_rows(whole(processes)))
