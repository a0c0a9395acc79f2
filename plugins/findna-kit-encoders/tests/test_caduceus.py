"""Tests of Caduceus: equivariance under reverse complement, and equality with the layers of the paper."""

import pytest
import torch
from encoder_properties import (
    assert_a_gradient_reaches_every_parameter,
    assert_a_padded_row_equals_itself_alone,
    assert_bf16_is_near_fp32,
    assert_padding_of_any_length_changes_nothing,
    rows_of,
    seen_by,
)
from findna_kit_encoders import Caduceus, Mamba
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.testing import check_encoder


def caduceus(length=40, class_tokens=0, seed=0, **sizes):
    torch.manual_seed(seed)
    config = Caduceus.Config(**{"dim": 16, "blocks": 2, "state": 4, **sizes})
    return Caduceus(config, length=length + class_tokens, class_tokens=class_tokens)


def reversed_within(x, valid, classes):
    """Row by row: valid nucleotides from the last to the first; class rows and padding stay."""
    turned = x.clone()
    for row, count in enumerate(valid.sum(1).tolist()):
        turned[row, classes:count] = x[row, classes:count].flip(0)
    return turned


def other_strand(bases, valid, classes):
    """A and T, C and G change channels; MASK rows (all zero) and N stay what they are."""
    return reversed_within(bases, valid, classes)[..., [3, 2, 1, 0, 4]]


def swapped(x):
    return torch.cat(x.chunk(2, dim=-1)[::-1], dim=-1)


@given(st.integers(0, 500), st.integers(0, 3), st.integers(1, 40), st.sampled_from(["tied", "separate"]))
@settings(max_examples=25, deadline=None)
def test_the_other_strand_gives_the_reverse_with_halves_swapped(seed, classes, length, directions):
    encoder = caduceus(40, classes, seed, directions=directions)
    bases, valid = rows_of(4, length, classes, seed=seed)
    here, hidden = encoder(bases, valid, layers=(0, 1))
    there, hidden_there = encoder(other_strand(bases, valid, classes), valid, layers=(0, 1))
    for one, other in [(here, there), *((hidden[layer], hidden_there[layer]) for layer in (0, 1))]:
        expected = swapped(reversed_within(one, valid, classes))
        torch.testing.assert_close(other[valid], expected[valid], rtol=0, atol=1e-5)
        torch.testing.assert_close(other[:, :classes], swapped(one[:, :classes]), rtol=0, atol=1e-5)


def test_in_fp64_to_the_last_digits_and_under_noise():
    """Noise makes bases that no token is: any numbers will do."""
    encoder, (_, valid) = caduceus(class_tokens=2).double(), rows_of(3, 30, 2)
    bases = torch.randn(*valid.shape, 5, dtype=torch.float64)
    there, _ = encoder(other_strand(bases, valid, 2), valid)
    expected = swapped(reversed_within(encoder(bases, valid)[0], valid, 2))
    torch.testing.assert_close(there[valid], expected[valid], rtol=0, atol=1e-12)


def test_the_two_halves_are_not_the_same():
    """A network that read neither strand apart from the other would be equivariant too."""
    encoder, (bases, valid) = caduceus(class_tokens=2), rows_of(3, 30, 2)
    embeddings, _ = encoder(bases, valid)
    assert not swapped(embeddings)[valid].allclose(embeddings[valid], atol=0.1)


def test_layers_are_the_papers():
    """Schiff et al., section 4: every layer is given the first half, and the second half turned, which it turns back."""
    encoder, classes = caduceus(class_tokens=2).double(), 2
    bases, valid = rows_of(4, 17, classes, dtype=torch.float64)

    def on_both_halves(module, x):
        first, second = x.chunk(2, dim=-1)
        return torch.cat([module(first), reversed_within(module(reversed_within(second, valid, classes)), valid, classes)], -1)

    vectors = torch.cat([encoder.shared.encoder.class_vectors, torch.zeros(17, 8, dtype=torch.float64)])
    strand, other = (encoder.shared.encoder.embed(one) + vectors for one in (bases, other_strand(bases, valid, classes)))
    x = torch.cat([strand, reversed_within(other, valid, classes)], dim=-1)
    for block in encoder.shared.encoder.blocks:
        (mixer,) = block.mixers
        x = x + on_both_halves(lambda half, mixer=mixer: mixer(half, valid), on_both_halves(block.norm, x))
    found, hidden = encoder(bases, valid, layers=(1,))
    torch.testing.assert_close(hidden[1][valid], x[valid])
    torch.testing.assert_close(found[valid], on_both_halves(encoder.shared.encoder.norm, x)[valid])


def test_costs_the_parameters_of_one_strand():
    half = Mamba(Mamba.Config(dim=8, blocks=2, state=4), length=40, class_tokens=0)
    assert sum(p.numel() for p in caduceus().parameters()) == sum(p.numel() for p in half.parameters())


@pytest.mark.parametrize("row", [0, 9])
def test_every_row_sees_every_other(row):
    encoder = caduceus(class_tokens=1, blocks=1).double()
    bases, valid = rows_of(1, 15, 1, padded=False, dtype=torch.float64)
    assert seen_by(encoder, bases, valid, row) == list(range(16))


@given(st.integers(0, 500), st.integers(0, 3), st.integers(1, 20))
@settings(max_examples=10, deadline=None)
def test_a_padded_row_equals_itself_alone(seed, classes, length):
    encoder = caduceus(20, classes, seed).double()
    assert_a_padded_row_equals_itself_alone(encoder, *rows_of(4, length, classes, seed=seed, dtype=torch.float64), atol=1e-11)


def test_padding_of_any_length_changes_nothing():
    assert_padding_of_any_length_changes_nothing(caduceus(class_tokens=2), *rows_of(3, 30, 2), [1, 34, 100], atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 200])
def test_any_length_will_do(length):
    embeddings, _ = caduceus(40, 2)(*rows_of(2, length, 2))
    assert embeddings.shape == (2, length + 2, 16)
    assert embeddings.isfinite().all()


def test_it_declares_its_sizes():
    encoder = caduceus(64, 6, blocks=3)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length) == (16, 3, 1, None)
    assert (encoder.global_mixing, encoder.strand) == (True, "equivariant")


@pytest.mark.parametrize("padded", [False, True])
def test_a_gradient_reaches_every_parameter(padded):
    assert_a_gradient_reaches_every_parameter(caduceus(20, 3), *rows_of(4, 17, 3, padded=padded))


def test_bf16_is_near_fp32():
    assert_bf16_is_near_fp32(caduceus(class_tokens=2), *rows_of(3, 20, 2), atol=0.1)


def test_is_built_on_the_meta_device():
    with torch.device("meta"):
        built = caduceus(class_tokens=2)
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"dim": 15}, "must be even"), ({"dim": 0}, "greater than 0"), ({"state": 0}, "greater than 0"),
     ({"heads": 2}, "Extra inputs")],
)  # fmt: skip
def test_what_makes_no_network_is_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Caduceus.Config(**wrong)


@pytest.mark.parametrize("example", range(len(Caduceus.examples)))
def test_it_conforms(example):
    check_encoder(Caduceus, Caduceus.examples[example])
