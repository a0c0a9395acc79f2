"""Dilated convolutions against a loop over positions; padding that is not there, and the contract's sizes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional as F

from findna_kit.builtin.encoders.dilated_conv import DilatedConv
from findna_kit.components.interfaces import BranchOutput
from findna_kit.model.branch import Branch, encode_bases
from tests.windows import random_windows


def dilated(length=40, seed=0, **sizes):
    torch.manual_seed(seed)
    config = DilatedConv.Config(**{"dim": 12, "hidden": 16, "blocks": 3, "kernel": 3, "largest_dilation": 4, **sizes})
    return DilatedConv(config, length=length, class_tokens=0)


def rows_of(window):
    return encode_bases(window.tokens), window.valid


def by_loops(encoder, bases, dilations, kernel):
    """One sequence [L, 5] without padding: every convolution as a sum over the bases that it looks at."""
    x = encoder.embed(bases)
    for block, dilation in zip(encoder.blocks, dilations, strict=True):
        rows, seen = [], block.norm(x)
        for at in range(len(x)):
            total = block.conv.bias
            for tap in range(kernel):
                place = at + (tap - kernel // 2) * dilation
                if 0 <= place < len(x):
                    total = total + block.conv.weight[:, :, tap] @ seen[place]
            rows.append(total)
        x = x + F.gelu(torch.stack(rows))
        norm, first, _, second = block.mlp
        x = x + second(F.gelu(first(norm(x))))
    return encoder.norm(x)


@given(st.integers(0, 500), st.integers(1, 25), st.sampled_from([1, 3, 5]))
@settings(max_examples=20)
def test_it_is_the_formula(seed, length, kernel):
    encoder = dilated(seed=seed, kernel=kernel, blocks=4).double()
    bases = rows_of(random_windows(1, length, seed=seed, padded=False))[0].double()
    output, _ = encoder(bases, torch.ones(1, length).bool())
    torch.testing.assert_close(output[0], by_loops(encoder, bases[0], [1, 2, 4, 1], kernel))


def test_dilations_double_to_the_largest_and_begin_again():
    assert DilatedConv.Config(blocks=8, largest_dilation=4).dilations == [1, 2, 4, 1, 2, 4, 1, 2]
    assert DilatedConv.Config(blocks=3, largest_dilation=1).dilations == [1, 1, 1]
    assert DilatedConv.Config().dilations == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize(("blocks", "kernel", "reach"), [(1, 9, 4), (3, 3, 7), (4, 3, 8), (3, 5, 14)])
def test_the_receptive_field_is_as_documented(blocks, kernel, reach):
    """`(kernel - 1) / 2` times the sum of the dilations 1, 2, 4, 1 to either side."""
    encoder = dilated(blocks=blocks, kernel=kernel)
    bases = torch.randn(1, 61, 5, requires_grad=True)
    output, _ = encoder(bases, torch.ones(1, 61).bool())
    (gradient,) = torch.autograd.grad(output[0, 30].sin().sum(), bases)
    assert gradient[0].abs().sum(-1).nonzero()[:, 0].tolist() == list(range(30 - reach, 30 + reach + 1))


@given(st.integers(0, 500), st.integers(2, 30))
@settings(max_examples=25)
def test_a_sequence_alone_equals_itself_in_a_padded_batch_with_its_gradient(seed, length):
    encoder, window = dilated(seed=seed), random_windows(4, length, seed=seed)
    bases, valid = rows_of(window)
    bases = (bases + torch.randn(bases.shape) * ~valid[..., None]).requires_grad_()  # whatever stands on padding
    whole, _ = encoder(bases, valid)
    (gradient,) = torch.autograd.grad((whole * valid[..., None]).sin().sum(), bases)
    assert gradient[~valid].eq(0).all()
    for row, count in enumerate(window.lengths.tolist()):
        own = bases[row : row + 1, :count].detach().requires_grad_()
        alone, _ = encoder(own, torch.ones(1, count).bool())
        torch.testing.assert_close(whole[row : row + 1, :count], alone, rtol=1e-4, atol=1e-4)
        (expected,) = torch.autograd.grad(alone.sin().sum(), own)
        torch.testing.assert_close(gradient[row : row + 1, :count], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 40, 41, 300])
def test_it_takes_any_length(length):
    output, _ = dilated(40)(*rows_of(random_windows(2, length)))
    assert output.shape == (2, length, 12)
    assert output.isfinite().all()


def test_it_declares_its_sizes_and_that_it_is_local():
    encoder = dilated(blocks=5)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length) == (12, 5, 1, None)
    assert not encoder.global_mixing
    assert encoder.strand == "none"


def test_class_embeddings_come_by_attention_pooling():
    torch.manual_seed(0)
    branch, view = Branch(dilated(), 3, {}), random_windows(2, 20)
    output = branch(view, view.tokens, None, wants=("class", "all"))
    assert isinstance(output, BranchOutput)
    assert output.class_embeddings.shape == (2, 3, 12)
    assert output.embeddings.shape == (2, 20, 12), "no row is taken from the sequence"


def test_a_gradient_reaches_every_parameter():
    encoder, (bases, valid) = dilated(), rows_of(random_windows(4, 17))
    encoder(bases, valid)[0][valid].sin().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_hidden_states_are_those_after_each_block_before_the_norm():
    encoder, (bases, valid) = dilated(), rows_of(random_windows(2, 16))
    output, hidden = encoder(bases, valid, layers=(0, 2))
    assert sorted(hidden) == [0, 2]
    assert encoder.norm(hidden[2]).equal(output)
    assert hidden[0].equal(encoder.blocks[0](encoder.embed(bases), ~valid[..., None]))
    assert encoder(bases, valid)[1] == {}


def test_a_state_read_back_gives_the_same():
    first, second, (bases, valid) = dilated(), dilated(seed=1), rows_of(random_windows(2, 16))
    assert not second(bases, valid)[0].equal(first(bases, valid)[0])
    second.load_state_dict(first.state_dict())
    assert second(bases, valid)[0].equal(first(bases, valid)[0])


def test_dropout_falls_only_while_training():
    encoder, (bases, valid) = dilated(dropout=0.5), rows_of(random_windows(2, 16))
    assert not encoder(bases, valid)[0].equal(encoder(bases, valid)[0])
    encoder.eval()
    assert encoder(bases, valid)[0].equal(encoder(bases, valid)[0])


def test_bf16_runs_forward_and_backward_near_fp32():
    encoder, (bases, valid) = dilated(), rows_of(random_windows(3, 20))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = encoder(bases, valid)
    assert output[valid].float().allclose(encoder(bases, valid)[0][valid], atol=0.1)
    output.float().sin().sum().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in encoder.parameters())


def test_compiled_equals_eager():
    encoder, (bases, valid) = dilated(blocks=2), rows_of(random_windows(3, 20))
    results = []
    for run in (encoder, torch.compile(encoder, backend="aot_eager")):
        encoder.zero_grad()
        output, _ = run(bases, valid)
        output.sin().sum().backward()
        results.append([output.detach(), *(p.grad.clone() for p in encoder.parameters())])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernel": 4}, "must be odd, so that the kernel has a central base"),
        ({"largest_dilation": 6}, "must be a power of 2: dilations double from 1"),
        ({"largest_dilation": 0}, "greater than 0"),
        ({"blocks": 0}, "greater than 0"),
        ({"dropout": 1.0}, "less than 1"),
    ],
)
def test_invalid_sizes_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        DilatedConv.Config(**values)
