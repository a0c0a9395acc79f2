"""The launcher and its number of processes: variables of torchrun, of srun and of the kit's supervisor."""

import pytest

from findna_kit.distributed import SUPERVISOR, Launch, current_launch
from findna_kit.errors import FindnaError

TORCHRUN = {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5", "LOCAL_RANK": "1", "GROUP_RANK": "1"}
SRUN = {
    "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NTASKS": "4",
}  # fmt: skip


@pytest.mark.parametrize(("environment", "found"), [
    ({}, None),
    (TORCHRUN, Launch(8, 2, 5, "torchrun", 1)),
    ({**TORCHRUN, SUPERVISOR: "file"}, Launch(8, 2, 5, "findna-kit", 1)),
    ({"WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Launch(1, 1, 0, "torchrun")),  # its caller asked for one
    (SRUN, Launch(4, 2, 3, "srun", 1)),
    ({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}, None),  # here the kit may start several
    ({**SRUN, **TORCHRUN}, Launch(8, 2, 5, "torchrun", 1)),
])  # fmt: skip
def test_launch_from_the_environment(environment, found):
    assert current_launch(environment) == found


@pytest.mark.parametrize("step", ["batch", ""])
def test_a_batch_script_is_one_process(step):
    """It has its job's number of tasks; only steps that srun starts have a number."""
    assert current_launch({**SRUN, "SLURM_STEP_ID": step}) is None
    assert current_launch({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None


def test_processes_on_a_node():
    assert Launch(8, 2, 5, "srun").per_node == 4


@pytest.mark.parametrize("rank", ["0", "2"])
def test_more_on_one_node_than_on_another_is_refused_once(rank):
    sentence = "srun started 3 processes on 2 nodes: every node needs the same number; give --ntasks-per-node"
    with pytest.raises(FindnaError, match=sentence) as refused:
        current_launch({**SRUN, "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": rank})
    assert refused.value.silent is (rank == "2")
