"""Checkpoints: tensors in safetensors, the rest in JSON; written beside, synced, renamed: whole or absent."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from findna_kit.atomic import sync
from findna_kit.errors import CheckpointMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FOLDER = "checkpoints"
MODEL, STATE, JSON = "model.safetensors", "state.safetensors", "state.json"


def path_of(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / FOLDER / f"step-{step:08d}"


def steps_saved(run: Path) -> list[int]:
    """Steps of the whole checkpoints, ascending; none where `run` is no folder."""
    try:
        found = [path for path in (run / FOLDER).iterdir() if path.match("step-[0-9]*") and path.is_dir()]
    except OSError:
        return []
    return sorted(int(path.name.removeprefix("step-")) for path in found)


def find(run: Path, step: int | None = None) -> int:
    """The step asked for, or the newest saved. Raises CheckpointMismatch where there is none."""
    saved = steps_saved(run)
    if not saved:
        raise CheckpointMismatch(f"{run}: is no run's folder ({FOLDER}/ with a checkpoint in it is looked for)")
    if step is not None and step not in saved:
        raise CheckpointMismatch(f"{run}: has no checkpoint of step {step}; saved: {', '.join(map(str, saved))}")
    return saved[-1] if step is None else step


def save(run: Path, step: int, model: Mapping[str, Tensor], state: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Writes a checkpoint; one that is already there is left as it is."""
    target = path_of(run, step)
    if target.exists():
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, tensors in ((MODEL, model), (STATE, state)):
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, beside / name)
    (beside / JSON).write_text(json.dumps({"step": step, **values}, indent=1))
    for part in (*beside.iterdir(), beside):
        sync(part)
    beside.rename(target)
    sync(target.parent)


def load(run: Path, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Model, state and values. Raises CheckpointMismatch for a checkpoint that cannot be read."""
    folder = path_of(run, step)
    try:
        model, state = load_file(folder / MODEL), load_file(folder / STATE)
        values = json.loads((folder / JSON).read_text())
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointMismatch(
            f"{folder}: is no whole checkpoint ({error}); remove it to fall back on an older one"
        ) from error
    return model, state, values


def load_model(run: Path, step: int) -> dict[str, Tensor]:
    """The model's tensors alone."""
    path = path_of(run, step) / MODEL
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointMismatch(f"{path}: cannot be read ({error})") from error


def prune(run: Path, keep_last: int) -> None:
    """Removes all but the first and the `keep_last` newest, each renamed before it goes, so that none is ever there in part."""
    for step in steps_saved(run)[1:-keep_last]:
        path_of(run, step).rename(path_of(run, step).with_name(f".step-{step:08d}.old"))
    for left in (run / FOLDER).glob(".step-*"):
        shutil.rmtree(left, ignore_errors=True)  # or of a process that was killed while it wrote


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix.`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What lies under `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def fill(what: str, target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    """Copies every tensor of `source` into `target`, in place; all of them or none.

    Raises CheckpointMismatch that lists what is missing, what is not wanted, and what has another shape or type.
    """
    differs = [f"missing: {name}" for name in target if name not in source]
    differs += [f"not wanted: {name}" for name in source if name not in target]
    for name in target:
        if name in source and (target[name].shape, target[name].dtype) != (source[name].shape, source[name].dtype):
            differs.append(f"{name}: {_kind(source[name])} in the checkpoint, {_kind(target[name])} wanted")
    if differs:
        more = [f"... and {len(differs) - 12} more"] if len(differs) > 12 else []
        raise CheckpointMismatch("\n  ".join([f"{what} does not fit:", *differs[:12], *more]))
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
