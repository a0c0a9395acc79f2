"""EvoAug's formulas (Lee et al. 2023), one sequence at a time: equal with the same draws, and in distribution."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from findna_kit.builtin.augmentations.deletion import Deletion
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.augmentations.inversion import Inversion
from findna_kit.builtin.augmentations.mutation import Mutation
from findna_kit.builtin.augmentations.noise import Noise
from findna_kit.builtin.augmentations.reverse_complement import ReverseComplement
from findna_kit.builtin.augmentations.translocation import Translocation
from tests.windows import Scripted, draw, random_windows, text_of

seeds = st.integers(0, 10_000)
SPANS = (Deletion, Insertion, Inversion, Translocation)


def made(kind, minimum=0, maximum=20):
    return kind(kind.Config(minimum=minimum, maximum=maximum))


# From the description of its formulas: a base of the result is a position of the sequence, or None for a random one.


def evoaug_deletion(count, length, begin):
    """Without the stretch; half of its length in random bases before, the rest after."""
    half = length // 2
    kept = [*range(begin), *range(begin + length, count)]
    return [None] * half + kept + [None] * (length - half)


def evoaug_insertion(count, length, begin, largest):
    """With a stretch put in, L + largest long: half of what is lacking in random bases before, the rest after."""
    before = (largest - length) // 2
    grown = [*range(begin), *[None] * length, *range(begin, count)]
    return [None] * before + grown + [None] * (largest - length - before)


def evoaug_inversion(sequence, length, begin):
    """The letters with those of the stretch reversed and complemented."""
    turned = sequence[begin : begin + length][::-1].translate(str.maketrans("ACGT", "TGCA"))
    return sequence[:begin] + turned + sequence[begin + length :]


def evoaug_translocation(count, shift):
    """Rolled to the right by `shift`: the base at i goes to i + shift."""
    rolled = [None] * count
    for i in range(count):
        rolled[(i + shift) % count] = i
    return rolled


def assert_reads(view, row, expected, window, inserted=None):
    """The valid part of a row is these positions of the window, random bases from `inserted` at their place."""
    count = len(expected)
    assert view.origin[row, :count].tolist() == [-1 if at is None else at for at in expected]
    wanted = [int(inserted[row, place]) if at is None else int(window.tokens[row, at]) for place, at in enumerate(expected)]
    assert view.tokens[row, :count].tolist() == wanted


def column(*values):
    return torch.tensor(values)[:, None]


@given(st.data(), st.integers(0, 12), st.integers(12, 40), st.integers(1, 12))
def test_deletion_is_evoaugs_with_the_same_draws(data, minimum, length, maximum):
    minimum = min(minimum, maximum)
    window = random_windows(4, length, unknown=0.05, shortest=maximum)
    counts = window.lengths.tolist()
    sizes = [data.draw(st.integers(minimum, maximum)) for _ in counts]
    begins = [data.draw(st.integers(0, count - maximum)) for count in counts]
    inserted = torch.randint(0, 4, (4, length), generator=torch.Generator().manual_seed(length))
    numbers = Scripted(column(*sizes), column(*begins), inserted)
    view = made(Deletion, minimum, maximum)(window, numbers)
    for row, count in enumerate(counts):
        assert_reads(view, row, evoaug_deletion(count, sizes[row], begins[row]), window, inserted)
    (low, high), (first, last), bases = numbers.bounds
    assert (low == minimum).all()
    assert (high == maximum + 1).all()
    assert first == 0
    assert last.squeeze(1).tolist() == [count - maximum + 1 for count in counts]
    assert bases == (0, 4)


@given(st.data(), st.integers(0, 12), st.integers(12, 40), st.integers(1, 12))
def test_insertion_is_the_central_part_of_evoaugs_with_the_same_draws(data, minimum, length, maximum):
    minimum = min(minimum, maximum)
    window = random_windows(4, length, unknown=0.05, shortest=maximum)
    counts = window.lengths.tolist()
    sizes = [data.draw(st.integers(minimum, maximum)) for _ in counts]
    begins = [data.draw(st.integers(0, count - 1)) for count in counts]
    inserted = torch.randint(0, 4, (4, length), generator=torch.Generator().manual_seed(length))
    numbers = Scripted(column(*sizes), column(*begins), inserted)
    view = made(Insertion, minimum, maximum)(window, numbers)
    for row, count in enumerate(counts):
        longer = evoaug_insertion(count, sizes[row], begins[row], maximum)
        assert len(longer) == count + maximum
        central = longer[maximum // 2 : maximum // 2 + count]
        assert_reads(view, row, central, window, inserted)
    (low, high), (first, last), bases = numbers.bounds
    assert (low == minimum).all()
    assert (high == maximum + 1).all()
    assert first == 0
    assert last.squeeze(1).tolist() == counts
    assert bases == (0, 4)


@given(st.data(), st.integers(0, 12), st.integers(12, 40), st.integers(1, 12))
def test_inversion_is_evoaugs_with_the_same_draws(data, minimum, length, maximum):
    minimum = min(minimum, maximum)
    window = random_windows(4, length, unknown=0.05, shortest=maximum)
    counts = window.lengths.tolist()
    sizes = [data.draw(st.integers(minimum, maximum)) for _ in counts]
    begins = [data.draw(st.integers(0, count - maximum)) for count in counts]
    numbers = Scripted(column(*sizes), column(*begins))
    view = made(Inversion, minimum, maximum)(window, numbers)
    expected = [evoaug_inversion(text_of(window)[row], sizes[row], begins[row]) for row in range(4)]
    assert text_of(view) == expected
    (low, high), (first, last) = numbers.bounds
    assert (low == minimum).all()
    assert (high == maximum + 1).all()
    assert first == 0
    assert last.squeeze(1).tolist() == [count - maximum + 1 for count in counts]


@given(st.data(), st.integers(0, 12), st.integers(12, 40), st.integers(1, 12))
def test_translocation_is_evoaugs_with_the_same_draws(data, minimum, length, maximum):
    minimum = min(minimum, maximum)
    window = random_windows(4, length, shortest=maximum)
    sizes = [data.draw(st.integers(minimum, maximum)) for _ in range(4)]
    signs = [data.draw(st.sampled_from([0.1, 0.9])) for _ in range(4)]
    numbers = Scripted(column(*sizes), column(*signs))
    view = made(Translocation, minimum, maximum)(window, numbers)
    for row, count in enumerate(window.lengths.tolist()):
        shift = -sizes[row] if signs[row] < 0.5 else sizes[row]
        assert_reads(view, row, evoaug_translocation(count, shift), window)
    assert (numbers.bounds[0][0] == minimum).all()
    assert (numbers.bounds[0][1] == maximum + 1).all()


@given(st.integers(4, 40), st.floats(0, 0.75), seeds)
def test_mutation_is_evoaugs_with_the_same_draws(length, fraction, seed):
    window = random_windows(3, length, seed=seed, unknown=0, padded=False)
    count = min(length, round(fraction / 0.75 * length))
    numbers = torch.Generator().manual_seed(seed)
    score, bases = torch.rand(3, length, generator=numbers), torch.randint(0, 4, (3, count), generator=numbers)
    script = Scripted(score, bases)
    view = Mutation(Mutation.Config(fraction=fraction))(window, script)
    for row in range(3):
        expected = window.tokens[row].tolist()
        order = sorted(range(length), key=lambda place: -float(score[row, place]))
        for slot, place in enumerate(order[:count]):
            expected[place] = int(bases[row, slot])
        assert view.tokens[row].tolist() == expected
    assert script.bounds == [(0, 4)]


def test_the_share_of_changed_bases_is_the_fraction():
    window = random_windows(200, 300, unknown=0, padded=False)
    view = Mutation(Mutation.Config(fraction=0.15))(window, draw("share", rows=200))
    share = float((view.tokens != window.tokens).float().mean())
    assert abs(share - 0.15) < 4 * (0.2 * 0.75 * 0.25 / 60_000) ** 0.5
    replaced = view.tokens[view.tokens != window.tokens] - window.tokens[view.tokens != window.tokens]
    assert stats.chisquare(torch.bincount(replaced % 4, minlength=4)[1:].numpy()).pvalue > 1e-3


@pytest.mark.parametrize("kind", SPANS)
def test_lengths_are_uniform_with_both_ends(kind):
    window = random_windows(4000, 48, unknown=0, padded=False)
    view = made(kind, 3, 9)(window, draw(kind.__name__, rows=4000))
    if kind is Translocation:
        shift = view.origin[:, 0]  # the base that is first now
        numbers = torch.where(shift <= 9, shift, 48 - shift)
        assert stats.binomtest(int((shift <= 9).sum()), 4000).pvalue > 1e-3, "to the left as often as to the right"
    elif kind is Deletion:
        numbers = (view.origin == -1).sum(1)
    elif kind is Inversion:
        numbers = (view.strand < 0).sum(1)
    else:
        numbers = draw(kind.__name__, rows=4000).integers(3, 10, 1)[:, 0]
        assert ((view.origin == -1).sum(1) <= numbers + 4).all()
    assert set(numbers.tolist()) == set(range(3, 10))
    assert stats.chisquare(torch.bincount(numbers - 3, minlength=7).numpy()).pvalue > 1e-3


def test_starts_of_deletions_are_uniform():
    window = random_windows(6000, 30, unknown=0, padded=False)
    view = made(Deletion, 6, 6)(window, draw("starts", rows=6000))
    # 3 random bases, then what was before the stretch, then what was after: the stretch begins where origin jumps.
    begin = (view.origin[:, 3:27] == torch.arange(24)).sum(1)
    assert stats.chisquare(torch.bincount(begin, minlength=25).numpy()).pvalue > 1e-3


def test_starts_of_inversions_are_uniform():
    window = random_windows(6000, 30, unknown=0, padded=False)
    view = made(Inversion, 6, 6)(window, draw("starts", rows=6000))
    begin = (view.strand < 0).int().argmax(1)
    assert stats.chisquare(torch.bincount(begin, minlength=25).numpy()).pvalue > 1e-3


def test_starts_of_insertions_are_uniform():
    window = random_windows(6000, 30, unknown=0, padded=False)
    view = made(Insertion, 5, 5)(window, draw("starts", rows=6000))
    begin = (view.origin == torch.arange(30) + 2).sum(1) + 2  # EvoAug's result without its first 2
    begin = begin.where(view.origin[:, 0] == 2, 0)
    observed = torch.bincount(begin[begin > 2], minlength=28)[3:]
    assert stats.chisquare(observed[:-1].numpy()).pvalue > 1e-3
    assert stats.binomtest(int((begin <= 2).sum()), 6000, 3 / 30).pvalue > 1e-3


@pytest.mark.parametrize("kind", [Deletion, Insertion])
def test_inserted_bases_are_uniform_over_the_four(kind):
    window = random_windows(2000, 40, unknown=0.2, padded=False)
    view = made(kind, 8, 8)(window, draw(kind.__name__, rows=2000))
    assert stats.chisquare(torch.bincount(view.tokens[view.origin < 0], minlength=4).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_reverse_complement_turns_its_share_and_whole_sequences(probability):
    window = random_windows(4000, 6, unknown=0, padded=False)
    view = ReverseComplement(ReverseComplement.Config(probability=probability))(window, draw("share", rows=4000))
    turned = view.strand[:, 0] < 0
    assert (view.strand == view.strand[:, :1]).all()
    assert view.tokens[~turned].equal(window.tokens[~turned])
    assert abs(float(turned.float().mean()) - probability) <= 4 * (probability * (1 - probability) / 4000) ** 0.5


def test_noise_is_stated_and_adds_in_variance():
    window = random_windows(3, 5)
    once = Noise(Noise.Config(deviation=0.3))(window, Scripted())
    twice = Noise(Noise.Config(deviation=0.4))(once, Scripted())
    assert once.deviation.tolist() == pytest.approx([0.3] * 3)
    assert twice.deviation.tolist() == pytest.approx([0.5] * 3)
    assert twice.tokens is window.tokens
