"""Confusion matrices and calibration, against counts by hand and scikit-learn."""

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from findna_kit.evaluation.calibration import calibration, confusion_counts

GENERATOR = np.random.default_rng(5)
TRUTH = GENERATOR.integers(3, size=200)
SCORES = [GENERATOR.dirichlet([1, 1, 1], 200).astype(np.float32) for _ in range(2)]


def test_confusion_is_summed_over_seeds():
    expected = sum(confusion_matrix(TRUTH, scores.argmax(1)) for scores in SCORES)
    assert confusion_counts(TRUTH, SCORES) == expected.tolist()


def test_bins_are_those_of_scikit_learn():
    found = calibration(TRUTH, SCORES)
    confidence = np.concatenate([scores.max(1) for scores in SCORES])
    right = np.concatenate([scores.argmax(1) == TRUTH for scores in SCORES])
    accuracy, mean = calibration_curve(right, confidence, n_bins=10)
    np.testing.assert_allclose([one.accuracy for one in found.bins], accuracy)
    np.testing.assert_allclose([one.confidence for one in found.bins], mean, rtol=1e-6)
    assert sum(one.samples for one in found.bins) == 400
    shares = [one.samples / 400 for one in found.bins]
    assert np.isclose(found.error, np.dot(shares, np.abs(accuracy - mean)), rtol=1e-6)


def test_certain_and_right_has_no_error():
    (one,) = calibration(TRUTH, [np.eye(3, dtype=np.float32)[TRUTH]]).bins
    assert (one.low, one.high, one.samples, one.confidence, one.accuracy) == (0.9, 1.0, 200, 1.0, 1.0)
    assert calibration(TRUTH, [np.eye(3, dtype=np.float32)[TRUTH]]).error == 0
