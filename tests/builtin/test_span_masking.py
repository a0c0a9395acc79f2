"""Span masking against a loop over spans, with the same draws; lengths and arrangements in distribution."""

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from findna_kit import alphabet
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.maskings.span import SpanMasking
from tests.windows import Scripted, draw, random_windows


def masking(**values):
    return SpanMasking(SpanMasking.Config(**values))


def geometric(end_probability, longest):
    """Probabilities of the lengths 1 ... longest: the geometric distribution without what is longer."""
    weights = [end_probability * (1 - end_probability) ** (length - 1) for length in range(1, longest + 1)]
    return [weight / sum(weights) for weight in weights]


def length_of(number, chances):
    """The first length whose distribution function is above the number."""
    return next((i for i, reached in enumerate(itertools.accumulate(chances), 1) if number < reached), len(chances))


def cut_to(wanted, lengths):
    """Lengths in turn until they make up `wanted`, the last cut."""
    kept = []
    for length in lengths:
        if sum(kept) < wanted:
            kept.append(min(length, wanted - sum(kept)))
    return kept


def laid_out(own, wanted, lengths, places):
    """Spans as lists of positions in order: `lengths` put at `places` in the row of spans and unmasked own bases."""
    size = dict(zip(places, lengths, strict=True))
    spans, at = [], 0
    for thing in range(len(own) - wanted + len(lengths)):
        if thing in size:
            spans.append(own[at : at + size[thing]])
        at += size.get(thing, 1)
    assert at == len(own)
    return spans


@given(st.integers(0, 10_000), st.floats(0.01, 1), st.integers(1, 40), st.floats(0.05, 0.95), st.integers(1, 12))
def test_it_is_a_loop_over_spans_with_the_same_draws(seed, fraction, length, end_probability, longest):
    view = random_windows(4, length, seed=seed, unknown=0.2)
    view = Insertion(Insertion.Config(minimum=2, maximum=6))(view, draw("insertion", seed, rows=4))
    policy = masking(fraction=fraction, end_probability=end_probability, longest=longest)
    slots, numbers = max(1, round(fraction * length)), torch.Generator().manual_seed(seed)
    sizes, scores, choices = (torch.rand(4, count, generator=numbers) for count in (slots, length, slots))
    bases = torch.randint(0, 4, (4, slots), generator=numbers)
    made = policy(view, Scripted(sizes, scores, choices, bases))
    chances = geometric(end_probability, longest)
    for row in range(4):
        own = [i for i in range(length) if view.origin[row, i] >= 0 and view.tokens[row, i] < alphabet.N]
        wanted = min(len(own), max(1, round(fraction * len(own))))
        lengths = cut_to(wanted, [length_of(number, chances) for number in sizes[row].tolist()])
        things = range(len(own) - wanted + len(lengths))
        spans = laid_out(own, wanted, lengths, sorted(things, key=scores[row].tolist().__getitem__)[: len(lengths)])
        expected = [(at, float(choices[row, number])) for number, span in enumerate(spans) for at in span]
        assert made.masked_index[row, :wanted].tolist() == [at for at, _ in expected]
        assert made.masked_weight[row].tolist() == [1.0] * wanted + [0.0] * (slots - wanted)
        for slot, (at, choice) in enumerate(expected):
            left = bases[row, slot] if choice < 0.9 else view.tokens[row, at]
            assert int(made.corrupted[row, slot]) == (alphabet.MASK if choice < 0.8 else int(left))


@pytest.mark.parametrize(("end_probability", "longest"), [(0.2, 10), (0.5, 3), (0.9, 5), (1e-9, 4)])
def test_lengths_are_geometric_without_what_is_too_long(end_probability, longest):
    config = SpanMasking.Config(end_probability=end_probability, longest=longest)
    lengths = config.lengths(draw("lengths", rows=20_000).uniform(1))[:, 0]
    observed = torch.bincount(lengths, minlength=longest + 1)[1:]
    assert int(observed.sum()) == 20_000
    expected = [20_000 * chance for chance in geometric(end_probability, longest)]
    assert stats.chisquare(observed.tolist(), expected).pvalue > 1e-3
    assert SpanMasking.Config(longest=1).lengths(torch.rand(1000)).eq(1).all()


def test_the_papers_spans_are_3_8_long_on_average():
    expected = sum(length * chance for length, chance in enumerate(geometric(0.2, 10), 1))
    assert round(expected, 1) == 3.8
    view = random_windows(100, 20_000, unknown=0, padded=False)
    made = masking(fraction=0.02)(view, draw("mean", rows=100))  # so few that hardly any touch, so many that one cut is little
    begins = (made.masked_index.diff(dim=1) > 1).sum(1) + 1
    assert float(made.masked_index.shape[1] / begins.float().mean()) == pytest.approx(expected, rel=0.03)


def test_every_arrangement_is_as_likely():
    """Four of seven bases in spans of 1 to 3, all as likely: every set's probability by counting."""
    expected = Counter()
    for drawn in itertools.product((1, 2, 3), repeat=4):
        lengths = cut_to(4, drawn)
        orders = list(itertools.permutations(range(3 + len(lengths)), len(lengths)))
        for places in orders:
            spans = laid_out(list(range(7)), 4, lengths, places)
            expected[tuple(itertools.chain(*spans))] += 1 / len(orders) / 3**4
    assert len(expected) == 35
    rows = 20_000
    view = random_windows(rows, 7, unknown=0, padded=False)
    made = masking(fraction=4 / 7, end_probability=1e-9, longest=3)(view, draw("arrangements", rows=rows))
    observed = Counter(map(tuple, made.masked_index.tolist()))
    sets = sorted(expected)
    assert stats.chisquare([observed[one] for one in sets], [rows * expected[one] for one in sets]).pvalue > 1e-3


def test_a_span_is_hidden_replaced_or_left_as_a_whole():
    view = random_windows(2000, 200, unknown=0, padded=False)
    made = masking(fraction=0.05)(view, draw("wholes", rows=2000))
    hidden, touching = made.corrupted == alphabet.MASK, made.masked_index.diff(dim=1) == 1
    assert abs(float(hidden.float().mean()) - 0.8) < 0.02
    alike = float((hidden[:, 1:] == hidden[:, :-1])[touching].float().mean())
    assert alike > 0.95, "single bases would agree in 0.68 of the pairs"
    left = made.corrupted == made.masked_targets
    assert abs(float(left.float().mean()) - 0.125) < 0.02


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"end_probability": 0.0}, "greater than 0"),
        ({"end_probability": 1.0}, "less than 1"),
        ({"longest": 0}, "greater than or equal to 1"),
    ],
)
def test_spans_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        SpanMasking.Config(**values)
