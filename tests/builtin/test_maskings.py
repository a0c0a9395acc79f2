"""What every masking policy keeps; and independent masking: which positions, and what the student is shown there."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from findna_kit import alphabet
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.maskings.independent import IndependentMasking
from findna_kit.builtin.maskings.span import SpanMasking
from findna_kit.components.draws import Draw
from tests.windows import draw, random_windows

seeds = st.integers(0, 10_000)
fractions = st.floats(0.01, 1)
POLICIES = (IndependentMasking, SpanMasking)
policies = st.sampled_from(POLICIES)


def masking(policy=IndependentMasking, **values):
    return policy(policy.Config(**values))


def inserted_into(window, seed=0):
    return Insertion(Insertion.Config(minimum=2, maximum=6))(window, draw("insertion", seed, rows=len(window.tokens)))


@given(policies, seeds, fractions, st.integers(1, 40))
def test_a_share_of_each_sequences_own_bases_is_masked(policy, seed, fraction, length):
    view = inserted_into(random_windows(5, length, seed=seed, unknown=0.2), seed)
    made = masking(policy, fraction=fraction)(view, draw(seed, rows=5))
    slots = max(1, round(fraction * length))
    assert made.masked_index.shape == made.masked_weight.shape == made.corrupted.shape == (5, slots)
    own = view.valid & (view.tokens < alphabet.N) & (view.origin >= 0)
    for row in range(5):
        used = made.masked_index[row][made.masked_weight[row] > 0]
        eligible = int(own[row].sum())
        assert len(used) == min(slots, eligible, max(1, round(fraction * eligible)))
        assert len(set(used.tolist())) == len(used), "no position twice"
        assert own[row, used].all(), "no inserted base, N or padding"
        assert len(set(made.masked_index[row].tolist())) == slots, "a slot not used hides none that is"
    assert set(made.masked_weight.unique().tolist()) <= {0.0, 1.0}


@given(policies, seeds, fractions)
def test_the_number_of_slots_depends_on_the_length_alone(kind, seed, fraction):
    full, poor = random_windows(4, 30, seed=seed, unknown=0, padded=False), random_windows(4, 30, seed=seed, unknown=0.9)
    policy = masking(kind, fraction=fraction)
    assert policy(full, draw(1, rows=4)).masked_index.shape == policy(poor, draw(2, rows=4)).masked_index.shape


@pytest.mark.parametrize("policy", POLICIES)
def test_a_sequence_of_n_has_nothing_masked(policy):
    window = random_windows(3, 20, unknown=1.0)
    made = masking(policy)(window, draw(1, rows=3))
    assert made.masked_weight.sum() == 0
    assert made.student_tokens.equal(window.tokens)


@given(policies, seeds, st.floats(0, 1), st.floats(0, 1))
def test_the_student_sees_another_token_only_where_it_is_masked(policy, seed, mask_share, random_share):
    view = random_windows(5, 30, seed=seed)
    made = masking(policy, mask_share=mask_share * 0.5, random_share=random_share * 0.5)(view, draw(seed, rows=5))
    scored = torch.zeros_like(view.valid).scatter(1, made.masked_index, made.masked_weight > 0)
    assert made.student_tokens[~scored].equal(view.tokens[~scored])
    assert made.tokens is view.tokens, "targets and the teacher's tokens are clean"
    assert made.masked_targets[made.masked_weight > 0].lt(alphabet.N).all()
    assert (made.student_tokens == alphabet.N).equal(view.tokens == alphabet.N), "N is never shown in place of a base"


def test_80_percent_are_masked_10_random_and_10_unchanged():
    view = random_windows(400, 200, unknown=0, padded=False)
    made = masking(fraction=0.3)(view, draw("shares", rows=400))
    assert made.masked_weight.eq(1).all()
    hidden = made.corrupted == alphabet.MASK
    same = ~hidden & (made.corrupted == made.masked_targets)
    count = hidden.numel()
    observed = [int(hidden.sum()), int(same.sum()), count - int(hidden.sum()) - int(same.sum())]
    expected = [
        0.8 * count,
        (0.1 + 0.1 / 4) * count,
        0.1 * 3 / 4 * count,
    ]  # a random base is the old one in a quarter of the cases
    assert stats.chisquare(observed, expected).pvalue > 1e-3
    others = made.corrupted[~hidden & ~same]
    assert stats.chisquare(torch.bincount(others, minlength=4).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("mask_share", "random_share"), [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0)])
def test_shares_may_be_all_or_nothing(policy, mask_share, random_share):
    view = random_windows(50, 60, unknown=0, padded=False)
    made = masking(policy, mask_share=mask_share, random_share=random_share)(view, draw("all", rows=50))
    if mask_share:
        assert (made.corrupted == alphabet.MASK).all()
    elif random_share:
        assert abs(float((made.corrupted == made.masked_targets).float().mean()) - 0.25) < 0.06
    else:
        assert made.corrupted.equal(made.masked_targets)


@given(policies, seeds, st.floats(0.3, 1), st.floats(0.01, 0.3), st.integers(5, 40))
def test_the_share_of_a_sequence_may_be_drawn(policy, seed, fraction, lowest, length):
    view = inserted_into(random_windows(5, length, seed=seed, unknown=0.2), seed)
    made = masking(policy, fraction=fraction, lowest_fraction=lowest)(view, draw(seed, rows=5))
    assert made.masked_index.shape == (5, max(1, round(fraction * length)))
    own = (view.valid & (view.tokens < alphabet.N) & (view.origin >= 0)).sum(1)
    for count, eligible in zip((made.masked_weight > 0).sum(1).tolist(), own.tolist(), strict=True):
        assert min(eligible, max(1, round(lowest * eligible - 1e-9))) <= count <= max(1, round(fraction * eligible + 1e-9))


@pytest.mark.parametrize("policy", POLICIES)
def test_ibots_shares_in_distribution(policy):
    """Half of the sequences are whole; the shares of the others are uniform between 0.1 and 0.5."""
    view = random_windows(4000, 200, unknown=0.0, padded=False)
    made = masking(policy, fraction=0.5, lowest_fraction=0.1, probability=0.5)(view, draw("shares", rows=4000))
    share = (made.masked_weight > 0).sum(1).numpy() / 200
    masked = share[share > 0]
    assert stats.binomtest(len(masked), 4000, 0.5).pvalue > 1e-3
    assert stats.kstest(masked, stats.uniform(0.1, 0.4).cdf).pvalue > 1e-3
    whole = torch.from_numpy(share == 0)
    assert made.student_tokens[whole].equal(view.tokens[whole])


def test_every_position_is_as_likely_and_pairs_are_independent():
    view = random_windows(5000, 20, unknown=0, padded=False)
    made = masking(fraction=0.3)(view, draw("positions", rows=5000))
    masked = torch.zeros(5000, 20).scatter(1, made.masked_index, made.masked_weight)
    assert stats.chisquare(masked.sum(0).numpy()).pvalue > 1e-3
    correlation = torch.corrcoef(masked.T)[~torch.eye(20, dtype=torch.bool)]
    assert abs(float(correlation.mean()) + 1 / 19) < 0.01, "6 of 20 without putting back"


def test_the_corruption_does_not_depend_on_the_position():
    view = random_windows(4000, 20, unknown=0, padded=False)
    made = masking(fraction=0.5)(view, draw("shown", rows=4000))
    hidden = torch.zeros(4000, 20).scatter(1, made.masked_index, (made.corrupted == alphabet.MASK).float()).sum(0)
    assert stats.chisquare(hidden.numpy()).pvalue > 1e-3


@given(policies, seeds, st.integers(0, 3))
def test_a_sequences_mask_does_not_depend_on_the_others(policy, seed, row):
    view = random_windows(4, 25, seed=seed)
    whole = masking(policy)(view, draw(seed, rows=4))
    alone = masking(policy)(view.select(slice(row, row + 1)), Draw(seed, rows=torch.tensor([row])))
    for name in ("masked_index", "masked_weight", "corrupted"):
        assert getattr(alone, name)[0].equal(getattr(whole, name)[row])


@pytest.mark.parametrize("policy", POLICIES)
def test_sequences_are_masked_independently_of_one_another(policy):
    """Two neighbours share as many masked positions as two draws do: 0.3 of 0.3 of them."""
    view = random_windows(4000, 50, unknown=0, padded=False)
    made = masking(policy)(view, draw("rows", rows=4000))
    masked = torch.zeros(4000, 50).scatter(1, made.masked_index, made.masked_weight)
    shared, by_chance = (masked[0::2] * masked[1::2]).sum(1), masked.mean(0).square().sum()
    assert abs(float(shared.mean() - by_chance)) < 4 * float(shared.std()) / 2000**0.5


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mask_share": 0.8, "random_share": 0.3}, "mask_share and random_share add up to more than 1"),
        ({"fraction": 0}, "greater than 0"),
        ({"fraction": 1.1}, "less than or equal to 1"),
        ({"mask_share": -0.1}, "greater than or equal to 0"),
        ({"fraction": 0.3, "lowest_fraction": 0.4}, "lowest_fraction is above fraction"),
        ({"probability": 0}, "greater than 0"),
    ],
)
def test_invalid_parameters_are_refused(policy, values, message):
    with pytest.raises(ValidationError, match=message):
        policy.Config(**values)


@pytest.mark.parametrize("policy", [IndependentMasking, SpanMasking])
@pytest.mark.parametrize("repeat_weight", [0.0, 0.1, 1.0])
def test_a_soft_masked_base_has_the_weight_of_repeats_and_the_draws_stay(policy, repeat_weight):
    view = random_windows(6, 60)
    plain = masking(policy)(view, draw("repeats", rows=6))
    made = masking(policy, repeat_weight=repeat_weight)(view, draw("repeats", rows=6))
    soft = view.soft_masked.gather(1, plain.masked_index)
    assert made.masked_index.equal(plain.masked_index)
    assert made.corrupted.equal(plain.corrupted)
    assert made.masked_weight.equal(torch.where(soft, plain.masked_weight * repeat_weight, plain.masked_weight))
    assert masking(policy, repeat_weight=repeat_weight).uses_soft_masking == (repeat_weight < 1)
