"""The cheap look: the same rows every time, never the test part, and no choice on the rows that it is scored on."""

import numpy as np
import pytest

from findna_kit.errors import NotFinite, TaskError
from findna_kit.evaluation import Task, TaskSplit
from findna_kit.evaluation.controls import kmer_features
from findna_kit.evaluation.online_probe import MAX_SAMPLES, OnlineProbe


def task_of(rows, seed=0):
    rng = np.random.default_rng(seed)
    parts = {}
    for part, count in zip(("train", "validation", "test"), rows, strict=True):
        labels = np.arange(count) % 2
        units = [["AC", "G", "T"], ["CA", "G", "T"]]
        parts[part] = TaskSplit(["T" + "".join(rng.choice(units[label], size=12)) for label in labels], labels)
    return Task("toy", "/data/toy", parts, ("a", "b"), ())


def test_it_is_a_pure_function_of_the_embeddings():
    task = task_of((1500, 700, 10))
    look = OnlineProbe(task, ["knn", "probe"])
    assert look(lambda rows: kmer_features(rows, 2)) == OnlineProbe(task, ["knn", "probe"])(lambda rows: kmer_features(rows, 2))
    assert list(look(lambda rows: kmer_features(rows, 2))) == ["evaluation/toy/knn/mcc", "evaluation/toy/probe/mcc"]
    assert look(lambda rows: kmer_features(rows, 2))["evaluation/toy/probe/mcc"] > 0.8


def test_it_embeds_a_bounded_number_of_rows_and_never_the_test():
    task = task_of((1500, 700, 600))
    seen = []

    def embed(rows):
        seen.append(list(rows))
        return kmer_features(rows, 2)

    OnlineProbe(task, ["knn"])(embed)
    assert [len(rows) for rows in seen] == [MAX_SAMPLES, MAX_SAMPLES]
    assert set(seen[0]) <= set(task.splits["train"].sequences)
    assert set(seen[1]) <= set(task.splits["validation"].sequences)


def test_labels_of_the_scored_rows_choose_nothing():
    task = task_of((60, 40, 10))
    turned = Task(
        "toy",
        "/data/toy",
        {**task.splits, "validation": TaskSplit(task.splits["validation"].sequences, 1 - task.splits["validation"].labels)},
        ("a", "b"),
        (),
    )
    one, other = (OnlineProbe(t, ["knn", "probe"])(lambda rows: kmer_features(rows, 2)) for t in (task, turned))
    for name, value in one.items():
        assert other[name] == -value


def test_the_control_stands_beside_it():
    look = OnlineProbe(task_of((200, 100, 10)), ["probe"])
    assert list(look.control()) == ["evaluation/toy/probe/mcc/kmer"]
    assert look.control()["evaluation/toy/probe/mcc/kmer"] > 0.8


def test_embeddings_that_are_no_numbers_stop_the_run():
    with pytest.raises(NotFinite, match="embeddings of the task toy are not finite"):
        OnlineProbe(task_of((60, 40, 10)), ["knn"])(lambda rows: np.full((len(rows), 3), np.nan))


def test_too_few_rows_to_look_at_are_refused():
    with pytest.raises(TaskError, match="/data/toy has too few training samples of a class"):
        OnlineProbe(task_of((2, 40, 10)), ["probe"])
