"""Tests of codon masking: equality with a loop over the same random numbers, and frequencies by counting."""

import pytest
import torch
from findna_kit_variation import CodonMasking, Indel
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from variation_views import Scripted, assert_rows_stand_alone, draw, few_examples, random_windows

from findna_kit import alphabet

fractions = st.floats(0.01, 1)


def masking(**values):
    return CodonMasking(CodonMasking.Config(**values))


def windows(length, seed):
    """With N, padding and inserted bases."""
    window = random_windows(5, length, seed=seed)
    return Indel(Indel.Config(rate=0.05, insertion_share=0.8))(window, draw("indel", seed, rows=5))


def maskable_bases(view, row):
    return {at for at in range(view.tokens.shape[1]) if view.origin[row, at] >= 0 and view.tokens[row, at] < alphabet.N}


def codons_of(bases, frame, length):
    """Starts of the whole codons of a frame whose three bases may be masked."""
    return [at for at in range(frame, length - 2, 3) if {at, at + 1, at + 2} <= bases]


@few_examples
@given(st.integers(3, 40), fractions, st.integers(0, 1000))
def test_it_is_a_loop_over_codons_with_the_same_draws(length, fraction, seed):
    view, numbers = windows(length, seed), torch.Generator().manual_seed(seed)
    slots = min(length // 3, max(1, round(fraction / 3 * length)))
    frames = torch.randint(0, 3, (5, 1), generator=numbers)
    scores, choices = (torch.rand(5, size, generator=numbers) for size in (length // 3, slots))
    fresh = torch.randint(0, 4, (5, 3 * slots), generator=numbers)
    made = masking(fraction=fraction)(view, Scripted(frames, scores, choices, fresh))
    assert made.masked_index.shape == made.masked_weight.shape == made.corrupted.shape == (5, 3 * slots)
    for row, frame in enumerate(frames[:, 0].tolist()):
        bases = maskable_bases(view, row)
        starts = codons_of(bases, frame, length)
        wanted = min(len(starts), slots, max(1, round(fraction / 3 * len(bases))))
        chosen = sorted(starts, key=lambda at: float(scores[row, (at - frame) // 3]))[:wanted]
        assert made.masked_index[row, : 3 * wanted].tolist() == [at + i for at in chosen for i in range(3)]
        assert made.masked_weight[row].tolist() == [1.0] * 3 * wanted + [0.0] * 3 * (slots - wanted)
        for slot in range(3 * wanted):
            choice, target = float(choices[row, slot // 3]), view.tokens[row, made.masked_index[row, slot]]
            shown = alphabet.MASK if choice < 0.8 else fresh[row, slot] if choice < 0.9 else target
            assert made.corrupted[row, slot] == shown


@few_examples
@given(st.integers(1, 40), fractions, st.integers(0, 1000))
def test_it_keeps_what_a_mask_promises(length, fraction, seed):
    view, policy = windows(length, seed), masking(fraction=fraction)
    made = policy(view, draw(seed, rows=5))
    empty = policy(random_windows(5, length, unknown=1.0), draw(seed, rows=5))
    assert made.masked_index.shape == empty.masked_index.shape, "M depends on the policy and the length alone"
    assert empty.masked_weight.sum() == 0
    assert made.tokens is view.tokens
    for row in range(5):
        index, used = made.masked_index[row].tolist(), made.masked_weight[row] > 0
        assert len(set(index)) == len(index), "a slot that is not used hides none that is"
        assert set(made.masked_index[row][used].tolist()) <= maskable_bases(view, row)
    hidden = torch.zeros_like(view.valid).scatter(1, made.masked_index, made.masked_weight > 0)
    assert made.student_tokens[~hidden].equal(view.tokens[~hidden])
    assert_rows_stand_alone(policy, view, seed)


@pytest.mark.parametrize("length", [1, 2])
def test_of_less_than_a_codon_nothing_is_masked(length):
    window = random_windows(2, length, unknown=0)
    made = masking()(window, draw("short", rows=2))
    assert made.masked_index.shape == (2, 0)
    assert made.student_tokens.equal(window.tokens)


def test_frames_and_codons_are_uniform():
    rows, length = 12_000, 20
    made = masking(fraction=3 / length)(random_windows(rows, length, unknown=0, padded=False), draw("uniform", rows=rows))
    first = made.masked_index[:, 0]
    assert made.masked_index.equal(first[:, None] + torch.arange(3))
    assert stats.chisquare(torch.bincount(first, minlength=18).tolist()).pvalue > 1e-3, "six codons of each frame"


def test_a_codon_is_hidden_replaced_or_left_as_a_whole():
    made = masking(fraction=0.1)(random_windows(2000, 120, unknown=0, padded=False), draw("whole", rows=2000))
    hidden = (made.corrupted == alphabet.MASK).view(2000, -1, 3)
    assert hidden.all(2).equal(hidden.any(2))
    assert stats.binomtest(int(hidden.all(2).sum()), hidden.shape[0] * hidden.shape[1], 0.8).pvalue > 1e-3
    shares = masking(fraction=0.1, mask_share=0.0, random_share=0.0)(random_windows(3, 30), draw("left", rows=3))
    assert shares.corrupted.equal(shares.masked_targets)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="mask_share and random_share add up to more than 1"):
        CodonMasking.Config(mask_share=0.9, random_share=0.2)
