"""Who started this process beside others: torchrun, srun, or the kit itself; lightning-fabric stands behind this door."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUPERVISOR = "FINDNA_KIT_SUPERVISOR"
"""Set by the kit for processes that it starts: the file by which they tell it their run's folder."""
LOST = ".lost"
"""Ends the name of the file beside it by which they tell it that one of them is gone."""
_PATIENCE = timedelta(days=1)
"""For a collective: the first process may score tasks while the others wait. One that is gone is noticed by `watch`."""


@dataclass(frozen=True)
class Launch:
    """How many processes were started, on how many nodes, and by whom; `rank` is this one's number."""

    processes: int
    nodes: int
    rank: int
    by: str

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.processes // self.nodes


def launched(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """What the launcher says; None where this process is alone.

    Slurm's own numbers count only in a step that srun started: a batch script has the job's, and is one process.
    """
    if "LOCAL_RANK" in environment and "WORLD_SIZE" in environment:
        processes = int(environment["WORLD_SIZE"])
        per_node = int(environment.get("LOCAL_WORLD_SIZE", processes))
        by = "findna-kit" if SUPERVISOR in environment else "torchrun"
        found = Launch(processes, max(1, processes // per_node), int(environment.get("RANK", environment["LOCAL_RANK"])), by)
    elif "SLURM_STEP_NUM_TASKS" in environment and environment.get("SLURM_STEP_ID", "").isdigit():
        nodes = int(environment.get("SLURM_STEP_NUM_NODES", 1))
        found = Launch(int(environment["SLURM_STEP_NUM_TASKS"]), nodes, int(environment.get("SLURM_PROCID", 0)), "srun")
    else:
        return None
    return found if found.processes > 1 else None


def start_fabric(accelerator: str, launch: Launch) -> Any:
    """A lightning-fabric with its process group."""
    from lightning_fabric import Fabric  # 2.4 s of imports that one process does not need
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    own = LightningEnvironment() if launch.by == "findna-kit" else None
    strategy = DDPStrategy(timeout=_PATIENCE, cluster_environment=own)
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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*srun.* command is available on your system but is not used.*")
        try:
            yield
        finally:
            loud.setLevel(before)
