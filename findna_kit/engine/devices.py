"""Which device, and how it multiplies: what `auto` becomes, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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
