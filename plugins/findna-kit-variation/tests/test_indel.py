"""Tests of indels: equality with a loop over the same random numbers; counts, kinds and lengths of events."""

import math
from collections import Counter

import pytest
import torch
from findna_kit_variation import Indel
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from variation_views import Scripted, assert_rows_stand_alone, assert_true_to, draw, few_examples, random_windows

configs = st.builds(
    lambda **values: Indel.Config(**values),
    rate=st.floats(0, 0.5), insertion_share=st.floats(0, 1), law=st.sampled_from(["power", "geometric"]),
    exponent=st.floats(0, 3), end_probability=st.floats(0.05, 0.95), longest=st.integers(1, 12), most=st.integers(1, 9),
)  # fmt: skip


def chances(config):
    """Of the lengths 1 ... longest."""
    lengths = range(1, config.longest + 1)
    weights = [k**-config.exponent if config.law == "power" else (1 - config.end_probability) ** k for k in lengths]
    return [weight / sum(weights) for weight in weights]


def poisson(number, mean):
    return math.exp(-mean) * mean**number / math.factorial(number)


def inverse(number, chances):
    """The first of 0, 1, ... up to which the chances add up to more than the number; how many there are, if none is."""
    reached = 0.0
    for value, chance in enumerate(chances):
        reached += chance
        if number < reached:
            return value
    return len(chances)


def mutated(count, events):
    """Positions of the sequence, None for random bases, from (begin, is insertion, length) of each event."""
    missing = {at for begin, inserting, length in events if not inserting for at in range(begin, begin + length)}
    grown = []
    for at in range(count):
        grown += [None] * sum(length for begin, inserting, length in events if inserting and begin == at)
        grown += [at] if at not in missing else []
    longer = len(grown) - count
    if longer >= 0:
        return grown[longer // 2 : longer // 2 + count]
    before = -longer // 2
    return [None] * before + grown + [None] * (-longer - before)


@few_examples
@given(configs, st.integers(1, 40), st.integers(0, 1000))
def test_it_is_a_loop_over_events_with_the_same_draws(config, length, seed):
    window = random_windows(5, length, seed=seed)
    numbers = torch.Generator().manual_seed(seed)
    how_many, kinds, sizes = (torch.rand(5, shape, generator=numbers) for shape in (1, config.most, config.most))
    begins = (torch.rand(5, config.most, generator=numbers) * window.lengths[:, None].clamp(min=1)).long()
    fresh = torch.randint(0, 4, (5, length), generator=numbers)
    view = Indel(config)(window, Scripted(how_many, begins, kinds, sizes, fresh))
    for row, count in enumerate(window.lengths.tolist()):
        number = inverse(float(how_many[row]), [poisson(k, config.rate * count) for k in range(config.most)])
        events = [
            (int(begins[row, k]), float(kinds[row, k]) < config.insertion_share,
             min(inverse(float(sizes[row, k]), chances(config)), config.longest - 1) + 1)
            for k in range(number)
        ]  # fmt: skip
        expected = mutated(count, events)
        assert view.origin[row, :count].tolist() == [-1 if at is None else at for at in expected]
        tokens = [int(fresh[row, i] if at is None else window.tokens[row, at]) for i, at in enumerate(expected)]
        assert view.tokens[row, :count].tolist() == tokens
    assert_true_to(view, window)


@few_examples
@given(configs, st.integers(1, 40), st.integers(0, 1000))
def test_it_keeps_what_a_view_promises(config, length, seed):
    window = random_windows(4, length, seed=seed)
    view = Indel(config)(window, draw(seed, rows=4))
    assert_true_to(view, window)
    assert ((view.origin.diff(dim=1) > 0) | (view.origin < 0)[:, 1:] | (view.origin < 0)[:, :-1]).all(), "the order stays"
    assert_rows_stand_alone(Indel(config), window, seed)


@pytest.mark.parametrize(
    ("values", "head"),
    [({"law": "power", "exponent": 2.0, "longest": 3}, [36 / 49, 9 / 49, 4 / 49]),
     ({"law": "geometric", "end_probability": 0.5, "longest": 2}, [2 / 3, 1 / 3])],
)  # fmt: skip
def test_lengths_follow_the_law(values, head):
    """The chances by hand; then what is drawn."""
    config = Indel.Config(**values)
    assert config.probabilities().tolist() == pytest.approx(head)
    lengths = config.lengths(draw("lengths", rows=20_000).uniform(1))[:, 0]
    observed = torch.bincount(lengths, minlength=len(head) + 1)[1:].tolist()
    assert sum(observed) == 20_000
    assert stats.chisquare(observed, [20_000 * chance for chance in head]).pvalue > 1e-3


def test_the_only_length_there_is_is_drawn():
    assert Indel.Config(longest=1).lengths(torch.rand(100)).eq(1).all()


def test_half_of_the_lengths_are_single_bases_by_default():
    """As of pseudogenes' gaps (Gu and Li 1995)."""
    assert 0.45 < float(Indel.Config().probabilities()[0]) < 0.6


def test_numbers_are_poissons_up_to_most():
    config, rows = Indel.Config(rate=0.04, most=5), 20_000
    numbers = config.numbers(torch.full((rows, 1), 50), draw("numbers", rows=rows).uniform(1))
    observed = torch.bincount(numbers[:, 0], minlength=6)
    below = [poisson(k, 2.0) for k in range(5)]
    assert stats.chisquare(observed.tolist(), [rows * chance for chance in [*below, 1 - sum(below)]]).pvalue > 1e-3


def test_insertions_are_their_share_and_places_are_uniform():
    """One event of one base in each sequence: what is missing, or where a random base stands, says which."""
    config = Indel.Config(rate=1.0, most=1, longest=1, insertion_share=0.3)
    rows, length = 9000, 31
    view = Indel(config)(random_windows(rows, length, unknown=0, padded=False), draw("places", rows=rows))
    # A deletion shifts nothing before it and fills the end; an insertion pushes the last base out.
    inserted = view.origin[:, -1] >= 0
    inserted |= (view.origin[:, -1] < 0) & (view.origin[:, -2] == length - 2) & (view.origin[:, :-1] >= 0).all(1)
    by_last = Counter(torch.tensor([int((row >= 0).sum()) for row in view.origin]).tolist())
    assert set(by_last) == {length - 1}, "one base is lost either way"
    missing = [next(at for at in range(length) if at not in set(row.tolist())) for row in view.origin]
    deleted = torch.tensor([at for at in missing if at < length - 1])
    # A deletion of the last base and any insertion both lack the last one, so that one is left out of both laws.
    assert stats.binomtest(len(deleted), rows, 0.7 * (length - 1) / length).pvalue > 1e-3
    assert stats.chisquare(torch.bincount(deleted, minlength=length - 1).tolist()).pvalue > 1e-3
    begins = [int((row < 0).int().argmax()) for row, at in zip(view.origin, missing, strict=True) if at == length - 1]
    assert stats.chisquare(torch.bincount(torch.tensor(begins), minlength=length).tolist()[:-1]).pvalue > 1e-3


def test_a_rate_of_nothing_changes_nothing():
    window = random_windows(5, 30)
    view = Indel(Indel.Config(rate=0.0))(window, draw("nothing", rows=5))
    assert view.tokens.equal(window.tokens)
    assert view.origin.equal(window.origin)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"law": "zipf"}, "'power' or 'geometric'"), ({"longest": 0}, "greater than or equal to 1"),
     ({"end_probability": 1.0}, "less than 1"), ({"most": 0}, "greater than or equal to 1")],
)  # fmt: skip
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Indel.Config(**values)
