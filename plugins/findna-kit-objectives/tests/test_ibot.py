"""Tests of iBOT against plain loops over bases: pairs through origin, three kinds of centring, state, invalid parameters."""

import math

import pytest
import torch
from branches import (
    CLOCK,
    assert_information,
    balanced,
    built,
    cross_entropy,
    masked,
    numbers,
    plan,
    shown,
    softmax,
    views_of,
    windows,
)
from findna_kit_objectives import IBOT
from hypothesis import given, settings
from hypothesis import strategies as st
from test_origins import moved

from findna_kit.components import Clock

BATCH, LENGTH, PROTOTYPES = 3, 10, 5
SMALL = {"layers": 2, "hidden": 10, "bottleneck": 4, "prototypes": PROTOTYPES}


def ibot(**values):
    return built(IBOT, **SMALL | values)


def per_base(view):
    return view.tokens.shape[1], PROTOTYPES


def branches(seed):
    """The student sees two masked views and a plain one, the teacher one of those and another."""
    window = windows(BATCH, LENGTH, seed=seed)
    views = {
        "a": masked(moved(window, seed), 6, seed=seed),
        "b": masked(moved(window, seed + 1), 4),
        "c": moved(window, seed + 2),
    }
    student = shown(views, "logits", per_base, seed=seed)
    return student, shown({"a": views["a"], "d": moved(window, seed + 3)}, "logits", per_base, seed=seed + 1)


def pairs(student, teacher, which):
    """(student's logits, teacher's logits, weight) of every masked base that the teacher sees, as lists."""
    for s, ours in student.items():
        for t, theirs in teacher.items():
            if {"same": s != t, "other": s == t, "any": False}[which]:
                continue
            for row in range(BATCH):
                places = {origin: place for place, origin in enumerate(theirs.view.origin[row].tolist()) if origin >= 0}
                for index, weight in zip(
                    ours.view.masked_index[row].tolist(), ours.view.masked_weight[row].tolist(), strict=True
                ):
                    place = places.get(int(ours.view.origin[row, index]))
                    if place is not None and weight > 0:
                        yield ours.heads["logits"][row, index].tolist(), theirs.heads["logits"][row, place].tolist(), weight


def assignments(found, centering, center, t_teacher):
    """q of every pair, as lists."""
    if centering == "sinkhorn":
        return balanced([q for _, q, _ in found], t_teacher, 3, weight=[weight for *_, weight in found])
    return [softmax([(x - c) / t_teacher for x, c in zip(q, center, strict=True)]) for _, q, _ in found]


def oracle(found, centering, center, t_student, t_teacher):
    targets = assignments(found, centering, center, t_teacher)
    total = entropy = 0.0
    for (logits, _, weight), q in zip(found, targets, strict=True):
        total += weight * cross_entropy(q, softmax([x / t_student for x in logits]))
        entropy += weight * cross_entropy(q, q)
    return total, entropy


@given(
    st.integers(0, 1000), st.sampled_from(["same", "other", "any"]), st.sampled_from(["center", "sinkhorn", "none"]),
    st.floats(0.1, 1), st.floats(0.1, 1),
)  # fmt: skip
@settings(max_examples=25)
def test_is_the_papers_over_masked_bases(seed, which, centering, t_student, t_teacher):
    loss = ibot(partners=which, centering=centering, student_temperature=t_student, teacher_temperature=t_teacher)
    center = [0.0] * PROTOTYPES
    if centering == "center":
        loss.center.copy_(numbers(PROTOTYPES, seed=seed))
        center = loss.center.tolist()
    student, teacher = branches(seed)
    found = list(pairs(student, teacher, which))
    total, entropy = oracle(found, centering, center, t_student, t_teacher) if found else (0.0, 0.0)
    term = loss(student, teacher, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-3, abs=1e-5)
    assert float(loss.count(views_of(student), views_of(teacher))) == sum(weight for *_, weight in found)
    metrics = {name: float(value) for name, value in term.metrics.items()}
    assert metrics["teacher_entropy"] == pytest.approx(entropy, rel=1e-3, abs=1e-3)
    assert metrics["teacher_entropy_share"] == pytest.approx(entropy / math.log(PROTOTYPES), rel=1e-3, abs=1e-3)
    assert metrics["divergence"] == pytest.approx(total - entropy, rel=1e-3, abs=1e-2)
    if found:
        q = assignments(found, centering, center, t_teacher)
        assert_information(
            loss, term, float(sum(weight for *_, weight in found)), torch.tensor(q), torch.tensor([w for *_, w in found])
        )


@pytest.mark.parametrize("centering", ["center", "sinkhorn", "none"])
def test_only_masked_bases_with_a_partner_get_a_gradient(centering):
    loss = ibot(partners="same", centering=centering)
    student, teacher = branches(3)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    term = loss(student, teacher, CLOCK)
    term.sum.backward()
    view = student["a"].view
    hidden = torch.zeros(BATCH, LENGTH).scatter_add(1, view.masked_index, view.masked_weight) > 0
    assert (student["a"].heads["logits"].grad.abs().sum(-1) > 0).equal(hidden)
    assert student["b"].heads["logits"].grad is None
    assert all(output.heads["logits"].grad is None for output in teacher.values())
    assert term.sum.equal(loss(student, teacher, CLOCK).sum)
    assert all(value.equal(before[name]) for name, value in loss.state_dict().items())


@pytest.mark.parametrize("centering", ["center", "sinkhorn", "none"])
def test_without_a_single_pair_it_is_nothing(centering):
    window = windows(BATCH, LENGTH)
    absent = window.gather(torch.full((BATCH, LENGTH), -1), inserted=torch.zeros(BATCH, LENGTH, dtype=torch.int64))
    student = shown({"a": masked(window, 4)}, "logits", per_base)
    teacher = shown({"b": absent}, "logits", per_base, seed=1)
    loss = ibot(centering=centering)
    term = loss(student, teacher, CLOCK)
    term.sum.backward()
    assert (term.sum.item(), float(loss.count(views_of(student), views_of(teacher)))) == (0, 0)
    assert student["a"].heads["logits"].grad.eq(0).all()


def test_the_centre_is_the_mean_over_valid_positions_of_the_teachers_views():
    loss, before = ibot(center_momentum=0.8), numbers(PROTOTYPES)
    loss.center.copy_(before)
    student, teacher = branches(5)
    state_inputs = loss(student, teacher, CLOCK).state_inputs
    loss.after_step(state_inputs, Clock(50, 100))
    means = [
        torch.stack([q for q, valid in zip(logits, view.valid[row], strict=True) if valid]).mean(0)
        for output in teacher.values()
        for view in [output.view]
        for row, logits in enumerate(output.heads["logits"].detach())
    ]
    torch.testing.assert_close(loss.center, 0.8 * before + 0.2 * torch.stack(means).mean(0))
    assert state_inputs["logits"].shape == (BATCH, PROTOTYPES)
    assert not state_inputs["logits"].requires_grad


def test_what_couples_and_what_is_state():
    kinds = {centering: ibot(centering=centering) for centering in ("center", "sinkhorn", "none")}
    assert [name for name, loss in kinds.items() if loss.coupling == "batch"] == ["sinkhorn"]
    assert [name for name, loss in kinds.items() if loss.state_dict()] == ["center"]
    assert kinds["sinkhorn"](*branches(1), CLOCK).state_inputs == {}
    heads = kinds["center"].twin_heads()
    assert heads["logits"](heads["projector"](numbers(2, LENGTH, 6))).shape == (2, LENGTH, PROTOTYPES)
    assert (IBOT.head_input, IBOT.needs_teacher, IBOT.coupling) == ("all", True, "sample")


def test_says_what_it_needs():
    alone, both = plan("a", student=True, masked=True), plan("a", student=True, teacher=True, masked=True)
    other = plan("b", teacher=True)
    assert ibot().check_views([plan("a", student=True), other]) == "needs a view with `mask` that the student sees"
    assert [ibot(partners=which).check_views([alone, other]) is None for which in ("same", "other", "any")] == [
        False,
        True,
        True,
    ]
    assert [ibot(partners=which).check_views([both]) is None for which in ("same", "other", "any")] == [True, False, True]
    assert ibot(partners="same").check_views([alone, other]).startswith("needs the teacher to see that view")
    assert ibot().check_views([alone]).startswith("needs the teacher to see some view")
