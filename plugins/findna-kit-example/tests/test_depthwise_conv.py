"""Tests of the encoder contract for the example encoder."""

import pytest
import torch
from findna_kit_example import DepthwiseConv
from pydantic import ValidationError

from findna_kit.testing import check_encoder

BASES, CHANNELS = 4, 5


def encoder(length=32, class_tokens=0, **sizes):
    torch.manual_seed(0)
    config = DepthwiseConv.Config(**{"dim": 12, "hidden": 16, "blocks": 3, "kernel": 5} | sizes)
    return DepthwiseConv(config, length=length + class_tokens, class_tokens=class_tokens)


def one_hot(batch, length):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(BASES, (batch, length), generator=generator)
    return torch.nn.functional.one_hot(tokens, CHANNELS).float(), torch.ones(batch, length, dtype=torch.bool)


def test_conforms():
    check_encoder(DepthwiseConv)


@pytest.mark.parametrize("length", [1, 2, 31, 32, 200])
def test_any_length_gives_one_embedding_a_base(length):
    built = encoder()
    embeddings, hidden = built(*one_hot(3, length))
    assert embeddings.shape == (3, length, built.dim) == (3, length, 12)
    assert hidden == {}
    assert embeddings.isfinite().all()


def test_declares_what_the_network_asks():
    built = encoder(blocks=4)
    assert (built.depth, built.stride, built.max_length, built.strand) == (4, 1, None, "none")
    assert built.global_mixing is False


def test_hidden_states_are_those_after_each_block():
    built = encoder()
    embeddings, hidden = built(*one_hot(2, 20), layers=(0, 2))
    assert set(hidden) == {0, 2}
    assert torch.equal(built.norm(hidden[2]), embeddings)
    assert not torch.allclose(hidden[0], hidden[2])


@pytest.mark.parametrize("fill", [0.0, 1.0, 1e4])
def test_padding_changes_nothing_that_is_valid(fill):
    """Whatever stands in the padding, and however much of it there is."""
    built, (bases, valid) = encoder().double(), one_hot(2, 20)
    bases = bases.double()
    alone, _ = built(bases, valid)
    padded = torch.cat([bases, torch.full((2, 15, CHANNELS), fill, dtype=torch.double)], dim=1)
    together, _ = built(padded, torch.cat([valid, torch.zeros(2, 15, dtype=torch.bool)], dim=1))
    torch.testing.assert_close(together[:, :20], alone, rtol=0, atol=1e-12)


def test_every_row_has_its_own_padding():
    """A short sequence beside a long one gives what it gives alone."""
    built, (bases, valid) = encoder().double(), one_hot(2, 20)
    bases = bases.double()
    valid[1, 7:] = False
    together, _ = built(bases, valid)
    alone, _ = built(bases[1:, :7], valid[1:, :7])
    torch.testing.assert_close(together[1:, :7], alone, rtol=0, atol=1e-12)


def test_sees_its_neighbourhood_and_no_further():
    """Three convolutions over 5 bases reach 6 to either side."""
    built, (bases, valid) = encoder(), one_hot(1, 41)
    bases.requires_grad_()
    built(bases, valid)[0][0, 20].square().sum().backward()
    reached = bases.grad[0].abs().sum(-1).nonzero().flatten()
    assert (reached.min(), reached.max()) == (14, 26)


def test_gradients_reach_every_parameter():
    built = encoder()
    embeddings, _ = built(*one_hot(2, 20))
    embeddings.pow(3).sum().backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_dropout_is_off_in_evaluation():
    built, batch = encoder(dropout=0.5), one_hot(2, 20)
    assert not torch.equal(built(*batch)[0], built(*batch)[0])
    built.eval()
    assert torch.equal(built(*batch)[0], built(*batch)[0])


def test_is_built_on_the_meta_device():
    with torch.device("meta"):
        built = encoder()
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"}


def test_an_even_kernel_is_refused():
    with pytest.raises(ValidationError, match="must be odd"):
        DepthwiseConv.Config(kernel=4)


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"blocks": 0}, {"hidden": -1}, {"dropout": 1.0}, {"widht": 3}])
def test_what_makes_no_network_is_refused(wrong):
    with pytest.raises(ValidationError):
        DepthwiseConv.Config(**wrong)
