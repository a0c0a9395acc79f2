"""Tests of Mamba: its block equals a loop over positions, what both directions see, and the encoder contract."""

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
from findna_kit_encoders import Mamba
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.testing import check_encoder

DIRECTIONS = ["tied", "separate"]


def mamba(length=40, class_tokens=0, seed=0, **sizes):
    torch.manual_seed(seed)
    config = Mamba.Config(**{"dim": 12, "blocks": 2, "state": 4, **sizes})
    return Mamba(config, length=length + class_tokens, class_tokens=class_tokens)


def silu(x):
    return x / (1 + torch.exp(-x))


def scan_from_the_left(scan, x):
    """Algorithm 2 of Gu and Dao for one sequence x [R, inner]: convolution, selection, and the recurrence row by row."""
    rank, states, kernel = scan.sizes[0], scan.sizes[1], scan.kernel
    a = -torch.exp(scan.log_a.view(states, -1)).T  # [inner, states]
    taps, h, y = scan.convolution.weight[:, 0], torch.zeros(x.shape[1], states, dtype=x.dtype), []
    convolved = []
    for t in range(len(x)):
        seen = sum(taps[:, kernel - 1 - back] * x[t - back] for back in range(kernel) if t - back >= 0)
        convolved.append(silu(seen + scan.convolution.bias))
    for row in convolved:
        chosen = scan.select.weight @ row
        delta = torch.log1p(torch.exp(scan.step.weight @ chosen[:rank] + scan.step.bias))
        b, c = chosen[rank : rank + states], chosen[rank + states :]
        h = torch.exp(delta[:, None] * a) * h + (delta * row)[:, None] * b
        y.append(h @ c + scan.skip * row)
    return torch.stack(y)


def block_by_hand(block, x):
    """`x` [R, dim] through the two directions of figure 3's block, each read from its own end and turned back."""
    seen, update = block.norm(x), torch.zeros_like(x)
    for mixer in block.mixers:
        for scan, back in zip(mixer.scans, mixer.backward, strict=True):
            rows = seen.flip(0) if back else seen
            inner, gate = (mixer.enter.weight @ rows.T).T.chunk(2, dim=1)
            out = (mixer.leave.weight @ (scan_from_the_left(scan, inner) * silu(gate)).T).T
            update = update + (out.flip(0) if back else out)
    return x + update


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("kernel", [1, 4])
def test_a_block_is_the_papers_of_each_row_alone(directions, kernel):
    """In a padded batch: from the right a row is read from its own last valid base."""
    encoder = mamba(class_tokens=2, directions=directions, kernel=kernel, dim=20).double()
    _, valid = rows_of(4, 15, 2, seed=3)
    x = torch.randn(*valid.shape, 20, dtype=torch.float64)
    found = encoder.blocks[1](x, valid)
    assert len(set(valid.sum(1).tolist())) > 2
    for row, count in enumerate(valid.sum(1).tolist()):
        torch.testing.assert_close(found[row, :count], block_by_hand(encoder.blocks[1], x[row, :count]))


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_each_direction_has_a_scan_and_only_separate_ones_a_projection(directions):
    (block, _) = mamba(directions=directions).blocks
    ways = [mixer.backward for mixer in block.mixers]
    assert ways == {"tied": [(False, True)], "separate": [(False,), (True,)]}[directions]
    assert sum(len(mixer.scans) for mixer in block.mixers) == 2


def test_with_one_scan_for_both_directions_the_reverse_gives_the_reverse():
    encoder = mamba()
    for block in encoder.blocks:
        left, right = block.mixers[0].scans
        right.load_state_dict(left.state_dict())
    bases, valid = rows_of(3, 21, padded=False)
    torch.testing.assert_close(encoder(bases.flip(1), valid)[0].flip(1), encoder(bases, valid)[0], rtol=0, atol=1e-5)
    other, _ = mamba(seed=0)(bases, valid)
    assert not mamba(seed=0)(bases.flip(1), valid)[0].flip(1).allclose(other, atol=1e-3), "their own scans read differently"


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("row", [0, 1, 12, 22])
def test_every_row_sees_every_other(directions, row):
    """Class rows (here 0 and 1) are read from the left by all that follow, and read all from the right."""
    encoder = mamba(class_tokens=2, blocks=1, directions=directions).double()
    bases, valid = rows_of(1, 21, 2, padded=False, dtype=torch.float64)
    assert seen_by(encoder, bases, valid, row) == list(range(23))


def test_class_rows_have_vectors_of_their_own():
    encoder, (bases, valid) = mamba(class_tokens=3), rows_of(2, 17, 3)
    assert encoder.class_vectors.shape == (3, 12)
    before, _ = encoder(bases, valid)
    with torch.no_grad():
        encoder.class_vectors[1] += torch.randn(12)  # a constant would be taken out by the norm
    after, _ = encoder(bases, valid)
    assert not after[:, 1].allclose(before[:, 1])
    assert not after[:, 5].allclose(before[:, 5])


@given(st.integers(0, 500), st.integers(0, 3), st.integers(1, 30), st.sampled_from(DIRECTIONS))
@settings(max_examples=15, deadline=None)
def test_a_padded_row_equals_itself_alone(seed, classes, length, directions):
    encoder = mamba(30, classes, seed, directions=directions).double()
    assert_a_padded_row_equals_itself_alone(encoder, *rows_of(4, length, classes, seed=seed, dtype=torch.float64), atol=1e-11)


def test_padding_of_any_length_changes_nothing():
    assert_padding_of_any_length_changes_nothing(mamba(class_tokens=2), *rows_of(3, 30, 2), [1, 2, 33, 100], atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 40, 41, 300])
def test_any_length_will_do(length):
    encoder = mamba(40, 2)
    embeddings, hidden = encoder(*rows_of(2, length, 2))
    assert embeddings.shape == (2, length + 2, 12)
    assert embeddings.isfinite().all()
    assert hidden == {}


def test_it_declares_its_sizes():
    encoder = mamba(64, 6, blocks=3)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length) == (12, 3, 1, None)
    assert (encoder.global_mixing, encoder.strand) == (True, "none")


def test_hidden_states_are_those_after_each_block_before_the_norm():
    encoder, (bases, valid) = mamba(blocks=3), rows_of(2, 16)
    output, hidden = encoder(bases, valid, layers=(0, 2))
    assert sorted(hidden) == [0, 2]
    assert encoder.norm(hidden[2]).equal(output)
    torch.testing.assert_close(hidden[0], encoder.blocks[0](encoder.embed(bases), valid))


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("padded", [False, True])
def test_a_gradient_reaches_every_parameter(padded, directions):
    encoder = mamba(20, 3, directions=directions, dim=20)
    assert_a_gradient_reaches_every_parameter(encoder, *rows_of(4, 17, 3, padded=padded))


def test_steps_begin_between_a_thousandth_and_a_tenth_and_states_forget_at_the_rates_1_2_3():
    (scan, _) = mamba(dim=64).blocks[0].mixers[0].scans
    steps = torch.nn.functional.softplus(scan.step.bias.detach())
    assert 0.001 <= steps.min() < 0.002
    assert 0.05 < steps.max() <= 0.1001
    assert steps.log().median() == pytest.approx(math.log(0.01), abs=0.5)
    assert scan.log_a.detach().exp().view(4, 128).T.tolist() == [pytest.approx([1, 2, 3, 4])] * 128
    assert scan.log_a.ndim == 1, "a matrix would be decayed"


def test_bf16_is_near_fp32():
    assert_bf16_is_near_fp32(mamba(class_tokens=2), *rows_of(3, 20, 2), atol=0.1)


def test_the_scan_is_in_fp32_under_autocast(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "findna_kit_encoders.mamba.selective_scan", lambda *given_: seen.extend(one.dtype for one in given_) or given_[0]
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mamba(blocks=1)(*rows_of(2, 8))
    assert seen == [torch.float32] * 10


def test_dropout_falls_only_while_training():
    encoder, batch = mamba(dropout=0.5), rows_of(2, 16)
    assert not encoder(*batch)[0].equal(encoder(*batch)[0])
    encoder.eval()
    assert encoder(*batch)[0].equal(encoder(*batch)[0])


def test_is_built_on_the_meta_device():
    with torch.device("meta"):
        built = mamba(class_tokens=2)
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"}


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"state": 0}, {"state": 257}, {"expand": 0}, {"kernel": 0}, {"directions": "left"}, {"dropout": 1.0}]
)
def test_what_makes_no_network_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Mamba.Config(**wrong)


@pytest.mark.parametrize("example", range(len(Mamba.examples)))
def test_it_conforms(example):
    check_encoder(Mamba, Mamba.examples[example])
