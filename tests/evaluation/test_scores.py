"""Scores equal scikit-learn's, weighted or not, and the intervals equal a bootstrap of rows done plainly."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, matthews_corrcoef, roc_auc_score

from findna_kit.evaluation.bootstrap import LEVEL, bootstrap_scores, verdict
from findna_kit.evaluation.scores import (
    CONFUSION_SCORES,
    SCORES,
    WeightedScores,
    accuracy,
    confusion,
    macro_f1,
    mcc,
)

REFERENCE = {
    "accuracy": accuracy_score,
    "mcc": matthews_corrcoef,
    "macro_f1": lambda truth, predicted: f1_score(truth, predicted, average="macro", zero_division=0),
}


def noisy(truth, classes, error, seed):
    """The truth with a share of random labels."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(truth)) < error, rng.integers(classes, size=len(truth)), truth)


def one_hot(predicted, classes):
    return np.eye(classes, dtype=np.float32)[predicted]


def intervals(truth, predicted, classes, *, seed):
    found = bootstrap_scores(truth, {"it": [one_hot(predicted, classes)]}, classes, seed=seed)["it"]
    return {name: found.interval(name).to_json() for name in CONFUSION_SCORES}


def differences(truth, first, second, classes, *, seed):
    both = {"first": [one_hot(first, classes)], "second": [one_hot(second, classes)]}
    found = bootstrap_scores(truth, both, classes, seed=seed)
    return {name: found["first"].minus(found["second"], name).to_json() for name in CONFUSION_SCORES}


@pytest.fixture
def labels():
    truth = np.random.default_rng(0).choice(3, size=300, p=[0.6, 0.3, 0.1])
    return truth, noisy(truth, 3, 0.3, seed=1), noisy(truth, 3, 0.6, seed=2)


@given(st.integers(2, 5), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60))
@settings(deadline=None, max_examples=100)
def test_scores_equal_scikit_learn(classes, pairs):
    truth, predicted = (np.array(side) % classes for side in zip(*pairs, strict=True))
    assume(np.unique(np.concatenate([truth, predicted])).size > 1)  # scikit-learn warns of a table with one label
    table = confusion(truth, predicted, classes)
    assert table.sum() == len(pairs)
    for name, score in CONFUSION_SCORES.items():
        assert float(score(table)) == pytest.approx(REFERENCE[name](truth, predicted), abs=1e-12)


def test_a_stack_is_scored_as_its_tables():
    stack = np.random.default_rng(0).integers(0, 9, (4, 5, 3, 3)).astype(float)
    for score in CONFUSION_SCORES.values():
        values = score(stack)
        assert values.shape == (4, 5)
        assert values[2, 3] == pytest.approx(float(score(stack[2, 3])), abs=0)


def test_rows_are_the_truth():
    assert confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 3).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("truth", "predicted"), [([0, 1, 1, 0], [1, 1, 1, 1]), ([1, 1, 1, 1], [0, 1, 1, 0]), ([1, 1], [1, 1])], ids=str
)
def test_mcc_is_zero_where_truth_or_prediction_has_one_class(truth, predicted):
    assert float(mcc(confusion(np.array(truth), np.array(predicted), 2))) == 0


def test_a_perfect_and_a_reversed_prediction():
    perfect, wrong = np.diag([5.0, 7.0]), np.diag([5.0, 5.0])[::-1]
    assert [float(score(perfect)) for score in (accuracy, mcc, macro_f1)] == [1, 1, 1]
    assert [float(score(wrong)) for score in (accuracy, mcc, macro_f1)] == [0, -1, 0]


def test_macro_f1_leaves_out_a_class_that_is_nowhere_and_counts_one_never_predicted():
    assert float(macro_f1(confusion(np.array([0, 1]), np.array([0, 1]), 3))) == 1
    assert float(macro_f1(confusion(np.array([0, 1, 2]), np.array([0, 1, 1]), 3))) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_mcc_of_a_large_table_does_not_overflow():
    table = np.array([[4e5, 1e5], [1e5, 4e5]])
    assert float(mcc(table)) == pytest.approx(0.6)


def test_intervals_equal_a_bootstrap_of_rows(labels):
    truth, predicted, _ = labels
    rng = np.random.default_rng(5)
    rows = rng.integers(len(truth), size=(1500, len(truth)))
    tables = np.stack([confusion(truth[row], predicted[row], 3) for row in rows])
    for name, interval in intervals(truth, predicted, 3, seed=0).items():
        assert interval["value"] == pytest.approx(REFERENCE[name](truth, predicted))
        low, high = np.quantile(CONFUSION_SCORES[name](tables), [0.025, 0.975])
        assert interval["low"] == pytest.approx(low, abs=0.015)
        assert interval["high"] == pytest.approx(high, abs=0.015)


def test_differences_equal_a_paired_bootstrap_of_rows(labels):
    truth, first, second = labels
    rows = np.random.default_rng(5).integers(len(truth), size=(1500, len(truth)))
    tables = [np.stack([confusion(truth[row], predicted[row], 3) for row in rows]) for predicted in (first, second)]
    for name, interval in differences(truth, first, second, 3, seed=0).items():
        assert interval["value"] == pytest.approx(REFERENCE[name](truth, first) - REFERENCE[name](truth, second))
        low, high = np.quantile(CONFUSION_SCORES[name](tables[0]) - CONFUSION_SCORES[name](tables[1]), [0.025, 0.975])
        assert interval["low"] == pytest.approx(low, abs=0.02)
        assert interval["high"] == pytest.approx(high, abs=0.02)


def test_intervals_cover_the_true_accuracy():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(150):
        truth = rng.integers(2, size=200)
        predicted = np.where(rng.random(200) < 0.7, truth, 1 - truth)
        interval = intervals(truth, predicted, 2, seed=1)["accuracy"]
        covered += interval["low"] <= 0.7 <= interval["high"]
    assert 0.88 <= covered / 150 <= 1


def test_more_rows_give_a_narrower_interval(labels):
    truth, predicted, _ = labels
    widths = []
    for times in (1, 16):
        interval = intervals(np.tile(truth, times), np.tile(predicted, times), 3, seed=0)["mcc"]
        widths.append(interval["high"] - interval["low"])
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)


def test_pairing_cancels_what_both_find_hard():
    truth = np.random.default_rng(0).integers(2, size=400)
    first = noisy(truth, 2, 0.6, seed=1)
    second = first.copy()
    right = np.flatnonzero(first == truth)[:25]
    second[right] = 1 - truth[right]
    difference = differences(truth, first, second, 2, seed=0)["accuracy"]
    assert difference["verdict"] == "above"
    one, other = (intervals(truth, predicted, 2, seed=0)["accuracy"] for predicted in (first, second))
    assert one["low"] < other["high"]  # apart, the intervals overlap


def test_equal_predictions_differ_by_nothing(labels):
    truth, predicted, _ = labels
    for interval in differences(truth, predicted, predicted, 3, seed=0).values():
        assert {name: interval[name] for name in ("value", "low", "high")} == {"value": 0, "low": 0, "high": 0}
        assert interval["verdict"] == "not distinguishable"


def test_verdicts(labels):
    truth, first, second = labels
    assert differences(truth, first, second, 3, seed=0)["mcc"]["verdict"] == "above"
    assert differences(truth, second, first, 3, seed=0)["mcc"]["verdict"] == "below"
    assert verdict(0.0, 0.2) == "not distinguishable"


def test_a_seed_fixes_every_digit(labels):
    truth, first, second = labels
    assert intervals(truth, first, 3, seed=4) == intervals(truth, first, 3, seed=4)
    assert intervals(truth, first, 3, seed=4) != intervals(truth, first, 3, seed=5)
    assert differences(truth, first, second, 3, seed=-1) == differences(truth, first, second, 3, seed=-1)


def test_many_classes_stay_small():
    truth = np.random.default_rng(0).integers(60, size=500)  # a dense joint table would have 216,000 cells
    found = differences(truth, noisy(truth, 60, 0.2, 1), noisy(truth, 60, 0.8, 2), 60, seed=0)
    assert found["mcc"]["verdict"] == "above"


def test_what_a_prediction_keeps_grows_with_rows_and_classes_not_with_their_table():
    """A matrix of rows by the cells of the table had 130 MB a prediction at 6000 rows and 60 classes."""
    rng = np.random.default_rng(0)
    weighed = WeightedScores(rng.integers(60, size=3000), rng.random((3000, 60)).astype(np.float32), 60)
    ranked = [array for one in weighed.curves for array in vars(one).values()]
    kept = sum(array.nbytes for array in [*vars(weighed).values(), *ranked] if isinstance(array, np.ndarray))
    assert kept < 16 * 3000 * 60


@st.composite
def scored_rows(draw):
    """Truth with every class, scores with ties, and a weight for each row, with zeros."""
    classes, extra = draw(st.integers(2, 4)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    truth = np.concatenate([np.arange(classes), rng.integers(classes, size=extra)])
    scores = (rng.integers(0, draw(st.integers(2, 30)), size=(len(truth), classes)) / 8).astype(np.float32)
    weights = rng.integers(0, 4, size=(3, len(truth))).astype(float)
    weights[:, :classes] += 1  # every class keeps a row
    return truth, scores, weights, classes


@given(scored_rows())
@settings(deadline=None, max_examples=80)
def test_areas_equal_scikit_learn_under_any_weights(rows):
    truth, scores, weights, classes = rows
    found = WeightedScores(truth, scores, classes)(weights)
    asked = [1] if classes == 2 else range(classes)
    for number, weight in enumerate(weights):
        for name, reference in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
            values = [reference(truth == one, scores[:, one], sample_weight=weight) for one in asked]
            assert found[name][number] == pytest.approx(np.mean(values), abs=1e-9)


def test_weights_are_rows_repeated():
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(3, size=40), rng.random((40, 3)).astype(np.float32)
    weights = rng.integers(0, 3, size=(1, 40))
    weighed = WeightedScores(truth, scores, 3)(weights.astype(float))
    repeated = np.repeat(np.arange(40), weights[0])
    plain = WeightedScores(truth[repeated], scores[repeated], 3)(np.ones((1, len(repeated))))
    for name in SCORES:
        assert weighed[name] == pytest.approx(plain[name])


def test_an_area_without_a_class_is_of_the_others_or_one_half():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    found = WeightedScores(np.array([0, 1]), scores, 2)(np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert found["auroc"].tolist() == [0.5, 1.0]
    three = np.eye(3, dtype=np.float32)
    found = WeightedScores(np.array([0, 1, 2]), three, 3)(np.array([[1.0, 2.0, 0.0]]))
    assert found["auroc"].tolist() == [1.0]


def test_seeds_give_a_mean_a_deviation_and_a_wider_interval(labels):
    truth, good, poor = labels
    alone = bootstrap_scores(truth, {"it": [one_hot(good, 3)]}, 3, seed=0)["it"]
    several = bootstrap_scores(truth, {"it": [one_hot(good, 3), one_hot(poor, 3)]}, 3, seed=0)["it"]
    one, other = (float(accuracy(confusion(truth, predicted, 3))) for predicted in (good, poor))
    found = several.interval("accuracy").to_json()
    assert found["value"] == pytest.approx((one + other) / 2)
    assert found["deviation"] == pytest.approx(np.std([one, other], ddof=1))
    assert "deviation" not in alone.interval("accuracy").to_json()
    width = found["high"] - found["low"]
    assert width > 2 * (alone.interval("accuracy").high - alone.interval("accuracy").low)


def test_repeats_pair_where_there_are_as_many(labels):
    """Each repeat is better than its partner by the same rows: the difference does not vary with which repeats are drawn."""
    truth, good, poor = labels
    worse = [one_hot(predicted.copy(), 3) for predicted in (good, poor)]
    for scores, predicted in zip(worse, (good, poor), strict=True):
        right = np.flatnonzero(predicted == truth)[:30]
        scores[right] = one_hot((truth[right] + 1) % 3, 3)
    found = bootstrap_scores(truth, {"a": [one_hot(good, 3), one_hot(poor, 3)], "b": worse}, 3, seed=0)
    difference = found["a"].minus(found["b"], "accuracy").to_json()
    assert difference["value"] == pytest.approx(0.1)
    assert 0.06 < difference["low"] < difference["high"] < 0.14
    assert difference["verdict"] == "above"


def test_memory_is_bounded_whatever_the_rows(monkeypatch, labels):
    from findna_kit.evaluation import bootstrap

    truth, good, _ = labels
    monkeypatch.setattr(bootstrap, "_MAX_WEIGHTS", 1)  # a resample at a time
    monkeypatch.setattr(bootstrap, "RESAMPLES", 40)
    sizes = [len(weights) for weights in bootstrap._resamples(len(truth), 0)]
    assert sizes == [1] * 40
    assert all(weights.sum() == len(truth) for weights in bootstrap._resamples(len(truth), 0))
    assert bootstrap_scores(truth, {"it": [one_hot(good, 3)]}, 3, seed=0)["it"].draws["mcc"].shape == (40,)
    assert LEVEL == 0.95
