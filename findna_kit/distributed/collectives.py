"""The engine: the device of this process, and collectives over the processes that share a global batch."""

from __future__ import annotations

import json
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, distributed

from findna_kit.distributed.devices import choose_device, choose_precision, keep_freed_memory, local_device
from findna_kit.distributed.launcher import current_launch
from findna_kit.distributed.rendezvous import init_process_group
from findna_kit.errors import FindnaError, ProcessLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from findna_kit.distributed.devices import Precision

Value = TypeVar("Value")


class Engine:
    """Device, precision and process collectives of a run (what lightning calls Fabric, and accelerate Accelerator).

    world_size above 1 needs a process group of torch.distributed. With one process every collective returns its input. With
    several, a collective raises ProcessLost if another process is gone.
    """

    def __init__(self, device: torch.device, precision: Precision, rank: int = 0, world_size: int = 1) -> None:
        self.device, self.precision = device, precision
        self.rank, self.world_size = rank, world_size

    @property
    def is_main_process(self) -> bool:
        """Return whether this is rank 0, the process that writes files and prints."""
        return self.rank == 0

    def close(self) -> None:
        """Close the process group. No collective may be called afterwards.

        Without it, gloo's threads still hold tensors when Python ends, and end the process by SIGABRT.
        """
        if self.world_size > 1:
            distributed.destroy_process_group()

    def with_precision(self, precision: str) -> Engine:
        """Return an engine with the same device and processes and another precision (auto, bf16 or fp32)."""
        return Engine(self.device, choose_precision(precision, self.device), self.rank, self.world_size)

    def local_indices(self, batch_size: int) -> Tensor:
        """Return this process's sample indices in the global batch: contiguous [batch_size / world_size].

        Raises FindnaError if the batch does not divide into equal shares.
        """
        if batch_size % self.world_size:
            raise FindnaError(f"data.batch_size {batch_size} is not divisible by the number of processes, {self.world_size}")
        share = batch_size // self.world_size
        return torch.arange(self.rank * share, (self.rank + 1) * share, device=self.device)

    def autocast(self) -> AbstractContextManager[None]:
        """Return a context in which matrix products run in bf16, if that is the precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        """Return the sum of `value` over all processes; the input is not changed."""
        return value if self.world_size == 1 else _sum_in_place(value.clone())

    def gather(self, value: Tensor) -> Tensor:
        """Concatenate the samples of all processes in global order: [B, ...] to [world_size * B, ...]."""
        if self.world_size == 1:
            return value
        # Shares are equal on all ranks, since `local_indices` refuses any other batch.
        shares = [torch.empty_like(value) for _ in range(self.world_size)]
        with _process_lost_on_failure():
            distributed.all_gather(shares, value.contiguous())
        return torch.cat(shares)

    def gather_objects(self, value: Value) -> list[Value]:
        """Return the JSON values of all processes, by rank."""
        if self.world_size == 1:
            return [value]
        text = json.dumps(value).encode()
        # all_gather needs equal shapes, so every text is padded to the longest one.
        padded = torch.zeros(1, self.all_reduce_max(len(text)), dtype=torch.uint8)
        padded[0, : len(text)] = torch.tensor(list(text), dtype=torch.uint8)
        rows = self.gather(padded.to(self.device)).tolist()
        return [json.loads(bytes(row).rstrip(b"\0")) for row in rows]  # JSON text holds no zero byte

    def all_reduce_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum gradients over all processes, in one flat tensor in the given order. A missing gradient counts as zero.

        A parameter without a gradient in every process keeps None: zeros would let the optimizer apply weight decay to it.
        """
        if self.world_size == 1:
            return
        owners = list(parameters)
        gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in owners]
        # The number of processes that have each gradient travels in the same all-reduce.
        present = torch.tensor([float(p.grad is not None) for p in owners], device=self.device)
        total = _sum_in_place(torch.cat([*gradients, present]))
        *sums, present = total.split([*(p.numel() for p in owners), len(owners)])
        for owner, gradient, processes in zip(owners, sums, present.tolist(), strict=True):
            owner.grad = gradient.view_as(owner) if processes else None

    def all_reduce_max(self, value: int) -> int:
        """Return the largest value of all processes."""
        return value if self.world_size == 1 else int(self.gather(torch.tensor([value], device=self.device)).max())

    def replicas_agree(self, tensors: Iterable[Tensor]) -> bool:
        """Return whether every process holds the same bits in `tensors`."""
        if self.world_size == 1:
            return True
        # A digest of the bits, not the tensors, goes over the network.
        digest = blake2b(digest_size=7)  # 56 bits fit an int64
        for tensor in tensors:
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
        digests = self.gather(torch.tensor([int.from_bytes(digest.digest(), "big")], device=self.device))
        return bool((digests == digests[0]).all())

    def broadcast_object(self, make: Callable[[], Value]) -> Value:
        """Call `make` in the main process and return its JSON value in every process.

        A FindnaError in the main process is raised in all of them, so that none waits for a broadcast that never comes.
        """
        if self.world_size == 1:
            return make()
        # The error goes by the same broadcast as the value, so that every process takes part in one and only one.
        text = ""
        if self.is_main_process:
            try:
                text = json.dumps({"value": make()})
            except FindnaError as error:
                self._broadcast_text(json.dumps({"error": str(error)}))
                raise
        message = json.loads(self._broadcast_text(text))
        if "error" in message:
            failure = FindnaError(message["error"])
            failure.silent = True  # the main process prints it
            raise failure
        value: Value = message["value"]
        return value

    def _broadcast_text(self, text: str) -> str:
        """Return the main process's text. Objects travel as JSON text, so that no process unpickles what another sent."""
        data = torch.tensor(list(text.encode()), dtype=torch.uint8)
        # Other ranks do not know the length yet; theirs is that of an empty text.
        buffer = torch.zeros(self.all_reduce_max(len(data)), dtype=torch.uint8, device=self.device)
        if self.is_main_process:
            buffer[: len(data)] = data.to(self.device)
        with _process_lost_on_failure():
            distributed.broadcast(buffer, 0)
        return bytes(buffer.tolist()).decode()


def _sum_in_place(value: Tensor) -> Tensor:
    with _process_lost_on_failure():
        distributed.all_reduce(value)
    return value


@contextmanager
def _process_lost_on_failure() -> Iterator[None]:
    """Raise ProcessLost for a collective that fails: gloo and NCCL raise a RuntimeError with messages of their own."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ProcessLost(f"another process of this run is gone ({reason})") from error


def start_engine(device: str, precision: str) -> Engine:
    """Return the engine for `device` (auto, cpu or cuda), and join the other processes if a launcher started several.

    Raises FindnaError if the device does not exist, or the processes cannot connect.
    """
    chosen, launch = choose_device(device), current_launch()
    if chosen.type == "cpu":
        keep_freed_memory()
    if launch is None or launch.world_size == 1:
        return Engine(chosen, choose_precision(precision, chosen))
    chosen = local_device(chosen, launch)
    init_process_group(launch, chosen)
    return Engine(chosen, choose_precision(precision, chosen), launch.rank, launch.world_size)
