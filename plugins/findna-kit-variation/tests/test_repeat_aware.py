"""Tests of repeat-aware masking: equality with a loop over the same random numbers; weights and frequencies."""

import itertools
import math

import pytest
import torch
from findna_kit_variation import Indel, RepeatAwareMasking
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from variation_views import Scripted, assert_rows_stand_alone, draw, few_examples, random_windows, view_of

from findna_kit import alphabet
from findna_kit.components import BranchOutput, Clock
from findna_kit.plugins.loading import load_plugins


def masking(**values):
    return RepeatAwareMasking(RepeatAwareMasking.Config(**values))


def windows(length, seed):
    window = random_windows(5, length, seed=seed)
    return Indel(Indel.Config(rate=0.05, insertion_share=0.8))(window, draw("indel", seed, rows=5))


shares = st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.floats(0.05, 1))


@few_examples
@given(st.integers(1, 40), shares, st.integers(0, 1000))
def test_it_is_a_loop_over_bases_with_the_same_draws(length, values, seed):
    fraction, repeat_weight, repeat_chance = values
    view, numbers = windows(length, seed), torch.Generator().manual_seed(seed)
    slots = max(1, round(fraction * length))
    scores, choices = (torch.rand(5, size, generator=numbers) for size in (length, slots))
    fresh = torch.randint(0, 4, (5, slots), generator=numbers)
    policy = masking(fraction=fraction, repeat_weight=repeat_weight, repeat_chance=repeat_chance)
    made = policy(view, Scripted(scores, choices, fresh))
    for row in range(5):
        own = [at for at in range(length) if view.origin[row, at] >= 0 and view.tokens[row, at] < alphabet.N]
        soft = view.soft_masked[row].tolist()
        wanted = min(len(own), max(1, round(fraction * len(own))))
        waited = {at: -math.log1p(-float(scores[row, at])) / (repeat_chance if soft[at] else 1) for at in own}
        chosen = sorted(own, key=waited.__getitem__)[:wanted]
        assert made.masked_index[row, :wanted].tolist() == chosen
        weights = [repeat_weight if soft[at] else 1.0 for at in chosen] + [0.0] * (slots - wanted)
        assert made.masked_weight[row].tolist() == pytest.approx(weights)
        for slot, at in enumerate(chosen):
            choice = float(choices[row, slot])
            shown = alphabet.MASK if choice < 0.8 else fresh[row, slot] if choice < 0.9 else view.tokens[row, at]
            assert made.corrupted[row, slot] == shown


@few_examples
@given(st.integers(1, 40), shares, st.integers(0, 1000))
def test_it_keeps_what_a_mask_promises(length, values, seed):
    view = windows(length, seed)
    policy = masking(fraction=values[0], repeat_weight=values[1], repeat_chance=values[2])
    made = policy(view, draw(seed, rows=5))
    empty = policy(random_windows(5, length, unknown=1.0), draw(seed, rows=5))
    assert made.masked_index.shape == empty.masked_index.shape, "M depends on the policy and the length alone"
    assert empty.masked_weight.sum() == 0
    used = made.masked_weight > 0
    assert (view.origin.gather(1, made.masked_index)[used] >= 0).all()
    assert (made.masked_targets[used] < alphabet.N).all()
    hidden = torch.zeros_like(view.valid).scatter(1, made.masked_index, used)
    assert made.student_tokens[~hidden].equal(view.tokens[~hidden])
    assert_rows_stand_alone(policy, view, seed)


def test_repeats_are_drawn_by_their_chance():
    """Two of four bases without putting back, the last two in a repeat: every pair's probability by hand."""
    rows, chance = 20_000, 0.25
    made = masking(fraction=0.5, repeat_chance=chance)(view_of(*["ACgt"] * rows), draw("chance", rows=rows))
    weight = [1.0, 1.0, chance, chance]
    pairs = list(itertools.combinations(range(4), 2))
    ordered = {
        (a, b): weight[a] / sum(weight) * weight[b] / (sum(weight) - weight[a]) for a, b in itertools.permutations(range(4), 2)
    }
    expected = [rows * (ordered[a, b] + ordered[b, a]) for a, b in pairs]
    drawn = made.masked_index.sort(1).values.tolist()
    assert stats.chisquare([drawn.count(list(pair)) for pair in pairs], expected).pvalue > 1e-3


def test_the_masked_loss_is_the_weighted_mean():
    """GPN's: the cross-entropies of a repeat's bases count a tenth, in the sum and in what it is divided by."""
    components, _ = load_plugins()
    kind = components.losses["masked_nucleotides"]
    loss = kind(kind.Config(), dim=4, class_tokens=0)
    view = masking(fraction=1.0)(view_of("ACgtA", "ccNcG"), draw("mean", rows=2))
    logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    term = loss({"one": BranchOutput(view, heads={"classifier": logits})}, {}, Clock(0, 1))
    total = 0.0
    for row, slot in itertools.product(range(2), range(5)):
        at = int(view.masked_index[row, slot])
        if view.tokens[row, at] < alphabet.N:
            nats = float(logits[row, slot].logsumexp(0) - logits[row, slot, view.tokens[row, at]])
            total += nats * (0.1 if view.soft_masked[row, at] else 1.0)
    assert float(term.sum) == pytest.approx(total, rel=1e-5)
    assert float(loss.count({"one": view}, {})) == pytest.approx(4 + 5 * 0.1)


def test_without_weight_a_repeat_is_shown_as_it_is():
    view = view_of("acgtACGT")
    made = masking(fraction=1.0, repeat_weight=0.0, mask_share=1.0, random_share=0.0)(view, draw("none", rows=1))
    assert made.student_tokens.tolist() == [[0, 1, 2, 3, 5, 5, 5, 5]]


@pytest.mark.parametrize("values", [{"repeat_weight": 1.1}, {"repeat_chance": 0.0}, {"repeat_chance": 1.1}, {"fraction": 0.0}])
def test_what_cannot_be_is_refused(values):
    with pytest.raises(ValidationError, match=r"(less|greater) than"):
        RepeatAwareMasking.Config(**values)
