"""Controls choose on the validation split, and reach the floors measured for the real tasks."""

from pathlib import Path

import numpy as np
import pytest

from findna_kit.evaluation import Task, TaskSplit, controls, load_task
from findna_kit.evaluation.base_features import sparse_kmer_features
from findna_kit.evaluation.controls import (
    FEW_SHOT_K,
    KMER_LENGTHS,
    KMER_PENALTIES,
    has_one_length,
    kmer_control,
    kmer_few_shot,
    majority_control,
    one_hot_control,
    one_hot_few_shot,
)
from findna_kit.evaluation.protocols import Features, probe
from findna_kit.evaluation.scores import confusion, mcc

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks"


def toy(train, labels, classes=("a", "b")):
    table = TaskSplit(train, np.array(labels))
    return Task("toy", "toy", {"train": table, "validation": table, "test": table}, classes, ())


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
    assert (chosen["k"], chosen["strands"]) == (min(KMER_LENGTHS), "merged")
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
        for merged in (True, False):
            train, validation = (sparse_kmer_features(table.sequences, k, merged=merged) for table in parts[:2])
            reached[k, merged] = probe(Features(train, parts[0].labels, validation, parts[1].labels, 2), KMER_PENALTIES).score
    assert chosen["validation_mcc"] == pytest.approx(max(reached.values()))
    assert reached[chosen["k"], chosen["strands"] == "merged"] == pytest.approx(max(reached.values()))


def drawn(letters, count, size=40, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), size=size)) for _ in range(count)]


def test_strands_are_kept_apart_where_the_class_depends_on_the_strand():
    sequences = [text for pair in zip(drawn("AAAT", 40), drawn("TTTA", 40), strict=True) for text in pair]
    scores, chosen = kmer_control(toy(sequences, [0, 1] * 40))
    assert chosen["strands"] == "separate"
    assert scores.argmax(1).tolist() == [0, 1] * 40


def test_a_long_task_is_tried_with_short_words_alone(monkeypatch):
    task = toy(drawn("AC", 20) + drawn("GT", 20), [0] * 20 + [1] * 20)
    assert kmer_control(task)[1]["longest_k"] == 7
    monkeypatch.setattr(controls, "_MAX_BASES", 1599)
    assert kmer_control(task)[1]["longest_k"] == 5


def test_one_hot_bases_tell_what_depends_on_the_position():
    rng = np.random.default_rng(2)
    labels = np.array([0, 1] * 60)
    sequences = [text[:7] + "AG"[label] + text[8:] for text, label in zip(drawn("ACGTN", 120, 15), labels, strict=True)]
    parts = {
        name: TaskSplit([sequences[row] for row in rows], labels[rows])
        for name, rows in zip(("train", "validation", "test"), np.split(rng.permutation(120), [60, 90]), strict=True)
    }
    task = Task("toy", "toy", parts, ("a", "b"), ())
    assert has_one_length(task)
    scores, chosen = one_hot_control(task)
    assert (scores.argmax(1) == parts["test"].labels).mean() > 0.9
    assert sorted(chosen) == ["C", "converged", "validation_mcc"]
    assert one_hot_few_shot(task, 5, seed=0)[1]["rows"] == 10
    assert not has_one_length(toy(["AC", "A"], [0, 1]))


def test_a_few_shots_of_words_are_the_encoders_rows():
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list(letters), size=60)) for letters in ("AAC", "GGT") * 20]
    scores, chosen = kmer_few_shot(toy(sequences, [0, 1] * 20), 5, seed=3)
    assert (chosen["k"], chosen["rows"]) == (FEW_SHOT_K, 10)
    assert scores.argmax(1).tolist() == [0, 1] * 20


@pytest.mark.parametrize(
    ("name", "floor"), [("GUE/prom/prom_core_tata", 0.508), ("GUE/EMP/H3", 0.606), ("nucleosome/H_sapiens", 0.585)]
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
