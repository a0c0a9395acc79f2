"""Rendezvous of the processes of a Slurm step, and the errors if it fails."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from findna_kit.distributed import Launch
from findna_kit.distributed.rendezvous import slurm_address, slurm_store
from findna_kit.errors import FindnaError

STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "gpu[03-05,9],other"}
TWO = Launch(2, 2, 0, "srun")


@pytest.mark.parametrize(("nodes", "more", "address"), [
    (2, {}, "gpu03"), (1, {}, "127.0.0.1"), (2, {"MASTER_ADDR": "10.0.0.1"}, "10.0.0.1"),
    (2, {"SLURM_STEP_NODELIST": "n1,n2"}, "n1"),
    (2, {"SLURM_STEP_NODELIST": "rack[1-2]node[3-4,7]"}, "rack1node3"), (2, {"SLURM_STEP_NODELIST": "n[07]"}, "n07"),
])  # fmt: skip
def test_the_address_is_the_first_node_unless_it_is_set(nodes, more, address):
    assert slurm_address(Launch(2, nodes, 0, "srun"), {**STEP, **more}) == (address, 15007)


def test_every_step_has_a_port_of_its_own():
    steps = [
        slurm_address(TWO, {**STEP, "SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)}) for job in (7, 8) for step in (0, 1)
    ]
    assert len(set(steps)) == 4
    assert all(15000 <= port < 30000 for _, port in steps)
    assert slurm_address(TWO, {**STEP, "MASTER_PORT": "12345"})[1] == 12345


@pytest.mark.parametrize("rank", [0, 1])
def test_a_port_that_is_no_number_is_reported_once(rank):
    with pytest.raises(FindnaError, match="MASTER_PORT must be a port number, not here") as wrong:
        slurm_address(Launch(2, 2, rank, "srun"), {**STEP, "MASTER_PORT": "here"})
    assert wrong.value.silent == (rank > 0)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_unknown_host_is_reported_once(rank, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "no-such-node.invalid")
    monkeypatch.setenv("MASTER_PORT", "15007")
    with pytest.raises(
        FindnaError, match=r"the processes cannot connect to each other at no-such-node.invalid:15007 .*; set MASTER_ADDR and"
    ) as apart:
        slurm_store(Launch(2, 2, rank, "srun"))
    assert apart.value.silent is (rank == 1)


def test_a_port_that_is_taken_is_reported(monkeypatch):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port))
        with pytest.raises(FindnaError, match=f"the processes cannot connect to each other at 127.0.0.1:{port} "):
            slurm_store(Launch(2, 1, 0, "srun"))


HELD = """
import sys
from pathlib import Path
import torch
from findna_kit.distributed import Engine, Launch
from findna_kit.distributed.rendezvous import init_process_group

init_process_group(Launch(1, 1, 0, "torchrun"), torch.device("cpu"))
parameter = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.AdamW([parameter])  # the first optimizer imports much of torch
parameter.grad = torch.ones(3)
torch.distributed.all_reduce(parameter.grad)
optimizer.step()
print([task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()])
Engine(torch.device("cpu"), "fp32", 0, 2).close()
print([task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()])
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are listed in /proc, which only Linux has")
def test_no_thread_of_gloo_outlives_the_process_group():
    # One that did would need Python after its end now and then, and abort the process of a run that is complete.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", HELD], capture_output=True, text=True, timeout=120, check=True, env=environment
    )  # fmt: skip
    during, after = done.stdout.splitlines()
    assert "gloo" in during
    assert "gloo" not in after
