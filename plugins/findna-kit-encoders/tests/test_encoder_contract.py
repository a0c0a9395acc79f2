"""Tests of the encoder contract for each example of the convolutional encoders."""

from copy import deepcopy

import pytest
import torch
from findna_kit_encoders.cdil import CDIL
from findna_kit_encoders.convnext import ConvNeXt
from findna_kit_encoders.deepsea import DeepSEA
from findna_kit_encoders.gpn import GPN
from pydantic import ValidationError
from sequences import batch, built

from findna_kit.testing import check_encoder

KINDS = (CDIL, ConvNeXt, DeepSEA, GPN)
EXAMPLES = [(kind, parameters) for kind in KINDS for parameters in kind.examples]
every_example = pytest.mark.parametrize(("kind", "parameters"), EXAMPLES, ids=lambda value: getattr(value, "__name__", ""))


def made(kind, parameters, *, length=32, class_tokens=3, seed=0):
    """The encoder, and how many class rows it is given."""
    encoder = built(kind, length=length, class_tokens=class_tokens, seed=seed, **parameters)
    return encoder, class_tokens if encoder.global_mixing else 0


@every_example
@pytest.mark.parametrize("length", [1, 2, 31, 32])
def test_every_stride_of_bases_has_an_embedding(kind, parameters, length):
    encoder, classes = made(kind, parameters)
    embeddings, hidden = encoder(*batch(length, max(1, length // 2), classes=classes))
    assert embeddings.shape == (2, classes - (-length // encoder.stride), encoder.dim)
    assert embeddings.isfinite().all()
    assert hidden == {}


@every_example
def test_a_sequence_alone_equals_itself_beside_longer_ones_with_its_gradient(kind, parameters):
    encoder, classes = made(kind, parameters)
    encoder.double()
    lengths = (32, 17, 16, 3, 1)
    bases, valid = batch(*lengths, classes=classes, dtype=torch.float64)
    bases.requires_grad_()
    kept = torch.cat([valid[:, :classes], valid[:, classes :: encoder.stride]], dim=1)
    together, _ = encoder(bases, valid)
    (gradient,) = torch.autograd.grad((together * kept[..., None]).sin().sum(), bases)
    assert gradient[~valid].eq(0).all()
    for row, length in enumerate(lengths):
        own = bases[row : row + 1, : classes + length].detach().requires_grad_()
        alone, _ = encoder(own, torch.ones(1, classes + length, dtype=torch.bool))
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone, rtol=0, atol=1e-10)
        (expected,) = torch.autograd.grad(alone.sin().sum(), own)
        torch.testing.assert_close(gradient[row : row + 1, : classes + length], expected, rtol=0, atol=1e-10)


@every_example
def test_a_gradient_reaches_every_parameter(kind, parameters):
    encoder, classes = made(kind, parameters)
    bases, valid = batch(32, 20, 9, classes=classes)
    encoder(bases, valid)[0].pow(3).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@every_example
def test_hidden_layers_are_as_many_as_it_says_and_as_long_as_embeddings(kind, parameters):
    encoder, classes = made(kind, parameters)
    inputs = batch(32, 20, classes=classes)
    embeddings, hidden = encoder(*inputs, layers=range(encoder.depth))
    assert sorted(hidden) == list(range(encoder.depth))
    assert {rows.shape for rows in hidden.values()} == {embeddings.shape}
    assert embeddings.equal(encoder(*inputs)[0])


@every_example
def test_a_state_read_back_and_a_copy_give_the_same(kind, parameters):
    first, classes = made(kind, parameters)
    second, _ = made(kind, parameters, seed=1)
    inputs = batch(32, 20, classes=classes)
    expected = first(*inputs)[0]
    assert not second(*inputs)[0].equal(expected)
    second.load_state_dict(first.state_dict())
    assert second(*inputs)[0].equal(expected)
    assert deepcopy(first)(*inputs)[0].equal(expected)


@every_example
def test_bf16_runs_forward_and_backward_near_fp32(kind, parameters):
    encoder, classes = made(kind, parameters)
    inputs = batch(32, 20, classes=classes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings, _ = encoder(*inputs)
    expected = encoder(*inputs)[0]
    # Of rounding at each of a few layers, 2^-8, on the scale of the whole.
    assert (embeddings.float() - expected).abs().max() < 0.05 * expected.abs().max()
    embeddings.float().sin().sum().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_it_conforms(kind):
    check_encoder(kind)


@every_example
def test_it_has_no_statistics_of_a_batch(kind, parameters):
    encoder, _ = made(kind, parameters)
    assert list(encoder.buffers()) == []


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (CDIL, {"kernel": 4}), (CDIL, {"kernel": 1}), (CDIL, {"layers": 0}), (CDIL, {"layers": 25}), (CDIL, {"dropout": 1.0}),
        (ConvNeXt, {"kernel": 6}), (ConvNeXt, {"dim": 0}), (ConvNeXt, {"layer_scale": 0.0}), (ConvNeXt, {"blocks": 0}),
        (ConvNeXt, {"stochastic_depth": 1.0}), (ConvNeXt, {"expansion": 0}), (ConvNeXt, {"widht": 3}),
        (DeepSEA, {"pool": 1}), (DeepSEA, {"pool": 33}), (DeepSEA, {"kernel": 0}), (DeepSEA, {"last_dropout": -0.1}),
        (GPN, {"dim": 4}), (GPN, {"kernel": 2}), (GPN, {"largest_dilation": 6}), (GPN, {"blocks": 0}),
    ],
)  # fmt: skip
def test_sizes_that_make_no_network_are_refused(kind, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        kind.Config(**wrong)
