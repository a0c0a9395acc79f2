"""k-mer features equal plain counting, and the control reaches the floors measured for the real tasks."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from findna_kit.evaluation import Task, TaskSplit, controls, load_task
from findna_kit.evaluation.controls import (
    FEW_SHOT_K,
    KMER_LENGTHS,
    kmer_control,
    kmer_features,
    kmer_few_shot,
    majority_control,
)
from findna_kit.evaluation.protocols import Features, probe
from findna_kit.evaluation.scores import confusion, mcc

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks"


def counted(sequence, k):
    """The features of one sequence, by plain Python."""
    letters = sequence.upper().replace("U", "T")
    words = ["".join(word) for word in product("ACGT", repeat=k)]
    seen = [letters[at : at + k] for at in range(len(letters) - k + 1)]
    seen = [word for word in seen if set(word) <= set("ACGT")]
    known = [letter for letter in letters if letter in "ACGT"]
    gc = sum(letter in "GC" for letter in known) / max(len(known), 1)
    return [*(seen.count(word) / max(len(seen), 1) for word in words), gc]


def toy(train, labels, classes=("a", "b")):
    table = TaskSplit(train, np.array(labels))
    return Task("toy", "toy", {"train": table, "validation": table, "test": table}, classes, ())


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
        monkeypatch.setattr(controls, "_CHUNK", cells)
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


def test_majority_is_the_first_of_the_most_frequent():
    scores, chosen = majority_control(toy(["A", "C", "G"], [1, 0, 1]))
    assert scores.tolist() == [[0, 1]] * 3
    assert chosen == {"class": "b"}
    assert majority_control(toy(["A", "C"], [1, 0]))[1] == {"class": "a"}


def test_the_control_chooses_the_shortest_word_of_equals():
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list(letters), size=60)) for letters in ("AAC", "GGT") * 20]
    scores, chosen = kmer_control(toy(sequences, [0, 1] * 20))
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert scores.argmax(1).tolist() == [0, 1] * 20
    assert chosen["k"] == min(KMER_LENGTHS)
    assert chosen["validation_mcc"] == 1


def test_the_control_chooses_longer_words_where_only_they_tell():
    # The same 3-mers in the same numbers (nearly): only words of 4 and more tell the two orders apart.
    rng = np.random.default_rng(1)
    pieces = {0: ["AAC", "GTT"], 1: ["AACGTT", "AACGTT"]}
    rows = [("".join(rng.choice(pieces[label], size=30)), label) for label in (0, 1) * 60]
    parts = [
        TaskSplit([s for s, _ in rows[a:b]], np.array([label for _, label in rows[a:b]]))
        for a, b in ((0, 60), (60, 90), (90, 120))
    ]
    task = Task("toy", "toy", dict(zip(("train", "validation", "test"), parts, strict=True)), ("a", "b"), ())
    scores, chosen = kmer_control(task)
    assert (scores.argmax(1) == parts[2].labels).mean() > 0.9
    reached = {}
    for k in KMER_LENGTHS:
        train, validation = (kmer_features(table.sequences, k) for table in parts[:2])
        reached[k] = probe(Features(train, parts[0].labels, validation, parts[1].labels, 2)).score
    assert chosen["k"] == max(reached, key=reached.get)


def test_a_few_shots_of_words_are_the_encoders_rows():
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list(letters), size=60)) for letters in ("AAC", "GGT") * 20]
    scores, chosen = kmer_few_shot(toy(sequences, [0, 1] * 20), 5, seed=3)
    assert (chosen["k"], chosen["rows"]) == (FEW_SHOT_K, 10)
    assert scores.argmax(1).tolist() == [0, 1] * 20


@pytest.mark.parametrize(
    ("name", "floor"), [("GUE/prom/prom_core_tata", 0.508), ("GUE/EMP/H3", 0.567), ("nucleosome/H_sapiens", 0.585)]
)
def test_the_control_reaches_the_measured_floor(name, floor):
    if not (REAL / name).is_dir():
        pytest.skip(f"the real task {name} is not beside this checkout")
    task = load_task(str(REAL / name))
    scores, chosen = kmer_control(task)
    assert float(mcc(confusion(task.splits["test"].labels, scores.argmax(1), len(task.classes)))) == pytest.approx(
        floor, abs=0.06
    )
    assert chosen["converged"] is True
