"""Batches are functions of the seed and the epoch; a view is the rows, padded; passes keep their bounds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import alphabet
from findna_kit.evaluation.finetuning.batching import WINDOW, EncodedSequences, MicroBatching, batches, flips, steps_of

CPU = torch.device("cpu")
SEQUENCES = st.lists(st.text("ACGTNacgtuRY", min_size=1, max_size=30), min_size=1, max_size=12)
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def letters(sequence):
    """As the kit reads it."""
    return alphabet.decode(alphabet.encode(sequence))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=400), st.integers(1, 40), st.integers(0, 99), st.integers(1, 9))
def test_an_epoch_has_every_row_once_in_even_batches(lengths, batch_size, seed, epoch):
    cut = batches(torch.tensor(lengths), batch_size, seed=seed, epoch=epoch)
    assert torch.cat(cut).sort().values.tolist() == list(range(len(lengths)))
    sizes = [len(rows) for rows in cut]
    assert len(cut) == steps_of(len(lengths), batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_the_order_is_a_function_of_seed_and_epoch():
    lengths = torch.full((100,), 50)

    def order(seed, epoch):
        return torch.cat(batches(lengths, 8, seed=seed, epoch=epoch)).tolist()

    assert order(1, 1) == order(1, 1)
    orders = [order(seed, epoch) for seed in (1, 2) for epoch in (1, 2)]
    assert all(one != other for at, one in enumerate(orders) for other in orders[:at])


def test_rows_of_a_batch_are_of_similar_length_and_batches_are_not_sorted():
    lengths = torch.randint(10, 1000, (2048,), generator=torch.Generator().manual_seed(0))
    cut = batches(lengths, 16, seed=0, epoch=1)
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in cut)
    assert padded / int(lengths.sum()) < 1.1, "shuffled rows would be padded by 90 %"
    means = torch.tensor([float(lengths[rows].float().mean()) for rows in cut])
    ranks = means.argsort().argsort().float()
    assert abs(float(torch.corrcoef(torch.stack([ranks, torch.arange(len(cut)).float()]))[0, 1])) < 0.2
    assert len(cut) > 4 * WINDOW


@given(SEQUENCES, st.data())
def test_a_view_is_the_rows_padded_on_either_strand(sequences, data):
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=8))
    flipped = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    view = EncodedSequences(sequences, CPU).view(torch.tensor(rows), torch.tensor(flipped))
    longest = max(len(sequences[row]) for row in rows)
    assert view.tokens.shape == (len(rows), longest)
    for place, (row, turned) in enumerate(zip(rows, flipped, strict=True)):
        wanted = letters(sequences[row])
        wanted = wanted[::-1].translate(COMPLEMENT) if turned else wanted
        assert view.valid[place].tolist() == [at < len(wanted) for at in range(longest)]
        assert alphabet.decode(view.tokens[place].numpy()) == wanted.ljust(longest, "N")


def test_without_flips_rows_are_as_they_are():
    rows, at = EncodedSequences(["ACGT", "GG", "TTA"], CPU), torch.tensor([2, 0])
    assert (rows.view(at).tokens == rows.view(at, torch.tensor([False, False])).tokens).all()


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 200), st.integers(0, 5))
def test_passes_hold_what_fits_the_longest_first(lengths, positions, class_tokens):
    sizes, size = torch.tensor(lengths), MicroBatching(class_tokens, positions)
    cut = size.cut(torch.arange(len(lengths)), sizes)
    assert torch.cat(cut).sort().values.tolist() == list(range(len(lengths)))
    for rows in cut:
        assert len(rows) == 1 or len(rows) * (int(sizes[rows].max()) + class_tokens) <= positions
    flat = sizes[torch.cat(cut)].tolist()
    assert flat == sorted(flat, reverse=True)


def test_passes_of_some_rows_are_of_those():
    cut = MicroBatching(0, rows=2).cut(torch.tensor([4, 1, 3]), torch.tensor([9, 1, 9, 3, 2]))
    assert [rows.tolist() for rows in cut] == [[3, 4], [1]]


@pytest.mark.parametrize("epoch", [1, 2])
def test_half_of_the_rows_are_flipped_by_epoch(epoch):
    one, other = flips(4000, seed=5, epoch=epoch), flips(4000, seed=5, epoch=epoch + 1)
    assert (one == flips(4000, seed=5, epoch=epoch)).all()
    assert (one[:100] == flips(100, seed=5, epoch=epoch)).all()
    for share in (one.float().mean(), (one == other).float().mean()):
        assert 0.46 < float(share) < 0.54
