"""The selective state space of Mamba (Gu and Dao 2023, section 3) as a parallel scan, linear in length and memory.

    h_t = exp(delta_t A) h_(t-1) + delta_t B_t x_t,    y_t = C_t h_t

A is diagonal; B is discretised by Euler's rule, as Mamba's own kernel does. `h` is found by combining neighbours in pairs, then
pairs of pairs, and filling in what lies between (Blelloch 1990): O(L) work in O(log L) calls. It is made anew for the backward
pass, and for some states at a time, so that no tensor of [B, L, D, S] is kept.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AT_ONCE = {"cpu": 1 << 20}
"""Numbers of a group of states: on a CPU they stay near its cache, elsewhere calls cost more than memory."""
_AT_ONCE_ELSEWHERE = 1 << 26


def selective_scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """`y` [B, L, D], from left to right; where `delta` is 0 the state passes unchanged. All of one dtype, fp32 or fp64.

    x, delta [B, L, D]: input and step sizes. a [S, D], below 0. b, c [S, B, L]: what is written into each state, and what is
    read of it. Runs on `mamba_ssm`'s kernel where that is installed and takes the tensors: fp32 on CUDA.
    """
    if x.is_cuda and x.dtype == torch.float32 and find_spec("mamba_ssm") is not None:
        return by_kernel(import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn, x, delta, a, b, c)
    scanned: Tensor = _scanned(x, delta, a, b, c)
    return scanned


def by_kernel(kernel: Callable[..., Tensor], x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The same by a kernel of `mamba_ssm`'s layout: u and delta [B, D, L], A [D, S], B and C [B, S, L], y [B, D, L]."""
    u, steps = (part.transpose(1, 2).contiguous() for part in (x, delta))
    written, read = (part.transpose(0, 1).contiguous() for part in (b, c))
    return kernel(u, steps, a.T.contiguous(), written, read).transpose(1, 2)


@torch.library.custom_op("findna_kit_encoders::selective_scan", mutates_args=())
def _scanned(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    # One operator of torch: a compiler takes it as it is, instead of tracing and unrolling the tree of each length.
    written, y = delta * x, torch.zeros_like(x)
    for part in _groups(x, len(a)):
        _, h = _states(written, delta, a[part], b[part])
        y += h.mul_(c[part][..., None]).sum(0)
    return y


@torch.library.custom_op("findna_kit_encoders::selective_scan_gradients", mutates_args=())
def _gradients(
    above: Tensor, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    written = delta * x
    of_written, of_delta, of_a, of_b, of_c = (torch.zeros_like(one) for one in (x, delta, a, b, c))
    for part in _groups(x, len(a)):
        decay, h = _states(written, delta, a[part], b[part])
        of_c[part] = (h * above).sum(-1)
        of_h = c[part][..., None] * above
        _scan_back(decay[:, :, 1:], of_h)
        of_b[part] = (of_h * written).sum(-1)
        of_written += (of_h * b[part][..., None]).sum(0)
        # Of the exponent delta_t A: the first state has none before it to decay.
        of_exponent = of_h[:, :, 1:].mul_(decay[:, :, 1:]).mul_(h[:, :, :-1])
        of_delta[:, 1:] += (of_exponent * a[part][:, None, None]).sum(0)
        of_a[part] = (of_exponent * delta[:, 1:]).sum((1, 2))
    return of_written * delta, of_delta.addcmul_(of_written, x), of_a, of_b, of_c


@_scanned.register_fake
def _(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.empty_like(x)


@_gradients.register_fake
def _(above: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(one) for one in inputs)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


_scanned.register_autograd(lambda ctx, above: _gradients(above, *ctx.saved_tensors), setup_context=_keep)


def _groups(x: Tensor, states: int) -> Iterator[slice]:
    """States that are worked on together."""
    size = max(1, _AT_ONCE.get(x.device.type, _AT_ONCE_ELSEWHERE) // max(1, x.numel()))
    return (slice(first, first + size) for first in range(0, states, size))


def _states(written: Tensor, delta: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """`exp(delta A)` and `h`, both [S, B, L, D]."""
    decay = (delta * a[:, None, None]).exp_()
    h = written * b[..., None]
    _scan(decay[:, :, 1:], h)
    return decay, h


def _scan(between: Tensor, h: Tensor) -> None:
    """`h_t <- h_t + between_(t-1) h_(t-1)` in place, in order of t. h [..., L, D], between [..., L - 1, D]."""
    length = h.shape[-2]
    if length == 1:
        return
    even, odd = h[..., ::2, :], h[..., 1::2, :]
    inside, outside = between[..., ::2, :], between[..., 1::2, :]  # of the pairs (0, 1), (2, 3), ...
    odd.addcmul_(inside, even[..., : length // 2, :])
    pairs = (length - 1) // 2  # that an even place comes after
    _scan(outside[..., : length // 2 - 1, :] * inside[..., 1:, :], odd)
    even[..., 1:, :].addcmul_(outside, odd[..., :pairs, :])


def _scan_back(between: Tensor, g: Tensor) -> None:
    """Its transpose: `g_t <- g_t + between_t g_(t+1)` in place, from the last t to the first."""
    length = g.shape[-2]
    if length == 1:
        return
    even, odd = g[..., ::2, :], g[..., 1::2, :]
    inside, outside = between[..., ::2, :], between[..., 1::2, :]
    even[..., : length // 2, :].addcmul_(inside, odd)
    pairs = (length - 1) // 2
    _scan_back(inside[..., :pairs, :] * outside, even)
    odd[..., :pairs, :].addcmul_(outside, even[..., 1:, :])
