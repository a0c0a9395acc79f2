"""The teacher updates that create and update the teacher."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from findna_kit.builtin.teacher_updates.ema import EMA
from findna_kit.builtin.teacher_updates.frozen import Frozen
from findna_kit.builtin.teacher_updates.none import NoTeacher
from findna_kit.builtin.teacher_updates.periodic import PeriodicCopy
from findna_kit.schedules import Clock


class Student(nn.Module):
    """Parameters, and a buffer of either kind."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, 4)
        self.register_buffer("running", torch.randn(5))
        self.register_buffer("seen", torch.tensor(seed))


def ema(momentum=0.9, **values):
    return EMA(EMA.Config.model_validate({"momentum": momentum, **values}))


def periodic(every):
    return PeriodicCopy(PeriodicCopy.Config(every=every))


RULES = (ema(), Frozen(Frozen.Config()), NoTeacher(NoTeacher.Config()), periodic(4))


def state_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(rule, step=3):
    """A teacher that differs from its student, before and after one update."""
    student = Student(1)
    teacher = rule.initial(Student(2))
    before = state_of(teacher)
    logged = rule(teacher, student, Clock(step, 10), {})
    return before, state_of(student), state_of(teacher), logged


@pytest.mark.parametrize("rule", RULES)
def test_the_first_teacher_is_a_copy_without_gradient(rule):
    student = Student()
    teacher = rule.initial(student)
    assert all(value.equal(state_of(student)[name]) for name, value in teacher.state_dict().items())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())
    with torch.no_grad():
        student.linear.weight.add_(1)
    assert not teacher.linear.weight.equal(student.linear.weight)


@given(st.floats(0, 1))
def test_the_teacher_moves_by_the_formula_and_the_student_not_at_all(momentum):
    before, student, after, logged = moved(ema(momentum))
    for name in ("linear.weight", "linear.bias"):
        assert after[name].allclose(momentum * before[name] + (1 - momentum) * student[name], atol=1e-6)
    assert all(value.equal(Student(1).state_dict()[name]) for name, value in student.items())
    assert logged == {"momentum": momentum}


def test_momentum_one_keeps_the_teacher_and_zero_copies_the_student():
    before, _, after, _ = moved(ema(1.0))
    assert after["linear.weight"].equal(before["linear.weight"])
    _, student, after, _ = moved(ema(0.0))
    assert after["linear.weight"].equal(student["linear.weight"])


@given(st.floats(0, 1))
def test_a_teacher_equal_to_the_student_stays_equal(momentum):
    rule, student = ema(momentum, buffers="average"), Student()
    teacher = rule.initial(student)
    rule(teacher, student, Clock(0, 10), {})
    assert all(value.equal(state_of(student)[name]) for name, value in teacher.state_dict().items())


def test_buffers_are_copied_or_averaged_and_integers_always_copied():
    before, student, after, _ = moved(ema(0.75))
    assert after["running"].equal(student["running"])
    assert int(after["seen"]) == 1
    before, student, after, _ = moved(ema(0.75, buffers="average"))
    assert after["running"].allclose(0.75 * before["running"] + 0.25 * student["running"])
    assert int(after["seen"]) == 1


@given(st.integers(1, 50_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_schedule_is_the_references_half_cosine(clock):
    step, steps = clock
    m_start, m_end = 0.996, 1.0
    reference = m_end - (m_end - m_start) * (math.cos(math.pi * step / steps) + 1) / 2
    for rule in (EMA(EMA.Config()), ema({"cosine": {"start": m_start, "end": m_end}})):
        logged = rule(rule.initial(Student()), Student(), Clock(step, steps), {})
        assert logged["momentum"] == pytest.approx(reference, rel=1e-14)


def test_the_teacher_converges_to_a_constant_student():
    rule, student = ema(0.9), Student(1)
    teacher = rule.initial(Student(2))
    start = state_of(teacher)["linear.weight"]
    for step in range(20):
        rule(teacher, student, Clock(step, 20), {})
    expected = student.linear.weight + (start - student.linear.weight) * 0.9**20
    assert teacher.linear.weight.allclose(expected, atol=1e-5)


def test_no_teacher_of_its_own_is_the_student_after_every_step():
    _, student, after, logged = moved(NoTeacher(NoTeacher.Config()))
    assert all(value.equal(student[name]) for name, value in after.items())
    assert logged == {}


@given(st.integers(0, 20))
def test_a_frozen_teacher_moves_at_no_step(step):
    before, _, after, logged = moved(Frozen(Frozen.Config()), step)
    assert all(value.equal(before[name]) for name, value in after.items()), "buffers and integers neither"
    assert logged == {}


@given(st.integers(1, 12), st.integers(0, 40))
def test_a_periodic_copy_is_made_where_the_steps_done_are_a_multiple(every, step):
    before, student, after, logged = moved(periodic(every), step)
    expected = student if step + 1 in range(every, 100, every) else before
    assert all(value.equal(expected[name]) for name, value in after.items())
    assert logged == {}


def test_between_copies_the_teacher_is_the_student_of_the_last_one():
    rule, student = periodic(3), Student()
    teacher = rule.initial(student)
    seen = []
    for step in range(8):
        with torch.no_grad():
            student.linear.weight.fill_(step + 1)  # as after the optimizer's step
            student.running.fill_(step + 1)
            student.seen.fill_(step + 1)
        rule(teacher, student, Clock(step, 8), {})
        seen.append((float(teacher.linear.weight.mean()), float(teacher.running.mean()), int(teacher.seen)))
    assert seen[2:] == [(3, 3, 3)] * 3 + [(6, 6, 6)] * 3
    assert seen[0] == seen[1] != (1, 1, 1), "until then it is the initial student"


def test_the_exported_branch_is_declared():
    assert EMA.export_branch == "teacher"
    assert {rule.export_branch for rule in (Frozen, NoTeacher, PeriodicCopy)} == {"student"}


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_have_no_state_and_refuse_one(rule):
    assert rule.state_dict() == {}
    rule.load_state_dict({})
    with pytest.raises(ValueError, match=r"keeps no state, but was given \['step'\]"):
        rule.load_state_dict({"step": torch.ones(())})


@pytest.mark.parametrize("every", [0, -1])
def test_a_period_below_one_step_is_refused(every):
    with pytest.raises(ValidationError, match="greater than 0"):
        PeriodicCopy.Config(every=every)


@pytest.mark.parametrize("momentum", [-0.1, 1.1, {"cosine": {"start": 0.9, "end": 1.01}}])
def test_a_momentum_outside_zero_and_one_is_refused(momentum):
    with pytest.raises(ValidationError, match="must be between 0 and 1"):
        EMA.Config.model_validate({"momentum": momentum})
