"""Tests of MoCo against equation 1 in plain numbers: the order, wrapping and filling of the queue, and gradients."""

import math

import pytest
import torch
from branches import CLOCK, built, numbers, plan, views_of, windows
from findna_kit_objectives import MoCo
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.components import BranchOutput

BATCH, OUTPUT, QUEUE = 4, 5, 14
SMALL = {"hidden": 10, "output": OUTPUT, "queue": QUEUE, "temperature": 0.3}


def branch(names, *heads, seed=0):
    return {
        name: BranchOutput(
            windows(BATCH, 8),
            heads={head: numbers(BATCH, OUTPUT, seed=seed + 10 * place + at).requires_grad_() for at, head in enumerate(heads)},
        )
        for place, name in enumerate(names)
    }


def unit(row):
    return [x / math.hypot(*row) for x in row]


def dot(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def oracle(student, teacher, negatives, head="projector"):
    """Equation 1 over pairs of different views and sequences: nats, and how often the right key is the nearest."""
    total, nearest = 0.0, 0
    for s in student:
        for t in teacher:
            if s == t:
                continue
            for q, k in zip(student[s].heads[head].tolist(), teacher[t].heads["projector"].tolist(), strict=True):
                logits = [dot(unit(q), key) / 0.3 for key in (unit(k), *negatives)]
                total += math.log(sum(math.exp(logit) for logit in logits)) - logits[0]
                nearest += logits[0] == max(logits)
    return total, nearest


def keys_of(teacher):
    """In global order: sequence by sequence, every view of it."""
    return [unit(view.heads["projector"][row].tolist()) for row in range(BATCH) for view in teacher.values()]


@pytest.mark.parametrize(("layers", "head"), [(0, "projector"), (2, "predictor")])
def test_equation_1_with_the_queue_as_negatives(layers, head):
    """First empty, then half full, then wrapped round; each step's keys are the next step's newest negatives."""
    loss, queue = built(MoCo, **SMALL, predictor_layers=layers), []
    for step in range(4):
        student = branch("abc", "projector", "predictor", seed=100 * step)
        teacher = branch("ab", "projector", seed=100 * step + 50)
        term = loss(student, teacher, CLOCK)
        nats, nearest = oracle(student, teacher, queue, head)
        items = float(loss.count(views_of(student), views_of(teacher)))
        assert items == 4 * BATCH
        assert term.sum.item() == pytest.approx(nats, rel=1e-5, abs=1e-5)
        assert float(term.metrics["accuracy"]) == nearest
        assert float(term.metrics["negatives"]) / items == len(queue)
        loss.after_step(term.state_inputs, CLOCK)
        queue = (queue + keys_of(teacher))[-QUEUE:]
    assert len(queue) == QUEUE


def test_before_any_key_has_come_there_is_nothing_to_learn():
    loss, student, teacher = built(MoCo, **SMALL), branch("a", "projector"), branch("b", "projector", seed=7)
    term = loss(student, teacher, CLOCK)
    term.sum.backward()
    assert term.sum.item() == 0
    assert student["a"].heads["projector"].grad.eq(0).all(), "zero, and finite"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_the_queue_holds_the_last_keys_and_each_takes_the_oldests_place(sizes):
    """Whatever a step brings, more than there are slots included."""
    loss, came = built(MoCo, hidden=4, output=2, queue=5), []
    for size in sizes:
        keys = torch.arange(len(came), len(came) + size, dtype=torch.float32).view(size, 1, 1).expand(size, 1, 2)
        loss.after_step({"keys": keys}, CLOCK)
        came += range(len(came), len(came) + size)
    held = loss.queue[: len(came), 0].tolist()
    assert sorted(held) == came[-5:]
    assert all(int(key) % 5 == slot for slot, key in enumerate(held))
    assert int(loss.received) == len(came)


def test_its_state_is_the_queue_and_how_many_keys_came():
    loss = built(MoCo, **SMALL)
    loss.after_step({"keys": numbers(BATCH, 2, OUTPUT)}, CLOCK)
    other = built(MoCo, **SMALL)
    other.load_state_dict(loss.state_dict())
    assert other.queue.equal(loss.queue)
    assert int(other.received) == 2 * BATCH


def test_only_the_student_gets_a_gradient():
    loss, student, teacher = built(MoCo, **SMALL), branch("a", "projector"), branch("b", "projector", seed=7)
    loss.after_step({"keys": torch.nn.functional.normalize(numbers(BATCH, 1, OUTPUT, seed=3), dim=-1)}, CLOCK)
    loss(student, teacher, CLOCK).sum.backward()
    assert student["a"].heads["projector"].grad.abs().sum() > 0
    assert teacher["b"].heads["projector"].grad is None


def test_spread_falls_to_0_where_queries_are_what_the_queue_holds():
    loss = built(MoCo, **SMALL)
    ones = {"projector": torch.ones(BATCH, OUTPUT)}
    student, teacher = ({name: BranchOutput(windows(BATCH, 8), heads=ones)} for name in "ab")
    first = loss(student, teacher, CLOCK)
    loss.after_step(first.state_inputs, CLOCK)
    assert float(first.metrics["spread"]) / BATCH == pytest.approx(1)
    assert float(loss(student, teacher, CLOCK).metrics["spread"]) / BATCH == pytest.approx(0, abs=1e-6)
    assert loss(student, teacher, CLOCK).sum.item() / BATCH == pytest.approx(math.log(1 + BATCH), rel=1e-5), (
        "no better than a guess"
    )


def test_heads_are_v2s_or_v3s():
    assert built(MoCo, **SMALL).student_heads() == {}
    loss = built(MoCo, dim=6, **SMALL, predictor_layers=2)
    assert loss.coupling == "sample"
    (projector,), (predictor,) = loss.twin_heads().values(), loss.student_heads().values()
    assert predictor(projector(numbers(3, 6))).shape == (3, OUTPUT)


def test_views_that_make_no_pair_are_refused():
    assert "and a different one" in built(MoCo, **SMALL).check_views([plan("a", student=True, teacher=True)])
    assert built(MoCo, **SMALL).check_views([plan("a", student=True), plan("b", teacher=True)]) is None


@pytest.mark.parametrize("wrong", [{"queue": 0}, {"temperature": 0}, {"momentum": 0.999}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        MoCo.Config(**wrong)
