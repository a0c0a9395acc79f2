"""Strand disagreement: nought where strands agree, one where they are as far apart as two sequences."""

import numpy as np
import pytest

from findna_kit import alphabet
from findna_kit.evaluation import strand_agreement
from findna_kit.evaluation.strand_agreement import MAX_SAMPLES

RANDOM = np.random.default_rng(0)
SEQUENCES = ["".join(RANDOM.choice(list("ACGT"), 60)) for _ in range(200)]


def strand_disagreement(embed, sequences, *, seed):
    return strand_agreement.strand_disagreement(embed, sequences, seed=seed).to_json()


def counts(sequences):
    """Of A, C, G, T: swapped by the other strand."""
    return np.array([[sequence.count(base) for base in "ACGT"] for sequence in sequences], dtype=np.float32)


def symmetric(sequences):
    return counts(sequences) + counts(sequences)[:, ::-1]


def noise(sequences):
    """Nothing of one strand is in the other."""
    return np.stack([np.random.default_rng(list(sequence.encode())).normal(size=64) for sequence in sequences])


def test_what_is_the_same_on_both_strands_agrees():
    assert strand_disagreement(symmetric, SEQUENCES, seed=1) == {"value": 0.0, "low": 0.0, "high": 0.0, "rows": 200}


def test_what_has_nothing_in_common_disagrees_as_two_sequences():
    found = strand_disagreement(noise, SEQUENCES, seed=1)
    assert found["low"] < 1 < found["high"]
    assert found["high"] - found["low"] < 0.1
    assert found["value"] == pytest.approx(1, abs=0.03)


def test_it_is_the_ratio_of_two_mean_distances():
    found = strand_disagreement(counts, SEQUENCES, seed=1)
    one, other = counts(SEQUENCES), counts([alphabet.reverse_complement(sequence) for sequence in SEQUENCES])
    every = np.linalg.norm(one[:, None] - one[None], axis=-1)
    expected = np.linalg.norm(one - other, axis=1).mean() / every[~np.eye(200, dtype=bool)].mean()
    assert found["low"] < expected < found["high"]
    assert found["value"] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_no_sequence_is_held_against_itself(seed):
    """Of two, each is held against the other."""
    assert strand_disagreement(counts, ["AAAA", "CCCC"], seed=seed)["value"] == pytest.approx(1)


def test_of_many_rows_some_are_looked_at_the_same_every_time():
    asked = []

    def embed(sequences):
        asked.append(tuple(sequences))
        return noise(sequences)

    many = SEQUENCES * 4
    first, again = (strand_disagreement(embed, many, seed=3) for _ in range(2))
    assert first == again
    assert first["rows"] == len(asked[0]) == MAX_SAMPLES
    assert asked[0] == asked[2]
    assert asked[1] == tuple(map(alphabet.reverse_complement, asked[0]))


def test_embeddings_that_are_all_the_same_have_no_scale():
    found = strand_disagreement(lambda sequences: np.ones((len(sequences), 3)), SEQUENCES, seed=0)
    assert found == {"value": None, "low": None, "high": None, "rows": 200}
