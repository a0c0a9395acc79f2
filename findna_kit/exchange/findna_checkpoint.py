"""The checkpoint that FinDNA's authors released: read without running code, and its tensors under our names.

A torch pickle of a dict: `Teacher` and `Student`, state dicts of one architecture, and `EPOCHS_RUN` (github wiedersehne/FinDNA,
commit e3e72f1; model_29_1000_4l_308_512_noiseandTL.pt). Its letters, in and out, are in the order a c g n t.
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
"""Their places of A C G T, and of A C G T N."""
_SHARPNESS = 10.0
"""Their masked loss is a sigmoid cross-entropy on the outputs divided by 0.1."""
_WRAPPER = "module."
_SHOWN = 24
"""Problems of one file; where all of it is another network's they would fill the screen."""
_LAYER = re.compile(r"encoder\.SwanDNA_blocks\.(\d+)\.SwanDNA_blocks\.(\d+)\.column_transform\.fc1\.weight")
_UNREADABLE = (
    OSError, EOFError, RuntimeError, pickle.UnpicklingError, LookupError, ValueError, TypeError, AttributeError, AssertionError,
    struct.error,
)  # fmt: skip
"""What torch's unpickler raises, by where in bytes that are no checkpoint it stumbles."""


@dataclass(frozen=True)
class Sizes:
    """Of the network, read off the tensors."""

    dim: int
    hidden: int
    blocks: int
    layers: int


@dataclass(frozen=True)
class Origin:
    """A tensor of theirs, of which `take` is taken along `axis`, times `factor`; `how` says so."""

    key: str
    take: tuple[int, ...] | None = None
    axis: int = 0
    factor: float = 1.0
    how: str = "as it is"

    def of(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The tensor of ours."""
        whole = tensors[self.key]
        return whole if self.take is None else whole.index_select(self.axis, torch.tensor(self.take)) * self.factor


@dataclass(frozen=True)
class Released:
    """A file that is what it should be: both branches' tensors in fp32 by their keys, and what was done to get there."""

    branches: Mapping[str, Mapping[str, Tensor]]
    sizes: Sizes
    epochs_run: int | None
    remarks: tuple[str, ...]


def origins(sizes: Sizes) -> dict[str, Origin]:
    """Of every tensor of a branch of ours, by its name; together they name every tensor of theirs."""
    columns, rows = "columns a c g n t put in the order A C G T N", "rows a c g n t put in the order A C G T N"
    found = {
        "encoder.embed.weight": Origin("embedding.weight", _ALPHABET, axis=1, how=columns),
        "encoder.embed.bias": Origin("embedding.bias"),
    }
    for block in range(sizes.blocks):
        for layer in range(sizes.layers):
            theirs = f"encoder.SwanDNA_blocks.{block}.SwanDNA_blocks.{layer}.column_transform"
            for linear, part in (("fc1", 0), ("fc2", 2)):
                for kind in ("weight", "bias"):
                    found[f"encoder.blocks.{block}.{layer}.mlp.{part}.{kind}"] = Origin(f"{theirs}.{linear}.{kind}")
    for kind in ("weight", "bias"):
        bases = f"rows a c g t, times {_SHARPNESS:g}"
        found[f"heads.masked.classifier.{kind}"] = Origin(f"linear.{kind}", _BASES, factor=_SHARPNESS, how=bases)
        found[f"heads.distill.logits.{kind}"] = Origin(f"linear.{kind}", _ALPHABET, how=rows)
    return found


def read_released(path: Path) -> Released:
    """Reads the file. Raises CheckpointMismatch for code in it, and with what is missing, not wanted or misshapen."""
    content = _unpickled(path)
    if not isinstance(content, dict):
        wanted = f"{', '.join(BRANCHES.values())} and {EPOCHS}"
        raise CheckpointMismatch(f"{path}: holds {type(content).__name__}, not a dict of {wanted}; give the authors' file")
    problems: list[str] = []
    remarks: list[str] = []
    raw = {name: _unwrapped(name, content, problems, remarks) for name in BRANCHES.values()}
    problems += [f"not wanted: {key}" for key in content if key not in (*BRANCHES.values(), EPOCHS)]
    epochs = content.get(EPOCHS)
    if epochs is None:
        remarks.append(f"{EPOCHS} is not in the file: how long it was trained is not known")
    elif not isinstance(epochs, int):
        problems.append(f"{EPOCHS}: holds {type(epochs).__name__}, a whole number is wanted")
    sizes = _sizes([*raw.values()])
    if sizes is not None:
        problems += _misfits(raw, sizes)
    elif any(raw.values()) or not problems:
        problems.append(
            "missing: the mixer's layers (encoder.SwanDNA_blocks.0.SwanDNA_blocks.0.column_transform..., and so on)"
        )
    if problems or sizes is None:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise CheckpointMismatch("\n  ".join([f"{path}: is not what FinDNA's authors released:", *problems[:_SHOWN], *more]))
    kinds = Counter(str(tensor.dtype).removeprefix("torch.") for tensors in raw.values() for tensor in tensors.values())
    remarks += [f"{count} tensors are {kind}, taken as float32" for kind, count in kinds.items() if kind != "float32"]
    branches = {
        ours: {key: tensor.float() for key, tensor in raw[theirs].items()} for ours, theirs in BRANCHES.items()
    }  # fmt: skip
    return Released(branches, sizes, epochs, tuple(remarks))


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror:
            raise CheckpointMismatch(f"{path}: cannot be read: {error.strerror}") from error
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is not None:
            why = f"holds code ({code[1]}), which a checkpoint has no need of; nothing in it was run"
            raise CheckpointMismatch(f"{path}: {why}; give a file of tensors and numbers alone") from error
        why = "is no whole checkpoint of torch's; nothing in it was run"
        raise CheckpointMismatch(f"{path}: {why}; download it again, or give the authors' file") from error


def _unwrapped(name: str, content: Mapping[str, Any], problems: list[str], remarks: list[str]) -> dict[str, Any]:
    """A branch's state dict, without the `module.` that DataParallel puts before every key; empty where there is none."""
    if name not in content:
        problems.append(f"missing: {name}")
        return {}
    state = content[name]
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        problems.append(f"{name}: a state dict, tensors by name, is wanted (got {type(state).__name__})")
        return {}
    if state and all(key.startswith(_WRAPPER) for key in state):
        remarks.append(f"{name}: {_WRAPPER!r} before every key, of DataParallel, is left out")
        return {key.removeprefix(_WRAPPER): value for key, value in state.items()}
    return dict(state)


def _sizes(branches: Sequence[Mapping[str, Any]]) -> Sizes | None:
    """What most layers agree on; one that differs is then the one that is wrong. None where there is no layer."""
    found = [(match, state[key]) for state in branches for key in state if (match := _LAYER.fullmatch(key))]
    shapes = Counter(tuple(value.shape) for _, value in found if isinstance(value, Tensor) and value.dim() == 2)
    if not shapes:
        return None
    (hidden, dim), _ = shapes.most_common(1)[0]
    return Sizes(dim, hidden, blocks=len({match[1] for match, _ in found}), layers=len({match[2] for match, _ in found}))


def _misfits(branches: Mapping[str, Mapping[str, Any]], sizes: Sizes) -> list[str]:
    wanted = _shapes(sizes)
    problems = [f"missing: {name}.{key}" for name, state in branches.items() if state for key in wanted if key not in state]
    problems += [f"not wanted: {name}.{key}" for name, state in branches.items() for key in state if key not in wanted]
    for name, state in branches.items():
        for key, shape in wanted.items():
            if key in state and (why := _wrong(state[key], shape)) is not None:
                problems.append(f"{name}.{key}: {why}")
    if sizes.dim % (sizes.layers + 1):
        problems.append(f"{sizes.dim} channels do not make {sizes.layers + 1} equal groups, one more than a block has layers")
    return problems


def _shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    outer = {
        "embedding.weight": (sizes.dim, 5), "embedding.bias": (sizes.dim,),
        "linear.weight": (5, sizes.dim), "linear.bias": (5,),
    }  # fmt: skip
    inner = {
        "fc1.weight": (sizes.hidden, sizes.dim), "fc1.bias": (sizes.hidden,),
        "fc2.weight": (sizes.dim, sizes.hidden), "fc2.bias": (sizes.dim,),
    }  # fmt: skip
    keys = (origin.key for origin in origins(sizes).values())
    return {key: outer.get(key) or inner[".".join(key.split(".")[-2:])] for key in keys}


def _wrong(value: Any, shape: tuple[int, ...]) -> str | None:
    """Why a value is not the tensor that is wanted."""
    if not isinstance(value, Tensor):
        return f"holds {type(value).__name__}, a tensor is wanted"
    if not value.is_floating_point() or tuple(value.shape) != shape:
        kind = f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        return f"{kind} in the file, floating-point {list(shape)} wanted"
    if value.is_meta or value.layout is not torch.strided:
        return "holds no plain numbers"
    return None if bool(value.isfinite().all()) else "holds values that are not finite"
