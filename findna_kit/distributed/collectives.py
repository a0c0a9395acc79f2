"""Where the tensors live, and the sums over the processes that share a global batch."""

from __future__ import annotations

import json
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from findna_kit.distributed.devices import choose_device, choose_precision, keep_freed_memory
from findna_kit.distributed.launcher import current_launch, start_fabric
from findna_kit.errors import FindnaError, ProcessLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from findna_kit.distributed.devices import Precision

Told = TypeVar("Told")


class Engine:
    """One process, unless a launcher has started more. What asks the others raises ProcessLost where one of them is gone."""

    def __init__(self, device: torch.device, precision: Precision, fabric: Any = None) -> None:
        self.device, self.precision, self._fabric = device, precision, fabric

    @property
    def rank(self) -> int:
        """The number of this process."""
        return 0 if self._fabric is None else int(self._fabric.global_rank)

    @property
    def world_size(self) -> int:
        """How many processes share the global batch."""
        return 1 if self._fabric is None else int(self._fabric.world_size)

    @property
    def is_main_process(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def close(self) -> None:
        """Leaves the other processes; nothing is asked of them from here on.

        gloo's threads still hold tensors: where Python ended before they do, they would end the process by SIGABRT.
        """
        if self._fabric is not None:
            torch.distributed.destroy_process_group()

    def of_precision(self, precision: str) -> Engine:
        """The same processes, multiplying otherwise. Raises FindnaError for a precision that the device does not have."""
        return Engine(self.device, choose_precision(precision, self.device), self._fabric)

    def local_indices(self, batch_size: int) -> Tensor:
        """The process's indices in the global batch, contiguous. Raises FindnaError where the batch does not divide."""
        if batch_size % self.world_size:
            raise FindnaError(f"data.batch_size {batch_size} does not divide into {self.world_size} processes")
        share = batch_size // self.world_size
        return torch.arange(self.rank * share, (self.rank + 1) * share, device=self.device)

    def autocast(self) -> AbstractContextManager[None]:
        """bf16 matrix products where the precision says so."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        """The sum over processes."""
        if self._fabric is None:
            return value
        return self._add_up(value.clone())

    def _add_up(self, value: Tensor) -> Tensor:
        """In place. Fabric's own sum meets at a barrier first, which costs as much again."""
        with _all_there():
            torch.distributed.all_reduce(value)
        return value

    def gather(self, value: Tensor) -> Tensor:
        """Every process's rows, in global order: [B, ...] to [processes * B, ...]."""
        if self._fabric is None:
            return value
        everybody = [torch.empty_like(value) for _ in range(self.world_size)]
        with _all_there():
            torch.distributed.all_gather(everybody, value.contiguous())
        return torch.cat(everybody)

    def all_reduce_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sums gradients over processes, in one flat tensor, in the order given; a parameter without one counts as zero.

        Behind them stands how many processes have each: one that none has stays without, or it would decay for nothing.
        """
        if self._fabric is None:
            return
        owners = list(parameters)
        gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in owners]
        there = torch.tensor([float(p.grad is not None) for p in owners], device=self.device)
        summed = self._add_up(torch.cat([*gradients, there]))
        *parts, there = summed.split([*(p.numel() for p in owners), len(owners)])
        for owner, part, known in zip(owners, parts, there.tolist(), strict=True):
            owner.grad = part.view_as(owner) if known else None

    def all_reduce_max(self, value: int) -> int:
        """The largest of what the processes say."""
        return value if self._fabric is None else int(self.gather(torch.tensor([value], device=self.device)).max())

    def replicas_agree(self, tensors: Iterable[Tensor]) -> bool:
        """Whether every process holds the same bits."""
        if self._fabric is None:
            return True
        digest = blake2b(digest_size=7)  # so that it is an int64
        for tensor in tensors:
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
        everybody = self.gather(torch.tensor([int.from_bytes(digest.digest(), "big")], device=self.device))
        return bool((everybody == everybody[0]).all())

    def broadcast_object(self, make: Callable[[], Told]) -> Told:
        """What the first process makes, ready for JSON; the others are told of it, and make nothing.

        A FindnaError of the first is raised in every process, so that none waits for what will not come.
        """
        if self._fabric is None:
            return make()
        said: dict[str, Any] = {}
        if self.is_main_process:
            try:
                said = {"value": make()}
            except FindnaError as error:
                self._broadcast({"refused": str(error)})
                raise
        said = self._broadcast(said)
        if "refused" in said:
            refused = FindnaError(said["refused"])
            refused.silent = True
            raise refused
        value: Told = said["value"]
        return value

    def _broadcast(self, said: dict[str, Any]) -> dict[str, Any]:
        """What the first process says, as bytes of JSON: nothing between processes is a pickle."""
        text = torch.tensor(list(json.dumps(said).encode()), dtype=torch.uint8)
        shown = torch.zeros(self.all_reduce_max(len(text)), dtype=torch.uint8, device=self.device)
        if self.is_main_process:
            shown[: len(text)] = text.to(self.device)
        with _all_there():
            torch.distributed.broadcast(shown, 0)
        told: dict[str, Any] = json.loads(bytes(shown.tolist()).decode())
        return told


@contextmanager
def _all_there() -> Iterator[None]:
    """A collective that fails has lost a process: gloo and NCCL say so by a RuntimeError of their own words."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ProcessLost(f"another process of this run is gone ({reason})") from error


def start_engine(device: str, precision: str) -> Engine:
    """The engine for `device` (auto, cpu or cuda), with the processes that a launcher has started.

    Raises FindnaError where there is no such device.
    """
    chosen, launch = choose_device(device), current_launch()
    if chosen.type == "cpu":
        keep_freed_memory()
    if launch is None or launch.processes == 1:
        return Engine(chosen, choose_precision(precision, chosen))
    fabric = start_fabric(chosen.type, launch)
    return Engine(fabric.device, choose_precision(precision, chosen), fabric)
