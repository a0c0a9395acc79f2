"""Tests of the loss: its formula, and which parameters get a gradient."""

import math

import pytest
import torch
from findna_kit_example import PooledAgreement

from findna_kit.components import BranchOutput, Clock, View, ViewPlan
from findna_kit.testing import check_loss

CLOCK = Clock(0, 10)
DIM, OUTPUT, BATCH = 12, 6, 5


def loss():
    torch.manual_seed(0)
    return PooledAgreement(PooledAgreement.Config(hidden=16, output=OUTPUT), dim=DIM, class_tokens=0)


def view():
    return View.of_windows(torch.zeros(BATCH, 8, dtype=torch.int64))


def outputs(head, *names, seed=0, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: BranchOutput(view(), heads={head: torch.randn(BATCH, OUTPUT, generator=generator).requires_grad_(requires_grad)})
        for name in names
    }


def plan(name, *, student=False, teacher=False):
    return ViewPlan(name, student=student, teacher=teacher, masked=False)


def test_conforms():
    check_loss(PooledAgreement)


def test_is_one_minus_the_cosine_over_pairs_of_different_views():
    """An oracle in plain Python, two views that both branches see and one of the student's alone."""
    student, teacher = outputs("predictor", "a", "b", "c", seed=1), outputs("projector", "a", "b", seed=2)
    expected = 0.0
    for s, t in [("a", "b"), ("b", "a"), ("c", "a"), ("c", "b")]:
        for p, z in zip(student[s].heads["predictor"].tolist(), teacher[t].heads["projector"].tolist(), strict=True):
            dot = sum(x * y for x, y in zip(p, z, strict=True))
            expected += 1 - dot / (math.hypot(*p) * math.hypot(*z))
    built = loss()
    assert float(built(student, teacher, CLOCK).sum) == pytest.approx(expected, rel=1e-5)
    views = {name: view() for name in "abc"}
    assert float(built.count(views, {name: views[name] for name in "ab"})) == 4 * BATCH


@pytest.mark.parametrize(("scale", "expected"), [(3.0, 0.0), (-0.5, 2.0)])
def test_counts_directions_alone(scale, expected):
    teacher = outputs("projector", "shifted")
    head = {"predictor": teacher["shifted"].heads["projector"] * scale}
    term = loss()({"masked": BranchOutput(view(), heads=head)}, teacher, CLOCK)
    assert float(term.sum) / BATCH == pytest.approx(expected, abs=1e-6)


def test_only_the_student_gets_a_gradient():
    student = outputs("predictor", "masked", seed=1, requires_grad=True)
    teacher = outputs("projector", "shifted", seed=2, requires_grad=True)
    loss()(student, teacher, CLOCK).sum.backward()
    assert student["masked"].heads["predictor"].grad.abs().sum() > 0
    assert teacher["shifted"].heads["projector"].grad is None


def test_heads_fit_onto_each_other():
    """The predictor maps the projector's output onto its like; only the projector has a twin."""
    built = loss()
    (projector,), (predictor,) = built.twin_heads().values(), built.student_heads().values()
    pooled = torch.randn(BATCH, DIM)
    assert predictor(projector(pooled)).shape == projector(pooled).shape == (BATCH, OUTPUT)
    assert list(built.parameters()) == []


def test_sums_over_micro_batches_to_the_whole():
    student, teacher = outputs("predictor", "masked", seed=1), outputs("projector", "shifted", seed=2)

    def rows(some, part):
        return {
            name: BranchOutput(one.view.select(part), heads={k: head[part] for k, head in one.heads.items()})
            for name, one in some.items()
        }

    built = loss()
    parts = [built(rows(student, part), rows(teacher, part), CLOCK).sum for part in (slice(2), slice(2, None))]
    torch.testing.assert_close(sum(parts), built(student, teacher, CLOCK).sum)


def test_views_that_give_no_pair_are_refused():
    built = loss()
    alone = [plan("only", student=True, teacher=True)]
    assert "and a different one" in built.check_views(alone)
    assert "and a different one" in built.check_views([plan("a", student=True), plan("b", student=True)])
    assert built.check_views([plan("a", student=True), plan("b", teacher=True)]) is None
