"""Export of a frozen model as an ONNX graph with dynamic batch and length; the only module that uses onnx and onnxruntime."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

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
"""Batch size and length at which the graph is traced, and those at which it is compared with torch."""
_LOUD = ("torch.onnx", "torch.fx.experimental.symbolic_shapes")
_EXPECTED = (r".isinstance\(treespec, LeafSpec\). is deprecated", "# The axis name: .* will not be used")
"""Warnings of torch 2.13 about its own code, and about two inputs that share axes, as ours must."""


class _PooledEmbeddings(nn.Module):
    """Maps bases [B, L, 5] and valid [B, L] to the embeddings [B, D] that `FrozenModel.embed` pools by `mean` and `class`."""

    def __init__(self, network: Branch) -> None:
        super().__init__()
        self.network = network

    @property
    def outputs(self) -> list[str]:
        """Return the names of the outputs."""
        return ["mean", "class"] if self.network.class_tokens else ["mean"]

    def forward(self, bases: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        """Return the mean over the nucleotides and, with class tokens, the mean over those."""
        encoding = self.network.encode(bases, valid)
        mean = pool(encoding.nucleotides, encoding.valid)
        if not self.network.class_tokens:
            return (mean,)
        return mean, self.network.class_embeddings(encoding).mean(1)


def require_onnx() -> None:
    """Raise FindnaError, naming the extra to install, if one of its packages is missing."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require_extra(module, "onnx", "--format onnx")


def write_onnx(model: FrozenModel, path: Path) -> dict[str, object]:
    """Write the graph in fp32, compare its outputs with torch, and return a description of its inputs and outputs.

    Raises FindnaError for an encoder that torch cannot trace with a dynamic length, or whose graph computes other numbers.
    """
    require_onnx()
    graph, bound = _PooledEmbeddings(model.network).eval(), model.network.encoder.max_length
    name = model.recipe.encoder.name
    # Named dimensions stay dynamic in the graph; without them it accepts only the traced shape.
    # The batch is traced with three samples, because torch.export takes a size of 1 for a constant; 1 is tried later.
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=bound)
    with _expected_warnings_hidden(), torch.no_grad():
        try:
            program = torch.onnx.export(
                graph, _example(*_TRACED, bound), dynamo=True, verbose=False,
                input_names=["bases", "valid"], output_names=graph.outputs,
                dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
            )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            message = f"encoder {name!r} cannot be exported to ONNX with a dynamic length; use --format huggingface"
            raise FindnaError(f"{message} (torch.export: {reason})") from error
        assert program is not None
        program.save(path)
        difference = max(_difference(graph, path, _example(*size, bound)) for size in _TRIED)
    if not difference <= _TOLERANCE:
        message = f"encoder {name!r}: its ONNX graph differs from torch (by up to {difference:.1e} of the largest value)"
        raise FindnaError(f"{message}; use --format huggingface")
    bases = f"float32 [batch, length, 5], one-hot over {alphabet.LETTERS}"
    return {
        "inputs": {"bases": bases, "valid": "bool [batch, length], false: padding"},
        "outputs": {output: f"float32 [batch, {model.dim}]" for output in graph.outputs},
        "largest_relative_difference": difference,
    }  # fmt: skip


def _example(rows: int, length: int, bound: int | None) -> tuple[Tensor, Tensor]:
    """Return a batch of random sequences of decreasing length, padded at the end."""
    length = min(length, bound or length)
    random = torch.Generator().manual_seed(0)
    # A fixed seed: the comparison gives the same difference each time.
    tokens = torch.randint(0, 4, (rows, length), generator=random)
    valid = torch.arange(length) < (length - torch.arange(rows)[:, None]).clamp(min=1)
    return encode_bases(tokens.where(valid, torch.tensor(alphabet.N))), valid


def _difference(graph: nn.Module, path: Path, example: tuple[Tensor, Tensor]) -> float:
    """Return the largest difference between torch and onnxruntime, relative to the largest value."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    # Only errors: onnxruntime prints warnings about optimisations to stderr.
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    bases, valid = example
    outputs = session.run(None, {"bases": bases.numpy(), "valid": valid.numpy()})
    pairs = zip(graph(bases, valid), map(torch.from_numpy, outputs), strict=True)
    return max(float((actual - expected).abs().max() / expected.abs().max()) for expected, actual in pairs)


@contextmanager
def _expected_warnings_hidden() -> Iterator[None]:
    """Hide the exporter's log lines about its internals and the warnings that are known to be harmless."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    before = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for log, level in zip(loggers, before, strict=True):
            log.setLevel(level)
