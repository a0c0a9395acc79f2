"""Checkpoints: tensors in safetensors, everything else in JSON; complete or absent, loaded in full or refused."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from findna_kit.atomic import atomic_write
from findna_kit.errors import CheckpointMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FOLDER = "checkpoints"
MODEL, STATE, JSON = "model.safetensors", "state.safetensors", "state.json"
_NAME = re.compile("step-([0-9]{8}|[1-9][0-9]{8,})")
"""The names that `path_of` gives."""
_MAX_LISTED = 12
"""Differences that an error lists one by one."""


def path_of(run: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint."""
    return run / FOLDER / f"step-{step:08d}"


def steps_saved(run: Path) -> list[int]:
    """Return the steps of all complete checkpoints, ascending; an empty list if `run` is not a folder."""
    try:
        names = [path.name for path in (run / FOLDER).iterdir() if path.is_dir()]
    except OSError:
        return []
    # Checkpoints that are being written or removed have names with a leading dot, and copies made by hand have others.
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def find_step(run: Path, step: int | None = None) -> int:
    """Return the requested step, or the newest saved one. Raises CheckpointMismatch if it is not saved."""
    saved = steps_saved(run)
    if not saved:
        raise CheckpointMismatch(
            f"{run}: is not a run folder (it has no checkpoint in {FOLDER}/); give the folder that `run` made"
        )
    if step is not None and step not in saved:
        raise CheckpointMismatch(f"{run}: has no checkpoint of step {step}; saved: {', '.join(map(str, saved))}")
    return saved[-1] if step is None else step


def save(run: Path, step: int, model: Mapping[str, Tensor], state: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a checkpoint. An existing checkpoint of the step is left as it is."""
    target = path_of(run, step)
    # It is complete, since it has its final name, and a resumed run would write the same: the step determines the state.
    if target.exists():
        return
    with atomic_write(target) as folder:
        folder.mkdir(parents=True)
        for name, tensors in ((MODEL, model), (STATE, state)):
            # safetensors stores each tensor's own bytes, so views must be made contiguous.
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, folder / name)
        (folder / JSON).write_text(json.dumps({"step": step, **values}, indent=1))


def load(run: Path, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Return the model's tensors, the state's tensors and the values. Raises CheckpointMismatch if it cannot be read."""
    folder = path_of(run, step)
    try:
        model, state = load_file(folder / MODEL), load_file(folder / STATE)
        values = json.loads((folder / JSON).read_text())
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointMismatch(f"{folder}: is not a complete checkpoint ({error}); remove it to use an older one") from error
    return model, state, values


def load_model(run: Path, step: int) -> dict[str, Tensor]:
    """Return the model's tensors alone. Raises CheckpointMismatch if they cannot be read."""
    path = path_of(run, step) / MODEL
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointMismatch(f"{path}: cannot be read ({error})") from error


def prune(run: Path, keep_last: int) -> None:
    """Remove all checkpoints but the first and the `keep_last` newest, and what killed processes left."""
    # The first checkpoint of a run is step 0, the untrained networks, which stay available beside the trained ones.
    for step in steps_saved(run)[1:-keep_last]:
        # Renamed before it is deleted, so that a crash leaves no half-deleted checkpoint under a valid name.
        path_of(run, step).rename(path_of(run, step).with_name(f".step-{step:08d}.old"))
    for leftover in (run / FOLDER).glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def add_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with `prefix.` before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def strip_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix.`, by the rest of their names."""
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def fill(label: str, target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    """Copy every tensor of `source` into `target`, in place; all of them or none. Raises CheckpointMismatch as `check_fit`."""
    # Everything is compared before anything is copied, so that a refused checkpoint leaves the target as it was.
    check_fit(label, target, source)
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])


def check_fit(label: str, target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    """Check that `source` can be copied into `target`.

    label: what is loaded, for the error. Raises CheckpointMismatch, which lists missing and unexpected tensors and those of
    another shape or dtype.
    """
    problems = [f"missing: {name}" for name in target if name not in source]
    problems += [f"unexpected: {name}" for name in source if name not in target]
    for name in target:
        if name in source and (target[name].shape, target[name].dtype) != (source[name].shape, source[name].dtype):
            problems.append(f"{name}: {_describe(source[name])} in the checkpoint, {_describe(target[name])} expected")
    if problems:
        hidden = len(problems) - _MAX_LISTED
        more = [f"... and {hidden} more"] if hidden > 0 else []
        raise CheckpointMismatch("\n  ".join([f"{label} does not fit:", *problems[:_MAX_LISTED], *more]))


def _describe(tensor: Tensor) -> str:
    """Return data type and shape, such as `float32[2, 3]`."""
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
