"""What the count baselines of a run are fitted on."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import alphabet
from findna_kit.data.genome import Regions
from findna_kit.runs import baselines
from findna_kit.runs.baselines import fit_baselines, sample_regions
from tests.building import experiment_of, small
from tests.data.test_genomes import fasta, opened_data, several


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
    taken = sample_regions(regions, most, seed=seed, piece=piece)
    assert lines(taken) <= lines(regions)
    if regions.bases <= most:
        assert taken == regions
    else:
        assert taken.bases == most // piece * piece
    assert sample_regions(regions, most, seed=seed, piece=piece) == taken


def test_a_sample_is_spread_evenly_and_moves_with_the_seed():
    regions = Regions.of(np.arange(3), np.array([1000, 0, 0]), np.array([401_000, 300_000, 300_000]))
    taken = sample_regions(regions, 100_000, seed=1, piece=1000)
    for contig, share in ((0, 40), (1, 30), (2, 30)):
        here = taken.contig == contig
        assert abs((taken.end - taken.start)[here].sum() - share * 1000) <= 2000
        gaps = taken.start[here][1:] - taken.end[here][:-1]
        assert gaps.max() < 2 * 10_000, "one piece in each ten thousand bases"
    assert sample_regions(regions, 100_000, seed=2, piece=1000) != taken


def test_baselines_are_fitted_on_at_most_the_bound_and_report_it(monkeypatch):
    recipe, _, _ = small("masked_only")
    experiment, data = experiment_of(recipe)[0], opened_data(recipe)
    (genome,) = data.genomes
    known = sum(int((genome.store.tokens(*map(int, row)) < alphabet.N).sum()) for row in rows_of(genome.split.train))
    everything = fit_baselines(experiment, data)
    assert {scores["fitted_on_bases"] for scores in everything.values()} == {known}
    monkeypatch.setattr(baselines, "BASELINE_BASES", 2**20)
    sample = fit_baselines(experiment, data)
    assert {scores["fitted_on_bases"] for scores in sample.values()} == {2**20}
    assert sample["markov_2"] != everything["markov_2"]
    assert sample["markov_2"]["bits_per_base"] == pytest.approx(everything["markov_2"]["bits_per_base"], abs=0.02)
    assert fit_baselines(experiment, data) == sample


def test_an_unused_slot_at_a_masked_position_does_not_unmask_it(monkeypatch):
    recipe, _, _ = small("masked_only")
    experiment, data = experiment_of(recipe)[0], opened_data(recipe)
    wanted = fit_baselines(experiment, data)
    (pipeline,) = experiment.pipelines
    plain = type(pipeline).plain

    def with_unused_slots(self, *arguments, **named):
        view = plain(self, *arguments, **named)
        twice = [torch.cat([column, column], dim=1) for column in (view.masked_index, view.corrupted)]
        weight = torch.cat([view.masked_weight, torch.zeros_like(view.masked_weight)], dim=1)
        return view.with_mask(twice[0], weight, twice[1])

    monkeypatch.setattr(type(pipeline), "plain", with_unused_slots)
    assert fit_baselines(experiment, data) == wanted


def rows_of(regions):
    return zip(regions.contig, regions.start, regions.end, strict=True)


def test_many_small_contigs_do_not_slow_the_baselines(tmp_path):
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[np.random.default_rng(0).integers(0, 4, (2000, 200))]
    (tmp_path / "scaffolds.fa").write_text("".join(f">c{i}\n{row.tobytes().decode()}\n" for i, row in enumerate(letters)))
    recipe, _, _ = small("masked_only", f"data.genome={tmp_path / 'scaffolds.fa'}")
    experiment, data = experiment_of(recipe)[0], opened_data(recipe)
    before = time.process_time()
    found = fit_baselines(experiment, data)
    assert time.process_time() - before < 2, "it was a table for each contig, context and strand"
    assert found["markov_0"]["fitted_on_bases"] == data.genomes[0].split.train.bases


def test_a_run_without_masked_bases_has_no_baselines():
    recipe, _, _ = small("distill_only")
    assert fit_baselines(experiment_of(recipe)[0], opened_data(recipe)) == {}


def test_baselines_read_each_genome_by_its_weight(tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "BASELINE_BASES", 400_000)
    one, two = fasta(tmp_path, "one", "ACGT", size=500_000), fasta(tmp_path, "two", "AC", size=500_000)
    recipe = several(f"{{path: {one}, weight: 1}}", f"{{path: {two}, weight: 3}}")
    found = fit_baselines(experiment_of(recipe)[0], opened_data(recipe))
    assert found["markov_0"]["fitted_on_bases"] == 65_536 + 4 * 65_536, "whole pieces of 64 Ki: one of 100k, four of 300k"
