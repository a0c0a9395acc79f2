"""Tests of ConvNeXt: its block equals a loop over positions and channels, written from the paper's figure 4."""

import math

import pytest
import torch
from findna_kit_encoders.convnext import ConvNeXt
from sequences import batch, built, reach


def layer_norm(row, norm):
    centred = row - row.mean()
    return centred / (centred.square().mean() + 1e-6).sqrt() * norm.weight + norm.bias


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def by_loops(encoder, bases, kernel):
    """One sequence [L, 5] without padding."""
    x = torch.stack([layer_norm(encoder.embed.weight @ row + encoder.embed.bias, encoder.embed_norm) for row in bases])
    for block in encoder.blocks:
        rows = []
        for at in range(len(x)):
            mixed = block.depthwise.bias.clone()
            for tap in range(kernel):
                place = at + tap - kernel // 2
                if 0 <= place < len(x):
                    mixed = mixed + block.depthwise.weight[:, 0, tap] * x[place]
            wide = gelu(block.wide.weight @ layer_norm(mixed, block.norm) + block.wide.bias)
            rows.append(x[at] + block.scale * (block.narrow.weight @ wide + block.narrow.bias))
        x = torch.stack(rows)
    return torch.stack([layer_norm(row, encoder.norm) for row in x])


@pytest.mark.parametrize(("length", "kernel", "expansion"), [(1, 7, 4), (9, 7, 4), (12, 3, 2), (5, 1, 1)])
def test_it_is_the_formula(length, kernel, expansion):
    encoder = built(ConvNeXt, dim=8, blocks=3, kernel=kernel, expansion=expansion, layer_scale=0.5).double()
    with torch.no_grad():
        for parameter in encoder.parameters():  # biases are drawn as zeros, and norms as ones
            parameter.add_(0.3 * torch.randn_like(parameter))
    bases, valid = batch(length, dtype=torch.float64)
    torch.testing.assert_close(encoder(bases, valid)[0][0], by_loops(encoder, bases[0], kernel))


@pytest.mark.parametrize(("blocks", "kernel", "expected"), [(1, 7, 3), (3, 7, 9), (2, 5, 4)])
def test_it_sees_as_far_as_it_says_and_no_further(blocks, kernel, expected):
    encoder = built(ConvNeXt, dim=8, blocks=blocks, kernel=kernel, layer_scale=1.0)
    assert reach(encoder, 41, 20) == (20 - expected, 20 + expected)


def test_it_declares_its_sizes_and_that_it_is_local():
    encoder = built(ConvNeXt, dim=8, blocks=5)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length, encoder.strand) == (8, 5, 1, None, "none")
    assert encoder.global_mixing is False


def test_hidden_states_are_those_before_the_norm():
    encoder = built(ConvNeXt, dim=8, blocks=3)
    embeddings, hidden = encoder(*batch(12, 7), layers=(0, 2))
    assert sorted(hidden) == [0, 2]
    assert encoder.norm(hidden[2]).equal(embeddings)


def test_weights_begin_as_the_authors():
    """Normal of deviation 0.02, no bias; a scale of 1e-6, so that the network begins as its stem."""
    encoder = built(ConvNeXt, dim=64, blocks=2)
    for block in encoder.blocks:
        assert block.scale.eq(1e-6).all()
        for layer in (block.wide, block.narrow, block.depthwise):
            assert layer.bias.eq(0).all()
            assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.15)
    bases, valid = batch(20)
    stem = encoder.norm(encoder.embed_norm(encoder.embed(bases)))
    torch.testing.assert_close(encoder(bases, valid)[0], stem, rtol=0, atol=1e-4)


def test_blocks_are_skipped_more_often_the_later_they_stand():
    assert ConvNeXt.Config(blocks=5, stochastic_depth=0.4).skip_rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert ConvNeXt.Config(blocks=1, stochastic_depth=0.4).skip_rates == [0]


def test_a_skipped_block_leaves_a_sequence_and_a_kept_one_is_scaled_up():
    """The last of two blocks, skipped by half of the sequences; in evaluation by none."""
    encoder = built(ConvNeXt, dim=8, blocks=2, stochastic_depth=0.5, layer_scale=1.0)
    bases, valid = batch(*[12] * 64)
    hidden = encoder(bases, valid, layers=(0, 1))[1]
    update = hidden[1] - hidden[0]
    encoder.train()
    torch.manual_seed(0)
    trained = encoder(bases, valid, layers=(0, 1))[1]
    assert trained[0].equal(hidden[0]), "the first block is never skipped"
    change = trained[1] - trained[0]
    skipped = change.flatten(1).eq(0).all(1)
    assert 16 < int(skipped.sum()) < 48
    torch.testing.assert_close(change[~skipped], 2 * update[~skipped])
