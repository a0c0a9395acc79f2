"""Tests of the half-life: its formula, its definition, and equality with EDM's."""

import math

import pytest
import torch
from findna_kit_teachers import HalfLifeEMA
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from teaching import Student, assert_buffers_go_as_declared, assert_resumes, build, same, state_of, walk

from findna_kit.components import Clock
from findna_kit.testing import check_teacher_update


def momentum_at(clock, **values):
    return build(HalfLifeEMA, **values)(Student(1), Student(2), clock, {})["momentum"]


@pytest.mark.parametrize("half_life", [1, 4, 13])
def test_after_a_half_life_the_distance_to_a_student_that_stands_is_halved(half_life):
    rule, student = build(HalfLifeEMA, half_life=half_life, buffers="average"), Student(1).double()
    teacher = rule.initial(Student(2).double())
    before = state_of(teacher)
    for periods in (1, 2, 3):
        for step in range(half_life):
            rule(teacher, student, Clock(step, 100), {})
        for name in ("linear.weight", "linear.bias", "running"):
            distance, at_first = (
                teacher.state_dict()[name] - student.state_dict()[name],
                before[name] - student.state_dict()[name],
            )
            torch.testing.assert_close(distance, at_first / 2**periods, rtol=1e-12, atol=1e-14)


@given(st.floats(1e-3, 1e6))
def test_the_momentum_is_two_to_the_minus_one_over_the_half_life(half_life):
    found = momentum_at(Clock(5, 10), half_life=half_life)
    assert found == pytest.approx(math.exp(-math.log(2) / half_life), rel=1e-12)
    batch = 64  # EDM counts images: ema_beta = 0.5 ** (batch_size / ema_halflife_nimg)
    assert found == pytest.approx(0.5 ** (batch / (batch * half_life)), rel=1e-12)


def test_the_default_is_byols_momentum():
    assert momentum_at(Clock(0, 10)) == pytest.approx(0.996, abs=1e-5)


def test_a_half_life_may_follow_a_schedule():
    values = {"half_life": {"linear": {"start": 10, "end": 30}}}
    for step, half_life in ((0, 10), (50, 20), (100, 30)):
        assert momentum_at(Clock(step, 100), **values) == pytest.approx(0.5 ** (1 / half_life), rel=1e-12)


def test_where_a_warm_up_begins_the_teacher_is_the_student():
    rule = build(HalfLifeEMA, half_life={"linear": {"start": 10, "end": 10, "warmup": 0.5}}, buffers="average")
    states, logged = walk(rule, 8)
    assert logged[0] == {"momentum": 0.0}
    assert same(states[0], state_of(Student(1)))
    assert [one["momentum"] for one in logged] == sorted(one["momentum"] for one in logged)
    assert logged[-1]["momentum"] == pytest.approx(0.5**0.1)


def test_a_tiny_half_life_is_a_copy_and_no_error():
    assert momentum_at(Clock(0, 1), half_life=5e-324) == 0.0


def test_buffers_are_copied_or_averaged():
    averaged = assert_buffers_go_as_declared(lambda buffers: build(HalfLifeEMA, half_life=1.0, buffers=buffers))
    expected = Student(0).running
    for step in range(12):
        expected = (expected + Student(step + 1).running) / 2
    torch.testing.assert_close(averaged[-1]["running"], expected)


def test_there_is_no_state_and_the_same_calls_give_the_same():
    rule = build(HalfLifeEMA, half_life=3.0)
    assert rule.state_dict() == {}
    assert_resumes(lambda: build(HalfLifeEMA, half_life=3.0), 9, 4)


@pytest.mark.parametrize("half_life", [-1.0, {"linear": {"start": 3, "end": -1}}])
def test_a_half_life_below_nought_is_refused(half_life):
    with pytest.raises(ValidationError, match="must be at least 0"):
        build(HalfLifeEMA, half_life=half_life)


def test_a_finished_run_gives_the_teacher():
    assert HalfLifeEMA.export_branch == "teacher"


def test_it_conforms():
    check_teacher_update(HalfLifeEMA)
