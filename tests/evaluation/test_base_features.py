"""Features of bases equal plain counting, on one strand and on both."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from findna_kit.evaluation import base_features
from findna_kit.evaluation.base_features import kmer_features, sparse_kmer_features, sparse_one_hot

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def counted(sequence, k):
    """The features of one sequence, by plain Python."""
    letters = sequence.upper().replace("U", "T")
    words = ["".join(word) for word in product("ACGT", repeat=k)]
    seen = [letters[at : at + k] for at in range(len(letters) - k + 1)]
    seen = [word for word in seen if set(word) <= set("ACGT")]
    known = [letter for letter in letters if letter in "ACGT"]
    gc = sum(letter in "GC" for letter in known) / max(len(known), 1)
    return [*(seen.count(word) / max(len(seen), 1) for word in words), gc]


@given(st.lists(st.text("ACGTNacgtnRyuU", min_size=1, max_size=12), min_size=1, max_size=8), st.integers(1, 3))
@settings(deadline=None, max_examples=100)
def test_features_equal_plain_counting(sequences, k):
    features = kmer_features(sequences, k)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, [counted(sequence, k) for sequence in sequences], atol=1e-6)


def test_pieces_of_bounded_memory_give_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGTN"), size=size)) for size in rng.integers(1, 400, size=50)]
    whole = kmer_features(sequences, 3)
    for cells in (1, 100, 1000):
        monkeypatch.setattr(base_features, "_CHUNK", cells)
        assert (kmer_features(sequences, 3) == whole).all()


def test_words_are_in_lexicographic_order():
    features = kmer_features(["ACG", "TTT"], 3)
    assert np.argmax(features[:, :-1], axis=1).tolist() == [0 * 16 + 1 * 4 + 2, 63]
    assert features[:, -1].tolist() == pytest.approx([2 / 3, 0])


def test_no_word_crosses_from_one_sequence_to_the_next_or_an_unknown_base():
    features = kmer_features(["AA", "CC", "ACNGT", "A"], 3)
    assert not features[:, :-1].any()
    assert features[:, -1].tolist() == [0, 1, 0.5, 0]


def test_shorter_than_a_word_and_nothing_known_are_zeros():
    assert not kmer_features(["NNNN", "n"], 2).any()
    assert kmer_features(["AC"], 5).shape == (1, 4**5 + 1)


def test_no_sequences_have_no_features():
    assert kmer_features([], 2).shape == (0, 17)


@given(st.lists(st.text("ACGTN", min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_merged_words_are_the_sum_of_both_strands(sequences, k):
    words = ["".join(word) for word in product("ACGT", repeat=k)]
    reverse = [word.translate(COMPLEMENT)[::-1] for word in words]
    canonical = sorted({min(pair) for pair in zip(words, reverse, strict=True)})
    separate = kmer_features(sequences, k)
    merged = sparse_kmer_features(sequences, k, merged=True).toarray()
    assert merged.shape == (len(sequences), len(canonical) + 1) == (len(sequences), (4**k + (k % 2 == 0) * 2**k) // 2 + 1)
    for word, column in zip(canonical, merged.T, strict=False):
        partner = word.translate(COMPLEMENT)[::-1]
        expected = separate[:, words.index(word)] + (separate[:, words.index(partner)] if partner != word else 0)
        np.testing.assert_allclose(column, expected, atol=1e-6)
    assert (merged[:, -1] == separate[:, -1]).all()


def test_both_strands_have_the_same_merged_features():
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), size=size)) for size in rng.integers(1, 60, size=20)]
    other = [sequence.translate(COMPLEMENT)[::-1] for sequence in sequences]
    for k in (1, 4, 7):
        one, two = (sparse_kmer_features(strand, k, merged=True).toarray() for strand in (sequences, other))
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_long_words_take_no_more_memory_than_the_sequences_have_bases():
    features = sparse_kmer_features(["ACGT" * 50] * 100, 7, merged=False)
    assert features.shape == (100, 4**7 + 1)
    assert features.nnz <= 100 * 5


def test_one_hot_bases():
    dense = sparse_one_hot(["ACN", "TTg"]).toarray()
    assert dense.tolist() == [[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0]]
