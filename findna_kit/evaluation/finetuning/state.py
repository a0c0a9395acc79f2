"""Checkpoints of fine-tuning: one after each epoch, with a digest of all that the result depends on."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from findna_kit import checkpoint
from findna_kit.errors import CheckpointMismatch
from findna_kit.evaluation.finetuning.batching import MicroBatching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from findna_kit.records.json_files import JsonObject
    from findna_kit.trainer.optimizers import ScheduledOptimizer

_ONLY_LAST = 1


def digest_of(arguments: Mapping[str, Any], network: nn.Module) -> str:
    """Return a sha256 of all that the result depends on: the arguments, the initial weights, and this machine's torch."""
    # Another version or thread count would not continue with identical numbers.
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    digest = hashlib.sha256(json.dumps([arguments, machine], sort_keys=True).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class EpochState:
    """What is saved besides tensors: loss and validation score of each epoch, the micro-batch size, and the probe's choices."""

    history: list[dict[str, float]]
    passes: MicroBatching
    probe: JsonObject


def save(
    folder: Path,
    digest: str,
    values: EpochState,
    *,
    current: Mapping[str, Tensor],
    best: Mapping[str, Tensor],
    optimizer: ScheduledOptimizer,
) -> None:
    """Write the state of an epoch atomically, and then remove all but this one and that of the first epoch."""
    state = {**optimizer.tensors(), **checkpoint.add_prefix("best", best)}
    checkpoint.save(folder, len(values.history), current, state, {**asdict(values), "digest": digest, "moved": optimizer.moved})
    checkpoint.prune(folder, _ONLY_LAST)


def restore(
    folder: Path,
    digest: str,
    log: Callable[[str], None],
    *,
    current: Mapping[str, Tensor],
    best: dict[str, Tensor],
    optimizer: ScheduledOptimizer,
) -> EpochState | None:
    """Fill `current`, `best` and the optimizer from the last saved epoch, and return its values; None if there is none.

    A state of other arguments, and a damaged one, are logged and removed.
    """
    epochs = checkpoint.steps_saved(folder)
    if not epochs:
        return None
    # Buffers to load into; they replace `best` only when everything fits.
    saved_best = {name: torch.empty_like(tensor) for name, tensor in current.items()}
    try:
        model, state, values = checkpoint.load(folder, epochs[-1])
        if values.get("digest") != digest:
            _discard(folder, log, "has other settings, samples, weights, device, torch version or number of threads")
            return None
        expected = {**current, **optimizer.empty(values["moved"]), **checkpoint.add_prefix("best", saved_best)}
        checkpoint.fill(f"{folder}: the state", expected, {**model, **state})
    except CheckpointMismatch:
        _discard(folder, log, "cannot be read")
        return None
    best |= saved_best
    return EpochState(values["history"], MicroBatching(**values["passes"]), values["probe"])


def _discard(folder: Path, log: Callable[[str], None], why: str) -> None:
    log(f"{folder}: the saved state {why}; fine-tuning starts again")
    shutil.rmtree(folder / checkpoint.FOLDER)
