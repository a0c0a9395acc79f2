"""Where the processes of a Slurm step meet, and what is said where they do not."""

import socket
from datetime import timedelta

import pytest

from findna_kit.distributed import Launch
from findna_kit.distributed.rendezvous import Started, meet, meeting_place
from findna_kit.errors import FindnaError

STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "gpu[03-05,9],other"}
TWO = Launch(2, 2, 0, "srun")


@pytest.mark.parametrize(("nodes", "more", "address"), [
    (2, {}, "gpu03"), (1, {}, "127.0.0.1"), (2, {"MASTER_ADDR": "10.0.0.1"}, "10.0.0.1"),
    (2, {"SLURM_STEP_NODELIST": "n1,n2"}, "n1"),
])  # fmt: skip
def test_it_is_the_first_node_unless_it_is_said_otherwise(nodes, more, address):
    assert meeting_place(Launch(2, nodes, 0, "srun"), {**STEP, **more}) == (address, 15007)


def test_every_step_has_a_port_of_its_own():
    steps = [
        meeting_place(TWO, {**STEP, "SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)}) for job in (7, 8) for step in (0, 1)
    ]
    assert len(set(steps)) == 4
    assert all(15000 <= port < 30000 for _, port in steps)
    assert meeting_place(TWO, {**STEP, "MASTER_PORT": "12345"})[1] == 12345


@pytest.mark.parametrize("rank", [0, 1])
def test_a_port_that_is_no_number_is_said_by_the_first(rank):
    with pytest.raises(FindnaError, match="MASTER_PORT must be the number of a port, not here") as wrong:
        meeting_place(Launch(2, 2, rank, "srun"), {**STEP, "MASTER_PORT": "here"})
    assert wrong.value.silent == (rank > 0)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_name_that_nobody_knows_is_said_by_the_first(rank, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "no-such-node.invalid")
    monkeypatch.setenv("MASTER_PORT", "15007")
    with pytest.raises(
        FindnaError, match=r"the processes do not meet at no-such-node.invalid:15007 .*; MASTER_ADDR and"
    ) as apart:
        meet(Launch(2, 2, rank, "srun"), "gloo", timedelta(seconds=1))
    assert apart.value.silent is (rank == 1)


def test_a_port_that_is_taken_is_said(monkeypatch):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port))
        with pytest.raises(FindnaError, match=f"the processes do not meet at 127.0.0.1:{port} "):
            meet(Launch(2, 1, 0, "srun"), "gloo", timedelta(seconds=1))


def test_what_fabric_is_told(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "15007")
    started = Started(Launch(4, 2, 3, "srun", 1, 1))
    started.set_world_size(9)
    started.set_global_rank(9)
    assert (started.world_size(), started.global_rank(), started.local_rank(), started.node_rank()) == (4, 3, 1, 1)
    assert (started.main_address, started.main_port, started.creates_processes_externally) == ("10.0.0.1", 15007, True)
    assert not Started.detect()
