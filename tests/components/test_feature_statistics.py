"""The variance and covariance terms against equations 1 to 4 of VICReg, in plain loops."""

import math

import pytest
import torch

from findna_kit.components import feature_statistics

SAMPLES, FEATURES = 6, 4


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def covariances(z):
    """Equation 3, [d][d]."""
    columns = [list(column) for column in zip(*z.tolist(), strict=True)]
    centred = [[x - sum(column) / len(column) for x in column] for column in columns]
    return [[sum(a * b for a, b in zip(i, j, strict=True)) / (len(z) - 1) for j in centred] for i in centred]


def oracle(z, target, epsilon):
    """Equations 1, 4 and 2."""
    matrix = covariances(z)
    deviations = [math.sqrt(matrix[j][j] + epsilon) for j in range(FEATURES)]
    rest = sum(matrix[i][j] ** 2 for i in range(FEATURES) for j in range(FEATURES) if i != j)
    return sum(max(0.0, target - s) for s in deviations) / FEATURES, rest / FEATURES, sum(deviations) / FEATURES


@pytest.mark.parametrize(("target", "epsilon"), [(1.0, 1e-4), (0.3, 0.1)])
def test_they_are_the_papers(target, epsilon):
    z = numbers(SAMPLES, FEATURES) * torch.tensor([0.1, 0.5, 1.0, 3.0])
    assert feature_statistics(z, target=target, epsilon=epsilon) == pytest.approx(oracle(z, target, epsilon), rel=1e-4)


def test_leading_dimensions_are_averaged():
    z = numbers(3, SAMPLES, FEATURES)
    expected = [sum(values) / 3 for values in zip(*(oracle(one, 1.0, 1e-4) for one in z), strict=True)]
    assert feature_statistics(z, target=1.0, epsilon=1e-4) == pytest.approx(expected, rel=1e-4)


def test_a_single_sample_has_no_variance_and_a_finite_gradient():
    z = numbers(1, FEATURES).requires_grad_()
    statistics = feature_statistics(z, target=1.0, epsilon=1e-4)
    assert [float(value.detach()) for value in statistics] == pytest.approx([0.99, 0.0, 0.01])
    statistics.variance.backward()
    assert z.grad.isfinite().all()
