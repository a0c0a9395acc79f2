"""Tests of GPN: its block equals a loop over positions, in the order of the published network."""

import math

import pytest
import torch
from findna_kit_encoders.gpn import GPN
from sequences import batch, built, reach


def layer_norm(row, norm):
    centred = row - row.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * norm.weight + norm.bias


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def by_loops(encoder, bases, dilations, kernel):
    """One sequence [L, 5] without padding."""
    x = torch.cat([bases, bases.new_zeros(len(bases), encoder.dim - 5)], dim=1)
    for block, dilation in zip(encoder.blocks, dilations, strict=True):
        rows = []
        for at in range(len(x)):
            total = block.conv.bias
            for tap in range(kernel):
                place = at + (tap - kernel // 2) * dilation
                if 0 <= place < len(x):
                    total = total + block.conv.weight[:, :, tap] @ x[place]
            rows.append(x[at] + layer_norm(gelu(total), block.conv_norm))
        linear = block.linear
        x = torch.stack([row + layer_norm(gelu(linear.weight @ row + linear.bias), block.linear_norm) for row in rows])
    return x


@pytest.mark.parametrize(("length", "kernel"), [(1, 9), (25, 9), (18, 3), (7, 1)])
def test_it_is_the_formula(length, kernel):
    encoder = built(GPN, dim=8, blocks=4, kernel=kernel, largest_dilation=4).double()
    with torch.no_grad():
        for parameter in encoder.parameters():  # some are drawn as zeros or ones
            parameter.add_(0.3 * torch.randn_like(parameter))
    bases, valid = batch(length, dtype=torch.float64)
    torch.testing.assert_close(encoder(bases, valid)[0][0], by_loops(encoder, bases[0], [1, 2, 4, 1], kernel))


def test_dilations_double_to_the_largest_and_begin_again():
    """The paper's: 25 blocks, 1 to 32 four times and 1 once more."""
    assert GPN.Config(blocks=25).dilations == [1, 2, 4, 8, 16, 32] * 4 + [1]
    assert GPN.Config(blocks=3, largest_dilation=1).dilations == [1, 1, 1]


@pytest.mark.parametrize(("blocks", "kernel", "expected"), [(1, 9, 4), (3, 3, 7), (4, 3, 8)])
def test_it_sees_as_far_as_it_says_and_no_further(blocks, kernel, expected):
    encoder = built(GPN, dim=8, blocks=blocks, kernel=kernel, largest_dilation=4)
    assert reach(encoder, 41, 20) == (20 - expected, 20 + expected)


def test_the_papers_size_is_counted():
    """25 blocks of a convolution 512 x 512 x 9, a linear layer and two norms, by the arithmetic of their sizes."""
    with torch.device("meta"):
        encoder = built(GPN, dim=512, blocks=25)
    conv, linear, norm = 512 * 512 * 9 + 512, 512 * 512 + 512, 2 * 512
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 25 * (conv + linear + 2 * norm) == 65_612_800


def test_it_declares_its_sizes_and_that_it_is_local():
    encoder = built(GPN, dim=8, blocks=5)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length, encoder.strand) == (8, 5, 1, None, "none")
    assert encoder.global_mixing is False


def test_embeddings_are_the_last_blocks_without_a_norm():
    encoder = built(GPN, dim=8, blocks=3)
    embeddings, hidden = encoder(*batch(12, 7), layers=(1, 2))
    assert sorted(hidden) == [1, 2]
    assert hidden[2].equal(embeddings)
    assert not hidden[1].equal(embeddings)
