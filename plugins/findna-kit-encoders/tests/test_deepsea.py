"""Tests of DeepSEA: convolutions and pooling equal plain loops, pooling ignores padding, and token losses are refused."""

import pytest
import torch
from findna_kit_encoders.deepsea import DeepSEA
from sequences import batch, built, reach

SMALL = {"first": 6, "second": 7, "dim": 8, "kernel": 3, "pool": 2}


def convolved(x, layer):
    """Every output as a sum over the rows [R, D] that are there: (kernel - 1) // 2 of them before its own."""
    kernel = layer.kernel_size[0]
    rows = []
    for at in range(len(x)):
        total = layer.bias
        for tap in range(kernel):
            place = at + tap - (kernel - 1) // 2
            if 0 <= place < len(x):
                total = total + layer.weight[:, :, tap] @ x[place]
        rows.append(total.clamp(min=0))
    return torch.stack(rows)


def pooled(x, pool):
    """The largest of each `pool` rows; the last window holds what is left."""
    return torch.stack([x[start : start + pool].max(0).values for start in range(0, len(x), pool)])


def by_loops(encoder, bases, pool):
    first, second, third = (convolution.conv for convolution in encoder.convolutions)
    return convolved(pooled(convolved(pooled(convolved(bases, first), pool), second), pool), third)


@pytest.mark.parametrize(("kernel", "pool"), [(8, 4), (3, 2), (1, 3), (4, 2)])
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 33])
def test_it_is_the_formula_also_of_windows_that_padding_cuts(kernel, pool, length):
    encoder = built(DeepSEA, **{**SMALL, "kernel": kernel, "pool": pool}).double()
    bases, valid = batch(length, 40, dtype=torch.float64)
    made = encoder(bases, valid)[0][0, : -(-length // pool**2)]
    torch.testing.assert_close(made, by_loops(encoder, bases[0, :length], pool))


def test_a_pool_does_not_read_padding_however_large():
    """Not even where every valid row is below it: nothing but the ReLU's zeros is left of them."""
    encoder = built(DeepSEA, **SMALL)
    bases, valid = batch(13, 32)
    alone = encoder(bases[:1, :13], valid[:1, :13])[0]
    for junk in (1e4, -1e4):
        filled = bases.masked_fill(~valid[..., None], junk)
        assert encoder(filled, valid)[0][:1, : alone.shape[1]].allclose(alone, atol=1e-6)


def test_its_stride_is_the_product_of_its_pools():
    encoder = built(DeepSEA, **{**SMALL, "pool": 4})
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length, encoder.strand) == (8, 1, 16, None, "none")
    assert encoder.global_mixing is False


def test_it_sees_as_far_as_its_kernels_and_pools_let_it():
    """Kernel 3, pool 2: windows of 4 bases; 1 row to either side of 4, of 2 and of 1 bases."""
    encoder = built(DeepSEA, **{**SMALL, "dim": 64, "first": 64, "second": 64})
    first, last = reach(encoder, 61, 7)
    assert 28 - (4 + 2 + 1) <= first <= 28
    assert 31 <= last <= 31 + (4 + 2 + 1)


def test_the_papers_size_is_counted():
    """320, 480 and 960 channels of kernel 8, a channel more for N than the paper's four bases."""
    with torch.device("meta"):
        encoder = built(DeepSEA, first=320, second=480, dim=960)
    counted = (5 * 8 + 1) * 320 + (320 * 8 + 1) * 480 + (480 * 8 + 1) * 960
    assert sum(parameter.numel() for parameter in encoder.parameters()) == counted


def test_dropout_falls_only_while_training_and_not_on_the_hidden_layer():
    encoder = built(DeepSEA, **SMALL, dropout=0.0, last_dropout=0.9)
    inputs = batch(32, 20)
    whole, hidden = encoder(*inputs, layers=(0,))
    assert hidden[0].equal(whole)
    encoder.train()
    dropped, hidden = encoder(*inputs, layers=(0,))
    assert hidden[0].equal(whole)
    assert dropped.eq(0).float().mean() > whole.eq(0).float().mean() + 0.2
    pooling = built(DeepSEA, **SMALL, dropout=0.5, last_dropout=0.0).train()
    assert not pooling(*inputs)[0].equal(pooling(*inputs)[0])


@pytest.mark.parametrize("kernel", [4, 8, 12, 16, 20])
@pytest.mark.parametrize("channels", [8, 12, 64])
def test_bf16_is_near_fp32_whatever_the_kernel(kernel, channels):
    """torch 2.13 convolves wrongly with these kernels and few channels on a CPU with AMX: by as much as what is computed."""
    encoder = built(DeepSEA, first=channels, second=channels, dim=channels, kernel=kernel, pool=2)
    inputs = batch(40, 33)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = encoder(*inputs)[0].float()
    expected = encoder(*inputs)[0]
    assert (made - expected).abs().max() < 0.03 * expected.abs().max()
