"""Mamba's selective state space (Gu and Dao 2023, section 3) as a parallel scan, linear in time and memory.

    h_t = exp(delta_t A) h_(t-1) + delta_t B_t x_t,    y_t = C_t h_t

A is diagonal; B is discretised by Euler's rule, as in Mamba's own kernel. `h` is computed by combining neighbours in pairs,
then pairs of pairs, and then filling in the positions between (Blelloch 1990): O(L) work in O(log L) calls. The backward pass
recomputes it, and both passes work on a group of states at a time, so no tensor of [B, L, D, S] is stored.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GROUP_SIZE = {"cpu": 1 << 20}
"""Numbers per group of states, by device type. On a CPU a group should fit into the cache."""
_DEFAULT_GROUP_SIZE = 1 << 26
"""On other devices the cost of calls matters more than memory, so groups are larger."""


def selective_scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return `y` [B, L, D], scanned from left to right; where `delta` is 0 the state does not change.

    x, delta [B, L, D]: input and step sizes. a [S, D], negative. b, c [S, B, L]: weights with which the input enters each state
    and the state enters the output. All have one data type, fp32 or fp64. Uses the kernel of `mamba_ssm` where that package is
    installed and supports the tensors (fp32 on CUDA).
    """
    if x.is_cuda and x.dtype == torch.float32 and find_spec("mamba_ssm") is not None:
        # Imported here because the package is optional.
        return scan_with_kernel(import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn, x, delta, a, b, c)
    scanned: Tensor = _scanned(x, delta, a, b, c)
    return scanned


def scan_with_kernel(kernel: Callable[..., Tensor], x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return `selective_scan` computed by `kernel`, which has the layout of `mamba_ssm`.

    The kernel's tensors: u and delta [B, D, L], A [D, S], B and C [B, S, L], y [B, D, L].
    """
    u, steps = (tensor.transpose(1, 2).contiguous() for tensor in (x, delta))
    inputs, outputs = (tensor.transpose(0, 1).contiguous() for tensor in (b, c))
    return kernel(u, steps, a.T.contiguous(), inputs, outputs).transpose(1, 2)


@torch.library.custom_op("findna_kit_encoders::selective_scan", mutates_args=())
def _scanned(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    # A custom operator: torch.compile then calls it, instead of tracing and unrolling the tree for each length.
    scaled, y = delta * x, torch.zeros_like(x)
    for group in _groups(x, len(a)):
        _, h = _states(scaled, delta, a[group], b[group])
        y += h.mul_(c[group][..., None]).sum(0)
    return y


@torch.library.custom_op("findna_kit_encoders::selective_scan_gradients", mutates_args=())
def _gradients(
    grad_y: Tensor, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, delta, a, b and c, from the gradient of y and recomputed states."""
    scaled = delta * x
    grad_scaled, grad_delta, grad_a, grad_b, grad_c = (torch.zeros_like(tensor) for tensor in (x, delta, a, b, c))
    for group in _groups(x, len(a)):
        decay, h = _states(scaled, delta, a[group], b[group])
        grad_c[group] = (h * grad_y).sum(-1)
        grad_h = c[group][..., None] * grad_y
        _scan_back(decay[:, :, 1:], grad_h)
        grad_b[group] = (grad_h * scaled).sum(-1)
        grad_scaled += (grad_h * b[group][..., None]).sum(0)
        # The gradient of the exponent delta_t A. It starts at t = 1, because no state before the first one decays.
        grad_exponent = grad_h[:, :, 1:].mul_(decay[:, :, 1:]).mul_(h[:, :, :-1])
        grad_delta[:, 1:] += (grad_exponent * a[group][:, None, None]).sum(0)
        grad_a[group] = (grad_exponent * delta[:, 1:]).sum((1, 2))
    # delta enters twice: in the exponent of the decay, and as a factor of x in `scaled`.
    return grad_scaled * delta, grad_delta.addcmul_(grad_scaled, x), grad_a, grad_b, grad_c


# Shapes of the outputs, for torch.compile and the meta device.
@_scanned.register_fake
def _(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.empty_like(x)


@_gradients.register_fake
def _(grad_y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(tensor) for tensor in inputs)


def _save_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


_scanned.register_autograd(lambda ctx, grad_y: _gradients(grad_y, *ctx.saved_tensors), setup_context=_save_inputs)


def _groups(x: Tensor, states: int) -> Iterator[slice]:
    """Split the states into the groups that are computed together."""
    size = max(1, _GROUP_SIZE.get(x.device.type, _DEFAULT_GROUP_SIZE) // max(1, x.numel()))
    return (slice(first, first + size) for first in range(0, states, size))


def _states(scaled: Tensor, delta: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return `exp(delta A)` and `h`, both [S, B, L, D], for `scaled` = delta x."""
    decay = (delta * a[:, None, None]).exp_()
    h = scaled * b[..., None]
    _scan(decay[:, :, 1:], h)
    return decay, h


def _scan(between: Tensor, h: Tensor) -> None:
    """Compute `h_t <- h_t + between_(t-1) h_(t-1)` in place, in order of t. h [..., L, D], between [..., L - 1, D]."""
    length = h.shape[-2]
    if length == 1:
        return
    even, odd = h[..., ::2, :], h[..., 1::2, :]
    inside, outside = between[..., ::2, :], between[..., 1::2, :]  # within and between the pairs (0, 1), (2, 3), ...
    # Once each odd position has absorbed its left neighbour, the odd positions alone follow the same recurrence, with
    # the products of two decays between them. It is solved recursively; an even position then needs only the odd one before it.
    odd.addcmul_(inside, even[..., : length // 2, :])
    pairs = (length - 1) // 2  # pairs that are followed by an even position
    _scan(outside[..., : length // 2 - 1, :] * inside[..., 1:, :], odd)
    even[..., 1:, :].addcmul_(outside, odd[..., :pairs, :])


def _scan_back(between: Tensor, g: Tensor) -> None:
    """Compute the transpose of `_scan`: `g_t <- g_t + between_t g_(t+1)` in place, from the last t to the first."""
    length = g.shape[-2]
    if length == 1:
        return
    even, odd = g[..., ::2, :], g[..., 1::2, :]
    inside, outside = between[..., ::2, :], between[..., 1::2, :]
    # As in `_scan`, but from the right: here each even position absorbs the odd one after it, and the even ones recurse.
    even[..., : length // 2, :].addcmul_(inside, odd)
    pairs = (length - 1) // 2
    _scan_back(inside[..., :pairs, :] * outside, even)
    odd[..., :pairs, :].addcmul_(outside, even[..., 1:, :])
