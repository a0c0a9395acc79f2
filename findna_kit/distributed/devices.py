"""Which device, and how it multiplies: what `auto` becomes, and what is refused."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import TYPE_CHECKING, Any, Literal

import torch

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Callable

Precision = Literal["bf16", "fp32"]


def choose_device(device: str) -> torch.device:
    """Auto takes a GPU where there is one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise FindnaError("--device cuda: torch sees no CUDA device here; use --device cpu, or auto")
    if device not in ("cpu", "cuda"):
        raise FindnaError(f"--device {device}: auto, cpu or cuda is wanted")
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> Precision:
    """Auto takes bf16 where the device multiplies in it natively: elsewhere it would be emulated, and slow."""
    if precision in ("bf16", "fp32"):
        return precision  # type: ignore[return-value]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def keep_freed_memory() -> None:
    """Has glibc keep what tensors of a step leave behind for those of the next, instead of giving it back to the system.

    Left alone it gives back in some processes and not in others, and each step of those pays for the same pages again. Blocks
    above 32 MiB, the most that glibc allows here, go back as ever. Does nothing where the C library has no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""


def largest_that_fits(rows: int, attempt: Callable[[int], None]) -> int:
    """The largest of rows, rows / 2, rows / 4, ... with which `attempt` does not run out of the device's memory."""
    while True:
        try:
            attempt(rows)
        except torch.OutOfMemoryError:
            if rows == 1:
                raise FindnaError(
                    "not even one row fits the device's memory: use a smaller encoder or a shorter data.length"
                ) from None
            torch.cuda.empty_cache()
            rows = -(-rows // 2)
        else:
            return rows


def peak_memory(device: torch.device) -> dict[str, Any]:
    """The most memory that this process has held so far: `bytes`, and `of` what.

    Of a GPU what torch had reserved there; of a CPU the process's resident memory, Python and libraries included.
    """
    if device.type == "cuda":
        return {"bytes": torch.cuda.max_memory_reserved(device), "of": "reserved on the GPU"}
    unit = 1 if sys.platform == "darwin" else 1024  # what getrusage counts in
    return {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "of": "resident in main memory"}


def largest_found(rows: int, most: int, attempt: Callable[[int], None]) -> int:
    """What `largest_that_fits` of `rows`, and where all of them do, twice, four times, ... as many, up to `most`."""
    found = largest_that_fits(rows, attempt)
    while found >= rows and 2 * found <= most:
        try:
            attempt(2 * found)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        found *= 2
    return found
