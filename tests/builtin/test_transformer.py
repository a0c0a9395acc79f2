"""The Transformer: positions that count only by their distance, padding that is not there, and the contract's sizes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.builtin.encoders.attention import rotate, rotation
from findna_kit.builtin.encoders.transformer import Transformer
from findna_kit.model.branch import encode_bases
from tests.windows import random_windows


def transformer(length=40, class_tokens=0, seed=0, **sizes):
    torch.manual_seed(seed)
    config = Transformer.Config(**{"dim": 16, "hidden": 24, "blocks": 2, "heads": 2, **sizes})
    return Transformer(config, length=length, class_tokens=class_tokens)


def rows_of(window, classes=0):
    bases = torch.cat([torch.zeros(len(window.tokens), classes, 5), encode_bases(window.tokens)], 1)
    return bases, torch.cat([torch.ones(len(window.tokens), classes).bool(), window.valid], 1)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 40), st.sampled_from([2, 8, 16]))
def test_a_rotated_product_depends_on_the_distance_alone(i, j, shift, dim):
    q, k = torch.randn(2, dim, generator=torch.Generator().manual_seed(i * 61 + j), dtype=torch.float64)
    cosine, sine = (part.double() for part in rotation(110, dim, torch.device("cpu")))

    def at(x, place):
        return rotate(x, (cosine[place], sine[place]))

    assert float(at(q, i) @ at(k, j)) == pytest.approx(float(at(q, i + shift) @ at(k, j + shift)), abs=1e-4)
    assert float(at(q, i).norm()) == pytest.approx(float(q.norm()), rel=1e-5)


def test_the_rotation_is_roformers():
    """Pair i of the head's channels, here i and i + dim / 2, is turned by position * 10000^(-2i / dim)."""
    turned = rotate(torch.ones(7, 6), rotation(7, 6, torch.device("cpu")))
    for place in range(7):
        for pair in range(3):
            angle = place * 10000 ** (-2 * pair / 6)
            both = [math.cos(angle) - math.sin(angle), math.sin(angle) + math.cos(angle)]
            assert turned[place, [pair, pair + 3]].tolist() == pytest.approx(both, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rotation_has_the_bits_and_the_gradient_of_its_formula(dtype):
    x, weights = torch.randn(2, 2, 3, 20, 8).to(dtype)  # [B, heads, positions, dim]
    turn = rotation(20, 8, torch.device("cpu"))
    results = []
    for compute in (rotate, by_formula):
        leaf = x.clone().requires_grad_()
        output = compute(leaf.mT.contiguous().mT, turn)
        (gradient,) = torch.autograd.grad((output * weights).sum(), leaf)
        results.append((output, gradient))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def by_formula(x, turn):
    cosine, sine = (values.to(x.dtype) for values in turn)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def test_embeddings_do_not_depend_on_the_absolute_position():
    encoder, (bases, valid) = transformer(), rows_of(random_windows(2, 20, padded=False))
    moved = torch.cat([torch.randn(2, 9, 5), bases], 1)
    output, _ = encoder(moved, torch.cat([torch.zeros(2, 9).bool(), valid], 1))
    assert output[:, 9:].allclose(encoder(bases, valid)[0], atol=1e-5)


def test_the_order_of_the_bases_counts():
    encoder, (bases, valid) = transformer(), rows_of(random_windows(2, 20, padded=False))
    swapped = bases[:, [1, 0, *range(2, 20)]]
    assert not encoder(swapped, valid)[0][:, 5:].allclose(encoder(bases, valid)[0][:, 5:], atol=1e-5)


@given(st.integers(0, 500), st.integers(0, 3), st.integers(2, 30))
@settings(max_examples=25)
def test_a_sequence_alone_equals_itself_in_a_padded_batch_with_its_gradient(seed, classes, length):
    encoder, window = transformer(40, classes, seed), random_windows(4, length, seed=seed)
    bases, valid = rows_of(window, classes)
    bases = (bases + torch.randn(bases.shape) * ~valid[..., None]).requires_grad_()
    whole, _ = encoder(bases, valid)
    (gradient,) = torch.autograd.grad((whole * valid[..., None]).sin().sum(), bases)
    assert gradient[~valid].eq(0).all()
    for row in range(4):
        count = classes + int(window.lengths[row])
        own = bases[row : row + 1, :count].detach().requires_grad_()
        alone, _ = encoder(own, torch.ones(1, count).bool())
        torch.testing.assert_close(whole[row : row + 1, :count], alone, rtol=1e-5, atol=1e-5)
        (expected,) = torch.autograd.grad(alone.sin().sum(), own)
        torch.testing.assert_close(gradient[row : row + 1, :count], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_a_gradient_reaches_every_parameter(padded):
    encoder, (bases, valid) = transformer(20, 3), rows_of(random_windows(4, 17, padded=padded), 3)
    encoder(bases, valid)[0][valid].sin().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_class_rows_have_vectors_of_their_own():
    encoder, (bases, valid) = transformer(20, 3), rows_of(random_windows(2, 17), 3)
    assert encoder.class_vectors.shape == (3, 16)
    before, _ = encoder(bases, valid)
    with torch.no_grad():
        encoder.class_vectors[1] += torch.randn(16)  # a constant would be taken out by the norm
    after, _ = encoder(bases, valid)
    assert not after[:, 1].allclose(before[:, 1])
    assert not after[:, 5].allclose(before[:, 5]), "and nucleotides attend to them"
    assert transformer(20).class_vectors.shape == (0, 16)


def test_it_declares_its_sizes_and_the_training_windows_length():
    encoder = transformer(70, 6, blocks=3)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length) == (16, 3, 1, 64)
    assert encoder.global_mixing
    assert encoder.strand == "none"


def test_hidden_states_are_those_after_each_block_before_the_norm():
    encoder, (bases, valid) = transformer(blocks=3), rows_of(random_windows(2, 16))
    output, hidden = encoder(bases, valid, layers=(0, 2))
    assert sorted(hidden) == [0, 2]
    assert encoder.norm(hidden[2]).equal(output)
    assert hidden[0].shape == output.shape


def test_dropout_falls_only_while_training():
    encoder, (bases, valid) = transformer(dropout=0.5), rows_of(random_windows(2, 16))
    assert not encoder(bases, valid)[0].equal(encoder(bases, valid)[0])
    encoder.eval()
    assert encoder(bases, valid)[0].equal(encoder(bases, valid)[0])


@pytest.mark.parametrize("padded", [False, True])
def test_bf16_runs_near_fp32(padded):
    encoder, (bases, valid) = transformer(), rows_of(random_windows(3, 20, padded=padded))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = encoder(bases, valid)
    assert output[valid].float().allclose(encoder(bases, valid)[0][valid], atol=0.1)
    output.float().sum().backward()
    assert all(p.grad.isfinite().all() for name, p in encoder.named_parameters() if name != "class_vectors")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": 18, "heads": 4}, "dim 18 is not an even multiple of heads 4"),
        ({"dim": 12, "heads": 4}, "dim 12 is not an even multiple of heads 4"),
        ({"dropout": 1.0}, "less than 1"),
        ({"heads": 0}, "greater than 0"),
    ],
)
def test_incompatible_sizes_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Transformer.Config(**values)
