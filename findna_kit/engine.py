"""The device, its precision, and the sums over processes: lightning-fabric behind one door, imported where it is needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

Precision = Literal["bf16", "fp32"]


class Engine:
    """Where the tensors live. One process unless a launcher says otherwise."""

    def __init__(self, device: torch.device, precision: Precision, fabric: Any = None) -> None:
        self.device, self.precision, self._fabric = device, precision, fabric

    @property
    def rank(self) -> int:
        """The number of this process."""
        return 0 if self._fabric is None else int(self._fabric.global_rank)

    @property
    def processes(self) -> int:
        """How many processes share the global batch."""
        return 1 if self._fabric is None else int(self._fabric.world_size)

    def rows(self, batch_size: int) -> Tensor:
        """The process's indices in the global batch, contiguous. Raises FindnaError where the batch does not divide."""
        if batch_size % self.processes:
            raise FindnaError(f"data.batch_size {batch_size} does not divide into {self.processes} processes")
        share = batch_size // self.processes
        return torch.arange(self.rank * share, (self.rank + 1) * share, device=self.device)

    def autocast(self) -> AbstractContextManager[None]:
        """bf16 matrix products where the precision says so."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def sum(self, value: Tensor) -> Tensor:
        """The sum over processes."""
        return value if self._fabric is None else self._fabric.all_reduce(value, reduce_op="sum")

    def gather(self, value: Tensor) -> Tensor:
        """Every process's rows, in global order: [B, ...] to [processes * B, ...]."""
        return value if self._fabric is None else self._fabric.all_gather(value).flatten(0, 1)

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sums gradients over processes, in one flat tensor, in the order given; a parameter without one counts as zero."""
        if self._fabric is None:
            return
        owners = list(parameters)
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in owners])
        summed = self.sum(flat)
        for owner, part in zip(owners, summed.split([p.numel() for p in owners]), strict=True):
            owner.grad = part.view_as(owner)


def start_engine(device: str, precision: str, *, devices: int = 1, nodes: int = 1) -> Engine:
    """The engine for `device` (auto, cpu or cuda). Raises FindnaError where there is no such device."""
    chosen = choose_device(device)
    resolved = choose_precision(precision, chosen)
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if devices * nodes == 1 and launched == 1:
        return Engine(chosen, resolved)
    if launched not in (1, devices * nodes) and devices * nodes > 1:
        raise FindnaError(f"the launcher started {launched} processes, the recipe states {devices} devices on {nodes} nodes")
    from lightning_fabric import Fabric  # 2.4 s of imports that one process does not need

    local = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    fabric = Fabric(accelerator=chosen.type, devices=local, num_nodes=max(nodes, launched // local), strategy="ddp")
    fabric.launch()
    return Engine(fabric.device, resolved, fabric)


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
