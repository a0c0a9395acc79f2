from __future__ import annotations

import json

import pytest

from findna_kit.data.genome import genome_report, open_store

from .conftest import random_dna


@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_report(write, monkeypatch, chunk):
    monkeypatch.setattr("findna_kit.data.genome.token_store._CHUNK", chunk)
    store = open_store(write(">a\nACGTNNNNNNacgg\n>none\n>b\nRYAAAAAAAA\n>n\nNN\n"))
    report = genome_report(store, length=4, max_unknown=0.25)
    assert report["contigs"] == [
        {"name": "a", "length": 14, "unknown": 6, "soft_masked": 4 / 14, "gc": 5 / 8},
        {"name": "none", "length": 0, "unknown": 0, "soft_masked": 0.0, "gc": None},
        {"name": "b", "length": 10, "unknown": 2, "soft_masked": 0.0, "gc": 0.0},
        {"name": "n", "length": 2, "unknown": 2, "soft_masked": 0.0, "gc": None},
    ]
    assert report["total"] == {"length": 26, "unknown": 10, "soft_masked": 4 / 26, "gc": 5 / 16}
    assert report["other_letters"] == {"R": 1, "Y": 1}
    assert report["windows"] == {"length": 4, "max_unknown": 0.25, "inside_contigs": 11 + 7, "known_enough": 2 + 2 + 6}
    assert json.loads(json.dumps(report)) == report
    assert (report["source"], report["digest"]) == (str(store.source), store.digest)


def test_no_window_is_a_number_not_an_error(make):
    windows = genome_report(make({"a": "ACGT"}), length=5, max_unknown=0.1)["windows"]
    assert (windows["inside_contigs"], windows["known_enough"]) == (0, 0)


def test_random_contigs_over_chunk_edges(make, monkeypatch):
    monkeypatch.setattr("findna_kit.data.genome.token_store._CHUNK", 64)
    sequences = {f"c{i}": random_dna(10 + 17 * i, i, "ACGTacgtNn") for i in range(12)}
    for found, (name, sequence) in zip(
        genome_report(make(sequences), length=5, max_unknown=0.1)["contigs"], sequences.items(), strict=True
    ):
        upper = sequence.upper()
        unknown = upper.count("N")
        assert found == {
            "name": name,
            "length": len(sequence),
            "unknown": unknown,
            "soft_masked": sum(map(str.islower, sequence)) / len(sequence),
            "gc": (upper.count("G") + upper.count("C")) / (len(sequence) - unknown),
        }


def test_yeast(shared):
    report = genome_report(open_store(shared("genomes/yeast_sacCer3/sacCer3.fa.gz")), length=512, max_unknown=0.1)
    assert report["total"]["length"] == 12_157_105
    assert report["total"]["unknown"] == 0
    assert report["total"]["gc"] == pytest.approx(0.3815, abs=1e-4)
    assert report["windows"]["known_enough"] == 12_157_105 - 17 * 511
