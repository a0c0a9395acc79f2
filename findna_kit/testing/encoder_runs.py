"""What is asked of an encoder that takes more than a forward: a compiled one, and a run."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from findna_kit import rng
from findna_kit.testing.checks import CPU, relative_difference
from findna_kit.testing.experiments import component_entry, recipe_document, resume_differences
from findna_kit.testing.samples import given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from findna_kit.components.interfaces import Encoder
    from findna_kit.testing.checks import Case

_LENGTH, _CLASSES = 24, 2
_ROUNDING = 1e-4


def compiled(case: Case) -> Iterator[str]:
    """Compiled by torch.compile (aot_eager), it gives the embeddings and gradients that it gives without, to rounding."""
    eager, traced = _built(case), _built(case)
    inputs = given(eager, [_LENGTH, 15], _LENGTH, _CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dynamo's own, of torch's own parts
        traced.compile(backend="aot_eager")
        try:
            mine, theirs = _passed(eager, inputs), _passed(traced, inputs)
        finally:
            torch._dynamo.reset()
    scale = max(float(tensor.abs().max()) for name, tensor in mine.items() if name)
    for name, tensor in mine.items():
        own = max(float(tensor.abs().max()), 1e-3 * scale)
        if not (change := relative_difference(theirs[name], tensor, own)) <= _ROUNDING:
            what = f"the gradient of {name}" if name else "its embeddings"
            yield (
                f"compiled by torch.compile(backend='aot_eager'), {what} differs by {change:.1g} of its size; wanted: the "
                "same to "
                "rounding. Keep Python state and data-dependent branches out of forward"
            )
            return


def _built(case: Case) -> Encoder:
    with rng.torch_seed("conformance", "compiled", device=CPU):
        encoder: Encoder = case.component(case.config, length=_LENGTH + _CLASSES, class_tokens=_CLASSES)
    return encoder.eval()


def _passed(encoder: Encoder, inputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """The embeddings, under no name, and the gradient of every parameter that has one."""
    embeddings, _ = encoder(*inputs)
    embeddings.float().square().sum().backward()
    return {"": embeddings.detach(), **{name: one.grad for name, one in encoder.named_parameters() if one.grad is not None}}


def resume(case: Case) -> Iterator[str]:
    """A run that is cut off and resumed equals one that was not, bit for bit."""
    yield from resume_differences(case, recipe_document(encoder=component_entry(case)))
