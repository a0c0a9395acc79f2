"""K-mers against a slow oracle in plain Python: codes, sketches, what is near, what lies in a genome."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import alphabet
from findna_kit.evaluation import kmers
from findna_kit.evaluation.kmers import LEAST_SHARED, found_in, nearest_rows, scale_for, sketch

LETTERS = st.text("ACGTN", max_size=60)
LONG = st.text("ACGTN", min_size=30, max_size=200)
PLACE = {letter: value for value, letter in enumerate("ACGT")}
OTHER = str.maketrans("ACGT", "TGCA")


def turned(sequence):
    return sequence[::-1].translate(OTHER)


def number(word):
    value = 0
    for letter in word:
        value = value * 4 + PLACE[letter]
    return value


def oracle(sequence, k):
    """The code of each k-mer that has no N."""
    words = [sequence[start : start + k] for start in range(len(sequence) - k + 1)]
    return [min(number(word), number(turned(word))) for word in words if "N" not in word]


def codes_of(found, row):
    return found.code[found.row == row].tolist()


@given(LETTERS, st.integers(1, 32))
def test_codes_are_the_smaller_of_both_strands(sequence, k):
    code, kept = kmers._sampled(alphabet.encode(sequence), k, 1)
    assert len(code) == max(len(sequence) - k + 1, 0)
    assert code[kept].tolist() == oracle(sequence, k)


@given(st.lists(LETTERS, min_size=1, max_size=6), st.integers(1, 32))
def test_a_sketch_holds_each_rows_distinct_codes(sequences, k):
    found = sketch(sequences, k, 1)
    for row, sequence in enumerate(sequences):
        assert codes_of(found, row) == sorted(set(oracle(sequence, k)))
    assert found.count.tolist() == [len(set(oracle(sequence, k))) for sequence in sequences]
    assert np.all(np.diff(found.row) >= 0)


@given(st.lists(LONG, min_size=1, max_size=4), st.sampled_from([7, 12, 31, 32]), st.integers(1, 9))
def test_a_strand_is_the_other_strand(sequences, k, scale):
    one, other = sketch(sequences, k, scale), sketch([turned(sequence) for sequence in sequences], k, scale)
    for mine, theirs in ((one.row, other.row), (one.code, other.code), (one.count, other.count)):
        assert np.array_equal(mine, theirs)


@given(st.lists(LETTERS, min_size=1, max_size=8), st.integers(1, 40))
def test_pieces_of_memory_change_nothing(sequences, chunk):
    whole = sketch(sequences, 5, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmers, "_CHUNK", chunk)
        cut = sketch(sequences, 5, 2)
    assert np.array_equal(whole.row, cut.row)
    assert np.array_equal(whole.code, cut.code)


@pytest.mark.parametrize("scale", [2, 3, 7, 50])
def test_a_sample_is_the_same_k_mers_everywhere_and_as_many_as_is_said(scale):
    draw = random.Random(scale)
    sequence = "".join(draw.choices("ACGT", k=40_000))
    everything, sampled = set(codes_of(sketch([sequence], 12, 1), 0)), set(codes_of(sketch([sequence], 12, scale), 0))
    assert sampled < everything
    assert len(sampled) == pytest.approx(len(everything) / scale, rel=5 * (scale / len(everything)) ** 0.5)
    part = sequence[1000:9000]
    assert set(codes_of(sketch([part], 12, scale), 0)) == sampled & set(oracle(part, 12))


@pytest.mark.parametrize(("length", "scale"), [(10, 1), (139, 1), (267, 2), (1000, 7), (16384, 127)])
def test_the_middle_sequence_keeps_about_128(length, scale):
    assert scale_for(["A", "A" * length, "A" * length, "A" * 99_999], 12) == scale


@given(st.data())
def test_the_nearest_row_is_the_one_of_a_slow_search(data):
    """Few rows, so that none falls out of the candidates."""
    draw = random.Random(data.draw(st.integers(0, 999)))
    seeds = ["".join(draw.choices("ACGT", k=60)) for _ in range(3)]

    def row():
        base = draw.choice(seeds)
        start, end = sorted(draw.sample(range(61), 2))
        made = base[start:end] + "".join(draw.choices("ACGTN", k=draw.randrange(30)))
        return turned(made) if draw.random() < 0.5 else made

    queries, references = [row() for _ in range(5)], [row() for _ in range(4)]
    best, share = nearest_rows(sketch(queries, 12, 1), sketch(references, 12, 1))
    for place, query in enumerate(queries):
        mine = set(oracle(query, 12))
        expected = []
        for reference in references:
            theirs = set(oracle(reference, 12))
            common = len(mine & theirs)
            expected.append(common / min(len(mine), len(theirs)) if common >= LEAST_SHARED else 0.0)
        assert share[place] == pytest.approx(max(expected))
        if max(expected):
            assert expected[best[place]] == max(expected)
        else:
            assert best[place] == -1


def test_spans_of_memory_change_nothing(monkeypatch):
    draw = random.Random(5)
    references = ["".join(draw.choices("ACGT", k=80)) for _ in range(50)]
    queries = [turned(reference[:60]) for reference in references] + ["".join(draw.choices("ACGT", k=80)) for _ in range(20)]
    sketches = sketch(queries, 12, 1), sketch(references, 12, 1)
    best, share = nearest_rows(*sketches)
    assert best.tolist() == [*range(50), *[-1] * 20]
    assert share.tolist() == [1.0] * 50 + [0.0] * 20
    monkeypatch.setattr(kmers, "_CHUNK", 2000)
    cut_best, cut_share = nearest_rows(*sketches)
    assert np.array_equal(best, cut_best)
    assert np.array_equal(share, cut_share)


def test_a_repeat_that_everybody_has_leads_to_the_row_all_the_same():
    """More rows share a stretch than are followed from one k-mer: a row's own k-mers lead to its copy."""
    draw = random.Random(6)
    repeat = "".join(draw.choices("ACGT", k=40))
    references = [repeat + "".join(draw.choices("ACGT", k=60)) for _ in range(300)]
    best, share = nearest_rows(sketch(references[250:], 12, 1), sketch(references, 12, 1))
    assert best.tolist() == list(range(250, 300))
    assert share.tolist() == [1.0] * 50


@given(st.data())
def test_what_lies_in_a_genome_is_what_a_slow_search_finds(data):
    draw = random.Random(data.draw(st.integers(0, 999)))
    genome = "".join(draw.choices("ACGT", k=300)) + "N" * draw.randrange(3) + "".join(draw.choices("ACGT", k=200))
    stretches = [genome[:220], genome[200:330], genome[400:]]
    rows = []
    for _ in range(6):
        start = draw.randrange(len(genome) - 40)
        row = genome[start : start + draw.randrange(20, 120)] + "".join(draw.choices("ACGTN", k=draw.randrange(40)))
        rows.append(turned(row) if draw.random() < 0.5 else row)
    share = found_in(rows, [alphabet.encode(stretch) for stretch in stretches])
    there = {code for stretch in stretches for code in oracle(stretch, 32)}
    for row, found in zip(rows, share.tolist(), strict=True):
        asked = set(oracle(row, 32))
        assert np.isnan(found) if not asked else found == len(asked & there) / len(asked)


def test_nothing_to_look_in_finds_nothing():
    assert found_in(["ACGT" * 20, "ACGT"], []).tolist() == pytest.approx([0.0, float("nan")], nan_ok=True)
    short = [np.empty(0, dtype=np.uint8), alphabet.encode("ACG")]
    assert found_in(["ACGTTGCATCAGGATTACAGCATCGATCGACTAGCATCAG"], short).tolist() == [0.0]
