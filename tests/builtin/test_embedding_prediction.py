"""The loss `embedding_prediction` against its formula in plain loops; views, gradients, state and refusals."""

import math

import pytest
import torch
from pydantic import ValidationError

from findna_kit.builtin.losses.embedding_prediction import EmbeddingPrediction
from findna_kit.builtin.maskings.independent import IndependentMasking
from findna_kit.components import BranchOutput, Clock, ViewPlan
from findna_kit.errors import FindnaError
from tests.windows import draw, random_windows

CLOCK = Clock(3, 10)
BATCH, DIM, TOKENS = 5, 3, 2


def loss_of(dim=DIM, class_tokens=TOKENS, **values):
    return EmbeddingPrediction(EmbeddingPrediction.Config.model_validate(values), dim=dim, class_tokens=class_tokens)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def masked_view(batch=BATCH):
    return IndependentMasking(IndependentMasking.Config())(random_windows(batch, 12), draw(0, rows=batch))


def branches(*shape, names=("masked",), batch=BATCH, grad=False):
    """Return outputs of student and teacher with random embeddings and predictions, [batch, *shape]."""
    made = {}
    for place, name in enumerate(names):
        s, h, t = (numbers(batch, *shape, seed=3 * place + at) / 2 for at in range(3))
        if grad:
            s, h, t = (one.requires_grad_() for one in (s, h, t))
        view = masked_view(batch)
        made[name] = BranchOutput(view, rows=s, heads={"predictor": h}), BranchOutput(view, rows=t)
    return {name: pair[0] for name, pair in made.items()}, {name: pair[1] for name, pair in made.items()}


def value(loss, student, teacher):
    output = loss(student, teacher, CLOCK)
    items = float(loss.count({name: one.view for name, one in student.items()}, {name: 0 for name in teacher}))
    return float(output.sum) / items, {name: float(metric) / items for name, metric in output.metrics.items()}


def terms(s, h, t):
    """Return the squared error, v(s) and c(s) with the numbers of VICReg, in plain loops."""
    error = [(a - b) ** 2 for x, y in zip(h.tolist(), t.tolist(), strict=True) for a, b in zip(x, y, strict=True)]
    columns = [list(column) for column in zip(*s.tolist(), strict=True)]
    centred = [[x - sum(column) / len(column) for x in column] for column in columns]
    matrix = [[sum(a * b for a, b in zip(i, j, strict=True)) / (len(s) - 1) for j in centred] for i in centred]
    hinge = [max(0.0, 1 - math.sqrt(matrix[k][k] + 1e-4)) for k in range(DIM)]
    rest = [matrix[i][j] ** 2 for i in range(DIM) for j in range(DIM) if i != j]
    return sum(error) / len(error), sum(hinge) / DIM, sum(rest) / DIM


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 2.0, 3.0)])
def test_it_is_its_formula(weights):
    names = ("prediction", "variance", "covariance")
    student, teacher = branches(DIM)
    loss, metrics = value(loss_of(**dict(zip(names, weights, strict=True))), student, teacher)
    one = student["masked"]
    expected = terms(one.rows, one.heads["predictor"], teacher["masked"].rows)
    assert loss == pytest.approx(sum(weight * term for weight, term in zip(weights, expected, strict=True)), rel=1e-4)
    assert [metrics[name] for name in names] == pytest.approx(expected, rel=1e-4)


def test_the_weights_are_those_of_vicreg():
    config = EmbeddingPrediction.Config()
    assert (config.prediction, config.variance, config.covariance, config.target) == (25.0, 25.0, 1.0, 1.0)


def test_each_class_token_is_predicted_and_regularised_by_itself():
    student, teacher = branches(TOKENS, DIM)
    loss, _ = value(loss_of(reads="class"), student, teacher)
    one, other = student["masked"], teacher["masked"].rows
    alone = [terms(one.rows[:, c], one.heads["predictor"][:, c], other[:, c]) for c in range(TOKENS)]
    expected = sum(25 * error + 25 * hinge + rest for error, hinge, rest in alone) / TOKENS
    assert loss == pytest.approx(expected, rel=1e-4)


def test_views_are_averaged_and_those_of_one_branch_or_without_a_mask_do_not_count():
    student, teacher = branches(DIM, names=("one", "two", "alone", "clean"))
    del teacher["alone"]
    clean = random_windows(BATCH, 12)
    student["clean"] = BranchOutput(clean, rows=numbers(BATCH, DIM), heads={"predictor": numbers(BATCH, DIM)})
    whole, _ = value(loss_of(), student, teacher)
    alone = [value(loss_of(), {name: student[name]}, {name: teacher[name]})[0] for name in ("one", "two")]
    assert whole == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_the_gradient_reaches_embedding_and_prediction_and_not_the_teacher():
    student, teacher = branches(DIM, grad=True)
    loss_of()(student, teacher, CLOCK).sum.backward()
    assert float(student["masked"].rows.grad.abs().sum()) > 0
    assert float(student["masked"].heads["predictor"].grad.abs().sum()) > 0
    assert teacher["masked"].rows.grad is None


def test_a_collapse_shows_in_the_deviation():
    student, _ = branches(DIM)
    same = BranchOutput(student["masked"].view, rows=torch.ones(BATCH, DIM), heads={"predictor": torch.ones(BATCH, DIM)})
    loss, metrics = value(loss_of(), {"masked": same}, {"masked": BranchOutput(same.view, rows=torch.ones(BATCH, DIM))})
    assert metrics["deviation"] == pytest.approx(0.01), "what epsilon leaves"
    assert loss == pytest.approx(25 * 0.99), "a perfect prediction of a constant costs the hinge"


def test_what_it_reads_and_its_heads():
    loss = loss_of()
    assert (loss.head_input, loss.coupling, loss.needs_teacher) == ("pooled", "batch", True)
    assert loss_of(reads="class").head_input == "class"
    assert loss.twin_heads() == {}
    (predictor,) = loss.student_heads().values()
    assert predictor(numbers(2, DIM)).shape == (2, DIM)


def test_a_teacher_of_another_width_is_refused():
    student, teacher = branches(DIM)
    wide = {"masked": BranchOutput(teacher["masked"].view, rows=numbers(BATCH, DIM + 1))}
    with pytest.raises(FindnaError, match="the teacher's embeddings have width 4, the student's 3; use a teacher of the same"):
        loss_of()(student, wide, CLOCK)


def test_embeddings_that_were_not_computed_are_an_error():
    student, _ = branches(DIM)
    with pytest.raises(ValueError, match="did not compute the rows"):
        loss_of()(student, {"masked": BranchOutput(student["masked"].view)}, CLOCK)


def plan(name, *, student=False, teacher=False, masked=False):
    return ViewPlan(name, student=student, teacher=teacher, masked=masked)


def test_views_that_do_not_suit_are_refused_with_the_reason():
    both = plan("a", student=True, teacher=True, masked=True)
    why = "needs a view with `mask` that both branches see: set `see: [student, teacher]`"
    assert loss_of().check_views([both]) is None
    assert loss_of().check_views([plan("a", student=True, teacher=True)]) == why
    assert loss_of().check_views([plan("a", student=True, masked=True), plan("b", teacher=True)]) == why
    assert loss_of(class_tokens=0).check_views([both]) is None
    assert loss_of(class_tokens=0, reads="class").check_views([both]).startswith("reads class tokens")


@pytest.mark.parametrize("wrong", [{"variance": -1}, {"target": 0}, {"epsilon": 0}, {"reads": "masked"}, {"layers": 0}])
def test_parameters_without_a_meaning_are_refused(wrong):
    with pytest.raises(ValidationError):
        EmbeddingPrediction.Config.model_validate(wrong)
