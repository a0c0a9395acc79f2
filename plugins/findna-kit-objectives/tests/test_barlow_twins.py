"""Tests of Barlow Twins against equations 1 and 2 in plain loops: the effect of each term, small batches."""

import math

import pytest
import torch
from branches import CLOCK, built, numbers, plan, views_of, windows
from findna_kit_objectives import BarlowTwins
from hypothesis import given
from hypothesis import strategies as st
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


def correlation(first, second):
    """Equation 2, the features centred over the batch as its text says: [d][d]."""
    columns = [[list(column) for column in zip(*z.tolist(), strict=True)] for z in (first, second)]
    centred = [[[x - sum(column) / len(column) for x in column] for column in one] for one in columns]
    return [
        [sum(a * b for a, b in zip(i, j, strict=True)) / (math.hypot(*i) * math.hypot(*j)) for j in centred[1]]
        for i in centred[0]
    ]


def oracle(first, second, invariance, redundancy):
    """Equation 1, and the two metrics."""
    c, size = correlation(first, second), range(OUTPUT)
    on, off = [c[i][i] for i in size], [c[i][j] for i in size for j in size if i != j]
    loss = invariance * sum((1 - x) ** 2 for x in on) + redundancy * sum(x * x for x in off)
    return loss, sum(on) / len(on), math.sqrt(sum(x * x for x in off) / len(off))


@pytest.mark.parametrize(("invariance", "redundancy"), [(1.0, 0.005), (1.0, 0.7), (0.0, 1.0), (2.0, 0.0)])
def test_two_views_make_equation_1(invariance, redundancy):
    loss = built(BarlowTwins, **SMALL, invariance=invariance, redundancy=redundancy)
    first, second = numbers(BATCH, OUTPUT, seed=1), numbers(BATCH, OUTPUT, seed=2)
    term = per_row(loss, shown(a=first, b=second))
    expected, on, off = oracle(first, second, invariance, redundancy)
    assert term.sum.item() == pytest.approx(expected, rel=1e-4)
    assert float(term.metrics["diagonal"]) == pytest.approx(on, rel=1e-4)
    assert float(term.metrics["off_diagonal"]) == pytest.approx(off, rel=1e-4)


def test_every_pair_of_views_is_one_item_of_the_whole_batch():
    loss, z = built(BarlowTwins, **SMALL), {name: numbers(BATCH, OUTPUT, seed=seed) for seed, name in enumerate("abc")}
    student = shown(**z)
    expected = sum(oracle(z[one], z[other], 1.0, 0.005)[0] for one, other in ("ab", "ac", "bc"))
    assert per_row(loss, student).sum.item() == pytest.approx(expected, rel=1e-4)
    assert float(loss.count(views_of(student), {})) == 3 * BATCH


@given(st.floats(0.1, 50), st.floats(-20, 20))
def test_scale_and_shift_of_a_feature_change_nothing(scale, shift):
    loss, first, second = built(BarlowTwins, **SMALL), numbers(BATCH, OUTPUT, seed=1), numbers(BATCH, OUTPUT, seed=2)
    moved = first.clone()
    moved[:, 1] = moved[:, 1] * scale + shift
    plain = per_row(loss, shown(a=first, b=second)).sum.item()
    assert per_row(loss, shown(a=moved, b=second)).sum.item() == pytest.approx(plain, rel=1e-3)


def test_nothing_is_lost_where_the_views_agree_and_features_do_not_repeat_each_other():
    """Columns of a Hadamard matrix: at right angles, and centred."""
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    z = torch.kron(two, torch.kron(two, two))[:, 1:5]
    term = per_row(built(BarlowTwins, **SMALL), shown(a=z, b=3 * z))
    assert term.sum.item() == pytest.approx(0, abs=1e-6)
    assert float(term.metrics["diagonal"]) == pytest.approx(1)
    assert float(term.metrics["off_diagonal"]) == pytest.approx(0, abs=1e-6)


def test_features_that_all_say_the_same_show():
    """One dimension, the views in full agreement: only the second term minds, and the metric is 1."""
    z = numbers(BATCH, 1).expand(BATCH, OUTPUT)
    term = per_row(built(BarlowTwins, **SMALL, redundancy=0.5), shown(a=z, b=z))
    assert term.sum.item() == pytest.approx(0.5 * OUTPUT * (OUTPUT - 1), rel=1e-5)
    assert float(term.metrics["off_diagonal"]) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("value", [3.0, 0.1])  # of 0.1 the mean in fp32 is another number
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_a_constant_feature_and_a_single_row_correlate_by_0(batch, value):
    z = torch.full((batch, OUTPUT), value, requires_grad=True)
    term = per_row(built(BarlowTwins, **SMALL), shown(a=z, b=z))
    term.sum.backward()
    assert term.sum.item() == pytest.approx(OUTPUT, rel=1e-4)
    assert float(term.metrics["diagonal"]) == pytest.approx(0, abs=1e-4)
    assert z.grad.isfinite().all()
    assert z.grad.abs().max() < 1


def test_both_views_get_a_gradient():
    z = [numbers(BATCH, OUTPUT, seed=seed).requires_grad_() for seed in (1, 2)]
    per_row(built(BarlowTwins, **SMALL), shown(a=z[0], b=z[1])).sum.backward()
    assert all(one.grad.abs().sum() > 0 for one in z)


def test_the_projector_and_its_coupling():
    loss = built(BarlowTwins, dim=6, **SMALL)
    (projector,) = loss.twin_heads().values()
    assert projector(numbers(3, 6)).shape == (3, OUTPUT)
    assert loss.coupling == "batch"


def test_one_view_is_refused():
    assert built(BarlowTwins, **SMALL).check_views([plan("a", student=True)]) == "needs two views that the student sees"
    assert built(BarlowTwins, **SMALL).check_views([plan("a", student=True), plan("b", student=True)]) is None


@pytest.mark.parametrize("wrong", [{"redundancy": -1}, {"invariance": -1}, {"output": 1}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        BarlowTwins.Config(**wrong)
