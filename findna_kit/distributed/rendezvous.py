"""Where the processes that a launcher has started find each other: what fabric and torch.distributed are told."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.distributed.launcher import Launch

_MEETING = timedelta(minutes=5)
"""Until the last process of a step must have come: imports from a slow file system take their time."""
_PORTS = range(15000, 30000)
"""Below those that the system gives to anybody."""


class Started(ClusterEnvironment):
    """What the launcher has said, for fabric.

    Fabric's own guesses take the numbers of a Slurm job for those of a step, and refuse `srun -n 2`.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    @property
    def creates_processes_externally(self) -> bool:
        """They are there."""
        return True

    @property
    def main_address(self) -> str:
        """Where the first process is."""
        return os.environ["MASTER_ADDR"]

    @property
    def main_port(self) -> int:
        """Where it listens."""
        return int(os.environ["MASTER_PORT"])

    @staticmethod
    def detect() -> bool:
        """It is never guessed."""
        return False

    def world_size(self) -> int:
        """All processes."""
        return self._launch.processes

    def set_world_size(self, size: int) -> None:
        """The launcher has set it."""

    def global_rank(self) -> int:
        """The process's number."""
        return self._launch.rank

    def set_global_rank(self, rank: int) -> None:
        """The launcher has set it."""

    def local_rank(self) -> int:
        """Its number on its node."""
        return self._launch.local

    def node_rank(self) -> int:
        """The number of its node."""
        return self._launch.node


def meeting_place(launch: Launch, environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Address and port where the first process of a Slurm step listens: MASTER_ADDR and MASTER_PORT, where they are set.

    Else the node itself where it is the only one, or the first one's name; and a port of the step's own. Raises FindnaError for
    a port that is no number.
    """
    job, step = (int(environment.get(name, 0)) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    stated = environment.get("MASTER_PORT", str(_PORTS[(job + 1009 * step) % len(_PORTS)]))
    if not stated.isdecimal():
        wrong = FindnaError(f"MASTER_PORT must be the number of a port, not {stated}")
        wrong.silent = launch.rank > 0
        raise wrong
    first = SLURMEnvironment.resolve_root_node_address(environment.get("SLURM_STEP_NODELIST", "127.0.0.1"))
    return environment.get("MASTER_ADDR", "127.0.0.1" if launch.nodes == 1 else first), int(stated)


def meet(launch: Launch, backend: str, patience: timedelta) -> None:
    """Makes the process group of a Slurm step, whose srun does not end the others where one does not come.

    patience: for a collective. Raises FindnaError, said by the first process, where they do not find each other.
    """
    address, port = meeting_place(launch)
    os.environ.update(MASTER_ADDR=address, MASTER_PORT=str(port))  # as fabric does; the heartbeat reads it
    try:
        socket.getaddrinfo(address, port)
        store = TCPStore(address, port, launch.processes, is_master=launch.rank == 0, timeout=_MEETING)
    except (OSError, DistError) as error:
        reason = str(error).splitlines()[0]
        apart = FindnaError(
            f"the processes do not meet at {address}:{port} ({reason}); MASTER_ADDR and MASTER_PORT name another place"
        )
        apart.silent = launch.rank > 0
        raise apart from error
    torch.distributed.init_process_group(
        backend, store=store, rank=launch.rank, world_size=launch.processes, timeout=patience,
        device_id=torch.device("cuda", launch.local) if backend == "nccl" else None,
    )  # fmt: skip
