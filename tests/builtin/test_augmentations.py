"""Every augmentation, alone and composed: what it keeps, and what is refused."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit import alphabet
from findna_kit.builtin.augmentations.deletion import Deletion
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.augmentations.inversion import Inversion
from findna_kit.builtin.augmentations.mutation import Mutation
from findna_kit.builtin.augmentations.noise import Noise
from findna_kit.builtin.augmentations.reverse_complement import ReverseComplement
from findna_kit.builtin.augmentations.translocation import Translocation
from findna_kit.components.draws import Draw
from tests.windows import assert_true_to, draw, random_windows, text_of, view_of

seeds = st.integers(0, 10_000)
spans = st.integers(1, 25).flatmap(lambda most: st.tuples(st.integers(0, most), st.just(most)))
SPANS = (Deletion, Insertion, Inversion, Translocation)


def made(kind, minimum=0, maximum=20):
    return kind(kind.Config(minimum=minimum, maximum=maximum))


@st.composite
def any_augmentation(draw):
    kind = draw(st.sampled_from([*SPANS, Mutation, Noise, ReverseComplement]))
    if kind in SPANS:
        return made(kind, *draw(spans))
    field = {Mutation: "fraction", Noise: "deviation", ReverseComplement: "probability"}[kind]
    return kind(kind.Config(**{field: draw(st.floats(0, 0.75))}))


@given(st.lists(any_augmentation(), min_size=1, max_size=5), seeds, st.integers(1, 40))
def test_any_composition_in_any_order_keeps_the_view_consistent(augmentations, seed, length):
    window = random_windows(6, length, seed=seed)
    view, changed = window, 0
    for place, augmentation in enumerate(augmentations):
        view = augmentation(view, draw(seed, place, rows=6))
        changed += round(augmentation.config.fraction / 0.75 * length) if isinstance(augmentation, Mutation) else 0
    assert_true_to(view, window, changed=changed)
    assert view.start is window.start
    assert view.contig is window.contig
    assert (view.tokens < alphabet.MASK).all()


@given(any_augmentation(), seeds, st.integers(1, 40))
def test_the_same_key_gives_the_same_and_each_sequence_has_its_own_draw(augmentation, seed, length):
    window = random_windows(6, length, seed=seed)
    whole = augmentation(window, draw(seed, rows=6))
    again = augmentation(window, draw(seed, rows=6))
    part = augmentation(window.select(slice(2, 5)), Draw(seed, rows=torch.arange(2, 5)))
    for name in ("tokens", "origin", "strand", "valid"):
        assert getattr(again, name).equal(getattr(whole, name))
        assert getattr(part, name).equal(getattr(whole, name)[2:5])


@pytest.mark.parametrize("kind", [*SPANS, ReverseComplement, Mutation])
def test_sequences_of_a_batch_are_changed_differently(kind):
    augmentation = kind(kind.Config())
    same = view_of(*text_of(random_windows(1, 60, padded=False)) * 8)
    changed = augmentation(same, draw("each", rows=8)).tokens
    assert len({tuple(row) for row in changed.tolist()}) > (1 if kind is ReverseComplement else 6)


def test_mutation_leaves_n_and_padding_alone():
    window = random_windows(20, 50, unknown=0.4)
    view = Mutation(Mutation.Config(fraction=0.75))(window, draw("mutation", rows=20))
    assert (view.tokens == alphabet.N).equal(window.tokens == alphabet.N)
    assert not view.tokens.equal(window.tokens)
    assert view.origin is window.origin


@given(seeds, st.sampled_from(SPANS), st.integers(1, 60))
def test_a_sequence_shorter_than_the_span_is_no_error(seed, kind, maximum):
    window = random_windows(5, 12, seed=seed)
    assert_true_to(made(kind, maximum, maximum)(window, draw(seed, rows=5)), window)


def test_reverse_complement_by_hand():
    turn = ReverseComplement(ReverseComplement.Config(probability=1.0))
    window = view_of("AACCGGTT", "ACGTNA", "GATTACA")
    view = turn(window, draw("turn", rows=3))
    assert text_of(view) == ["AACCGGTT", "TNACGT", "TGTAATC"]
    assert view.origin[2].tolist() == [6, 5, 4, 3, 2, 1, 0, -1]
    assert view.strand[1].tolist() == [-1] * 6 + [0] * 2
    back = turn(view, draw("turn", rows=3))
    assert back.tokens.equal(window.tokens)
    assert back.origin.equal(window.origin)
    assert back.strand.equal(window.strand)


def test_inversion_by_hand():
    """Of a whole sequence, whatever its length; twice is not at all."""
    window = view_of("AACCGGTT", "ACGTNA", "GATTACA")
    for row, (sequence, inverted) in enumerate([("AACCGGTT", "AACCGGTT"), ("ACGTNA", "TNACGT"), ("GATTACA", "TGTAATC")]):
        turn = made(Inversion, len(sequence), len(sequence))
        view = turn(window.select(slice(row, row + 1)), draw("turn", rows=1))
        assert text_of(view) == [inverted]
        assert view.strand[0].tolist() == [-1] * len(sequence) + [0] * (8 - len(sequence))
        back = turn(view, draw("turn", rows=1))
        assert text_of(back) == [sequence]
        assert back.origin.equal(window.origin[row : row + 1])


@given(seeds, spans, st.integers(1, 40))
def test_inversion_changes_one_segment_and_nothing_else(seed, bounds, length):
    window = random_windows(6, length, seed=seed)
    view = made(Inversion, *bounds)(window, draw(seed, rows=6))
    for row, count in enumerate(window.lengths.tolist()):
        turned = (view.strand[row] < 0).nonzero()[:, 0].tolist()
        assert min(bounds[0], count) <= len(turned) <= min(bounds[1], count)
        assert turned == list(range(turned[0], turned[-1] + 1)) if turned else True
        assert view.origin[row, turned].tolist() == turned[::-1]
        beside = view.strand[row] >= 0
        assert view.origin[row, beside].equal(window.origin[row, beside])


@pytest.mark.parametrize("kinds", list(itertools.permutations((Deletion, Insertion, Translocation))))
def test_effects_add_up_in_any_order(kinds):
    window = random_windows(300, 60, unknown=0, padded=False)
    view = window
    for kind in kinds:
        bases = 12 if kind is Translocation else 4
        view = made(kind, bases, bases)(view, draw(kind.__name__, rows=300))
    assert_true_to(view, window)
    step = view.origin.diff()
    known = (view.origin >= 0)[:, 1:] & (view.origin >= 0)[:, :-1]
    missing = (known & (step == 5)).any(1)
    rolled = ((view.origin < view.origin.cummax(1).values) & (view.origin >= 0)).any(1)
    put_in = (view.origin < 0)[:, 10:50].any(1)
    for effect in (missing, rolled, put_in):
        assert float(effect.float().mean()) > 0.5


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        *[(kind, {"minimum": 5, "maximum": 4}, "minimum 5 is above maximum 4") for kind in SPANS],
        (Deletion, {"maximum": 0}, "greater than or equal to 1"),
        (Insertion, {"minimum": -1}, "greater than or equal to 0"),
        (Mutation, {"fraction": 0.8}, "less than or equal to 0.75"),
        (Noise, {"deviation": -0.1}, "greater than or equal to 0"),
        (ReverseComplement, {"probability": 1.1}, "less than or equal to 1"),
    ],
)
def test_invalid_parameters_are_refused(kind, values, message):
    with pytest.raises(ValidationError, match=message):
        kind.Config(**values)
