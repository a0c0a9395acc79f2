"""Gradient times input, and attention weights: what an embedding depends on, and what a layer reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from findna_kit.errors import FindnaError
from findna_kit.inference.batched_network import check_strand, reverse_complement
from findna_kit.model.branch import encode_bases, pool

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from findna_kit.inference.batched_network import BatchedNetwork, Strand

    Target = int | ArrayLike | None
    """None for the norm of an embedding, a number for one of its dimensions, or a direction [D]."""

_BASES = 4


def gradient_times_input(
    model: BatchedNetwork, tokens: NDArray[np.uint8], target: Target, layer: int | None, strand: Strand
) -> NDArray[np.float32]:
    """Return the gradient of a function of the mean-pooled embedding with respect to the one-hot bases, times these, [L, 4].

    A row has at most one number that is not 0: that of the base of the sequence. The row of an unknown base is 0, since N has a
    channel of its own, which is left out. target: the function, None for the Euclidean norm of the embedding, a number for one
    of its dimensions, or a direction [D], with which the embedding is multiplied. strand `both`: the mean over both strands.

    Raises FindnaError for a target, layer or strand that does not exist, and for a sequence longer than `max_length`.
    """
    check_strand(strand)
    model.check_layer(layer)
    model.check_length(len(tokens))
    direction = _direction(model, target)
    result = _one_strand(model, tokens, direction, layer)
    if strand == "forward":
        return result
    # The columns A C G T in reverse order are those of the complements, T G C A.
    return (result + _one_strand(model, reverse_complement(tokens), direction, layer)[::-1, ::-1]) * np.float32(0.5)


def attention(model: BatchedNetwork, tokens: NDArray[np.uint8], layer: int) -> NDArray[np.float32]:
    """Return the attention weights [heads, R, R] of a layer: see `FrozenModel`."""
    depth = model.network.encoder.depth
    if not -depth <= layer < depth:
        raise FindnaError(f"layer {layer}: the encoder has the hidden layers 0 to {depth - 1}, or -{depth} to -1 from the end")
    model.check_length(len(tokens))
    view = model.view([tokens])
    with torch.inference_mode(), model.engine.autocast():
        weights = model.network.attention(encode_bases(view.tokens), view.valid, layer % depth)
    if weights is None:
        raise FindnaError(
            f"the encoder {model.recipe.encoder.name!r} has no attention weights: its class does not define `attention`"
        )
    return np.asarray(weights[0].float().cpu().numpy())


def _direction(model: BatchedNetwork, target: Target) -> Tensor | None:
    """Return the direction [D] of a target, or None for the norm. Raises FindnaError for one that is not of the embedding."""
    if target is None:
        return None
    # True is an int in Python, but no dimension.
    if isinstance(target, int | np.integer) and not isinstance(target, bool):
        if not 0 <= target < model.dim:
            raise FindnaError(f"target {target}: the embedding has the dimensions 0 to {model.dim - 1}")
        return torch.eye(model.dim)[int(target)].to(model.engine.device)
    try:
        direction = np.asarray(target, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise FindnaError(f"target {target!r}: must be None, the number of a dimension or {model.dim} numbers") from error
    if direction.shape != (model.dim,):
        raise FindnaError(f"target of shape {direction.shape}: a direction needs the {model.dim} numbers of an embedding")
    return torch.from_numpy(direction).to(model.engine.device)


def _one_strand(
    model: BatchedNetwork, tokens: NDArray[np.uint8], direction: Tensor | None, layer: int | None
) -> NDArray[np.float32]:
    """Return the gradient times input [L, 4] of one strand."""
    # The weights need no gradient, only the input does, so that little memory is used beyond the forward pass.
    view = model.view([tokens])
    bases = encode_bases(view.tokens).requires_grad_()
    with torch.enable_grad():
        with model.engine.autocast():
            encoding = model.network.encode(bases, view.valid, layers=() if layer is None else (layer,))
        # In fp32: in bf16 the norm, and the gradient with it, would be rounded.
        embedding = pool(encoding.of_layer(layer), encoding.valid)[0].float()
        value = embedding.norm() if direction is None else embedding @ direction
        (gradient,) = torch.autograd.grad(value, bases)
    return np.asarray((gradient * bases.detach())[0, :, :_BASES].float().cpu().numpy())
