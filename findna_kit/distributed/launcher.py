"""Who started this process beside others: torchrun, srun, or the kit itself; lightning-fabric stands behind this door."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUPERVISOR = "FINDNA_KIT_SUPERVISOR"
"""Set by the kit for processes that it starts: the file by which they tell it their run's folder."""
LOST = ".lost"
"""Ends the name of the file beside it by which they tell it that one of them is gone."""
PATIENCE = timedelta(days=1)
"""For a collective: the first process may score tasks while the others wait. One that is gone is noticed by `watch`."""


@dataclass(frozen=True)
class Launch:
    """How many processes were started, on how many nodes, and by whom.

    rank: this one's number; local: its number on its node; node: the number of its node.
    """

    processes: int
    nodes: int
    rank: int
    by: str
    local: int = 0
    node: int = 0

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.processes // self.nodes


def current_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """What the launcher says; None where there is none.

    Slurm's own numbers count only in a step of several tasks that srun started. A batch script has the job's, and is one
    process, as is a step of one task: there the kit may start processes of its own. torchrun is a launcher with one, too.
    Raises FindnaError where srun has put more processes on one node than on another.
    """
    if "LOCAL_RANK" in environment and "WORLD_SIZE" in environment:
        return _of_torchrun(environment)
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and environment.get("SLURM_STEP_ID", "").isdigit():
        return _of_srun(environment)
    return None


def _of_torchrun(environment: Mapping[str, str]) -> Launch:
    processes, local = int(environment["WORLD_SIZE"]), int(environment["LOCAL_RANK"])
    per_node = int(environment.get("LOCAL_WORLD_SIZE", processes))
    by = "findna-kit" if SUPERVISOR in environment else "torchrun"
    rank = int(environment.get("RANK", local))
    return Launch(processes, max(1, processes // per_node), rank, by, local, int(environment.get("GROUP_RANK", 0)))


def _of_srun(environment: Mapping[str, str]) -> Launch:
    processes, nodes = (int(environment.get(f"SLURM_STEP_NUM_{what}", 1)) for what in ("TASKS", "NODES"))
    rank, local, node = (int(environment.get(f"SLURM_{what}", 0)) for what in ("PROCID", "LOCALID", "NODEID"))
    if processes % nodes:
        uneven = FindnaError(
            f"srun started {processes} processes on {nodes} nodes: as many are needed on each; give --ntasks-per-node"
        )
        uneven.silent = rank > 0
        raise uneven
    return Launch(processes, nodes, rank, "srun", local, node)


def start_fabric(accelerator: str, launch: Launch) -> Any:
    """A lightning-fabric with its process group. Raises FindnaError where the processes of a Slurm step cannot meet."""
    from lightning_fabric import Fabric  # 2.4 s of imports that one process does not need
    from lightning_fabric.strategies.ddp import DDPStrategy

    from findna_kit.distributed.rendezvous import Started, meet

    if launch.by == "srun":
        meet(launch, "nccl" if accelerator == "cuda" else "gloo", PATIENCE)
    strategy = DDPStrategy(timeout=PATIENCE, cluster_environment=Started(launch))
    with _quiet():
        fabric = Fabric(accelerator=accelerator, devices=launch.per_node, num_nodes=launch.nodes, strategy=strategy)
        fabric.launch()
    return fabric


@contextmanager
def _quiet() -> Iterator[None]:
    """Without fabric's own remarks on how many processes there are: the run says that in its words."""
    loud = logging.getLogger("lightning_fabric")
    before = loud.level
    loud.setLevel(logging.WARNING)
    try:
        yield
    finally:
        loud.setLevel(before)
