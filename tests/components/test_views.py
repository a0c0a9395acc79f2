"""Views: columns that stay consistent under every change; and draws, sample by sample."""

import copy
import dataclasses
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from findna_kit import alphabet
from findna_kit.components.draws import Draw
from findna_kit.components.views import View
from tests.windows import assert_true_to, draw, random_windows, view_of

seeds = st.integers(0, 10_000)


def some_source(view, seed):
    """Positions, insertions and flips of the valid part, drawn freely; padding stays where it is."""
    numbers = torch.Generator().manual_seed(seed)
    shape = view.tokens.shape
    at, count = torch.arange(shape[1])[None], view.lengths[:, None]
    source = (torch.rand(shape, generator=numbers) * count).long()
    source[torch.rand(shape, generator=numbers) < 0.2] = -1
    flipped = torch.rand(shape, generator=numbers) < 0.5
    inserted = torch.randint(0, 4, shape, generator=numbers)
    return source.where(at < count, at), inserted, flipped


@given(seeds, st.integers(1, 5), st.integers(1, 40), st.integers(1, 3))
def test_columns_stay_consistent_after_any_number_of_gathers(seed, batch, length, times):
    window = random_windows(batch, length, seed=seed)
    view = window
    for turn in range(times):
        source, inserted, flipped = some_source(view, seed + turn)
        view = view.gather(source, inserted=inserted, flipped=flipped)
    assert_true_to(view, window)


def test_gather_by_hand():
    view = view_of("ACGTN", "GAT")
    source = torch.tensor([[4, -1, 0, 2, 1], [2, 1, 0, 3, 4]])
    inserted = torch.full((2, 5), alphabet.G)
    flipped = torch.tensor([[True, True, True, False, False], [True, True, True, False, False]])
    taken = view.gather(source, inserted=inserted, flipped=flipped)
    assert taken.tokens.tolist() == [
        [alphabet.N, alphabet.G, alphabet.T, alphabet.G, alphabet.C],
        [alphabet.A, alphabet.T, alphabet.C, alphabet.N, alphabet.N],
    ]
    assert taken.origin.tolist() == [[4, -1, 0, 2, 1], [2, 1, 0, -1, -1]]
    assert taken.strand.tolist() == [[-1, 0, -1, 1, 1], [-1, -1, -1, 0, 0]]
    assert taken.valid.tolist() == [[True] * 5, [True] * 3 + [False] * 2]


@given(seeds)
def test_nothing_is_changed_in_place(seed):
    window = random_windows(3, 12, seed=seed)
    before = {f.name: getattr(window, f.name) for f in dataclasses.fields(window)}
    before = {name: value.clone() for name, value in before.items() if value is not None}
    source, inserted, flipped = some_source(window, seed)
    window.gather(source, inserted=inserted, flipped=flipped)
    assert all(getattr(window, name).equal(value) for name, value in before.items())


def test_an_inserted_base_is_valid_wherever_it_stands():
    empty = View.of_windows(torch.zeros(1, 3), valid=torch.zeros(1, 3).bool())
    taken = empty.gather(torch.tensor([[-1, 1, 2]]), inserted=torch.full((1, 3), alphabet.C))
    assert taken.valid.tolist() == [[True, False, False]]
    assert taken.tokens.tolist() == [[alphabet.C, alphabet.N, alphabet.N]]


def test_an_insertion_without_bases_is_an_error():
    with pytest.raises((RuntimeError, IndexError)):
        view_of("ACGT").gather(torch.tensor([[0, -1, 2, 3]]))


@given(seeds, st.permutations([f.name for f in dataclasses.fields(View) if f.name != "deviation"]))
def test_a_column_is_the_same_whenever_it_is_read(seed, names):
    window = random_windows(4, 15, seed=seed)
    view, known = window, window
    for turn in range(3):
        source, inserted, flipped = some_source(view, seed + turn)
        how = {"inserted": inserted, "flipped": flipped}
        view = view.gather(source.clone if turn == 1 else source, **how, padding_stays=True)  # made afresh, or kept
        known = dataclasses.replace(known.gather(source, **how))  # reads every column
    parts = [view.select(slice(0, 1)), view.select(torch.tensor([3, 2])).to(torch.device("cpu"))]
    for name in names:
        whole = getattr(known, name)
        assert getattr(View.concatenate(parts), name).equal(whole[[0, 3, 2]])
        assert getattr(view, name).equal(whole)
        assert getattr(view, name) is getattr(view.with_noise(torch.ones(4)), name)
        assert getattr(view, name).dtype == getattr(window, name).dtype
    assert view.lengths.equal(known.lengths)


def test_an_unknown_column_is_an_attribute_error():
    view = view_of("ACGT").gather(torch.tensor([[3, 2, 1, 0]]))
    with pytest.raises(AttributeError, match="'View' object has no attribute 'letters'"):
        _ = view.letters
    assert copy.deepcopy(view).origin.tolist() == [[3, 2, 1, 0]]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda view: pickle.loads(pickle.dumps(view))], ids=["deepcopy", "pickle"])
def test_a_view_with_lazy_columns_can_be_copied_and_pickled(copied):
    window = random_windows(4, 15, seed=3)
    source, inserted, flipped = some_source(window, 5)
    view = window.gather(source.clone, inserted=inserted, flipped=flipped).select(slice(1, 4)).to(torch.device("cpu"))
    assert not set(vars(view)) >= {"origin", "strand", "valid", "soft_masked"}, "no column was read yet"
    again = copied(view)
    for column in dataclasses.fields(view):
        if column.name != "deviation":
            assert getattr(again, column.name).equal(getattr(view, column.name))
    assert again.deviation is None
    assert again.lengths.equal(view.lengths)
    assert (
        again.with_noise(torch.ones(3))
        .gather(torch.zeros(3, 15, dtype=torch.int64))
        .origin.equal(again.origin[:, :1].expand(3, 15))
    )


def test_the_number_of_valid_positions_follows_what_is_valid():
    view = view_of("ACGT", "AC")
    assert view.lengths.tolist() == [4, 2]
    taken = view.gather(torch.tensor([[0, 1], [1, 2]]))
    assert taken.lengths.tolist() == [2, 1]
    assert dataclasses.replace(view, valid=view.valid.logical_not()).lengths.tolist() == [0, 2]


def test_concatenated_views_keep_their_noise():
    noisy = [view_of("ACGT").with_noise(torch.full((1,), deviation)) for deviation in (0.5, 0.25)]
    assert View.concatenate(noisy).deviation.tolist() == [0.5, 0.25]
    assert View.concatenate([view_of("ACGT")] * 2).deviation is None


def test_a_masked_view_is_not_augmented():
    view = view_of("ACGT").with_mask(torch.tensor([[1]]), torch.ones(1, 1), torch.tensor([[alphabet.MASK]]))
    with pytest.raises(ValueError, match="a masked view cannot be augmented: masks are drawn last"):
        view.gather(torch.tensor([[0, 1, 2, 3]]))


def test_of_windows_sets_positions_and_hides_padding():
    tokens = torch.tensor([[0, 1, 2], [3, 2, 1]], dtype=torch.uint8)
    valid = torch.tensor([[True, True, True], [True, False, False]])
    view = View.of_windows(
        tokens, valid=valid, soft_masked=torch.ones(2, 3).bool(), contig=torch.tensor([4, 5]), start=torch.tensor([7, 9])
    )
    assert view.tokens.dtype == torch.int64
    assert view.tokens.tolist() == [[0, 1, 2], [3, 4, 4]]
    assert view.origin.tolist() == [[0, 1, 2], [0, -1, -1]]
    assert view.strand.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert view.soft_masked.tolist() == valid.tolist()
    assert (view.contig.tolist(), view.start.tolist()) == ([4, 5], [7, 9])
    assert view.lengths.tolist() == [3, 1]
    assert view.masked_index.shape == view.corrupted.shape == view.masked_weight.shape == (2, 0)
    assert view.student_tokens.equal(view.tokens)


def test_the_student_sees_what_is_corrupted_where_the_weight_says_so():
    view = view_of("ACGT", "TTTT").with_mask(
        torch.tensor([[2, 0], [3, 1]]),
        torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
        torch.tensor([[alphabet.MASK, alphabet.MASK], [alphabet.A, alphabet.T]]),
    )
    assert view.student_tokens.tolist() == [[0, 1, alphabet.MASK, 3], [3, 3, 3, alphabet.A]]
    assert view.masked_targets.tolist() == [[alphabet.G, alphabet.A], [alphabet.T, alphabet.T]]
    assert view.tokens.tolist() == view_of("ACGT", "TTTT").tokens.tolist()


@pytest.mark.parametrize("weights", [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.5, 0.0]])
@pytest.mark.parametrize("shown", [alphabet.A, alphabet.T, alphabet.MASK])
@pytest.mark.parametrize("unused", [alphabet.A, alphabet.MASK])
def test_an_unused_slot_may_point_at_a_masked_position(weights, shown, unused):
    weight = torch.tensor([weights])
    view = view_of("ACGT").with_mask(torch.full((1, 3), 2), weight, torch.full((1, 3), unused).masked_fill(weight > 0, shown))
    assert view.student_tokens.tolist() == [[0, 1, shown, 3]]


@given(seeds, st.integers(1, 5), st.integers(1, 40), st.integers(1, 30))
def test_the_student_sees_every_used_slot_wherever_the_others_point(seed, batch, length, slots):
    numbers = torch.Generator().manual_seed(seed)
    used = min(slots, length)
    index = torch.rand(batch, length, generator=numbers).argsort(1)[:, :used]
    elsewhere = torch.randint(0, length, (batch, slots - used + 3), generator=numbers)
    order = torch.randperm(slots + 3, generator=numbers)
    index = torch.cat([index, elsewhere], dim=1)[:, order]
    weight = torch.cat([torch.ones(batch, used), torch.zeros(elsewhere.shape)], dim=1)[:, order]
    corrupted = torch.tensor([0, 1, 2, 3, alphabet.MASK])[torch.randint(0, 5, index.shape, generator=numbers)]
    view = random_windows(batch, length, seed=seed)
    wanted = view.tokens.clone()
    for row, slot in (weight > 0).nonzero().tolist():
        wanted[row, index[row, slot]] = corrupted[row, slot]
    assert view.with_mask(index, weight, corrupted).student_tokens.equal(wanted)


def test_rows_and_devices_take_every_column_along():
    view = dataclasses.replace(random_windows(5, 9), deviation=torch.arange(5.0)).with_mask(
        torch.arange(5)[:, None], torch.ones(5, 1), torch.zeros(5, 1).long()
    )
    part = view.select(slice(1, 3))
    there = view.to(torch.device("meta"))
    for column in dataclasses.fields(view):
        assert getattr(part, column.name).equal(getattr(view, column.name)[1:3])
        assert getattr(there, column.name).device.type == "meta"
    assert random_windows(2, 3).select(slice(0, 1)).deviation is None


@given(st.lists(st.integers(0, 999), min_size=1, max_size=6), st.sampled_from(["uniform", "normal", "integers"]))
def test_a_row_is_drawn_alike_whichever_others_are_asked_for(rows, kind):
    def drawn(index):
        arguments = (0, 50, 3, 2) if kind == "integers" else (3, 2)
        source = Draw(7, "view", 3, rows=index)
        return torch.stack([getattr(source, kind)(*arguments) for _ in range(2)], 1)

    assert drawn(torch.tensor(rows)).equal(drawn(torch.arange(1000))[rows])


def test_every_call_and_every_key_draws_afresh():
    first, again, other = draw(1, "a", rows=4), draw(1, "a", rows=4), draw(1, "b", rows=4)
    one, two = first.uniform(5), first.uniform(5)
    assert again.uniform(5).equal(one)
    assert again.uniform(5).equal(two)
    assert not one.equal(two)
    assert not other.uniform(5).equal(one)


def test_uniform_is_uniform():
    drawn = draw("uniform", rows=2000).uniform(20)
    assert drawn.dtype == torch.float32
    assert 0 <= float(drawn.min()) < float(drawn.max()) < 1
    observed = torch.bincount((drawn.flatten() * 64).long(), minlength=64)
    assert stats.chisquare(observed.numpy()).pvalue > 1e-3
    assert stats.kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    assert abs(float(torch.corrcoef(drawn[:, :2].T)[0, 1])) < 4 / 2000**0.5
    assert abs(float(torch.corrcoef(torch.stack([drawn[:-1, 0], drawn[1:, 0]]))[0, 1])) < 4 / 2000**0.5


def test_normal_has_the_moments_of_a_normal():
    drawn = draw("normal", rows=2000).normal(25)
    count = drawn.numel()
    assert drawn.dtype == torch.float32
    assert abs(float(drawn.mean())) < 4 / math.sqrt(count)
    assert abs(float(drawn.var()) - 1) < 4 * math.sqrt(2 / count)
    assert abs(float((drawn**3).mean())) < 4 * math.sqrt(15 / count)
    assert abs(float((drawn**4).mean()) - 3) < 4 * math.sqrt(96 / count)
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-3
    assert torch.isfinite(drawn).all()


@given(st.integers(-50, 50), st.integers(1, 60), seeds)
def test_integers_keep_their_bounds(low, span, seed):
    drawn = draw(seed, rows=7).integers(low, low + span, 11)
    assert drawn.dtype == torch.int64
    assert int(drawn.min()) >= low
    assert int(drawn.max()) < low + span


def test_integers_are_uniform_and_both_ends_are_met():
    drawn = draw("integers", rows=3000).integers(3, 10, 7)
    assert stats.chisquare(torch.bincount(drawn.flatten() - 3, minlength=7).numpy()).pvalue > 1e-3


@given(st.integers(-50, 50), st.integers(0, 70), st.sampled_from([(), (3,), (0,)]))
def test_an_empty_range_of_integers_is_refused(low, below, shape):
    with pytest.raises(ValueError, match=rf"there is no integer in \[{low}, {low - below}\): high must be greater than low"):
        draw("empty", rows=2).integers(low, low - below, *shape)


def test_equal_bounds_in_tensors_give_the_bound():
    assert draw("equal", rows=2).integers(torch.tensor([[3], [5]]), torch.tensor([[3], [5]]), 4).tolist() == [[3] * 4, [5] * 4]


def test_bounds_may_differ_by_row():
    high = torch.tensor([[1], [2], [1000]])
    drawn = draw("bounds", rows=3).integers(torch.tensor([[0], [1], [998]]), high, 64)
    assert drawn[0].eq(0).all()
    assert drawn[1].eq(1).all()
    assert set(drawn[2].tolist()) == {998, 999}


def test_a_draw_without_shape_is_a_number_for_each_row():
    assert draw("scalar", rows=4).uniform().shape == (4,)
