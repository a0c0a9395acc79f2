"""A frozen model as one ONNX graph with batch and length left open; the one door to onnx and onnxruntime."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.errors import FindnaError, require_extra
from findna_kit.model.branch import encode_bases, pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from findna_kit.inference.frozen_model import FrozenModel
    from findna_kit.model.branch import Branch

_TOLERANCE = 1e-4
_TRACED, _TRIED = (3, 40), ((1, 48), (5, 17))
"""Rows and nucleotides that the graph is traced at, and at which it is held against torch."""
_LOUD = ("torch.onnx", "torch.fx.experimental.symbolic_shapes")
_EXPECTED = (r".isinstance\(treespec, LeafSpec\). is deprecated", "# The axis name: .* will not be used")
"""Of torch 2.13, about its own code; and that two inputs share their axes, which they do."""


class _Pooled(nn.Module):
    """Bases [B, L, 5] and valid [B, L] to the poolings [B, D] that `embed` offers."""

    def __init__(self, network: Branch) -> None:
        super().__init__()
        self.network = network

    @property
    def outputs(self) -> list[str]:
        """Their names."""
        return ["mean", "class"] if self.network.class_tokens else ["mean"]

    def forward(self, bases: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        encoding = self.network.encode(bases, valid)
        mean = pool(encoding.nucleotides, encoding.valid)
        if not self.network.class_tokens:
            return (mean,)
        return mean, self.network.class_embeddings(encoding).mean(1)


def need_onnx() -> None:
    """FindnaError that names the extra, where one of its packages is missing."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require_extra(module, "onnx", "--format onnx")


def write_onnx(model: FrozenModel, path: Path) -> dict[str, Any]:
    """Writes the graph, in fp32, and holds it against torch; what goes in and comes out of it.

    Raises FindnaError for an encoder that torch cannot trace with the length left open, or whose graph gives something else.
    """
    need_onnx()
    graph, bound = _Pooled(model.network).eval(), model.network.encoder.max_length
    name = model.recipe.encoder.name
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=bound)
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                graph, _example(*_TRACED, bound), dynamo=True, verbose=False,
                input_names=["bases", "valid"], output_names=graph.outputs,
                dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
            )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            why = str(error.__cause__ or error).strip().partition("\n")[0]
            told = f"encoder {name!r} cannot be written as ONNX with the length left open; take --format huggingface"
            raise FindnaError(f"{told} (torch.export: {why})") from error
        assert program is not None
        program.save(path)
        difference = max(_difference(graph, path, _example(*size, bound)) for size in _TRIED)
    if not difference <= _TOLERANCE:
        told = f"encoder {name!r}: its ONNX graph does not give what torch gives (the largest difference is {difference:.1e}"
        raise FindnaError(f"{told} of the largest value); take --format huggingface")
    bases = f"float32 [batch, length, 5], one-hot over {alphabet.LETTERS}"
    return {
        "inputs": {"bases": bases, "valid": "bool [batch, length], false: padding"},
        "outputs": {output: f"float32 [batch, {model.dim}]" for output in graph.outputs},
        "largest_relative_difference": difference,
    }  # fmt: skip


def _example(rows: int, length: int, bound: int | None) -> tuple[Tensor, Tensor]:
    """Rows of random bases, each shorter than the one before, padded at their end."""
    length = min(length, bound or length)
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 4, (rows, length), generator=random)
    valid = torch.arange(length) < (length - torch.arange(rows)[:, None]).clamp(min=1)
    return encode_bases(tokens.where(valid, torch.tensor(alphabet.N))), valid


def _difference(graph: nn.Module, path: Path, example: tuple[Tensor, Tensor]) -> float:
    """Between torch and onnxruntime, as a share of the largest value."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    bases, valid = example
    found = session.run(None, {"bases": bases.numpy(), "valid": valid.numpy()})
    pairs = zip(graph(bases, valid), map(torch.from_numpy, found), strict=True)
    return max(float((made - wanted).abs().max() / wanted.abs().max()) for wanted, made in pairs)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks of its own insides, on stderr and as warnings; what is known of that is not for the user."""
    loud = [logging.getLogger(name) for name in _LOUD]
    before = [log.level for log in loud]
    for log in loud:
        log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for log, level in zip(loud, before, strict=True):
            log.setLevel(level)
