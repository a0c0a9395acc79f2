"""The largest batch whose forward and backward fit the memory in one pass: tried on a GPU, predicted on a CPU."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from findna_kit.distributed import search_batch_size
from findna_kit.schedules import Clock
from findna_kit.trainer.forward import training_batch
from findna_kit.trainer.step import accumulate_gradients

if TYPE_CHECKING:
    from findna_kit.profile.workload import Workload
    from findna_kit.trainer import Experiment

SIZES = (4, 8, 16)
"""Rows of the passes that a prediction is made from."""
SHARE = 0.7
"""Of the available memory that a prediction gives away: tensors are counted. With what kernels and the allocator take beside
them, processes grew by 1.17 (chordmixer) to 1.34 (mamba, dilated_conv) times as much."""
MOST = 2**20
"""Rows beyond which nobody needs to know."""


def largest_batch(subject: Workload) -> dict[str, Any]:
    """`rows`, and `how` that is known; where it is not, `unknown`, which says why.

    The whole of a step before the optimizer moves, with as many rows in its one pass as in its batch: what a batch-coupled loss
    keeps and compares is in it.
    """
    experiment = subject.experiment()
    if subject.engine.device.type == "cuda":
        rows = search_batch_size(subject.micro_batch, MOST, lambda rows: _take(subject, experiment, rows, rows))
        return {"rows": rows, "how": "tried: twice as many do not fit" if rows < MOST else "tried"}
    available = available_memory()
    if available is None:
        return {"unknown": "this system does not say how much memory is available"}
    needs = [bytes_held(subject, experiment, rows, rows) for rows in SIZES]
    rows = min(MOST, rows_within(SHARE * available, needs))
    # Among few rows such matrices do not show beside the activations, and their share in the peak is seen too small.
    coupled = any(term.loss.coupling == "batch" for term in experiment.losses.values())
    reserve = "; a loss that compares all rows with all may leave room for fewer" if coupled else ""
    return {
        "rows": rows, "how": f"predicted from passes of {', '.join(map(str, SIZES))} rows{reserve}",
        "bytes_per_row": (needs[-1] - needs[-2]) / (SIZES[-1] - SIZES[-2]), "available": available, "share": SHARE,
    }  # fmt: skip


def _take(subject: Workload, experiment: Experiment, rows: int, at_once: int) -> None:
    """Forward and backward of a batch of so many rows, so many in one pass."""
    sized = replace(experiment, batch_size=rows)
    batch = training_batch(sized, subject.genome.windows, 0, torch.arange(rows, device=subject.engine.device))
    accumulate_gradients(sized, subject.genome.windows, subject.engine, Clock(0, sized.steps), batch, at_once)
    for module in (sized.student, sized.predictors):
        module.zero_grad(set_to_none=True)
    for norm in sized.norms:
        norm.before_step()


def bytes_held(subject: Workload, experiment: Experiment, rows: int, at_once: int) -> int:
    """The most that tensors made on the way hold at any time, views, activations and gradients among them."""
    held = _Held()
    with held:
        _take(subject, experiment, rows, at_once)
    return held.most


def rows_within(memory: float, needs: list[int]) -> int:
    """The most rows that a parabola through what SIZES need leaves within the memory; 0 where none fits.

    A line, where no loss compares all rows with all: then its bend is none.
    """
    first, second, third = SIZES
    slopes = [(needs[1] - needs[0]) / (second - first), (needs[2] - needs[1]) / (third - second)]
    bend = max(0.0, (slopes[1] - slopes[0]) / (third - first))
    slope = slopes[1] - bend * (second + third)
    fixed = needs[2] - slope * third - bend * third**2
    if memory <= fixed:
        return 0
    if bend == 0:
        return math.floor((memory - fixed) / slope)
    return math.floor((math.sqrt(slope**2 + 4 * bend * (memory - fixed)) - slope) / (2 * bend))


def available_memory() -> int | None:
    """Bytes that this process may still take without making the machine swap, by Linux; None elsewhere."""
    found = [amount for amount in (_of_machine(), *map(_of_group, _GROUPS)) if amount is not None]
    return min(found, default=None)


_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""What a container is allowed and holds, of either version."""


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _of_group(files: tuple[str, str]) -> int | None:
    try:
        limit, held = (Path(file).read_text().strip() for file in files)
    except OSError:
        return None
    return max(0, int(limit) - int(held)) if limit != "max" else None


class _Held(TorchDispatchMode):
    """Adds up the storages that operations make, for as long as anything holds them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.most: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {id(storage) for storage in _storages((args, kwargs))}
        for storage in {id(storage): storage for storage in _storages(made) if id(storage) not in given}.values():
            size = storage.nbytes()
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._gone, size)
        return made

    def _gone(self, size: int) -> None:
        self.now -= size


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
