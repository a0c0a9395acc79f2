"""Rendezvous: how the processes of one run find each other and form a torch.distributed process group."""

from __future__ import annotations

import os
import re
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

import torch

# Imported before any process group exists: its functions take the group of that moment as the default of a parameter, and so
# would hold it, with gloo's threads, until Python ends. The first optimizer imports it otherwise.
import torch.distributed.nn.functional
from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.distributed.launcher import Launch

COLLECTIVE_TIMEOUT = timedelta(days=1)
"""Limit of one collective: the main process may score tasks for hours while the others wait. The heartbeat finds lost ones."""
_JOIN_TIMEOUT = timedelta(minutes=5)
"""Time for the last process of a Slurm step to join: imports from a slow file system take long."""
_PORTS = range(15000, 30000)
"""Below the ephemeral ports, which the system gives to any program."""


def init_process_group(launch: Launch, device: torch.device) -> None:
    """Join the process group of this run: NCCL for a CUDA device, gloo for the CPU.

    torchrun and the kit's supervisor set MASTER_ADDR and MASTER_PORT, and end all processes if one of them does not start.
    srun does neither, so the store of a Slurm step is made here. Raises FindnaError if its processes cannot connect.
    """
    on_gpu = device.type == "cuda"
    torch.distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=slurm_store(launch) if launch.launcher == "srun" else None,
        rank=launch.rank,
        world_size=launch.world_size,
        timeout=COLLECTIVE_TIMEOUT,
        device_id=device if on_gpu else None,  # NCCL connects at once, so a broken network is found before the first step
    )


def slurm_address(launch: Launch, environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Return the address and port at which the main process of a Slurm step listens.

    MASTER_ADDR and MASTER_PORT are taken if they are set. Otherwise the address is the step's first node (127.0.0.1 if it is
    the only node), and the port is derived from the numbers of job and step, so that steps on one node do not collide. Raises
    FindnaError if MASTER_PORT is not a number.
    """
    job, step = (int(environment.get(name, 0)) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    # Times 1009, since with job + step the second step of a job would get the port of the next job's first step.
    port = environment.get("MASTER_PORT", str(_PORTS[(job + 1009 * step) % len(_PORTS)]))
    if not port.isdecimal():
        error = FindnaError(f"MASTER_PORT must be a port number, not {port}")
        error.silent = launch.rank > 0
        raise error
    first_node = _first_host(environment.get("SLURM_STEP_NODELIST", "127.0.0.1"))
    return environment.get("MASTER_ADDR", "127.0.0.1" if launch.nodes == 1 else first_node), int(port)


def _first_host(nodelist: str) -> str:
    """Return the first host of a Slurm node list: `gpu[03-05,9],other` gives `gpu03`."""
    return re.sub(r"\[([^],-]+)[^]]*\]", r"\1", nodelist).split(",")[0]


def slurm_store(launch: Launch) -> TCPStore:
    """Connect the processes of a Slurm step through a store that the main process keeps.

    Raises FindnaError, printed by the main process only, if they do not connect within five minutes.
    """
    address, port = slurm_address(launch)
    os.environ.update(MASTER_ADDR=address, MASTER_PORT=str(port))  # as other launchers do; the heartbeat reads it
    try:
        socket.getaddrinfo(address, port)  # TCPStore would retry an unknown name until the timeout
        return TCPStore(address, port, launch.world_size, is_master=launch.rank == 0, timeout=_JOIN_TIMEOUT)
    except (OSError, DistError) as error:
        reason = str(error).splitlines()[0]
        failure = FindnaError(
            f"the processes cannot connect to each other at {address}:{port} ({reason}); "
            "set MASTER_ADDR and MASTER_PORT to another address"
        )
        failure.silent = launch.rank > 0
        raise failure from error
