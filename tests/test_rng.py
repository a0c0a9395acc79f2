"""Randomness without state: SplitMix64 to the bit, and rows that do not know of one another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import rng

WORD = 2**64


def splitmix(state):
    """Steele, Lea and Flood's generator, in Python's own integers."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % WORD
        yield finalised(state)


def finalised(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def test_the_oracle_gives_the_published_numbers():
    numbers = splitmix(1234567)
    assert [next(numbers) for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**40), st.integers(1, 9))
def test_bits_are_splitmix_started_at_a_hash_of_key_and_row(stream, row, count):
    numbers = splitmix(finalised((row * 0x9E3779B97F4A7C15 + stream) % WORD))
    drawn = rng.bits(stream, torch.tensor([row]), count)
    assert [value % WORD for value in drawn[0].tolist()] == [next(numbers) for _ in range(count)]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8), st.integers(1, 6))
def test_a_row_does_not_depend_on_the_others(rows, count):
    everything = rng.bits(5, torch.arange(10_001), 6)
    assert rng.bits(5, torch.tensor(rows), count).equal(everything[rows, :count])


def test_each_bit_is_one_half_of_the_time_and_neighbours_are_independent():
    drawn = rng.bits(rng.key("bits"), torch.arange(4000), 4)
    ones = torch.stack([(drawn >> bit & 1) for bit in range(64)], -1).double()
    deviation = (ones.mean((0, 1)) - 0.5).abs() / (0.5 / 16_000**0.5)
    assert float(deviation.max()) < 4.5
    spread = ones.flatten(1) - 0.5
    assert float(((spread[1:] * spread[:-1]).mean() / (0.25 / spread[1:].numel() ** 0.5)).abs()) < 4


def test_a_key_is_the_same_on_every_machine():
    assert rng.key(7, "view", "masked", 0) == -1067145133747304735
    assert rng.key() == rng.key()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), ("1",)),
        (("ab",), ("a", "b")),
        ((1, 2), (2, 1)),
        ((1, 23), (12, 3)),
        ((), ("",)),
        ((0,), (0, 0)),
        (("a",), ("A",)),
    ],
)
def test_different_parts_give_different_keys(one, other):
    assert rng.key(*one) != rng.key(*other)


@given(st.lists(st.one_of(st.integers(), st.text("abc", max_size=3)), max_size=4))
def test_a_key_fits_a_signed_word(parts):
    assert -(2**63) <= rng.key(*parts) < 2**63


def test_torch_is_seeded_inside_and_as_before_afterwards():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with rng.torch_seed(7, "dropout", 3, device=torch.device("cpu")):
        inside = torch.rand(3)
    assert torch.rand(3).equal(expected)
    with rng.torch_seed(7, "dropout", 3, device=torch.device("cpu")):
        assert torch.rand(3).equal(inside)
    with rng.torch_seed(7, "dropout", 4, device=torch.device("cpu")):
        assert not torch.rand(3).equal(inside)


def test_torch_is_as_before_after_an_error_too():
    before = torch.get_rng_state()
    with pytest.raises(KeyError), rng.torch_seed(1, device=torch.device("cpu")):
        torch.rand(5)
        raise KeyError("inside")
    assert torch.get_rng_state().equal(before)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 40), st.integers(1, 64))
def test_the_requested_bits_are_right(stream, count, first):
    rows = torch.arange(5)
    for part, block in rng.blocks(stream, rows, count, first):
        assert (block >> 64 - first).equal(rng.bits(stream, rows[part], count) >> 64 - first)


@pytest.mark.parametrize(("rows", "width", "sizes"), [(5, 40, [2, 2, 1]), (3, 500, [1, 1, 1]), (4, 0, [4]), (0, 7, [])])
def test_batch_slices_cover_all_rows(rows, width, sizes):
    parts = rng.batch_slices(rows, width, torch.device("cpu"), 100)
    assert [part.stop - part.start for part in parts] == sizes
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    assert rng.batch_slices(rows, width, torch.device("meta"), 100) == ([slice(0, rows)] if rows else [])
