"""Tests of tandem repeats: examples by hand, equality with a loop over the same random numbers, and frequencies by counting."""

import pytest
import torch
from findna_kit_variation import TandemRepeat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from variation_views import (
    Scripted,
    assert_rows_stand_alone,
    assert_true_to,
    draw,
    few_examples,
    random_windows,
    text_of,
    view_of,
)

configs = st.builds(
    lambda shortest, more, at_repeat, contraction, **values: TandemRepeat.Config(
        shortest_unit=shortest, longest_unit=shortest + more, place="repeat" if at_repeat else "anywhere",
        contraction=contraction if at_repeat else 0.0, **values,
    ),
    shortest=st.integers(1, 3), more=st.integers(0, 3), at_repeat=st.booleans(), contraction=st.floats(0, 1),
    copies=st.integers(1, 6), probability=st.floats(0.5, 1),
)  # fmt: skip


def made(**values):
    return TandemRepeat(TandemRepeat.Config(**values))


def following(sequence, place, unit):
    """How many copies of the unit at `place` stand behind it."""
    copies = 0
    while sequence[place + (copies + 1) * unit :].startswith(sequence[place : place + unit]):
        copies += 1
    return copies


def possible(sequence, unit, at_repeat):
    """Where a unit can begin."""
    places = [at for at in range(len(sequence) - unit + 1) if "N" not in sequence[at : at + unit]]
    return [at for at in places if not at_repeat or following(sequence, at, unit)]


def slipped(sequence, place, unit, copies):
    """Letters and positions (None: put in) of a repeat changed by that many copies, cut or filled (?) to the old length."""
    count, end = len(sequence), place + unit
    letters, origin = list(sequence), list(range(count))
    if copies > 0:
        letters[end:end] = list(sequence[place:end] * copies)
        origin[end:end] = [None] * (unit * copies)
    else:
        del letters[end : end - unit * copies], origin[end : end - unit * copies]
    longer = len(letters) - count
    if longer >= 0:
        return letters[longer // 2 :][:count], origin[longer // 2 :][:count]
    before = -longer // 2
    after = -longer - before
    return ["?"] * before + letters + ["?"] * after, [None] * before + origin + [None] * after


@few_examples
@given(configs, st.integers(1, 40), st.integers(0, 1000), st.integers(1, 4))
def test_it_is_a_loop_over_one_sequence_with_the_same_draws(config, length, seed, bases):
    window = random_windows(5, length, seed=seed, bases=bases)
    texts, numbers = text_of(window), torch.Generator().manual_seed(seed)
    unit = torch.randint(config.shortest_unit, config.longest_unit + 1, (5, 1), generator=numbers)
    places = [possible(text, int(u), config.place == "repeat") for text, u in zip(texts, unit, strict=True)]
    rank = torch.tensor([[int(torch.randint(0, max(1, len(where)), (1,), generator=numbers))] for where in places])
    copies = torch.randint(1, config.copies + 1, (5, 1), generator=numbers)
    shrinking, happening = torch.rand(2, 5, 1, generator=numbers)
    fresh = torch.randint(0, 4, (5, length), generator=numbers)
    view = TandemRepeat(config)(window, Scripted(unit, rank, copies, shrinking, happening, fresh))
    for row, (text, changed) in enumerate(zip(texts, text_of(view), strict=True)):
        u, letters, origin = int(unit[row]), list(text), list(range(len(text)))
        if places[row] and float(happening[row]) < config.probability:
            place, n = places[row][int(rank[row])], int(copies[row])
            shrinks = float(shrinking[row]) < config.contraction
            letters, origin = slipped(text, place, u, -min(n, following(text, place, u)) if shrinks else n)
        letters = ["ACGT"[int(fresh[row, i])] if one == "?" else one for i, one in enumerate(letters)]
        assert changed == "".join(letters)
        assert view.origin[row, : len(text)].tolist() == [-1 if at is None else at for at in origin]
    assert_true_to(view, window)


@few_examples
@given(configs, st.integers(1, 40), st.integers(0, 1000))
def test_it_keeps_what_a_view_promises(config, length, seed):
    window = random_windows(4, length, seed=seed, bases=2)
    assert_true_to(TandemRepeat(config)(window, draw(seed, rows=4)), window)
    assert_rows_stand_alone(TandemRepeat(config), window, seed)


def column(*values):
    return torch.tensor(values)[:, None]


def test_by_hand():
    """CAG once more; GCA twice less, of nine that are asked for; N in the way; too short."""
    window = view_of("TTTTCAGAAAAAAAA", "GGCAGCAGCAGTTAC", "ACNN", "A")
    fresh = torch.full((4, 15), 3)
    grow = made(shortest_unit=3, longest_unit=3, copies=3)
    view = grow(
        window, Scripted(column(3, 3, 3, 3), column(4, 2, 0, 0), column(1, 1, 1, 1), *[column(0.9, 0.9, 0.9, 0.9)] * 2, fresh)
    )
    assert text_of(view) == ["TTTCAGCAGAAAAAA", "GCAGCAGCAGCAGTT", "ACNN", "A"]
    assert view.origin[0].tolist() == [1, 2, 3, 4, 5, 6, -1, -1, -1, 7, 8, 9, 10, 11, 12]
    assert view.strand[0].tolist() == [1] * 6 + [0] * 3 + [1] * 6
    shrink = made(shortest_unit=3, longest_unit=3, copies=9, place="repeat", contraction=1.0)
    one = window.select(slice(1, 2))
    view = shrink(one, Scripted(column(3), column(0), column(9), column(0.5), column(0.5), fresh[:1]))
    assert text_of(view) == ["TTTGGCAGTTACTTT"]
    assert view.origin[0].tolist() == [-1] * 3 + [0, 1, 2, 3, 10, 11, 12, 13, 14] + [-1] * 3


def test_units_copies_and_places_are_uniform():
    rows, length = 8000, 21
    window = random_windows(rows, length, unknown=0, padded=False)
    view = made(shortest_unit=2, longest_unit=2, copies=3)(window, draw("uniform", rows=rows))
    put_in = (view.origin < 0).sum(1)
    # In the middle of the sequence nothing of what was put in is cut off.
    begins = (view.origin < 0).int().argmax(1)
    middle = (begins > 6) & (begins + put_in < 16)
    assert set(put_in[middle].tolist()) == {2, 4, 6}
    source = view.origin.gather(1, begins[:, None].clamp(min=1) - 1)[:, 0]  # the last base of the unit
    central = middle & (source >= 9) & (source < 12)
    assert stats.chisquare(torch.bincount(put_in[central] // 2)[1:].tolist()).pvalue > 1e-3
    assert stats.chisquare(torch.bincount(source[central] - 9, minlength=3).tolist()).pvalue > 1e-3


def test_the_share_of_sequences_is_the_probability_and_of_shrinking_repeats_the_contraction():
    window = view_of(*["ACGT" + "CA" * 6 + "GGTT"] * 4000)
    component = made(shortest_unit=2, longest_unit=2, copies=1, place="repeat", contraction=0.3, probability=0.6)
    view = component(window, draw("shares", rows=4000))
    changed = (view.origin != window.origin).any(1)
    lost = (view.origin[:, [0, -1]] < 0).all(1)
    assert stats.binomtest(int(changed.sum()), 4000, 0.6).pvalue > 1e-3
    assert stats.binomtest(int(lost.sum()), int(changed.sum()), 0.3).pvalue > 1e-3


def test_without_a_repeat_nothing_changes():
    window = view_of("ACGTGCAT", "TGCA")
    view = made(place="repeat", longest_unit=1, contraction=0.5)(window, draw("none", rows=2))
    assert text_of(view) == text_of(window)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"shortest_unit": 5, "longest_unit": 4}, "shortest_unit 5 is above longest_unit 4"),
     ({"contraction": 0.5}, "contraction removes existing copies, so it needs place: repeat"),
     ({"copies": 0}, "greater than or equal to 1")],
)  # fmt: skip
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        TandemRepeat.Config(**values)
