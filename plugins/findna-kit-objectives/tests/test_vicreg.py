"""Tests of VICReg against equations 1 to 6 in plain loops: the effect of each term, small batches, invalid parameters."""

import math

import pytest
import torch
from branches import CLOCK, built, numbers, plan, views_of, windows
from findna_kit_objectives import VICReg
from pydantic import ValidationError

from findna_kit.components import BranchOutput, LossOutput

BATCH, OUTPUT = 6, 4


def per_row(loss, student):
    """The term as its paper states it, over a batch; the loss counts it for each of the batch's rows."""
    term, rows = loss(student, {}, CLOCK), len(next(iter(student.values())).heads["projector"])
    return LossOutput(term.sum / rows, {name: value / rows for name, value in term.metrics.items()})


SMALL = {"hidden": 10, "output": OUTPUT}


def shown(**projections):
    return {name: BranchOutput(windows(len(z), 8), heads={"projector": z}) for name, z in projections.items()}


def covariances(z):
    """Equation 3: [d][d]."""
    columns = [list(column) for column in zip(*z.tolist(), strict=True)]
    centred = [[x - sum(column) / len(column) for x in column] for column in columns]
    return [[sum(a * b for a, b in zip(i, j, strict=True)) / (len(z) - 1) for j in centred] for i in centred]


def deviations(z, epsilon=1e-4):
    """Equation 2 of each feature."""
    return [math.sqrt(covariances(z)[j][j] + epsilon) for j in range(OUTPUT)]


def variance(z, target=1.0):
    """Equation 1."""
    return sum(max(0.0, target - s) for s in deviations(z)) / OUTPUT


def covariance(z):
    """Equation 4."""
    c = covariances(z)
    return sum(c[i][j] ** 2 for i in range(OUTPUT) for j in range(OUTPUT) if i != j) / OUTPUT


def invariance(first, second):
    """Equation 5, over features too as Algorithm 1 has it."""
    rows = zip(first.tolist(), second.tolist(), strict=True)
    return sum((a - b) ** 2 for one, other in rows for a, b in zip(one, other, strict=True)) / (len(first) * OUTPUT)


def oracle(first, second, weights, target=1.0):
    """Equation 6."""
    parts = (
        invariance(first, second),
        variance(first, target) + variance(second, target),
        covariance(first) + covariance(second),
    )
    return sum(weight * part for weight, part in zip(weights, parts, strict=True)), parts


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_two_views_make_equation_6(weights):
    names = ("invariance", "variance", "covariance")
    loss = built(VICReg, **SMALL, **dict(zip(names, weights, strict=True)))
    first, second = numbers(BATCH, OUTPUT, seed=1) / 2, numbers(BATCH, OUTPUT, seed=2)
    term = per_row(loss, shown(a=first, b=second))
    expected, parts = oracle(first, second, weights)
    assert parts[1] > 0.1, "the hinge is at work"
    assert term.sum.item() == pytest.approx(expected, rel=1e-4)
    assert [float(term.metrics[name]) for name in names] == pytest.approx(parts, rel=1e-4)
    assert float(term.metrics["deviation"]) == pytest.approx(
        sum(deviations(first) + deviations(second)) / (2 * OUTPUT), rel=1e-4
    )


def test_the_weights_are_the_papers_where_none_is_stated():
    first, second = numbers(BATCH, OUTPUT, seed=1) / 2, numbers(BATCH, OUTPUT, seed=2)
    term = per_row(built(VICReg, **SMALL), shown(a=first, b=second))
    assert term.sum.item() == pytest.approx(oracle(first, second, (25, 25, 1))[0], rel=1e-4)


def test_every_pair_of_views_is_one_item_of_the_whole_batch():
    loss, z = built(VICReg, **SMALL), {name: numbers(BATCH, OUTPUT, seed=seed) for seed, name in enumerate("abc")}
    student = shown(**z)
    expected = sum(oracle(z[one], z[other], (25, 25, 1))[0] for one, other in ("ab", "ac", "bc"))
    assert per_row(loss, student).sum.item() == pytest.approx(expected, rel=1e-4)
    assert float(loss.count(views_of(student), {})) == 3 * BATCH


@pytest.mark.parametrize("target", [0.5, 3.0])
def test_the_hinge_asks_for_a_deviation_and_for_no_more(target):
    z = numbers(BATCH, OUTPUT)
    loss = built(VICReg, **SMALL, target=target)
    assert float(per_row(loss, shown(a=z, b=z)).metrics["variance"]) == pytest.approx(
        2 * variance(z, target), rel=1e-4, abs=1e-6
    )
    wide = 100 * z
    assert float(per_row(loss, shown(a=wide, b=wide)).metrics["variance"]) == 0


def test_a_collapsed_batch_costs_what_the_hinge_takes_and_nothing_without_it():
    z = torch.full((BATCH, OUTPUT), 3.0)
    term = per_row(built(VICReg, **SMALL), shown(a=z, b=z))
    assert term.sum.item() == pytest.approx(25 * 2 * (1 - 0.01), rel=1e-5), "epsilon leaves a deviation of 0.01"
    assert float(term.metrics["deviation"]) == pytest.approx(0.01, rel=1e-4)
    assert per_row(built(VICReg, **SMALL, variance=0.0), shown(a=z, b=z)).sum.item() == 0


def test_features_that_all_say_the_same_cost_by_their_covariance():
    z = numbers(BATCH, 1).expand(BATCH, OUTPUT)
    expected = 2 * (OUTPUT - 1) * covariances(z)[0][0] ** 2
    assert float(per_row(built(VICReg, **SMALL), shown(a=z, b=z)).metrics["covariance"]) == pytest.approx(expected, rel=1e-4)


def test_a_single_row_has_no_variance():
    """The last of the held-out windows may stand alone."""
    z = numbers(1, OUTPUT).requires_grad_()
    term = per_row(built(VICReg, **SMALL), shown(a=z, b=z))
    term.sum.backward()
    assert term.sum.item() == pytest.approx(49.5)
    assert z.grad.isfinite().all()


def test_both_views_get_a_gradient():
    z = [numbers(BATCH, OUTPUT, seed=seed).requires_grad_() for seed in (1, 2)]
    per_row(built(VICReg, **SMALL), shown(a=z[0], b=z[1])).sum.backward()
    assert all(one.grad.abs().sum() > 0 for one in z)


def test_the_expander_and_its_coupling():
    loss = built(VICReg, dim=6, **SMALL)
    (projector,) = loss.twin_heads().values()
    assert projector(numbers(3, 6)).shape == (3, OUTPUT)
    assert loss.coupling == "batch"


def test_one_view_is_refused():
    assert built(VICReg, **SMALL).check_views([plan("a", student=True)]) == "needs two views that the student sees"
    assert built(VICReg, **SMALL).check_views([plan("a", student=True), plan("b", student=True)]) is None


@pytest.mark.parametrize("wrong", [{"variance": -1}, {"target": 0}, {"epsilon": 0}, {"output": 1}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        VICReg.Config(**wrong)
