"""What a fine-tuning that was stopped goes on from: a checkpoint after each epoch, and what it belongs to."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import torch

from findna_kit import checkpoint
from findna_kit.errors import CheckpointMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from findna_kit.trainer.optimizers import ScheduledOptimizer

_ONLY_LAST = 1


def digest_of(arguments: Mapping[str, Any], network: nn.Module) -> str:
    """sha256 of everything that the digits depend on: what was asked, the weights to begin with, and this machine's torch."""
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    digest = hashlib.sha256(json.dumps([arguments, machine], sort_keys=True).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(
    folder: Path,
    digest: str,
    values: Mapping[str, Any],
    *,
    epoch: int,
    now: Mapping[str, Tensor],
    best: Mapping[str, Tensor],
    optimizer: ScheduledOptimizer,
) -> None:
    """Whole or not at all; the state of the epoch before goes when this one is there."""
    state = {**optimizer.tensors(), **checkpoint.add_prefix("best", best)}
    checkpoint.save(folder, epoch, now, state, {**values, "digest": digest, "moved": optimizer.moved})
    checkpoint.prune(folder, _ONLY_LAST)


def restore(
    folder: Path,
    digest: str,
    say: Callable[[str], None],
    *,
    now: Mapping[str, Tensor],
    best: dict[str, Tensor],
    optimizer: ScheduledOptimizer,
) -> dict[str, Any] | None:
    """Fills `now`, `best` and the optimizer from the last epoch saved, and returns its values; None where none can be used.

    A state of other arguments, or one that cannot be read, is said and removed.
    """
    epochs = checkpoint.steps_saved(folder)
    if not epochs:
        return None
    kept = {name: torch.empty_like(tensor) for name, tensor in now.items()}
    try:
        model, state, values = checkpoint.load(folder, epochs[-1])
        if values.get("digest") != digest:
            _anew(folder, say, "is of other settings, rows or weights, or of another device, torch or number of threads")
            return None
        own = {**now, **optimizer.empty(values["moved"]), **checkpoint.add_prefix("best", kept)}
        checkpoint.fill(f"{folder}: the state", own, {**model, **state})
    except CheckpointMismatch:
        _anew(folder, say, "cannot be read")
        return None
    best |= kept
    return values


def _anew(folder: Path, say: Callable[[str], None], why: str) -> None:
    say(f"{folder}: the state there {why}; fine-tuning begins anew")
    shutil.rmtree(folder / checkpoint.FOLDER)
