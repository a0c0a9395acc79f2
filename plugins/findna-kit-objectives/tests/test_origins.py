"""Tests of pairs through `origin` against a dictionary of positions."""

import torch
from branches import masked, windows
from findna_kit_objectives.origins import partners
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.components import View


def moved(view, seed):
    """The view with some bases taken out, others inserted, the rest in another order: whatever augmentations may do."""
    generator = torch.Generator().manual_seed(seed)
    batch, length = view.tokens.shape
    source = torch.stack([torch.randperm(length, generator=generator) for _ in range(batch)])
    source = source.where(torch.rand(batch, length, generator=generator) < 0.7, -1)
    flipped = torch.rand(batch, length, generator=generator) < 0.5
    return view.gather(source, inserted=torch.zeros_like(source), flipped=flipped)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 20), st.integers(2, 20))
def test_a_partner_stands_where_its_origin_does(seed, batch, length, slots):
    window = windows(batch, length, seed=seed)
    ours, theirs = masked(moved(window, seed), min(slots, length), seed=seed), moved(window, seed + 1)
    place, weight = partners(ours, theirs)
    for row in range(batch):
        at = {origin: place for place, origin in enumerate(theirs.origin[row].tolist()) if origin >= 0}
        for slot, index in enumerate(ours.masked_index[row].tolist()):
            origin = int(ours.origin[row, index])
            if origin not in at:
                assert weight[row, slot] == 0
                continue
            assert weight[row, slot] == ours.masked_weight[row, slot]
            assert place[row, slot] == at[origin]


def test_a_view_is_its_own_partner():
    view = masked(windows(3, 12), 5)
    place, weight = partners(view, view)
    used = weight > 0
    assert used.any()
    assert weight.equal(view.masked_weight)
    assert place[used].equal(view.masked_index[used])


def test_a_crop_has_what_it_holds_and_the_other_strand_too():
    window = windows(2, 10, padded=False)
    crop = window.gather(torch.arange(6, 2, -1).expand(2, -1), flipped=torch.ones(2, 4, dtype=torch.bool))
    every = window.with_mask(torch.arange(10).expand(2, -1), torch.ones(2, 10), window.tokens)
    place, weight = partners(every, crop)
    assert weight[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    assert place[0, 3:7].tolist() == [3, 2, 1, 0]


def test_of_a_base_that_stands_there_twice_the_first_is_taken():
    window = windows(1, 6, padded=False)
    repeated = window.gather(torch.tensor([[5, 2, 4, 2, 2, 0]]))
    place, weight = partners(window.with_mask(torch.tensor([[2, 3]]), torch.ones(1, 2), torch.zeros(1, 2).long()), repeated)
    assert weight.tolist() == [[1, 0]]
    assert place[0, 0] == 1


def test_padding_and_inserted_bases_are_nobodys_partner():
    window = windows(1, 4, padded=False)
    strange = View.of_windows(torch.full((1, 4), 4), valid=torch.zeros(1, 4, dtype=torch.bool))
    everything = strange.with_mask(torch.arange(4)[None], torch.ones(1, 4), strange.tokens)
    assert partners(everything, strange)[1].sum() == 0
    assert partners(everything, window)[1].sum() == 0
