from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from findna_kit import alphabet
from findna_kit.data.genome import Regions, WindowSampler
from findna_kit.data.genome.windows import starts_inside, starts_known
from findna_kit.errors import GenomeError

from .conftest import mapped, random_dna


def sampler(store, regions=None, *, length=10, max_unknown=0.1, seed=7, purpose="training"):
    regions = Regions.whole(store) if regions is None else regions
    return WindowSampler(store, regions, length=length, max_unknown=max_unknown, seed=seed, purpose=purpose)


def regions(*rows):
    table = np.array(rows, dtype=np.int64)
    return Regions.of(table[:, 0], table[:, 1], table[:, 2])


def places(view):
    return list(zip(view.contig.tolist(), view.start.tolist(), strict=True))


@given(
    sequences=st.lists(st.text("ACN", min_size=0, max_size=40), min_size=1, max_size=4).filter(any),
    length=st.integers(1, 12),
    max_unknown=st.sampled_from([0.0, 0.1, 0.29, 1 / 3, 0.5, 0.9]),
    rows=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=150)
def test_eligible_starts_are_those_of_brute_force(tmp_path_factory, sequences, length, max_unknown, rows):
    store = mapped(tmp_path_factory.mktemp("brute"), sequences)
    some = regions(*[(0, low, high) for low, high in rows]).intersect(Regions.whole(store))
    some = some.union(regions(*[(c, 0, len(s)) for c, s in enumerate(sequences) if c]) if len(sequences) > 1 else some)
    wanted = set()
    for contig, low, high in zip(some.contig, some.start, some.end, strict=True):
        for start in range(low, high - length + 1):
            if sequences[contig][start : start + length].count("N") <= max_unknown * length + 1e-9:
                wanted.add((int(contig), start))
    if not wanted:
        with pytest.raises(GenomeError, match="no window of"):
            sampler(store, some, length=length, max_unknown=max_unknown)
        return
    windows = sampler(store, some, length=length, max_unknown=max_unknown)
    assert windows.count == len(wanted)
    assert set(places(windows.fixed(len(wanted)))) == wanted
    assert set(places(windows.draw(0, torch.arange(50)))) <= wanted


def test_a_share_of_n_is_met_exactly(make):
    store = make({"a": "N" * 29 + "A" * 71})
    assert sampler(store, length=100, max_unknown=0.29).count == 1
    with pytest.raises(GenomeError, match=r"more than 0.28 of each is N"):
        sampler(store, length=100, max_unknown=0.28)


def test_a_view_holds_the_bases_of_the_genome(make):
    sequences = [random_dna(500), random_dna(300, 1).lower()]
    store = make({"a": sequences[0], "b": sequences[1]})
    view = sampler(store, length=20).draw(3, torch.arange(64))
    assert view.tokens.dtype == torch.int64
    assert view.tokens.shape == (64, 20)
    for tokens, (contig, start) in zip(view.tokens, places(view), strict=True):
        assert alphabet.decode(tokens.numpy().astype(np.uint8)) == sequences[contig][start : start + 20].upper()
    assert torch.equal(view.soft_masked.all(1), view.contig == 1)
    assert torch.equal(view.soft_masked.any(1), view.contig == 1)
    assert view.valid.all()


def test_windows_are_a_function_of_seed_purpose_step_and_row(make):
    store = make({"a": random_dna(100_000)})
    rows = torch.arange(64)
    whole = sampler(store).draw(5, rows)
    for part in (slice(0, 16), slice(16, 64), slice(63, 64)):
        assert places(sampler(store).draw(5, rows[part])) == places(whole)[part]
    assert places(sampler(store).draw(5, rows.flip(0))) == places(whole)[::-1]
    for other in (
        sampler(store).draw(6, rows),
        sampler(store, seed=8).draw(5, rows),
        sampler(store, purpose="x").draw(5, rows),
    ):
        assert len(set(places(other)) & set(places(whole))) < 5


def test_starts_are_uniform(make):
    store = make({"a": random_dna(69), "short": "ACGT", "b": "ACGT" * 5 + "N" * 30 + random_dna(30)})
    windows = sampler(store, regions((0, 0, 40), (0, 50, 69), (1, 0, 4), (2, 0, 80)), max_unknown=0)
    eligible = places(windows.fixed(windows.count))
    assert len(eligible) == windows.count == 31 + 10 + 0 + 11 + 21
    number = {place: index for index, place in enumerate(sorted(eligible))}
    drawn = [number[place] for step in range(40) for place in places(windows.draw(step, torch.arange(500)))]
    assert chisquare(np.bincount(drawn, minlength=len(number))).pvalue > 0.01


def test_neighbouring_rows_and_steps_are_independent(make):
    windows = sampler(make({"a": random_dna(100_000)}))
    starts = torch.stack([windows.draw(step, torch.arange(200)).start for step in range(50)]).double()
    for left, right in ((starts[:, :-1], starts[:, 1:]), (starts[:-1], starts[1:])):
        together = torch.corrcoef(torch.stack([left.flatten(), right.flatten()]))[0, 1]
        assert abs(together) < 0.03


def test_validation_regions_are_never_drawn_for_training(make):
    store = make({"a": random_dna(2000)})
    held_out = regions((0, 500, 700), (0, 1500, 1600))
    windows = sampler(store, Regions.whole(store).minus(held_out), length=50)
    starts = windows.fixed(windows.count).start
    assert windows.count == (500 - 49) + (800 - 49) + (400 - 49)
    touched = [((starts < high) & (starts + 50 > low)).any().item() for low, high in ((500, 700), (1500, 1600))]
    assert touched == [False, False]
    assert sampler(store, held_out, length=50).count == 151 + 51


def test_fixed_windows_are_spread_and_do_not_overlap(make):
    store = make({"a": random_dna(1005), "b": random_dna(95, 1)})
    windows = sampler(store, length=10)
    assert windows.count == 996 + 86
    all_seats = windows.fixed(100 + 9)  # a has room for 100, b for 9
    place = all_seats.contig * 10_000 + all_seats.start
    assert int(place.diff().min()) >= 10
    assert all_seats.contig.bincount().tolist() == [100, 9]
    few = windows.fixed(11)
    assert few.contig.bincount().tolist() == [10, 1]
    assert int(few.start[:10].diff().min()) >= 90
    assert places(windows.fixed(11)) == places(few)
    crowded = windows.fixed(500)
    assert len(set(places(crowded))) == 500
    assert int(crowded.start[crowded.contig == 0].diff().max()) <= 3


def test_fixed_refuses_more_windows_than_exist(make):
    windows = sampler(make({"a": random_dna(30)}), length=20)
    assert len(windows.fixed(11).tokens) == 11
    with pytest.raises(GenomeError, match=r"12 different windows of 20 are wanted, but only 11 can be had; ask for fewer"):
        windows.fixed(12)


def test_the_error_explains_why_no_start_is_eligible(make):
    short = make({"a": random_dna(30), "b": random_dna(20)}, "short.fa")
    with pytest.raises(
        GenomeError, match=r"no window of 31 bases .*short.fa for training: its longest contig has 30 bases; set"
    ):
        sampler(short, length=31)
    with pytest.raises(GenomeError, match=r"the longest training region has 7 bases; set data.length to at most that"):
        sampler(short, regions((0, 3, 10)), length=8)
    with pytest.raises(GenomeError, match=r"more than 0.1 of each is N; raise data.max_unknown, or take another genome"):
        sampler(make({"a": "N" * 200}, "unknown.fa"))


def test_memory_grows_with_runs_and_not_with_bases(make):
    store = make({"a": random_dna(200_000) + "N" * 1000 + random_dna(200_000, 1)})
    runs = [*starts_inside(store, Regions.whole(store), 100), *starts_known(store, 100, 0.1)]
    assert [len(run) for run in runs] == [1, 1, 2, 2]
    start, end = starts_known(store, 100, 0.1)
    assert (start.tolist(), end.tolist()) == ([0, 200_990], [199_911, 400_901])


def test_a_genome_shorter_than_a_window_has_no_start(make):
    start, end = starts_known(make({"a": "ACGT"}), 5, 0.5)
    assert (len(start), len(end)) == (0, 0)
