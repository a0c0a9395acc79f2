"""Tests of SimCLR against equation 1 in plain loops: the difference from InfoNCE, heads, invalid parameters."""

import math

import pytest
import torch
from branches import CLOCK, built, numbers, plan, views_of, windows
from findna_kit_objectives import SimCLR
from pydantic import ValidationError

from findna_kit.components import BatchNorm, BranchOutput

BATCH, OUTPUT, TEMPERATURE = 4, 5, 0.4
SMALL = {"hidden": 10, "output": OUTPUT, "temperature": TEMPERATURE}


def branch(names, *, views=numbers):
    return {
        name: BranchOutput(windows(BATCH, 8), heads={"projector": views(BATCH, OUTPUT, seed=place).requires_grad_()})
        for place, name in enumerate(names)
    }


def similarity(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def oracle(first, second, *, same_view=True):
    """Equation 1 over the 2 N rows of two views, both ways; and how often the other view is the nearest of all."""
    rows, count, total, nearest = [*first.tolist(), *second.tolist()], len(first), 0.0, 0
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        others = [k for k in range(2 * count) if k != i and (same_view or (k < count) != (i < count))]
        logits = {k: similarity(rows[i], rows[k]) / TEMPERATURE for k in others}
        total -= math.log(math.exp(logits[j]) / sum(map(math.exp, logits.values())))
        nearest += max(logits, key=logits.get) == j
    return total, nearest


def projected(student, name):
    return student[name].heads["projector"]


def test_two_views_make_equation_1():
    loss, student = built(SimCLR, **SMALL), branch("ab")
    total, nearest = oracle(projected(student, "a"), projected(student, "b"))
    term = loss(student, {}, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-5)
    assert float(term.metrics["accuracy"]) == nearest
    assert float(loss.count(views_of(student), {})) == 2 * BATCH, "Algorithm 1 divides by 2 N"


def test_more_views_make_every_pair():
    loss, student = built(SimCLR, **SMALL), branch("abc")
    expected = sum(oracle(projected(student, one), projected(student, other))[0] for one, other in ("ab", "ac", "bc"))
    assert loss(student, {}, CLOCK).sum.item() == pytest.approx(expected, rel=1e-5)
    assert float(loss.count(views_of(student), {})) == 6 * BATCH


def test_rows_of_the_same_view_are_negatives_too():
    """Of the built-in InfoNCE they are not; so that one is smaller on the same projections."""
    loss, student = built(SimCLR, **SMALL), branch("ab")
    first, second = projected(student, "a"), projected(student, "b")
    assert loss(student, {}, CLOCK).sum.item() > oracle(first, second, same_view=False)[0] + 1


def test_a_row_is_not_its_own_negative():
    """Views that agree, rows at right angles: what is left is e^(1/t) against 2 (N - 1) times e^0."""
    student = branch("ab", views=lambda *shape, seed: torch.eye(BATCH, OUTPUT))
    expected = math.log(1 + 2 * (BATCH - 1) * math.exp(-1 / TEMPERATURE))
    term = built(SimCLR, **SMALL)(student, {}, CLOCK)
    assert term.sum.item() / (2 * BATCH) == pytest.approx(expected, rel=1e-5)
    assert float(term.metrics["accuracy"]) == 2 * BATCH


def test_the_spread_is_that_of_all_rows():
    student = branch("abc")
    rows = torch.cat([z / z.norm(dim=1, keepdim=True) for z in (projected(student, name).detach() for name in "abc")])
    term = built(SimCLR, **SMALL)(student, {}, CLOCK)
    assert float(term.metrics["spread"]) / (6 * BATCH) == pytest.approx(float(rows.var(0, correction=0).sum()), rel=1e-5)


def test_a_collapsed_batch_costs_the_logarithm_of_all_others():
    student = branch("ab", views=lambda *shape, seed: torch.ones(shape))
    term = built(SimCLR, **SMALL)(student, {}, CLOCK)
    assert term.sum.item() / (2 * BATCH) == pytest.approx(math.log(2 * BATCH - 1), rel=1e-5)
    assert float(term.metrics["spread"]) == pytest.approx(0, abs=1e-5)


def test_every_row_gets_a_gradient():
    student = branch("ab")
    built(SimCLR, **SMALL)(student, {}, CLOCK).sum.backward()
    for name in "ab":
        assert projected(student, name).grad.abs().sum(1).gt(0).all()


@pytest.mark.parametrize(("norm", "norms"), [("none", 0), ("batch", 1)])
def test_the_projector(norm, norms):
    loss = built(SimCLR, dim=6, **SMALL, norm=norm)
    (projector,) = loss.twin_heads().values()
    assert projector(numbers(3, 6)).shape == (3, OUTPUT)
    assert len([part for part in projector if isinstance(part, BatchNorm)]) == norms
    assert loss.coupling == "batch"


def test_one_view_is_refused():
    assert (
        built(SimCLR, **SMALL).check_views([plan("a", student=True), plan("b", teacher=True)])
        == "needs two views that the student sees"
    )
    assert built(SimCLR, **SMALL).check_views([plan("a", student=True), plan("b", student=True)]) is None


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"output": 0}, {"norm": "layer"}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        SimCLR.Config(**wrong)
