"""Tests of CDIL: its layer equals a sum on the ring, and its receptive field decides about class rows."""

import pytest
import torch
from findna_kit_encoders.cdil import CDIL
from hypothesis import given, settings
from hypothesis import strategies as st
from sequences import batch, built

from findna_kit.components import View
from findna_kit.model.branch import Branch


def by_loops(encoder, rows, kernel):
    """One ring of embedded rows [R, dim]: `x + relu(sum over taps of W_tap x[(r + tap * dilation) mod R] + b)`, W normed."""
    x = rows
    for number, layer in enumerate(encoder.layers):
        length = layer.direction.square().sum(1).sqrt()
        weight = (layer.direction * (layer.magnitude / length)[:, None]).unflatten(1, (kernel, -1))
        updated = []
        for at in range(len(x)):
            total = layer.bias
            for tap in range(kernel):
                total = total + weight[:, tap] @ x[(at + (tap - kernel // 2) * 2**number) % len(x)]
            updated.append(x[at] + total.clamp(min=0))
        x = torch.stack(updated)
    return x


@given(st.integers(1, 40), st.integers(0, 3), st.sampled_from([3, 5]), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_it_is_the_sum_on_the_ring_of_class_rows_and_bases(length, classes, kernel, seed):
    encoder = built(CDIL, length=40, class_tokens=classes, seed=seed, dim=8, kernel=kernel).double()
    with torch.no_grad():
        for layer in encoder.layers:
            layer.magnitude.mul_(1 + torch.rand_like(layer.magnitude))
    bases, valid = batch(40, length, classes=classes, seed=seed, dtype=torch.float64)
    embedded = encoder.embed(bases[1, : classes + length])
    if classes:
        embedded = torch.cat([embedded[:classes] + encoder.class_vectors, embedded[classes:]])
    made = encoder(bases, valid)[0][1, : classes + length]
    torch.testing.assert_close(made, by_loops(encoder, embedded, kernel))


def test_its_weights_are_those_of_torchs_weight_norm():
    encoder = built(CDIL, dim=8)
    layer, drawn = encoder.layers[0], torch.nn.Linear(24, 8)
    drawn.weight.data, drawn.bias.data = layer.direction.data.clone(), layer.bias.data.clone()
    normed = torch.nn.utils.parametrizations.weight_norm(drawn)
    torch.testing.assert_close(normed.parametrizations.weight.original0[:, 0], layer.magnitude)
    normed.parametrizations.weight.original0.data *= 3
    layer.magnitude.data *= 3
    bases, valid = batch(16)
    x = encoder.embed(bases)
    taps = torch.cat([x.roll(1, 1), x, x.roll(-1, 1)], dim=-1)
    assert valid.all()
    torch.testing.assert_close(encoder(bases, valid, layers=(0,))[1][0], x + normed(taps).relu())


@given(st.integers(1, 64))
@settings(max_examples=20, deadline=None)
def test_padding_is_not_on_the_ring(length):
    """As many bases, whole or padded: the same embeddings, and turned by any offset the same ones turned."""
    encoder = built(CDIL, length=64, dim=8).double()
    bases, valid = batch(length, dtype=torch.float64)
    padded, padded_valid = batch(64, length, seed=1, dtype=torch.float64)
    padded[1, :length] = bases[0]
    alone = encoder(bases, valid)[0]
    torch.testing.assert_close(encoder(padded, padded_valid)[0][1:, :length], alone)
    torch.testing.assert_close(encoder(bases.roll(3, 1), valid)[0], alone.roll(3, 1))


@pytest.mark.parametrize(
    ("length", "kernel", "layers"), [(3, 3, 1), (4, 3, 2), (7, 3, 2), (8, 3, 3), (1010, 3, 9), (5, 5, 1), (6, 5, 2), (1, 3, 1)]
)
def test_layers_are_as_many_as_let_a_row_see_the_training_length(length, kernel, layers):
    """`1 + (kernel - 1) (1 + 2 + 4 + ...)` rows."""
    encoder = built(CDIL, length=length, dim=4, kernel=kernel)
    assert encoder.depth == layers
    assert encoder.global_mixing is True
    assert 1 + (kernel - 1) * sum(2**layer for layer in range(layers)) >= length


def seen(encoder, length, at, classes=0):
    bases, valid = batch(length, classes=classes, dtype=torch.float64)
    bases.requires_grad_()
    encoder.double()(bases, valid)[0][0, at].sin().sum().backward()
    return bases.grad[0].abs().sum(-1).nonzero().flatten().tolist()


def test_it_sees_around_the_ring_as_far_as_it_says():
    """Three layers of kernel 3: 7 rows to either side, over the end."""
    encoder = built(CDIL, dim=8, layers=3)
    assert seen(encoder, 40, 20) == list(range(13, 28))
    assert seen(encoder, 40, 2) == [*range(10), *range(35, 40)]


def test_a_class_row_sees_every_base_of_a_training_window():
    encoder = built(CDIL, length=30, class_tokens=2, dim=8)
    assert seen(encoder, 30, 0, classes=2) == list(range(32))
    assert seen(encoder, 30, 1, classes=2) == list(range(32))


def test_with_class_rows_it_takes_what_they_can_see():
    encoder = built(CDIL, length=30, class_tokens=2, dim=8)
    assert (encoder.depth, encoder.max_length) == (5, 63 - 2)
    assert seen(encoder, encoder.max_length, 0, classes=2) == list(range(63))
    assert built(CDIL, length=30, dim=8).max_length is None


def test_with_fewer_layers_it_is_local_and_class_embeddings_are_pooled():
    torch.manual_seed(0)
    encoder = built(CDIL, length=30, class_tokens=2, dim=8, layers=2)
    assert (encoder.global_mixing, encoder.max_length, encoder.class_vectors) == (False, None, None)
    view = View.of_windows(torch.randint(4, (3, 30)))
    output = Branch(encoder, 2, {})(view, view.tokens, None, wants=("class", "all"))
    assert output.class_embeddings.shape == (3, 2, 8)
    assert output.embeddings.shape == (3, 30, 8)


def test_dropout_falls_on_updates_while_training():
    encoder = built(CDIL, dim=8, dropout=0.5)
    shares = [module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)]
    assert shares == [0.5] * encoder.depth, "where fine-tuning sets it"
    inputs = batch(20, 12)
    whole = encoder(*inputs)[0]
    assert encoder(*inputs)[0].equal(whole)
    encoder.train()
    assert not encoder(*inputs)[0].equal(whole)


def test_what_is_exported_is_the_same_for_every_padding():
    """One graph, made with padding, of a batch without any."""
    encoder = built(CDIL, length=16, class_tokens=1, dim=8)
    example, whole = batch(16, 9, classes=1), batch(16, 16, classes=1, seed=1)
    graph = torch.export.export(encoder, whole).module()
    for inputs in (example, whole):
        torch.testing.assert_close(graph(*inputs)[0], encoder(*inputs)[0])
