"""Tests of relational losses against both papers' formulas in plain loops, for branches of different widths."""

import math

import pytest
import torch
from branches import CLOCK, built, plan, rows, views_of, windows
from findna_kit_objectives import Relational
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.components import BranchOutput


def branch(batch, names, dim, seed):
    return rows({name: windows(batch, 8) for name in names}, dim, seed=seed)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def similarity(x):
    """Tung and Mori: `G~ = X X^T`, each row divided by its length."""
    gram = [[dot(a, b) for b in x] for a in x]
    return [[value / math.hypot(*row) for value in row] for row in gram]


def distances(x):
    """Park et al.: distances over their mean; None on the diagonal, which is no pair."""
    apart = [[None if i == j else math.dist(a, b) for j, b in enumerate(x)] for i, a in enumerate(x)]
    known = [value for row in apart for value in row if value is not None]
    return [[None if value is None else value / (sum(known) / len(known)) for value in row] for row in apart]


def huber(gap):
    return gap**2 / 2 if abs(gap) <= 1 else abs(gap) - 0.5


ORACLES = {"similarity": (similarity, lambda gap: gap**2), "distance": (distances, huber)}


@given(st.integers(0, 1000), st.integers(2, 6), st.sampled_from(["similarity", "distance"]), st.sampled_from(["a", "ab"]))
def test_is_its_papers_whatever_the_widths(seed, batch, relation, names):
    student, teacher = branch(batch, "ac", 4, seed), branch(batch, names, 7, seed + 1)
    shape, measure = ORACLES[relation]
    total, cosines, items = 0.0, 0.0, 0
    for ours in student.values():
        for theirs in teacher.values():
            x = theirs.rows.tolist()
            s, t = shape(ours.rows.tolist()), shape(x)
            for i in range(batch):
                for j in range(batch):
                    if s[i][j] is None:
                        continue
                    total += measure(s[i][j] - t[i][j])
                    cosines += dot(x[i], x[j]) / (math.hypot(*x[i]) * math.hypot(*x[j]))
                    items += 1
    loss = built(Relational, relation=relation)
    term = loss(student, teacher, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-3, abs=1e-4)
    assert float(term.metrics["teacher_cosine"]) == pytest.approx(cosines, rel=1e-3, abs=1e-3)
    assert float(loss.count(views_of(student), views_of(teacher))) == items


@pytest.mark.parametrize("relation", ["similarity", "distance"])
def test_a_turned_and_scaled_copy_relates_alike(relation):
    """Into more dimensions, too: nothing is left to learn."""
    student = branch(6, "a", 4, 3)
    basis, _ = torch.linalg.qr(torch.randn(9, 4, generator=torch.Generator().manual_seed(1)))
    teacher = {"a": BranchOutput(student["a"].view, rows=3 * student["a"].rows.detach() @ basis.T)}
    assert built(Relational, relation=relation)(student, teacher, CLOCK).sum.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("relation", ["similarity", "distance"])
def test_the_gradient_is_the_students_and_finite_among_equals(relation):
    student, teacher = branch(5, "a", 4, 0), branch(5, "a", 7, 1)
    student["a"].rows.data[1] = student["a"].rows.data[0]
    term = built(Relational, relation=relation)(student, teacher, CLOCK)
    term.sum.backward()
    assert student["a"].rows.grad.isfinite().all()
    assert student["a"].rows.grad.abs().sum() > 0
    assert teacher["a"].rows.grad is None
    assert not term.metrics["teacher_cosine"].requires_grad
    assert term.state_inputs == {}


@pytest.mark.parametrize("relation", ["similarity", "distance"])
def test_one_sequence_and_equal_ones_are_finite(relation):
    for batch in (1, 3):
        student, teacher = branch(batch, "a", 4, 0), branch(batch, "a", 7, 1)
        for output in (*student.values(), *teacher.values()):
            output.rows.data[:] = output.rows.data[0]
        term = built(Relational, relation=relation)(student, teacher, CLOCK)
        term.sum.backward()
        assert term.sum.item() == pytest.approx(0, abs=1e-6)
        assert student["a"].rows.grad.isfinite().all()


def test_couples_the_batch_and_has_no_head():
    loss = built(Relational)
    assert (Relational.coupling, Relational.head_input, Relational.needs_teacher) == ("batch", "pooled", True)
    assert (loss.twin_heads(), loss.student_heads(), loss.state_dict()) == ({}, {}, {})
    with pytest.raises(ValueError, match="did not compute the rows that this loss reads"):
        loss({"a": BranchOutput(windows(2, 8))}, branch(2, "a", 4, 0), CLOCK)


def test_says_what_it_needs():
    wanted = "needs a view that the student sees and one that the teacher sees; they may be the same"
    assert built(Relational).check_views([plan("a", student=True), plan("b", student=True)]) == wanted
    assert built(Relational).check_views([plan("a", student=True, teacher=True)]) is None
    assert built(Relational).check_views([plan("a", student=True), plan("b", teacher=True)]) is None
    with pytest.raises(ValidationError, match="should be"):
        Relational.Config(relation="angle")
