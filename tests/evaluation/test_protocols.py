"""k-NN and the probe equal scikit-learn's plain ones, and choose on validation alone."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from findna_kit.evaluation import protocols
from findna_kit.evaluation.protocol_table import DEFAULT_OPTIONS
from findna_kit.evaluation.protocols import (
    INVERSE_PENALTIES,
    Features,
    _neighbours,
    choice_score,
    draw_shots,
    few_shot,
    knn,
    probe,
)
from findna_kit.settings import EvaluationSettings


def blobs(seed=0, rows=(200, 80, 90), classes=3, dim=6, noise=1.2):
    """Features of three parts around class centres, and the labels of the last."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, dim))
    labels = [np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)]) for n in rows]
    parts = [(centres[label] + noise * rng.normal(size=(len(label), dim))).astype(np.float32) for label in labels]
    return Features(parts[0], labels[0], parts[1], labels[1], classes), parts[2], labels[2]


def predicted_by(fitted, rows):
    scores = fitted.scores(rows)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    return scores.argmax(1)


def weights(distances):
    return np.exp((1 - distances) / 0.07)


def reference_knn(features, number):
    """Cosines of features that are standardised by the training part."""
    model = KNeighborsClassifier(number, metric="cosine", weights=weights, algorithm="brute")
    return make_pipeline(StandardScaler(), model).fit(features.train.astype(float), features.train_labels)


def test_the_recipe_names_the_protocols():
    assert EvaluationSettings().protocols == DEFAULT_OPTIONS


@pytest.mark.parametrize("seed", range(4))
def test_knn_equals_scikit_learn(seed):
    features, test, _ = blobs(seed)
    fitted = knn(features)
    scores = {}
    for number in (50, 20, 10, 5, 1):
        predicted = reference_knn(features, number).predict(features.validation.astype(float))
        scores[number] = choice_score(features.validation_labels, predicted, 3)[1]
    best = max(scores, key=scores.get)
    assert fitted.chosen == {"neighbours": best, "validation_mcc": scores[best]}
    assert fitted.score == scores[best]
    assert (predicted_by(fitted, test) == reference_knn(features, best).predict(test.astype(float))).all()


def test_knn_of_chunks_equals_knn_of_all(monkeypatch):
    features, test, _ = blobs()
    whole = knn(features)
    monkeypatch.setattr(protocols, "_MAX_SIMILARITIES", 7 * len(features.train))
    chunked = knn(features)
    assert chunked.chosen == whole.chosen
    assert (predicted_by(chunked, test) == predicted_by(whole, test)).all()


def test_knn_ignores_the_length_of_a_vector_from_the_mean():
    features, test, _ = blobs()
    mean, scale = features.train.mean(0), np.linspace(0.01, 100, len(test))[:, None]
    assert (predicted_by(knn(features), mean + (test - mean) * scale) == predicted_by(knn(features), test)).all()


def test_knn_ignores_a_common_mean_and_the_scale_of_a_dimension():
    features, test, _ = blobs()

    def moved(rows):
        return 1000 + rows * np.array([1, 10, 100, 1, 10, 100])

    other = replace(features, train=moved(features.train), validation=moved(features.validation))
    assert knn(other).chosen == knn(features).chosen
    assert (predicted_by(knn(other), moved(test)) == predicted_by(knn(features), test)).all()


def test_knn_asks_for_no_more_neighbours_than_there_are():
    features, test, _ = blobs(rows=(7, 30, 5))
    fitted = knn(features)
    assert fitted.chosen["neighbours"] in (5, 1)
    assert predicted_by(fitted, test).shape == (5,)


def test_of_equal_neighbours_the_earlier_are_taken_whatever_their_number():
    bank = np.repeat(np.eye(3), [2, 100, 2], axis=0)
    for number in (1, 5, 50):
        similarities, indices = _neighbours(np.eye(3)[[1, 0]], bank, number)
        assert indices[0].tolist() == list(range(2, 2 + number))
        assert (similarities[0] == 1).all()
        assert indices[1].tolist() == list(range(number))


def test_knn_takes_the_larger_number_of_equals():
    features, _, _ = blobs(noise=0.0)
    assert knn(features).chosen == {"neighbours": 50, "validation_mcc": 1.0}


def test_a_near_copy_outweighs_many_others():
    # Directions at random: every other neighbour is far, and of 50 unweighted votes about half would be wrong.
    rng = np.random.default_rng(0)
    train = rng.normal(size=(60, 40))
    labels = np.arange(60) % 2
    features = Features(train, labels, train + 1e-3 * rng.normal(size=train.shape), labels, 2)
    assert knn(features).chosen == {"neighbours": 50, "validation_mcc": 1.0}
    flipped = Features(train, labels, features.validation, 1 - labels, 2)
    assert knn(flipped).score == -1


def test_a_zero_vector_is_near_nothing_and_no_division_by_zero():
    features, test, _ = blobs()
    test[0] = features.train.astype(float).mean(0)
    assert predicted_by(knn(features), test)[0] in (0, 1, 2)


def test_the_probe_of_sparse_features_equals_that_of_dense_ones():
    features, test, _ = blobs(rows=(300, 100, 100))
    for array in (features.train, features.validation, test):
        array[array < 0.3] = 0
    dense, sparse = probe(features, (0.1,)), probe(replace(
        features, train=csr_matrix(features.train), validation=csr_matrix(features.validation)), (0.1,),
    )  # fmt: skip
    assert sparse.score == dense.score
    np.testing.assert_allclose(sparse.scores(csr_matrix(test)), dense.scores(test), atol=2e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_equals_a_cold_fit_of_scikit_learn(classes):
    features, test, truth = blobs(classes=classes, rows=(300, 100, 100))
    scaler = StandardScaler().fit(features.train.astype(float))
    fits, scores = {}, {}
    for penalty in INVERSE_PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=5000, tol=1e-6)
        fits[penalty] = model.fit(scaler.transform(features.train.astype(float)), features.train_labels)
        predicted = fits[penalty].predict(scaler.transform(features.validation.astype(float)))
        scores[penalty] = choice_score(features.validation_labels, predicted, classes)[1]
    fitted = probe(features)
    assert fitted.score == pytest.approx(max(scores.values()), abs=0.03)
    assert fitted.chosen["converged"] is True
    agree = predicted_by(fitted, test) == fits[fitted.chosen["C"]].predict(scaler.transform(test.astype(float)))
    assert agree.mean() >= 0.98
    assert (predicted_by(fitted, test) == truth).mean() > 1.3 / classes


def test_the_probe_keeps_the_model_it_chose_and_not_the_last_of_the_path():
    features, test, _ = blobs(rows=(40, 60, 60), dim=30, noise=3.0)
    fitted = probe(features)
    assert fitted.chosen["C"] < INVERSE_PENALTIES[-1]
    assert choice_score(features.validation_labels, predicted_by(fitted, features.validation), 3)[1] == fitted.score
    assert len(predicted_by(fitted, test)) == 60


def test_the_probe_takes_the_strongest_penalty_of_equals():
    features = blobs(noise=0.0)[0]
    train = StandardScaler().fit(features.train.astype(float)).transform
    perfect = [
        penalty
        for penalty, model, _ in protocols._regularisation_path(
            train(features.train.astype(float)), features.train_labels, protocols.INVERSE_PENALTIES
        )
        if (model.predict(train(features.validation.astype(float))) == features.validation_labels).all()
    ]
    assert len(perfect) > 1
    assert probe(features).chosen == {"C": min(perfect), "validation_mcc": 1.0, "converged": True}


def test_the_probe_does_not_mind_scale_shift_or_a_constant_feature():
    features, test, _ = blobs()

    def change(part):
        return np.hstack([part * 1000 + 5, np.full((len(part), 1), 3, np.float32)])

    changed = Features(
        change(features.train), features.train_labels, change(features.validation), features.validation_labels, 3
    )
    assert (predicted_by(probe(changed), change(test)) == predicted_by(probe(features), test)).mean() > 0.97


def test_the_features_are_left_as_they_were():
    features, test, _ = blobs()
    features = Features(features.train.astype(float), features.train_labels, features.validation, features.validation_labels, 3)
    test = test.astype(float)
    before = features.train.copy(), features.validation.copy(), test.copy()
    for protocol in (knn, probe):
        predicted_by(protocol(features), test)
    for array, copy in zip((features.train, features.validation, test), before, strict=True):
        assert (array == copy).all()


def test_a_probe_that_did_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(protocols, "MAX_ITERATIONS", 1)
    assert probe(blobs()[0]).chosen["converged"] is False


def test_other_warnings_of_a_fit_are_passed_on():
    features = blobs()[0]
    with pytest.warns(DataConversionWarning, match="column-vector"):
        list(protocols._regularisation_path(features.train, features.train_labels[:, None], (1.0,)))


def test_a_fit_leaves_the_filters_of_warnings_alone():
    before = list(warnings.filters)
    probe(blobs()[0])
    assert list(warnings.filters) == before


@pytest.mark.parametrize("protocol", [knn, probe])
def test_where_validation_has_one_class_accuracy_chooses(protocol):
    features, test, _ = blobs()
    alone = Features(
        features.train, features.train_labels, features.validation, np.zeros(len(features.validation), np.int64), 3
    )
    fitted = protocol(alone)
    assert "validation_mcc" not in fitted.chosen
    assert fitted.chosen["validation_accuracy"] == fitted.score
    assert len(predicted_by(fitted, test)) == len(test)


def test_the_choice_is_by_mcc_where_it_is_defined():
    truth = np.array([0] * 9 + [1])
    assert choice_score(truth, np.zeros(10, np.int64), 2) == ("mcc", 0.0)
    assert choice_score(np.zeros(10, np.int64), truth, 2) == ("accuracy", 0.9)


def test_probabilities_are_those_of_scikit_learn():
    features, test, _ = blobs()
    bank = reference_knn(features, knn(features).chosen["neighbours"])
    np.testing.assert_allclose(knn(features).scores(test), bank.predict_proba(test.astype(float)), atol=1e-5)


@pytest.mark.parametrize("shots", [1, 5, 10])
def test_shots_are_so_many_of_each_class_and_no_others(shots):
    labels = np.array([0] * 50 + [1] * 4 + [2] * 30)
    rows = draw_shots(labels, shots, seed=3)
    assert np.bincount(labels[rows]).tolist() == [shots, min(shots, 4), shots]
    assert np.unique(rows).size == len(rows)
    assert (draw_shots(labels, shots, seed=3) == rows).all()
    assert (draw_shots(labels, shots, seed=4) != rows).any()


def test_few_shots_know_their_rows_alone():
    """Labels of the other rows, and of validation, change nothing; more shots do better."""
    features, test, truth = blobs(rows=(300, 60, 400), noise=0.8)
    rows = draw_shots(features.train_labels, 5, seed=1)
    others = np.ones(300, dtype=bool)
    others[rows] = False
    fitted = few_shot(features, 5, seed=1)
    assert fitted.chosen["rows"] == 15
    moved = features.train_labels.copy()
    model = LogisticRegression(max_iter=2000)
    scaled = StandardScaler().fit(features.train.astype(float))
    model.fit(scaled.transform(features.train[rows].astype(float)), moved[rows])
    expected = model.predict_proba(scaled.transform(test.astype(float)))
    np.testing.assert_allclose(fitted.scores(test), expected, atol=1e-5)
    turned = Features(features.train, features.train_labels, features.validation, 2 - features.validation_labels, 3)
    assert (few_shot(turned, 5, seed=1).scores(test) == fitted.scores(test)).all()
    one, ten = (
        np.mean([(predicted_by(few_shot(features, n, seed=s), test) == truth).mean() for s in range(5)]) for n in (1, 10)
    )
    assert ten > one
