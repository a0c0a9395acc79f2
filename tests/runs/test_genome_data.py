"""Which genome a run trains on, whatever file it came in; what of it the baselines are fitted on."""

import gzip
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import dna
from findna_kit.errors import GenomeError
from findna_kit.genome import Regions, builtin_genome, builtin_regions, open_store
from findna_kit.runs import genome_data, open_genome
from findna_kit.runs.genome_data import fit_baselines, spread
from tests.building import experiment_of, small


def builtin_text():
    return gzip.decompress(builtin_genome().read_bytes()).decode()


def another_file(kind, folder):
    """The bases of the built-in genome in a file of another digest, but for the first kind."""
    if kind == "its own path":
        return builtin_genome()
    path, text = folder / "mine.fa", builtin_text()
    if kind == "packed again":
        path.write_bytes(gzip.compress(text.encode(), 1))
    elif kind == "in capitals, one line, another name":
        path.write_text(">mine\n" + "".join(text.split("\n")[1:]).upper() + "\n")
    else:
        path.write_text(text)
    return path


def opened(genome, *overrides):
    return open_genome(small("masked_only", f"data.genome={genome}", *overrides)[0])


@pytest.mark.parametrize("kind", ["its own path", "unpacked", "packed again", "in capitals, one line, another name"])
def test_the_builtin_genome_is_known_whatever_file_it_came_in(kind, tmp_path):
    found, builtin = opened(another_file(kind, tmp_path)), opened("builtin")
    assert found.parts == builtin.parts
    assert found.store.digest == builtin.store.digest
    test = builtin_regions(builtin.store)["test"]
    assert not found.parts.train.intersect(test).bases
    assert not found.parts.validation.intersect(test).bases
    start = found.windows.training.draw(0, torch.arange(5000)).start
    assert not ((start < int(test.end[0])) & (start + 64 > int(test.start[0]))).any()


def test_names_in_a_copy_of_the_builtin_genome_stay_its_own(tmp_path):
    copy = another_file("in capitals, one line, another name", tmp_path)
    (tmp_path / "held_out.bed").write_text("mine\t0\t100000\n")
    parts = opened(copy, f"data.validation={{bed: {tmp_path / 'held_out.bed'}}}").parts
    assert (parts.validation.start.tolist(), parts.validation.end.tolist()) == ([0], [100_000])
    assert parts.train.bases == 5_000_000 - 100_000 - 525_000


def test_a_genome_that_differs_in_one_base_is_another(tmp_path):
    header, first, rest = builtin_text().split("\n", 2)
    changed = ("T" if first[0].upper() != "T" else "G") + first[1:]
    (tmp_path / "near.fa").write_text("\n".join([header, changed, rest]))
    found, builtin = opened(tmp_path / "near.fa"), opened("builtin")
    assert found.store.digest != builtin.store.digest
    assert found.parts.validation != builtin.parts.validation


def test_a_genome_whose_name_is_too_long_for_a_file_is_a_sentence():
    with pytest.raises(GenomeError, match="the name is too long for a file; give the path of a FASTA"):
        opened("x" * 300)


def lines(regions):
    """Every (contig, position) of the regions."""
    found = zip(regions.contig, regions.start, regions.end, strict=True)
    return {(int(contig), place) for contig, start, end in found for place in range(int(start), int(end))}


@st.composite
def some_regions(draw):
    count = draw(st.integers(1, 8))
    rows = [(draw(st.integers(0, 2)), draw(st.integers(0, 400)), draw(st.integers(1, 150))) for _ in range(count)]
    contig, start, length = np.array(rows).T
    return Regions.of(contig, start, start + length)


@given(some_regions(), st.integers(20, 700), st.integers(1, 20), st.integers(0, 99))
def test_a_sample_lies_in_its_regions_and_keeps_its_bound(regions, most, piece, seed):
    taken = spread(regions, most, seed=seed, piece=piece)
    assert lines(taken) <= lines(regions)
    if regions.bases <= most:
        assert taken == regions
    else:
        assert taken.bases == most // piece * piece
    assert spread(regions, most, seed=seed, piece=piece) == taken


def test_a_sample_is_spread_evenly_and_moves_with_the_seed():
    regions = Regions.of(np.arange(3), np.array([1000, 0, 0]), np.array([401_000, 300_000, 300_000]))
    taken = spread(regions, 100_000, seed=1, piece=1000)
    for contig, share in ((0, 40), (1, 30), (2, 30)):
        here = taken.contig == contig
        assert abs((taken.end - taken.start)[here].sum() - share * 1000) <= 2000
        gaps = taken.start[here][1:] - taken.end[here][:-1]
        assert gaps.max() < 2 * 10_000, "one piece in each ten thousand bases"
    assert spread(regions, 100_000, seed=2, piece=1000) != taken


def test_baselines_are_fitted_on_no_more_than_the_bound_and_say_so(monkeypatch):
    recipe, _, _ = small("masked_only")
    experiment, genome = experiment_of(recipe)[0], open_genome(recipe)
    known = sum(int((genome.store.tokens(*map(int, row)) < dna.N).sum()) for row in rows_of(genome.parts.train))
    everything = fit_baselines(experiment, genome)
    assert {scores["fitted_on_bases"] for scores in everything.values()} == {known}
    monkeypatch.setattr(genome_data, "BASELINE_BASES", 2**20)
    sample = fit_baselines(experiment, genome)
    assert {scores["fitted_on_bases"] for scores in sample.values()} == {2**20}
    assert sample["markov_2"] != everything["markov_2"]
    assert sample["markov_2"]["bits_per_base"] == pytest.approx(everything["markov_2"]["bits_per_base"], abs=0.02)
    assert fit_baselines(experiment, genome) == sample


def rows_of(regions):
    return zip(regions.contig, regions.start, regions.end, strict=True)


def test_many_small_contigs_do_not_slow_the_baselines(tmp_path):
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[np.random.default_rng(0).integers(0, 4, (2000, 200))]
    (tmp_path / "scaffolds.fa").write_text("".join(f">c{i}\n{row.tobytes().decode()}\n" for i, row in enumerate(letters)))
    recipe, _, _ = small("masked_only", f"data.genome={tmp_path / 'scaffolds.fa'}")
    experiment, genome = experiment_of(recipe)[0], open_genome(recipe)
    before = time.process_time()
    found = fit_baselines(experiment, genome)
    assert time.process_time() - before < 2, "it was a table for each contig, context and strand"
    assert found["markov_0"]["fitted_on_bases"] == genome.parts.train.bases


def test_a_run_without_masked_bases_has_no_baselines():
    recipe, _, _ = small("distill_only")
    assert fit_baselines(experiment_of(recipe)[0], open_genome(recipe)) == {}


def test_a_stretch_of_tokens_is_what_the_windows_hold():
    store = open_store(builtin_genome())
    assert (store.tokens(0, 1000, 1500) == store.windows(np.array([0]), np.array([1000]), 500)[0]).all()
    with pytest.raises(IndexError, match="is not inside"):
        store.tokens(0, 4_999_990, 5_000_001)
