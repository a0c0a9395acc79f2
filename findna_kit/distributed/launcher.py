"""The launcher of this process: torchrun, srun or the kit's own supervisor, read from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping

SUPERVISOR = "FINDNA_KIT_SUPERVISOR"
"""Environment variable that the supervisor sets for its processes: the file in which they report the run's folder."""
LOST = ".lost"
"""Suffix of the file next to it in which they report a lost process."""


@dataclass(frozen=True)
class Launch:
    """The processes that a launcher started, and the position of this process among them.

    rank: in the whole run; local_rank: on its node. launcher: torchrun, srun or findna-kit.
    """

    world_size: int
    nodes: int
    rank: int
    launcher: str
    local_rank: int = 0

    @property
    def per_node(self) -> int:
        """Return the number of processes on each node."""
        return self.world_size // self.nodes


def current_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return how a launcher started this process, or None if no launcher did.

    torchrun always counts as a launcher, even with one process. Slurm counts only in a step of several tasks that srun
    started: a batch script carries the numbers of its job but is one process, as is a step of one task, and the kit may start
    processes of its own in both. Raises FindnaError if srun put more processes on one node than on another.
    """
    if "LOCAL_RANK" in environment and "WORLD_SIZE" in environment:
        return _torchrun_launch(environment)
    # The step of a batch script is called "batch"; only steps started by srun have a number.
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and environment.get("SLURM_STEP_ID", "").isdigit():
        return _srun_launch(environment)
    return None


def _torchrun_launch(environment: Mapping[str, str]) -> Launch:
    world_size, local_rank = int(environment["WORLD_SIZE"]), int(environment["LOCAL_RANK"])
    per_node = int(environment.get("LOCAL_WORLD_SIZE", world_size))
    # The supervisor sets the variables of torchrun, and one more.
    launcher = "findna-kit" if SUPERVISOR in environment else "torchrun"
    rank = int(environment.get("RANK", local_rank))
    return Launch(world_size, max(1, world_size // per_node), rank, launcher, local_rank)


def _srun_launch(environment: Mapping[str, str]) -> Launch:
    world_size, nodes = (int(environment.get(f"SLURM_STEP_NUM_{unit}", 1)) for unit in ("TASKS", "NODES"))
    rank, local_rank = (int(environment.get(f"SLURM_{name}", 0)) for name in ("PROCID", "LOCALID"))
    if world_size % nodes:
        # Every process finds this error by itself; only rank 0 prints it.
        error = FindnaError(
            f"srun started {world_size} processes on {nodes} nodes: every node needs the same number; give --ntasks-per-node"
        )
        error.silent = rank > 0
        raise error
    return Launch(world_size, nodes, rank, "srun", local_rank)
