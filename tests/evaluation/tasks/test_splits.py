"""What is held out for validation, as laws."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.evaluation import load_task
from findna_kit.evaluation.tasks.raw_samples import RawSamples
from findna_kit.evaluation.tasks.splits import held_out, held_out_contigs, training_splits

LABELS = st.lists(st.integers(0, 2), min_size=8, max_size=120).map(np.array)


@given(LABELS, st.integers(1, 30), st.data())
def test_whole_contigs_or_none(labels, contigs, data):
    names = [f"c{data.draw(st.integers(0, contigs))}" for _ in labels]
    found = held_out_contigs(names, labels)
    if found is None:
        return
    chosen, told = found
    on = np.array(names)
    assert set(on[chosen]) == set(told)
    assert set(on[chosen]).isdisjoint(on[~chosen])
    assert 0.1 * len(labels) <= chosen.sum() <= 0.3 * len(labels)
    assert set(labels[chosen]) == set(labels[~chosen]) == set(labels)


def test_one_large_contig_is_split_by_class():
    labels = np.arange(100) % 2
    assert held_out_contigs(["chr20"] * 100, labels) is None


def test_many_contigs_of_equal_size_are_not_refused():
    labels = np.arange(400) % 2
    found = held_out_contigs([f"chr{n // 20}" for n in range(400)], labels)
    assert found is not None
    assert found[0].sum() == 80


def test_contigs_of_one_class_each_are_split_by_class():
    labels = np.repeat([0, 1], 50)
    assert held_out_contigs(["a"] * 50 + ["b"] * 50, labels) is None


@given(LABELS, st.integers(0, 5))
def test_a_seed_is_a_split(labels, seed):
    assert np.array_equal(held_out(labels, 0.2, seed), held_out(labels, 0.2, seed))


def test_the_test_part_is_never_touched():
    parts = {
        "train": RawSamples(Path("train"), [f"{'A' * n}C" for n in range(40)], ["0", "1"] * 20),
        "test": RawSamples(Path("test"), ["G"] * 30, ["0", "1"] * 15),
    }
    labels = {part: np.array([int(label) for label in rows.labels]) for part, rows in parts.items()}
    train, validation, _ = training_splits(parts, labels, "here")
    assert "G" not in train.sequences + validation.sequences
    assert sorted(train.sequences + validation.sequences) == sorted(parts["train"].sequences)


def test_a_task_can_be_scored_on_its_validation_split(tmp_path):
    for part, letter in (("train", "A"), ("dev", "C"), ("test", "G")):
        rows = [f"{letter * (number + 4)},{number % 2}" for number in range(20)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    whole, chosen = load_task(str(tmp_path)), load_task(f"{tmp_path}@validation")
    assert chosen.splits["test"].sequences == whole.splits["validation"].sequences
    # Train is divided by class; nothing of the test split is left anywhere.
    assert len(chosen.splits["validation"].sequences) == 4
    assert chosen.splits["validation"].labels.tolist().count(0) == 2
    divided = chosen.splits["train"].sequences + chosen.splits["validation"].sequences
    assert sorted(divided) == sorted(whole.splits["train"].sequences)
    assert not any("G" in sequence for split in chosen.splits.values() for sequence in split.sequences)
    assert (chosen.name, chosen.path) == (f"{whole.name}@validation", f"{whole.path}@validation")
    assert chosen.digest != whole.digest
    assert "without the test split" in chosen.notes[-1]
