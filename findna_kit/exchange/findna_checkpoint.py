"""Reading of the checkpoint released by the authors of FinDNA, without running code, and the mapping to our tensor names.

The file is a torch pickle of a dict: `Teacher` and `Student`, state dicts of one architecture, and `EPOCHS_RUN` (github
wiedersehne/FinDNA, commit e3e72f1; model_29_1000_4l_308_512_noiseandTL.pt). Its input and output letters have the order
a c g n t.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from findna_kit.errors import CheckpointMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BRANCHES = {"teacher": "Teacher", "student": "Student"}
EPOCHS = "EPOCHS_RUN"
_BASES, _ALPHABET = (0, 1, 2, 4), (0, 1, 2, 4, 3)
"""Positions in the file's order of A C G T, and of A C G T N."""
_SHARPNESS = 10.0
"""The reference divides the outputs by 0.1 in its masked loss; our logits are multiplied by this factor instead."""
_WRAPPER = "module."
_SHOWN = 24
"""Largest number of problems listed: a file of another network would fill the screen."""
_LAYER = re.compile(r"encoder\.SwanDNA_blocks\.(\d+)\.SwanDNA_blocks\.(\d+)\.column_transform\.fc1\.weight")
_UNREADABLE = (
    OSError, EOFError, RuntimeError, pickle.UnpicklingError, LookupError, ValueError, TypeError, AttributeError, AssertionError,
    struct.error,
)  # fmt: skip
"""Exceptions that torch's unpickler raises for bytes that are not a checkpoint, depending on where it fails."""


@dataclass(frozen=True)
class NetworkSizes:
    """The sizes of the network, read from the shapes of its tensors."""

    dim: int
    hidden: int
    blocks: int
    layers: int


@dataclass(frozen=True)
class TensorSource:
    """The tensor `key` of the file, of which `take` along `axis` is multiplied by `factor`; `how` describes this."""

    key: str
    take: tuple[int, ...] | None = None
    axis: int = 0
    factor: float = 1.0
    how: str = "as it is"

    def extract(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the tensor with our order and scale."""
        tensor = tensors[self.key]
        return tensor if self.take is None else tensor.index_select(self.axis, torch.tensor(self.take)) * self.factor


@dataclass(frozen=True)
class ReleasedCheckpoint:
    """A checkpoint that fits: the tensors of both branches in fp32, by the file's keys, and remarks on how they were read."""

    branches: Mapping[str, Mapping[str, Tensor]]
    sizes: NetworkSizes
    epochs_run: int | None
    remarks: tuple[str, ...]


def tensor_sources(sizes: NetworkSizes) -> dict[str, TensorSource]:
    """Return the source of every tensor of a branch, by our name. Together they use every tensor of the file."""
    columns, rows = "columns a c g n t reordered to A C G T N", "rows a c g n t reordered to A C G T N"
    sources = {
        "encoder.embed.weight": TensorSource("embedding.weight", _ALPHABET, axis=1, how=columns),
        "encoder.embed.bias": TensorSource("embedding.bias"),
    }
    for block in range(sizes.blocks):
        for layer in range(sizes.layers):
            prefix = f"encoder.SwanDNA_blocks.{block}.SwanDNA_blocks.{layer}.column_transform"
            for linear, part in (("fc1", 0), ("fc2", 2)):
                for kind in ("weight", "bias"):
                    sources[f"encoder.blocks.{block}.{layer}.mlp.{part}.{kind}"] = TensorSource(f"{prefix}.{linear}.{kind}")
    for kind in ("weight", "bias"):
        # Our masked head has no row for N, and its softmax needs the sharpness that the reference applies in its loss.
        bases = f"rows a c g t, times {_SHARPNESS:g}"
        sources[f"heads.masked.classifier.{kind}"] = TensorSource(f"linear.{kind}", _BASES, factor=_SHARPNESS, how=bases)
        sources[f"heads.distill.logits.{kind}"] = TensorSource(f"linear.{kind}", _ALPHABET, how=rows)
    return sources


def read_released(path: Path) -> ReleasedCheckpoint:
    """Read the file. Raises CheckpointMismatch for code in it, and for keys that are missing, unexpected or misshapen."""
    content = _unpickled(path)
    if not isinstance(content, dict):
        expected = f"{', '.join(BRANCHES.values())} and {EPOCHS}"
        raise CheckpointMismatch(f"{path}: contains {type(content).__name__}, not a dict of {expected}; give the authors' file")
    problems: list[str] = []
    remarks: list[str] = []
    raw = {name: _unwrapped(name, content, problems, remarks) for name in BRANCHES.values()}
    problems += [f"unexpected: {key}" for key in content if key not in (*BRANCHES.values(), EPOCHS)]
    epochs = content.get(EPOCHS)
    if epochs is None:
        remarks.append(f"{EPOCHS} is not in the file: the training time is unknown")
    elif not isinstance(epochs, int):
        problems.append(f"{EPOCHS}: must be a whole number (got {type(epochs).__name__})")
    sizes = _sizes([*raw.values()])
    # Only once the sizes are known can every tensor's shape be checked.
    if sizes is not None:
        problems += _mismatches(raw, sizes)
    # Not if both branches are missing or misshapen, which is already in the list.
    elif any(raw.values()) or not problems:
        problems.append(
            "missing: the layers of the mixer (encoder.SwanDNA_blocks.0.SwanDNA_blocks.0.column_transform... and following)"
        )
    if problems or sizes is None:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise CheckpointMismatch(
            "\n  ".join([f"{path}: is not the checkpoint released by the authors of FinDNA:", *problems[:_SHOWN], *more])
        )
    kinds = Counter(str(tensor.dtype).removeprefix("torch.") for tensors in raw.values() for tensor in tensors.values())
    remarks += [f"{count} tensors are {kind}, taken as float32" for kind, count in kinds.items() if kind != "float32"]
    branches = {
        ours: {key: tensor.float() for key, tensor in raw[theirs].items()} for ours, theirs in BRANCHES.items()
    }  # fmt: skip
    return ReleasedCheckpoint(branches, sizes, epochs, tuple(remarks))


def _unpickled(path: Path) -> Any:
    """Load the file with torch's restricted unpickler, which runs no code."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickles that torch then refuses to load
            # weights_only admits tensors and plain containers; a pickle with code raises.
            return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror:
            raise CheckpointMismatch(f"{path}: cannot be read: {error.strerror}") from error
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is not None:
            reason = f"contains code ({code[1]}), which a checkpoint does not need; nothing in it was run"
            raise CheckpointMismatch(f"{path}: {reason}; give a file of tensors and numbers only") from error
        reason = "is not a complete torch checkpoint; nothing in it was run"
        raise CheckpointMismatch(f"{path}: {reason}; download it again, or give the authors' file") from error


def _unwrapped(name: str, content: Mapping[str, Any], problems: list[str], remarks: list[str]) -> dict[str, Any]:
    """Return the state dict of a branch without the `module.` that DataParallel prefixes; empty, with a problem, if absent."""
    if name not in content:
        problems.append(f"missing: {name}")
        return {}
    state = content[name]
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        problems.append(f"{name}: must be a state dict, tensors by name (got {type(state).__name__})")
        return {}
    if state and all(key.startswith(_WRAPPER) for key in state):
        remarks.append(f"{name}: the prefix {_WRAPPER!r} of every key, from DataParallel, is removed")
        return {key.removeprefix(_WRAPPER): value for key, value in state.items()}
    return dict(state)


def _sizes(branches: Sequence[Mapping[str, Any]]) -> NetworkSizes | None:
    """Return the sizes that most layers have, so that a layer that differs is reported as wrong; None without layers."""
    layers = [(match, state[key]) for state in branches for key in state if (match := _LAYER.fullmatch(key))]
    # A majority, because a single damaged layer must not change what is expected of the others.
    shapes = Counter(tuple(value.shape) for _, value in layers if isinstance(value, Tensor) and value.dim() == 2)
    if not shapes:
        return None
    (hidden, dim), _ = shapes.most_common(1)[0]
    return NetworkSizes(
        dim, hidden, blocks=len({match[1] for match, _ in layers}), layers=len({match[2] for match, _ in layers})
    )


def _mismatches(branches: Mapping[str, Mapping[str, Any]], sizes: NetworkSizes) -> list[str]:
    """Return a message for every key that is missing, unexpected or misshapen."""
    expected = _shapes(sizes)
    problems = [f"missing: {name}.{key}" for name, state in branches.items() if state for key in expected if key not in state]
    problems += [f"unexpected: {name}.{key}" for name, state in branches.items() for key in state if key not in expected]
    for name, state in branches.items():
        for key, shape in expected.items():
            if key in state and (reason := _tensor_problem(state[key], shape)) is not None:
                problems.append(f"{name}.{key}: {reason}")
    if sizes.dim % (sizes.layers + 1):
        problems.append(
            f"{sizes.dim} channels cannot be split into {sizes.layers + 1} equal groups (the layers of a block plus one)"
        )
    return problems


def _shapes(sizes: NetworkSizes) -> dict[str, tuple[int, ...]]:
    """Return the expected shape of every tensor of a branch, by the file's key."""
    outer = {
        "embedding.weight": (sizes.dim, 5), "embedding.bias": (sizes.dim,),
        "linear.weight": (5, sizes.dim), "linear.bias": (5,),
    }  # fmt: skip
    inner = {
        "fc1.weight": (sizes.hidden, sizes.dim), "fc1.bias": (sizes.hidden,),
        "fc2.weight": (sizes.dim, sizes.hidden), "fc2.bias": (sizes.dim,),
    }  # fmt: skip
    keys = (origin.key for origin in tensor_sources(sizes).values())
    return {key: outer.get(key) or inner[".".join(key.split(".")[-2:])] for key in keys}


def _tensor_problem(value: Any, shape: tuple[int, ...]) -> str | None:
    """Return why a value is not a usable tensor of that shape, or None."""
    if not isinstance(value, Tensor):
        return f"must be a tensor (got {type(value).__name__})"
    if not value.is_floating_point() or tuple(value.shape) != shape:
        kind = f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        return f"must be floating-point {list(shape)} (got {kind})"
    if value.is_meta or value.layout is not torch.strided:
        return "is not a dense tensor"
    return None if bool(value.isfinite().all()) else "has values that are not finite"
