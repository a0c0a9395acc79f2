"""Submission of a cell's job with submitit."""

from __future__ import annotations

import io
import os
import re
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING
from uuid import uuid4

from findna_kit.study.cells import LOG
from findna_kit.study.executors.local import cell_command
from findna_kit.study.executors.slurm_job import CellJob
from findna_kit.study.job_lock import JOB_LOGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.study.cells import CellFolder
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.executors.slurm_options import SlurmSettings

_MAX_TIMEOUTS = 100
"""How often a job that reached its time limit is queued again."""


class SubmissionRefused(Exception):
    """An error of sbatch, with its message."""


def job_name(folder: CellFolder) -> str:
    """Return a unique name for a cell's job: the cell, and a random word."""
    cell = re.sub(r"[^\w.+-]", "-", folder.cell.relative_path.removeprefix("cells/"))
    # A cell may get several jobs one after the other, and squeue still lists ended ones for some minutes: only the random word
    # tells them apart.
    return f"{cell}-{uuid4().hex[:10]}"


def submit(folder: CellFolder, name: str, options: ExecutionOptions, settings: SlurmSettings) -> str:
    """Submit a job that runs the cell, and return the job's ID. Raise SubmissionRefused where sbatch fails."""
    from submitit import AutoExecutor  # an optional library, which only this executor needs
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    trainer = folder.cell.recipe.trainer
    # Since Slurm 22.05, srun no longer inherits --cpus-per-task from sbatch.
    cores = [f"--cpus-per-task={settings['cpus_per_task']}"] if "cpus_per_task" in settings else []
    srun_args = settings.get("srun_args", [])
    extra_args = srun_args if isinstance(srun_args, list) else [str(srun_args)]
    parameters = {**settings, "srun_args": [*cores, *extra_args], "stderr_to_stdout": True, "job_name": name}
    executor = AutoExecutor(folder.folder / JOB_LOGS, cluster="slurm", slurm_max_num_timeout=_MAX_TIMEOUTS)
    executor.update_parameters(
        nodes=trainer.nodes, tasks_per_node=trainer.devices, **{f"slurm_{key}": value for key, value in parameters.items()}
    )
    job = CellJob(str(folder.folder), name, tuple(cell_command(folder, options)), str(folder.folder / LOG))
    try:
        with without_outer_job(), redirect_stderr(io.StringIO()):  # submitit prints what it raises, too
            return str(executor.submit(job).job_id)
    except (FailedJobError, FailedSubmissionError) as error:
        lines = str(error).strip().splitlines() or ["sbatch gives no reason"]
        raise SubmissionRefused(lines[0].removeprefix("sbatch: ")) from error


def is_submitted(folder: CellFolder, job_id: str) -> bool:
    """Return whether the file that tells a job what to do exists; not so where a call was killed right after sbatch."""
    from submitit.core.utils import JobPaths  # as above

    return bool(JobPaths(folder.folder / JOB_LOGS, job_id).submitted_pickle.exists())


@contextmanager
def without_outer_job() -> Iterator[None]:
    """Remove the variables of a surrounding Slurm job from the environment, except where Slurm's configuration is.

    `ablate` may itself run in a job, whose settings sbatch would otherwise take over.
    """
    from submitit.helpers import clean_env  # as above

    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    configuration = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env():
        os.environ.update(configuration)
        yield
