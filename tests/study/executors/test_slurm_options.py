"""`--slurm KEY=VALUE`, word for word."""

import pytest
from submitit import SlurmExecutor

from findna_kit.errors import FindnaError
from findna_kit.study.executors.slurm_options import DEFAULT_MINUTES, KEYS, read_settings


def test_what_is_said_is_what_submitit_is_told():
    given = ["partition=gpu", "mem=8G", "cpus-per-task=4", "exclusive", "setup=module load cuda", "setup=ulimit -n 4096"]
    assert read_settings(given) == {
        "time": DEFAULT_MINUTES, "partition": "gpu", "mem": "8G", "cpus_per_task": 4, "exclusive": True,
        "setup": ["module load cuda", "ulimit -n 4096"],
    }  # fmt: skip
    assert read_settings(["gres=gpu:a100:2,shard=1", "exclusive=user"])["gres"] == "gpu:a100:2,shard=1"


def test_submitit_has_every_one_of_them():
    assert set(KEYS) <= SlurmExecutor._valid_parameters()


@pytest.mark.parametrize(("given", "minutes"), [
    ("90", 90), ("90:30", 91), ("2:00:00", 120), ("1-0", 1440), ("1-12:30", 2190), ("1-00:00:01", 1441),
])  # fmt: skip
def test_time_is_slurms(given, minutes):
    assert read_settings([f"time={given}"]) == {"time": minutes}


@pytest.mark.parametrize(("given", "sentence"), [
    (["partion=gpu"], "--slurm partion: unknown setting; did you mean 'partition'?"),
    (["xyz=1"], "--slurm xyz: unknown setting; known: partition, account, qos, time, "),
    (["nodes=2"], "--slurm nodes: follows from trainer.nodes of a cell's recipe"),
    (["ntasks-per-node=2"], "--slurm ntasks_per_node: follows from trainer.devices of a cell's recipe"),
    (["job_name=mine"], "--slurm job_name: is derived from the cell's name"),
    (["mem=1G", "mem=2G"], "--slurm mem: is given twice"),
    (["mem"], "--slurm mem: needs a value, as in --slurm mem=..."),
    (["exclusive="], "--slurm exclusive: needs a value"),
    (["cpus_per_task=four"], "--slurm cpus_per_task: must be an integer above 0, not four"),
    (["time=soon"], "--slurm time: must be minutes, H:M:S or D-H:M:S, not soon"),
    (["time=1:2:3:4"], "--slurm time: must be minutes, H:M:S or D-H:M:S, not 1:2:3:4"),
    (["time=0"], "--slurm time: must be an integer above 0, not 0"),
])  # fmt: skip
def test_what_is_refused(given, sentence):
    with pytest.raises(FindnaError) as refused:
        read_settings(given)
    assert str(refused.value).startswith(sentence)
