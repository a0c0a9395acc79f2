"""Construction of encoders for the conformance checks, and collection of their outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit import rng
from findna_kit.testing.checks import CPU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from findna_kit.components.interfaces import Encoder
    from findna_kit.testing.checks import Case

LENGTH, CLASSES = 40, 3


def build_encoder(case: Case, class_tokens: int = CLASSES, *, seed: int = 0, perturbed: bool = True) -> Encoder:
    """Return an instance for LENGTH bases, in evaluation mode.

    perturbed: add noise to every parameter. A parameter that is initialised to zero (a gate, a last layer) would hide errors in
    the layers before it.
    """
    with rng.torch_seed("conformance", seed, device=CPU):
        encoder: Encoder = case.component(case.config, length=LENGTH + class_tokens, class_tokens=class_tokens)
        for parameter in encoder.parameters() if perturbed else ():
            if parameter.is_floating_point():
                parameter.data.add_(0.03 * torch.randn_like(parameter))
    return encoder.eval()


@torch.no_grad()
def embed(encoder: Encoder, inputs: tuple[Tensor, Tensor], layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
    """Return the embeddings and the requested hidden states, computed without gradient."""
    embeddings, hidden = encoder(*inputs, layers=layers)
    return embeddings, dict(hidden)


def all_outputs(encoder: Encoder, inputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Return the embeddings and every hidden state, by name."""
    embeddings, hidden = embed(encoder, inputs, range(encoder.depth))
    return {"embeddings": embeddings, **{f"hidden layer {layer}": state for layer, state in hidden.items()}}


def expected_rows(encoder: Encoder, class_tokens: int, length: int) -> int:
    """Return the number of rows that the encoder must output for this many class tokens and bases."""
    return (class_tokens if encoder.global_mixing else 0) + -(-length // encoder.stride)
