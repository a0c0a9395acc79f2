"""The maximum batch size that fits memory in one forward and backward pass: tried on a GPU, predicted on a CPU."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

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
"""Batch sizes of the passes that a prediction is made from."""
SHARE = 0.7
"""Share of the available memory that a prediction uses for tensors. Kernels and the allocator need more: when measured,
processes grew by 1.17 (chordmixer) to 1.34 (mamba, dilated_conv) times the bytes of their tensors."""
MAX_ROWS = 2**20
"""Largest batch size that is tried or reported."""


class MaxBatch(TypedDict, total=False):
    """The maximum batch size for JSON: `rows` and `how` it is known, with numbers of a prediction; or why it is `unknown`."""

    rows: int
    how: str
    unknown: str
    bytes_per_row: float
    available: int
    share: float


def largest_batch(workload: Workload) -> MaxBatch:
    """Return `rows`, the maximum batch size, and `how` it was determined; or `unknown`, the reason why it is not known.

    The pass includes everything of a step up to the optimizer, for the whole batch at once, so that it holds what a
    batch-coupled loss caches and compares.
    """
    experiment = workload.experiment()
    if workload.engine.device.type == "cuda":
        # On a GPU an out-of-memory error can be caught, so that trying is exact and safe.
        rows = search_batch_size(workload.micro_batch, MAX_ROWS, lambda rows: _run_pass(workload, experiment, rows, rows))
        return {"rows": rows, "how": "tried: twice as many do not fit" if rows < MAX_ROWS else "tried"}
    available = available_memory()
    if available is None:
        return {"unknown": "the operating system does not report how much memory is available"}
    needs = [peak_tensor_bytes(workload, experiment, rows, rows) for rows in SIZES]
    rows = min(MAX_ROWS, max_rows(SHARE * available, needs))
    # A loss that compares all rows has a matrix that grows quadratically, which small passes show too little of.
    coupled = any(term.loss.coupling == "batch" for term in experiment.losses.values())
    reserve = "; a loss that compares all pairs of samples may need more memory" if coupled else ""
    return {
        "rows": rows, "how": f"predicted from passes of {', '.join(map(str, SIZES))} samples{reserve}",
        "bytes_per_row": (needs[-1] - needs[-2]) / (SIZES[-1] - SIZES[-2]), "available": available, "share": SHARE,
    }  # fmt: skip


def _run_pass(workload: Workload, experiment: Experiment, rows: int, at_once: int) -> None:
    """Run forward and backward for a batch of `rows` rows in micro-batches of `at_once`."""
    sized = replace(experiment, batch_size=rows)
    indices = torch.arange(rows, device=workload.engine.device)
    batch = training_batch(sized, workload.genome.windows, 0, indices, longest=True)
    accumulate_gradients(sized, workload.genome.windows, workload.engine, Clock(0, sized.steps), batch, at_once)
    for module in (sized.student, sized.predictors):
        module.zero_grad(set_to_none=True)
    for norm in sized.norms:
        norm.before_step()


def peak_tensor_bytes(workload: Workload, experiment: Experiment, rows: int, at_once: int) -> int:
    """Return the peak bytes of the tensors created during a pass: views, activations, gradients."""
    memory = _TensorMemory()
    with memory:
        _run_pass(workload, experiment, rows, at_once)
    return memory.peak


def max_rows(memory: float, needs: list[int]) -> int:
    """Return the largest batch size within `memory` bytes, extrapolated from the bytes `needs` of passes of SIZES; 0 if none.

    The model is fixed + slope * rows + bend * rows ** 2, solved exactly through the three points. Memory is linear in the
    batch size, except for losses that compare all pairs of rows: a linear model would overestimate theirs. Trying sizes until
    the memory is full, as on a GPU, would make the machine swap or get the process killed.
    """
    first, second, third = SIZES
    slopes = [(needs[1] - needs[0]) / (second - first), (needs[2] - needs[1]) / (third - second)]
    # Newton's divided differences: between sizes a and b the parabola rises by slope + bend * (a + b) per row. A negative bend
    # would promise that large batches cost less for each row than small ones, so a line is used instead.
    bend = max(0.0, (slopes[1] - slopes[0]) / (third - first))
    slope = slopes[1] - bend * (second + third)
    fixed = needs[2] - slope * third - bend * third**2
    if memory <= fixed:
        return 0
    if bend == 0:
        return math.floor((memory - fixed) / slope)
    return math.floor((math.sqrt(slope**2 + 4 * bend * (memory - fixed)) - slope) / (2 * bend))


def available_memory() -> int | None:
    """Return the bytes that this process can still allocate without swapping, according to Linux; None elsewhere."""
    amounts = [amount for amount in (_machine_memory(), *map(_cgroup_memory, _GROUPS)) if amount is not None]
    return min(amounts, default=None)


_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Files with the limit and the usage of a container, for cgroups version 2 and 1."""


def _machine_memory() -> int | None:
    """Return the available memory of the machine, from /proc/meminfo."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _cgroup_memory(files: tuple[str, str]) -> int | None:
    """Return the memory that a container may still use, None without a limit."""
    try:
        limit, usage = (Path(file).read_text().strip() for file in files)
    except OSError:
        return None
    # cgroups version 1 writes a huge number for no limit, which the machine's available memory then undercuts.
    return max(0, int(limit) - int(usage)) if limit != "max" else None


class _TensorMemory(TorchDispatchMode):
    """Sums the bytes of the storages that operators create, for as long as they are referenced."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.peak: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        inputs = {id(storage) for storage in _storages((args, kwargs))}
        # Views share the storage of their input and add nothing.
        for storage in {id(storage): storage for storage in _storages(results) if id(storage) not in inputs}.values():
            size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            # The storage is subtracted when its last reference goes, as the allocator does.
            weakref.finalize(storage, self._release, size)
        return results

    def _release(self, size: int) -> None:
        """Subtract a storage that was freed."""
        self.now -= size


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    """Return the storages of all tensors in a nested structure."""
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
