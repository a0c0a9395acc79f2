"""Tests of KoLeo against its formula in plain loops: which embeddings it separates, and equal embeddings."""

import math

import pytest
import torch
from branches import CLOCK, built, plan, rows, views_of, windows
from findna_kit_objectives import KoLeo
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.components import BranchOutput


def student_of(batch, *names, seed=0, dim=3):
    return rows({name: windows(batch, 8) for name in names}, dim, seed=seed)


@given(st.integers(0, 1000), st.integers(2, 7), st.integers(1, 2))
def test_is_the_papers(seed, batch, count):
    student = student_of(batch, *"ab"[:count], seed=seed)
    total = nearest = 0.0
    for output in student.values():
        x = [[v / math.hypot(*row) for v in row] for row in output.rows.tolist()]
        for i in range(batch):
            distance = min(math.dist(x[i], x[j]) for j in range(batch) if j != i)
            total -= math.log(distance)
            nearest += distance
    term = built(KoLeo)(student, {}, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-3, abs=1e-3)
    assert float(term.metrics["nearest_distance"]) == pytest.approx(nearest, rel=1e-3)
    assert float(built(KoLeo).count(views_of(student), {})) == batch * count
    assert term.state_inputs == {}


def test_a_step_down_takes_the_nearest_apart():
    student = student_of(6, "a")
    term = built(KoLeo)(student, {}, CLOCK)
    term.sum.backward()
    x = student["a"].rows
    x.data -= 0.01 * x.grad
    after = built(KoLeo)(student, {}, CLOCK)
    assert after.sum < term.sum
    assert after.metrics["nearest_distance"] > term.metrics["nearest_distance"]


def test_lengths_mean_nothing():
    student = student_of(6, "a")
    longer = {"a": BranchOutput(student["a"].view, rows=5 * student["a"].rows.detach())}
    torch.testing.assert_close(built(KoLeo)(longer, {}, CLOCK).sum, built(KoLeo)(student, {}, CLOCK).sum.detach())


def test_equals_are_finite_and_so_is_their_gradient():
    student = student_of(4, "a")
    student["a"].rows.data[1] = student["a"].rows.data[0]
    term = built(KoLeo)(student, {}, CLOCK)
    term.sum.backward()
    assert term.sum.isfinite()
    assert student["a"].rows.grad.isfinite().all()


def test_one_sequence_alone_has_no_neighbour():
    student = student_of(1, "a")
    term = built(KoLeo)(student, {}, CLOCK)
    term.sum.backward()
    assert (term.sum.item(), float(built(KoLeo).count(views_of(student), {}))) == (0, 0)


def test_couples_the_batch_and_has_no_head():
    loss = built(KoLeo)
    assert (KoLeo.coupling, KoLeo.head_input, KoLeo.needs_teacher) == ("batch", "pooled", False)
    assert (loss.twin_heads(), loss.student_heads(), loss.state_dict()) == ({}, {}, {})
    assert loss.check_views([plan("a", teacher=True)]) == "needs a view that the student sees"
    assert loss.check_views([plan("a", student=True)]) is None
    with pytest.raises(ValueError, match="did not compute the rows that this loss reads"):
        loss({"a": BranchOutput(windows(2, 8))}, {}, CLOCK)
