"""Tests of the selective scan: it equals the recurrence, position by position; memory and number of calls."""

import importlib.util

import pytest
import torch
from findna_kit_encoders import selective_scan as module
from findna_kit_encoders.selective_scan import scan_with_kernel, selective_scan
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode


def recurrence(x, delta, a, b, c):
    """Gu and Dao's equations 2a and 2b for each position: h <- exp(delta A) h + delta B x, y = C h."""
    h, y = torch.zeros(a.shape[0], *x[:, 0].shape, dtype=x.dtype), []
    for t in range(x.shape[1]):
        h = torch.exp(delta[:, t] * a[:, None]) * h + delta[:, t] * b[:, :, t, None] * x[:, t]
        y.append((c[:, :, t, None] * h).sum(0))
    return torch.stack(y, 1)


def inputs(batch=2, length=19, dim=3, states=4, seed=0, dtype=torch.float64):
    numbers = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=numbers, dtype=dtype)

    made = (
        normal(batch, length, dim), normal(batch, length, dim).exp(), -normal(states, dim).exp(),
        normal(states, batch, length), normal(states, batch, length),
    )  # fmt: skip
    return tuple(one.requires_grad_() for one in made)


@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 4), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_is_the_recurrence_with_its_gradients(batch, length, dim, states, seed):
    given_ = inputs(batch, length, dim, states, seed)
    found, expected = selective_scan(*given_), recurrence(*given_)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    above = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(seed))
    for one, other in zip(
        torch.autograd.grad(found, given_, above),
        torch.autograd.grad(expected, given_, above, allow_unused=True, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_finite_differences():
    assert torch.autograd.gradcheck(selective_scan, inputs(1, 6, 2, 2))


@pytest.mark.parametrize("at_once", [1, 250, 10**9])
def test_groups_of_states_of_any_size_give_the_same(monkeypatch, at_once):
    given_ = inputs(states=7)
    expected = torch.autograd.grad(recurrence(*given_).sin().sum(), given_)
    monkeypatch.setitem(module._GROUP_SIZE, "cpu", at_once)
    assert len(list(module._groups(given_[0], 7))) == {1: 7, 250: 4, 10**9: 1}[at_once]
    found = torch.autograd.grad(selective_scan(*given_).sin().sum(), given_)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_where_the_step_is_zero_the_state_passes_unchanged():
    x, delta, a, b, c = (one.detach() for one in inputs(length=12))
    expected = selective_scan(x, delta, a, b, c)
    holes = torch.tensor([0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11])
    kept = torch.cat([torch.ones(1).bool(), holes[1:] != holes[:-1]])
    found = selective_scan(x[:, holes], delta[:, holes] * kept[:, None], a, b[..., holes], c[..., holes])
    torch.testing.assert_close(found[:, kept], expected)
    torch.testing.assert_close(found[:, ~kept], expected[:, holes[~kept]])


def test_long_memory_and_none_at_all_stay_finite():
    """Where products of decays vanish, nothing is divided by them; fp32 stays near fp64 over thousands of positions."""
    x, delta, a, b, c = (one.detach() for one in inputs(1, 3000, 2, 3))
    for size in (1e-4, 1e4):
        exact = selective_scan(x, delta * size, a, b, c)
        rough = [one.float().requires_grad_() for one in (x, delta * size, a, b, c)]
        found = selective_scan(*rough)
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=float(exact.abs().max()) * 1e-5)
        assert all(one.isfinite().all() for one in torch.autograd.grad(found.sum(), rough))


def test_keeps_nothing_larger_than_its_inputs():
    kept = []
    with saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda tensor: tensor):
        given_ = inputs(states=5)
        selective_scan(*given_)
    assert sorted(kept) == sorted(one.shape for one in given_)


def test_torch_may_take_it_for_an_operator_of_its_own():
    """Its shapes, strides and gradients are as they are registered, for a compiler too."""
    given_ = inputs(length=5)
    torch.library.opcheck(module._scanned, given_)
    torch.library.opcheck(module._gradients, tuple(one.detach() for one in (given_[0], *given_)))


class Calls(TorchDispatchMode):
    """Counts what torch is asked to do."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        self.count += 1
        return function(*arguments, **named or {})


def test_takes_a_few_calls_for_each_doubling_of_the_length():
    def calls(length):
        x, delta, a, b, _ = (one.detach() for one in inputs(1, length, 1, 2))
        with Calls() as counted:
            module._states(x, delta, a, b)
        return counted.count

    short, long, longer = calls(64), calls(1024), calls(2048)
    assert long - short == 4 * (longer - long)
    assert longer - long <= 20


def reference_kernel(u, delta, a, b, c):
    """What mamba_ssm documents of `selective_scan_fn`, as far as it is used: u, delta (B D L), A (D N), B, C (B N L)."""
    assert all(one.is_contiguous() for one in (u, delta, a, b, c))
    state, y = torch.zeros(*u.shape[:2], a.shape[1], dtype=u.dtype), []
    for t in range(u.shape[2]):
        write = torch.einsum("bd,bn,bd->bdn", delta[:, :, t], b[:, :, t], u[:, :, t])
        state = torch.exp(torch.einsum("bd,dn->bdn", delta[:, :, t], a)) * state + write
        y.append(torch.einsum("bdn,bn->bd", state, c[:, :, t]))
    return torch.stack(y, dim=2)


def test_a_kernel_is_given_its_own_layout():
    """The kernel itself runs on CUDA alone; here its layout is held against the scan."""
    given_ = inputs(batch=2, length=9, dim=3, states=4)
    torch.testing.assert_close(scan_with_kernel(reference_kernel, *given_), selective_scan(*given_))


@pytest.mark.skipif(
    not torch.cuda.is_available() or importlib.util.find_spec("mamba_ssm") is None, reason="mamba_ssm and a GPU are not here"
)
def test_the_kernel_gives_the_same_on_cuda():
    given_ = [one.detach().float() for one in inputs(batch=2, length=100, dim=32, states=16)]
    found = selective_scan(*[one.cuda() for one in given_])
    torch.testing.assert_close(found.cpu(), selective_scan(*given_), rtol=1e-3, atol=1e-3)
