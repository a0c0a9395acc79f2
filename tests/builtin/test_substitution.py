"""Tests of substitutions: equality with a loop over the same random numbers, and probabilities by counting."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from findna_kit import alphabet
from findna_kit.builtin.augmentations.substitution import Substitution
from tests.windows import Scripted, assert_rows_stand_alone, assert_true_to, draw, random_windows, text_of, view_of

TRANSITION = {"A": "G", "G": "A", "C": "T", "T": "C"}
FIRST = {"A": "C", "C": "A", "G": "C", "T": "A"}
SECOND = {"A": "T", "T": "G", "C": "G", "G": "T"}
rates = st.tuples(st.floats(0, 0.09), st.floats(0, 5), st.floats(0, 10))


def made(rate, ratio=2.0, excess=10.0):
    return Substitution(Substitution.Config(rate=rate, transition_ratio=ratio, cpg_excess=excess))


def substituted(sequence, numbers, rate, ratio, excess):
    """One sequence, base by base."""
    result = ""
    for at, base in enumerate(sequence):
        in_cpg = sequence[at : at + 2] == "CG" or (at > 0 and sequence[at - 1 : at + 1] == "CG")
        transition = rate * ratio / (1 + ratio) * (excess if in_cpg else 1)
        each = rate / (1 + ratio) / 2
        kinds = [(TRANSITION, transition), (FIRST, each), (SECOND, each)]
        reached, chosen = 0.0, None
        for change, chance in kinds:
            reached += chance
            if chosen is None and numbers[at] < reached:
                chosen = change
        result += base if chosen is None or base == "N" else chosen[base]
    return result


@given(st.integers(1, 40), rates, st.integers(0, 1000))
def test_it_is_a_loop_over_bases_with_the_same_draws(length, values, seed):
    window = random_windows(4, length, seed=seed, unknown=0.2)
    # Multiples of 1/64 and a bit: no number lies within rounding of a threshold.
    numbers = (torch.randint(0, 64, (4, length), generator=torch.Generator().manual_seed(seed)) + 0.4637) / 64
    view = made(*values)(window, Scripted(numbers))
    expected = [substituted(text, row, *values) for text, row in zip(text_of(window), numbers.tolist(), strict=True)]
    assert text_of(view) == expected


@given(st.integers(1, 40), rates, st.integers(0, 1000))
def test_it_keeps_what_a_view_promises(length, values, seed):
    window = random_windows(4, length, seed=seed)
    view = made(*values)(window, draw(seed, rows=4))
    assert_true_to(view, window, changed=length)
    assert view.origin is window.origin
    assert_rows_stand_alone(made(*values), window, seed)


def counted(sequence, config, rows):
    """How often each base at each place became which, [length, 4]."""
    view = Substitution(config)(view_of(*[sequence] * rows), draw("counted", sequence, rows=rows))
    return torch.stack([(view.tokens == base).sum(0) for base in range(4)], dim=1)


@pytest.mark.parametrize(("rate", "ratio", "excess"), [(0.06, 2.0, 10.0), (0.3, 0.5, 1.0), (0.1, 1.0, 0.0)])
def test_transitions_transversions_and_cpg_are_as_often_as_stated(rate, ratio, excess):
    """Each base outside CpG, and both of one (the last G follows no C)."""
    config = Substitution.Config(rate=rate, transition_ratio=ratio, cpg_excess=excess)
    sequence, rows = "ACACGTG", 6000
    inside = {3, 4}
    for at, row in enumerate(counted(sequence, config, rows).tolist()):
        base = sequence[at]
        chance = rate * ratio / (1 + ratio) * (excess if at in inside else 1)
        each = rate / (1 + ratio) / 2
        expected = {TRANSITION[base]: chance, FIRST[base]: each, SECOND[base]: each, base: 1 - chance - 2 * each}
        wanted = [(count, rows * expected[letter]) for letter, count in zip("ACGT", row, strict=True) if expected[letter]]
        assert sum(row) == rows == sum(count for count, _ in wanted), "nothing of probability 0 happened"
        assert stats.chisquare(*zip(*wanted, strict=True)).pvalue > 1e-3, (at, base)


def test_kimuras_distance_is_found_again():
    """K = -1/2 ln((1 - 2P - Q) sqrt(1 - 2Q)), equation 10 of the paper, from the shares of observed differences."""
    config = Substitution.Config(rate=0.2, transition_ratio=3.0, cpg_excess=1.0)
    window = random_windows(100, 500, unknown=0, padded=False)
    change = window.tokens ^ Substitution(config)(window, draw("kimura", rows=100)).tokens
    p, q = float((change == 2).float().mean()), float((change % 2 == 1).float().mean())
    expected = -0.5 * math.log((1 - 2 * 0.15 - 0.05) * math.sqrt(1 - 2 * 0.05))
    assert -0.5 * math.log((1 - 2 * p - q) * math.sqrt(1 - 2 * q)) == pytest.approx(expected, rel=0.03)
    assert (config.transition, config.transversion) == pytest.approx((0.15, 0.05))


def test_all_and_nothing():
    window = view_of("ACGTNCGA", "CG")
    assert text_of(made(0.0)(window, draw("nothing", rows=2))) == ["ACGTNCGA", "CG"]
    certain = made(1.0, ratio=1e9, excess=1.0)
    assert text_of(certain(window, draw("all", rows=2))) == ["GTACNTAG", "TA"]
    deaminated = made(0.001, ratio=1e9, excess=1000.0)(window, draw("cpg", rows=2))
    assert text_of(deaminated)[1] == "TA"
    assert (deaminated.tokens == alphabet.N).equal(window.tokens == alphabet.N)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3, 0.7, 1.1, 2.0, 7.3, 1e6])
def test_every_base_may_be_replaced_at_any_ratio(ratio):
    """The two probabilities add up to 1, give or take rounding."""
    view = made(1.0, ratio=ratio, excess=1.0)(window := view_of("ACGT" * 20), draw("every", rows=1))
    assert (view.tokens != window.tokens).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.3}, "a base of a CpG would be replaced with probability 2.1; lower cpg_excess or rate"),
        ({"rate": 1.1}, "less than or equal to 1"),
        ({"transition_ratio": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Substitution.Config(**values)
