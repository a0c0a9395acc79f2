"""Conformance checks of encoders that need more than a forward pass: the meta device, torch.compile, and a resumed run."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from findna_kit import rng
from findna_kit.testing.checks import CPU, abbreviate, largest_number, relative_difference
from findna_kit.testing.experiments import component_entry, recipe_document, resume_differences
from findna_kit.testing.samples import encoder_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from findna_kit.components.interfaces import Encoder
    from findna_kit.testing.checks import Case

_LENGTH, _CLASSES = 24, 2
_ROUNDING = 1e-4


def meta(case: Case) -> Iterator[str]:
    """Require that the encoder can be built on torch's meta device, as `findna-kit check` does."""
    # `check` assembles every recipe on the meta device, to find errors without memory.
    with torch.device("meta"):
        encoder = case.component(case.config, length=_LENGTH + _CLASSES, class_tokens=_CLASSES)
    placed = [name for name, tensor in (*encoder.named_parameters(), *encoder.named_buffers()) if tensor.device.type != "meta"]
    if placed:
        yield f"built under torch.device('meta'), {abbreviate(placed)} is on another device: do not name a device in __init__"


def compiled(case: Case) -> Iterator[str]:
    """Require that with torch.compile (backend aot_eager), embeddings and gradients are the same to rounding."""
    eager, traced = _build(case), _build(case)
    inputs = encoder_inputs(eager, [_LENGTH, 15], _LENGTH, _CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dynamo warns about code of torch itself
        # This backend traces forward and backward like the real one, and needs no compiler.
        traced.compile(backend="aot_eager")
        try:
            expected, actual = _outputs_and_gradients(eager, inputs), _outputs_and_gradients(traced, inputs)
        finally:
            # Compiled code is cached per process; without a reset it would affect later checks.
            torch._dynamo.reset()
    scale = largest_number(tensor for name, tensor in expected.items() if name)
    for name, tensor in expected.items():
        # A gradient far below the largest one may consist of rounding alone.
        size = max(float(tensor.abs().max()), 1e-3 * scale)
        if not (change := relative_difference(actual[name], tensor, size)) <= _ROUNDING:
            what = f"the gradient of {name}" if name else "the embeddings"
            differ = "differs" if name else "differ"
            yield (
                f"under torch.compile(backend='aot_eager'), {what} {differ} by {change:.1g} (relative) from eager mode; "
                "expected: equal to rounding. Keep Python state and data-dependent branches out of `forward`"
            )
            return


def _build(case: Case) -> Encoder:
    with rng.torch_seed("conformance", "compiled", device=CPU):
        encoder: Encoder = case.component(case.config, length=_LENGTH + _CLASSES, class_tokens=_CLASSES)
    return encoder.eval()


def _outputs_and_gradients(encoder: Encoder, inputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Return the embeddings under the empty name, and the gradient of every parameter that has one."""
    embeddings, _ = encoder(*inputs)
    # A scalar that every output influences, so that no gradient is trivially zero.
    embeddings.float().square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    return {"": embeddings.detach(), **gradients}


def resume(case: Case) -> Iterator[str]:
    """Require that a run that is interrupted and resumed equals an uninterrupted one, bit for bit."""
    yield from resume_differences(case, recipe_document(encoder=component_entry(case)))
