"""Tests of BYOL against equation 2 in plain numbers: symmetry, heads, the mean of the spread, gradients."""

import math

import pytest
import torch
from branches import CLOCK, built, numbers, plan, views_of, windows
from findna_kit_objectives import BYOL
from pydantic import ValidationError

from findna_kit.components import BatchNorm, BranchOutput

BATCH, OUTPUT = 5, 4
SMALL = {"hidden": 10, "output": OUTPUT}


def branch(names, *heads, seed=0):
    return {
        name: BranchOutput(
            windows(BATCH, 8),
            heads={head: numbers(BATCH, OUTPUT, seed=seed + 10 * place + at).requires_grad_() for at, head in enumerate(heads)},
        )
        for place, name in enumerate(names)
    }


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def oracle(student, teacher, head):
    """Equation 2, `|q/|q| - z/|z||^2`, over pairs of different views and sequences."""
    total = 0.0
    for s, guess in student.items():
        for t, target in teacher.items():
            if s != t:
                rows = zip(guess.heads[head].tolist(), target.heads["projector"].tolist(), strict=True)
                for q, z in rows:
                    total += sum((a / math.hypot(*q) - b / math.hypot(*z)) ** 2 for a, b in zip(q, z, strict=True))
    return total


@pytest.mark.parametrize("layers", [2, 0])
def test_equation_2_over_pairs_of_different_views(layers):
    """Two views that both branches see, and one that the student alone sees; without a predictor, projections meet."""
    loss = built(BYOL, **SMALL, predictor_layers=layers)
    student, teacher = branch("abc", "projector", "predictor", seed=1), branch("ab", "projector", seed=100)
    term = loss(student, teacher, CLOCK)
    assert term.sum.item() == pytest.approx(oracle(student, teacher, "predictor" if layers else "projector"), rel=1e-5)
    assert float(loss.count(views_of(student), views_of(teacher))) == 4 * BATCH


def test_two_views_of_both_branches_make_the_papers_symmetric_loss():
    """Its mean is half of L + L~, which the paper adds up; 2 - 2 cos is equation 2 written out."""
    loss = built(BYOL, **SMALL)
    student, teacher = branch("ab", "projector", "predictor", seed=1), branch("ab", "projector", seed=100)
    ways = [
        sum(
            2 - 2 * cosine(q, z)
            for q, z in zip(student[s].heads["predictor"].tolist(), teacher[t].heads["projector"].tolist(), strict=True)
        )
        / BATCH
        for s, t in ("ab", "ba")
    ]
    mean = loss(student, teacher, CLOCK).sum.item() / float(loss.count(views_of(student), views_of(teacher)))
    assert mean == pytest.approx(sum(ways) / 2, rel=1e-5)


def test_a_right_guess_costs_0_and_the_opposite_4_whatever_their_lengths():
    loss = built(BYOL, **SMALL)
    teacher = branch("b", "projector")
    for scale, expected in ((3.0, 0.0), (-0.5, 4.0)):
        heads = {"projector": numbers(BATCH, OUTPUT), "predictor": teacher["b"].heads["projector"].detach() * scale}
        term = loss({"a": BranchOutput(windows(BATCH, 8), heads=heads)}, teacher, CLOCK)
        assert term.sum.item() / BATCH == pytest.approx(expected, abs=1e-5)


def test_only_the_student_gets_a_gradient():
    student, teacher = branch("ab", "projector", "predictor", seed=1), branch("ab", "projector", seed=100)
    built(BYOL, **SMALL)(student, teacher, CLOCK).sum.backward()
    assert student["a"].heads["predictor"].grad.abs().sum() > 0
    assert teacher["a"].heads["projector"].grad is None


def mean_projection(student):
    rows = [[x / math.hypot(*row) for x in row] for view in student.values() for row in view.heads["projector"].tolist()]
    return [sum(channel) / len(rows) for channel in zip(*rows, strict=True)]


def test_spread_is_that_of_the_batch_where_it_is_coupled():
    loss = built(BYOL, **SMALL)
    student, teacher = branch("ab", "projector", "predictor", seed=1), branch("ab", "projector", seed=100)
    term = loss(student, teacher, CLOCK)
    expected = 1 - sum(x * x for x in mean_projection(student))
    assert float(term.metrics["spread"]) / (2 * BATCH) == pytest.approx(expected, rel=1e-5)
    assert not term.state_inputs
    loss.after_step(term.state_inputs, CLOCK)
    assert not loss.state_dict()


def test_spread_is_measured_around_the_last_batchs_mean_where_it_is_not():
    loss = built(BYOL, **SMALL, norm="none")
    student, teacher = branch("ab", "projector", "predictor", seed=1), branch("ab", "projector", seed=100)
    term = loss(student, teacher, CLOCK)
    assert float(term.metrics["spread"]) / (2 * BATCH) == pytest.approx(1), "around 0, before the first step"
    loss.after_step(term.state_inputs, CLOCK)
    mean = mean_projection(student)
    torch.testing.assert_close(loss.mean, torch.tensor(mean))
    spread = float(loss(student, teacher, CLOCK).metrics["spread"]) / (2 * BATCH)
    assert spread == pytest.approx(1 - sum(x * x for x in mean), rel=1e-5)
    assert "mean" in loss.state_dict()


def test_heads_fit_onto_each_other_and_normalise_by_the_batch():
    loss = built(BYOL, dim=6, **SMALL)
    assert loss.coupling == "batch"
    (projector,), (predictor,) = loss.twin_heads().values(), loss.student_heads().values()
    assert predictor(projector(numbers(BATCH, 6))).shape == (BATCH, OUTPUT)
    for head in (projector, predictor):
        assert [type(part) for part in head if isinstance(part, BatchNorm)] == [BatchNorm], "hidden layers alone"


def test_without_normalisation_sequences_do_not_meet():
    loss = built(BYOL, **SMALL, norm="none")
    assert loss.coupling == "sample"
    assert not [
        part for head in (loss.twin_heads() | loss.student_heads()).values() for part in head if isinstance(part, BatchNorm)
    ]


def test_without_a_predictor_there_is_no_head_of_the_students():
    assert built(BYOL, **SMALL, predictor_layers=0).student_heads() == {}


def test_views_that_make_no_pair_are_refused():
    loss = built(BYOL, **SMALL)
    assert "and a different one" in loss.check_views([plan("a", student=True, teacher=True)])
    assert loss.check_views([plan("a", student=True), plan("b", teacher=True)]) is None


@pytest.mark.parametrize(
    "wrong", [{"hidden": 0}, {"layers": 0}, {"norm": "layer"}, {"predictor_layers": -1}, {"momentum": 0.9}]
)
def test_what_makes_no_head_is_refused(wrong):
    with pytest.raises(ValidationError):
        BYOL.Config(**wrong)
