"""The device of a process and its memory; the precision of its matrix products; what `auto` resolves to."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import TYPE_CHECKING, Literal, TypedDict

import torch

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from findna_kit.distributed.launcher import Launch

Precision = Literal["bf16", "fp32"]


def choose_device(device: str) -> torch.device:
    """Return the device for auto, cpu or cuda; auto is a GPU if torch sees one. Raises FindnaError for any other name."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise FindnaError("--device cuda: torch sees no CUDA device here; use --device cpu, or auto")
    if device not in ("cpu", "cuda"):
        raise FindnaError(f"--device {device}: must be auto, cpu or cuda")
    return torch.device(device)


def local_device(device: torch.device, launch: Launch) -> torch.device:
    """Return this process's device on its node, and make it torch's current device: one GPU for each process.

    Raises FindnaError if the node has fewer GPUs than processes.
    """
    if device.type != "cuda":
        return device
    visible = torch.cuda.device_count()
    # srun may show every task only its own GPUs, each of them numbered from 0; other launchers show all of them to all.
    if visible < launch.per_node and launch.launcher != "srun":
        error = FindnaError(
            f"trainer.devices {launch.per_node}: torch sees {visible} GPUs on this machine; "
            "start fewer processes, or use --device cpu"
        )
        error.silent = launch.rank > 0
        raise error
    chosen = torch.device("cuda", launch.local_rank % visible)
    torch.cuda.set_device(chosen)
    return chosen


def choose_precision(precision: str, device: torch.device) -> Precision:
    """Return bf16 or fp32; auto is bf16 on a GPU that multiplies in it natively and on a CPU with AMX, elsewhere fp32."""
    if precision in ("bf16", "fp32"):
        return precision  # type: ignore[return-value]
    # AVX512-BF16 alone does not pay: its products are no faster than those of fp32, and the casts come on top. On an Intel Xeon
    # without AMX the default recipe trains 1.2 to 1.3 times as fast in fp32. torch has no public name for the check.
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def keep_freed_memory() -> None:
    """Make glibc keep memory that tensors of one step free for the next step, instead of returning it to the system.

    By default glibc returns it in some processes and not in others, and those pay page faults in every step. Blocks above
    32 MiB, the largest threshold that glibc allows, are still returned. Does nothing if the C library has no `mallopt`.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""


def halve_until_fits(batch_size: int, attempt: Callable[[int], None]) -> int:
    """Return the largest of batch_size, its half, its quarter, ... for which `attempt` does not run out of GPU memory.

    Raises FindnaError if not even one sample fits.
    """
    while True:
        try:
            attempt(batch_size)
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise FindnaError(
                    "not even one sample fits into the GPU's memory: use a smaller encoder or a shorter data.length"
                ) from None
            # The allocator would keep the failed attempt's blocks, and fragment the memory of the next one.
            torch.cuda.empty_cache()
            # Rounded up: two micro-batches then cover the batch. Rounded down, a third one would hold a single sample.
            batch_size = -(-batch_size // 2)
        else:
            return batch_size


def search_batch_size(batch_size: int, limit: int, attempt: Callable[[int], None]) -> int:
    """Return the largest batch size that fits, found by halving `batch_size`, or by doubling it up to `limit`."""
    largest = halve_until_fits(batch_size, attempt)
    # Doubled only if nothing was halved: after a halving, about twice as many are known not to fit.
    while largest >= batch_size and 2 * largest <= limit:
        try:
            attempt(2 * largest)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        largest *= 2
    return largest


class MeasuredMemory(TypedDict):
    """A number of bytes, and which memory was measured; run.json holds both."""

    bytes: int
    of: str


def peak_memory(device: torch.device) -> MeasuredMemory:
    """Return the peak memory of this process: reserved by torch on a GPU; on a CPU resident, with Python and its libraries."""
    if device.type == "cuda":
        return {"bytes": torch.cuda.max_memory_reserved(device), "of": "reserved on the GPU"}
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS and KiB on Linux
    return {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "of": "resident in main memory"}
