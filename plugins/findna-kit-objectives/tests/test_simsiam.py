"""Tests of SimSiam against equations 1 to 4 in plain numbers: stop-gradient, heads, invalid parameters."""

import math

import pytest
import torch
from branches import CLOCK, built, numbers, plan, views_of, windows
from findna_kit_objectives import SimSiam
from pydantic import ValidationError

from findna_kit.components import BatchNorm, BranchOutput, Clock

BATCH, OUTPUT = 5, 4
SMALL = {"hidden": 10, "output": OUTPUT, "bottleneck": 3}


def branch(names):
    return {
        name: BranchOutput(
            windows(BATCH, 8),
            heads={
                head: numbers(BATCH, OUTPUT, seed=10 * place + at).requires_grad_()
                for at, head in enumerate(("projector", "predictor"))
            },
        )
        for place, name in enumerate(names)
    }


def distance(p, z):
    """Equation 1, averaged over sequences."""
    rows = list(zip(p.tolist(), z.tolist(), strict=True))
    return sum(
        -sum(a / math.hypot(*one) * b / math.hypot(*other) for a, b in zip(one, other, strict=True)) for one, other in rows
    ) / len(rows)


def heads(student, name):
    return student[name].heads["predictor"], student[name].heads["projector"]


@pytest.mark.parametrize("stop", [True, False])
def test_two_views_make_equation_2(stop):
    """Stopping the gradient changes no value."""
    loss, student = built(SimSiam, **SMALL, stop_gradient=stop), branch("ab")
    (p1, z1), (p2, z2) = heads(student, "a"), heads(student, "b")
    mean = loss(student, {}, CLOCK).sum.item() / float(loss.count(views_of(student), {}))
    assert mean == pytest.approx(distance(p1, z2) / 2 + distance(p2, z1) / 2, rel=1e-5)


def test_more_views_make_all_ordered_pairs():
    loss, student = built(SimSiam, **SMALL), branch("abc")
    expected = sum(
        distance(heads(student, one)[0], heads(student, other)[1]) for one in "abc" for other in "abc" if one != other
    )
    assert float(loss.count(views_of(student), {})) == 6 * BATCH
    assert loss(student, {}, CLOCK).sum.item() == pytest.approx(expected * BATCH, rel=1e-5)


def test_the_projection_that_is_predicted_is_held_still():
    """Equation 4; and without the stop, the gradient that equation 2 has there: of -cos, by hand."""
    held, free = branch("ab"), branch("ab")
    built(SimSiam, **SMALL)(held, {}, CLOCK).sum.backward()
    built(SimSiam, **SMALL, stop_gradient=False)(free, {}, CLOCK).sum.backward()
    for name, other in ("ab", "ba"):
        (p, z), (guess, _) = heads(free, name), heads(free, other)
        assert heads(held, name)[1].grad is None
        torch.testing.assert_close(heads(held, name)[0].grad, p.grad)
        with torch.no_grad():
            unit = torch.stack([row / row.norm() for row in guess])
            along = torch.stack([row / row.norm() for row in z])
            by_hand = -(unit - (unit * along).sum(1, keepdim=True) * along) / z.norm(dim=1, keepdim=True)
        torch.testing.assert_close(z.grad, by_hand)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_collapsed_batch_shows_in_the_spread(norm):
    loss, views = built(SimSiam, **SMALL, norm=norm), branch("ab")
    alike = {
        name: BranchOutput(one.view, heads={"projector": torch.ones(BATCH, OUTPUT), "predictor": torch.ones(BATCH, OUTPUT)})
        for name, one in views.items()
    }
    for student, low, high in ((alike, -1e-6, 1e-6), (views, 0.2, 1.0)):
        term = loss(student, {}, CLOCK)
        loss.after_step(term.state_inputs, CLOCK)
        again = loss(student, {}, CLOCK)
        assert low <= float(again.metrics["spread"]) / (2 * BATCH) <= high
    assert loss(alike, {}, CLOCK).sum.item() == pytest.approx(-2 * BATCH), "and the loss is as good as it can be"


def test_the_projector_ends_in_a_norm_without_scale_and_the_predictor_in_none():
    loss = built(SimSiam, dim=6, **SMALL)
    projector, predictor = loss.twin_heads()["projector"], loss.student_heads()["predictor"]
    z = projector(numbers(64, 6))
    torch.testing.assert_close(z.mean(0), torch.zeros(OUTPUT), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var(0, correction=0), torch.ones(OUTPUT), atol=1e-2, rtol=0)
    norms = [part for part in projector.modules() if isinstance(part, BatchNorm)]
    assert [norm.weight is None for norm in norms] == [False, False, True]
    assert predictor(z).shape == (64, OUTPUT)
    assert [part.running_mean.shape for part in predictor if isinstance(part, BatchNorm)] == [(3,)], "the bottleneck"


def test_the_batch_is_coupled_by_its_norms_alone():
    assert built(SimSiam, **SMALL).coupling == "batch"
    plain = built(SimSiam, **SMALL, norm="none")
    assert plain.coupling == "sample"
    projector = plain.twin_heads()["projector"]
    rows = numbers(4, 6)
    torch.testing.assert_close(projector(rows)[:1], projector(rows[:1]))


def test_the_predictor_may_have_a_learning_rate_of_its_own():
    assert built(SimSiam, **SMALL).head_learning_rates() == {}
    rates = built(SimSiam, **SMALL, predictor_learning_rate={"linear": {"start": 0.1, "end": 0.0}}).head_learning_rates()
    assert rates["predictor"](Clock(5, 10)) == pytest.approx(0.05)


def test_one_view_is_refused():
    assert (
        built(SimSiam, **SMALL).check_views([plan("a", student=True), plan("b", teacher=True)])
        == "needs two views that the student sees"
    )
    assert built(SimSiam, **SMALL).check_views([plan("a", student=True), plan("b", student=True)]) is None


@pytest.mark.parametrize("wrong", [{"bottleneck": 0}, {"stop_gradient": "maybe"}, {"predictor_learning_rate": -1.0}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        SimSiam.Config(**wrong)
