"""Tests of Hyena: its operator equals definition 3.1 in O(L^2), its filters, and the encoder contract."""

import math

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
from findna_kit_encoders import Hyena
from findna_kit_encoders.hyena import _convolve, _fast_fft_size, _Filters
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.testing import check_encoder

SIZES = {"dim": 6, "hidden": 10, "blocks": 2, "bands": 3, "filter_hidden": 8}


def hyena(length=40, class_tokens=0, seed=0, **sizes):
    torch.manual_seed(seed)
    return Hyena(Hyena.Config(**SIZES | sizes), length=length + class_tokens, class_tokens=class_tokens)


@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_a_convolution_is_its_sum(rows, more, seed):
    size, numbers = 2 * rows - 1 + more, torch.Generator().manual_seed(seed)
    z, circle = (torch.randn(2, 3, many, generator=numbers, dtype=torch.float64) for many in (rows, size))
    found = _convolve(z, circle[0])
    for t in range(rows):
        expected = sum(circle[0, :, (t - s) % size] * z[:, :, s] for s in range(rows))
        torch.testing.assert_close(found[:, :, t], expected)


@given(st.integers(1, 5000))
def test_sizes_are_no_less_than_asked_and_made_of_small_primes(least):
    size = _fast_fft_size(least)
    assert least <= size <= max(1.34 * least, least + 1)
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    assert size == 1


def filter_by_hand(filters, config, length, order, channel, offset):
    """Sections 3.3 and D of the paper in plain numbers: window(t) * network(features(t)), for one offset of one channel."""
    t = offset / length
    bands = range(1, config.bands + 1)
    row = [t, *(math.cos(math.pi * k * t) for k in bands), *(math.sin(math.pi * k * t) for k in bands)]
    for layer in filters.layers:
        weights, biases = layer.weight.tolist(), layer.bias.tolist()
        row = [
            math.sin(config.frequency * (sum(w * x for w, x in zip(line, row, strict=True)) + bias))
            for line, bias in zip(weights, biases, strict=True)
        ]
    value = sum(w * x for w, x in zip(filters.last.weight[order * config.dim + channel].tolist(), row, strict=True))
    first, last = math.log(100) / config.shortest_reach, math.log(100) / config.longest_reach
    fall = first + (last - first) * channel / (config.dim - 1)
    return value * math.exp(-fall * abs(t)) * math.sqrt(fall / length)


def test_filters_are_the_papers_at_every_offset():
    config = Hyena.Config(**SIZES, order=3, frequency=2)
    torch.manual_seed(0)
    filters = _Filters(config, 12).double()
    circle = filters(20)
    assert circle.shape == (3, 6, 20)
    for order in range(3):
        for channel in (0, 3, 5):
            for offset in (-10, -4, -1, 0, 1, 5, 9):
                expected = filter_by_hand(filters, config, 12, order, channel, offset)
                assert float(circle[order, channel, offset].detach()) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_filter_is_a_function_of_the_offset_alone():
    filters = _Filters(Hyena.Config(**SIZES), 30).double()
    short, long = filters(16), filters(45)
    torch.testing.assert_close(short[..., :8], long[..., :8])
    torch.testing.assert_close(short[..., -8:], long[..., -8:])
    assert not short[..., 1:8].allclose(short[..., -7:].flip(-1), atol=1e-3), "and of its sign"


def test_windows_fall_to_a_hundredth_at_their_reach_and_keep_the_variance_of_noise():
    """Of a network that gives 1 everywhere, only the window is left."""
    filters = _Filters(Hyena.Config(**SIZES, shortest_reach=0.2, longest_reach=0.6), 2000).double()
    with torch.no_grad():
        filters.last.weight /= filters.last.weight.sum(1, keepdim=True)
        for layer in filters.layers:
            layer.weight.zero_()
            layer.bias.fill_(math.pi / 2)
        window = filters(6000)[0]
    for channel, reach in ((0, 400), (5, 1200)):
        for offset in (reach, -reach):
            assert float(window[channel, offset] / window[channel, 0]) == pytest.approx(0.01)
    assert window.square().sum(1).tolist() == pytest.approx([1] * 6, rel=0.01)


def operator_by_hand(operator, x):
    """Definition 3.1 for one sequence x [R, dim]: sums over all pairs of rows, nothing but the sequence."""
    rows, dim = x.shape
    wide = (operator.enter.weight @ x.T).T + operator.enter.bias
    taps, reach = operator.short.weight[:, 0], operator.short.weight.shape[2] // 2
    short = []
    for t in range(rows):
        seen = sum(taps[:, reach + by] * wide[t + by] for by in range(-reach, reach + 1) if 0 <= t + by < rows)
        short.append(seen + operator.short.bias)
    v, *gates = torch.stack(short).split(dim, dim=1)
    filters = operator.filters(64)
    for n, gate in enumerate(gates):
        long = [sum(filters[n, :, t - s] * v[s] for s in range(rows)) for t in range(rows)]
        v = gate * (torch.stack(long) + operator.own[n, :, 0] * v)
    return (operator.leave.weight @ v.T).T + operator.leave.bias


@pytest.mark.parametrize("sizes", [{}, {"order": 1, "kernel": 5}, {"order": 3, "kernel": 1}])
def test_the_operator_is_definition_3_1_of_each_row_alone(sizes):
    operator = hyena(**sizes).double().blocks[0].operator
    _, valid = rows_of(4, 17, seed=3)
    x = torch.randn(*valid.shape, 6, dtype=torch.float64)
    found = operator(x, valid)
    assert len(set(valid.sum(1).tolist())) > 2
    for row, count in enumerate(valid.sum(1).tolist()):
        torch.testing.assert_close(found[row, :count], operator_by_hand(operator, x[row, :count]))


def test_a_block_is_the_operator_and_an_mlp_with_residuals():
    block = hyena().blocks[0]
    _, valid = rows_of(3, 11)
    x = torch.randn(*valid.shape, 6)
    between = x + block.operator(block.norm(x), valid)
    torch.testing.assert_close(block(x, valid), between + block.mlp(between))


def test_it_learns_what_stands_far_to_either_side():
    """Bases 9 to the right and 6 to the left of each; by a guess both cost log(4), together 2.77."""
    encoder = hyena(32, dim=32, hidden=64, bands=16, filter_hidden=64)
    heads = torch.nn.ModuleList(torch.nn.Linear(32, 4) for _ in range(2))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *heads.parameters()], lr=3e-3)
    for step in range(150):
        tokens = torch.randint(4, (16, 32), generator=torch.Generator().manual_seed(step))
        embeddings, _ = encoder(torch.nn.functional.one_hot(tokens, 5).float(), torch.ones(16, 32, dtype=torch.bool))
        made = [head(embeddings)[:, 6:-9].flatten(0, 1) for head in heads]
        wanted = [tokens.roll(by, 1)[:, 6:-9].flatten() for by in (-9, 6)]
        loss = sum(map(torch.nn.functional.cross_entropy, made, wanted))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
    assert float(loss.detach()) < 0.5


@pytest.mark.parametrize("row", [0, 1, 12, 22])
def test_every_row_sees_every_other(row):
    """To both sides, class rows (here 0 and 1) included."""
    encoder = hyena(class_tokens=2, blocks=1).double()
    bases, valid = rows_of(1, 21, 2, padded=False, dtype=torch.float64)
    assert seen_by(encoder, bases, valid, row) == list(range(23))


def test_class_rows_have_vectors_of_their_own():
    encoder, (bases, valid) = hyena(class_tokens=3), rows_of(2, 17, 3)
    assert encoder.class_vectors.shape == (3, 6)
    before, _ = encoder(bases, valid)
    with torch.no_grad():
        encoder.class_vectors[1] += torch.randn(6)  # a constant would be taken out by the norm
    after, _ = encoder(bases, valid)
    assert not after[:, 1].allclose(before[:, 1])
    assert not after[:, 5].allclose(before[:, 5])


@given(st.integers(0, 500), st.integers(0, 3), st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_a_padded_row_equals_itself_alone(seed, classes, length):
    encoder = hyena(30, classes, seed).double()
    assert_a_padded_row_equals_itself_alone(encoder, *rows_of(4, length, classes, seed=seed, dtype=torch.float64), atol=1e-11)


def test_padding_of_any_length_changes_nothing():
    """Filters are those of the training length, so they are the same for every length of the batch."""
    encoder = hyena(130, 2)
    assert_padding_of_any_length_changes_nothing(encoder, *rows_of(3, 30, 2), [1, 2, 33, 100], atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 39, 40])
def test_any_length_up_to_its_own_will_do(length):
    embeddings, hidden = hyena(40, 2)(*rows_of(2, length, 2))
    assert embeddings.shape == (2, length + 2, 6)
    assert embeddings.isfinite().all()
    assert hidden == {}


def test_it_declares_its_sizes_and_the_training_windows_length():
    encoder = hyena(64, 6, blocks=3)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length) == (6, 3, 1, 64)
    assert (encoder.global_mixing, encoder.strand) == (True, "none")
    assert encoder.blocks[0].operator.filters.length == 70, "offsets run over class rows too"


def test_hidden_states_are_those_after_each_block_before_the_norm():
    encoder, (bases, valid) = hyena(blocks=3), rows_of(2, 16)
    output, hidden = encoder(bases, valid, layers=(0, 2))
    assert sorted(hidden) == [0, 2]
    assert encoder.norm(hidden[2]).equal(output)
    torch.testing.assert_close(hidden[0], encoder.blocks[0](encoder.embed(bases), valid))


@pytest.mark.parametrize("sizes", [{}, {"order": 3, "kernel": 1}])
@pytest.mark.parametrize("padded", [False, True])
def test_a_gradient_reaches_every_parameter(padded, sizes):
    assert_a_gradient_reaches_every_parameter(hyena(20, 3, **sizes), *rows_of(4, 17, 3, padded=padded))


def test_bf16_is_near_fp32():
    assert_bf16_is_near_fp32(hyena(class_tokens=2), *rows_of(3, 20, 2), atol=0.1)


def test_filters_are_made_in_fp32_under_autocast():
    filters = _Filters(Hyena.Config(**SIZES), 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = filters(16)
    assert made.equal(filters(16))


def test_dropout_falls_only_while_training():
    encoder, batch = hyena(dropout=0.5), rows_of(2, 16)
    assert not encoder(*batch)[0].equal(encoder(*batch)[0])
    encoder.eval()
    assert encoder(*batch)[0].equal(encoder(*batch)[0])


def test_is_built_on_the_meta_device():
    with torch.device("meta"):
        built = hyena(class_tokens=2)
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"}


def test_an_even_kernel_is_refused():
    with pytest.raises(ValidationError, match="must be odd, so that the kernel is centred on a position"):
        Hyena.Config(kernel=4)


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"order": 0}, {"bands": 0}, {"frequency": 0}, {"longest_reach": 0}, {"dropout": 1}]
)
def test_what_makes_no_network_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Hyena.Config(**wrong)


@pytest.mark.parametrize("example", range(len(Hyena.examples)))
def test_it_conforms(example):
    check_encoder(Hyena, Hyena.examples[example])
