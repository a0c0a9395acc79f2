"""Tests of SWA against a mean computed by hand."""

import pytest
import torch
from findna_kit_teachers import SWA
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from teaching import Student, assert_buffers_go_as_declared, assert_resumes, build, same, state_of, walk

from findna_kit.testing import check_teacher_update


def mean_of(steps, name):
    """Of the students that stood after these numbers of steps."""
    return torch.stack([Student(step).state_dict()[name].double() for step in steps]).mean(0)


def test_twenty_moves_give_the_mean_of_twenty_students():
    states, logged = walk(build(SWA, start=0.0), 20)
    for done in range(1, 21):
        for name in ("linear.weight", "linear.bias"):
            mean = mean_of(range(1, done + 1), name)
            torch.testing.assert_close(states[done - 1][name].double(), mean, rtol=1e-5, atol=1e-6)
    assert [said["averaged"] for said in logged] == list(range(1, 21))


def test_the_papers_recurrence():
    """Algorithm 1: `w_SWA <- (w_SWA n_models + w) / (n_models + 1)`, every c steps."""
    c, steps = 3, 24
    states, _ = walk(build(SWA, start=0.5, every=c), steps)
    average = Student(12).linear.weight.double()  # the pretrained weights, which the average begins with
    for i in range(1, 13):
        if i % c == 0:
            n_models = i // c
            average = (average * n_models + Student(12 + i).linear.weight.double()) / (n_models + 1)
        torch.testing.assert_close(states[12 + i - 1]["linear.weight"].double(), average, rtol=1e-5, atol=1e-6)


def test_before_that_the_teacher_is_the_student():
    states, logged = walk(build(SWA, start=0.5, buffers="average"), 10)
    for done in range(1, 6):
        assert same(states[done - 1], state_of(Student(done)))
    assert [said["averaged"] for said in logged] == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]


def test_between_two_students_of_the_average_it_stands():
    states, _ = walk(build(SWA, start=0.0, every=4, buffers="average"), 12)
    assert all(same(states[done - 1], states[done - 2]) for done in range(1, 13) if done % 4 != 1 and done > 1)
    assert not same(states[4], states[3])


@given(st.integers(1, 40), st.integers(0, 9), st.integers(1, 7))
def test_what_goes_into_the_average(steps, tenths, every):
    states, logged = walk(build(SWA, start=tenths / 10, every=every), steps)
    first = max(1, -(-tenths * steps // 10))  # in whole numbers, where nothing is rounded
    members = list(range(first, steps + 1, every))
    assert logged[-1] == {"averaged": len(members)}
    mean = mean_of(members, "linear.weight")
    torch.testing.assert_close(states[-1]["linear.weight"].double(), mean, rtol=1e-5, atol=1e-6)


def test_a_share_that_is_a_whole_number_of_steps_is_not_rounded_up():
    assert 0.28 * 25 > 7
    _, logged = walk(build(SWA, start=0.28), 25)
    assert [said["averaged"] for said in logged].index(1) == 6


def test_buffers_are_copied_or_averaged():
    averaged = assert_buffers_go_as_declared(lambda buffers: build(SWA, start=0.0, buffers=buffers))
    torch.testing.assert_close(averaged[-1]["running"].double(), mean_of(range(1, 13), "running"), rtol=1e-5, atol=1e-6)


def test_the_count_is_state():
    rule = build(SWA, start=0.25)
    assert rule.state_dict() == {"averaged": torch.tensor(0)}
    walk(rule, 20)
    assert rule.state_dict() == {"averaged": torch.tensor(16)}


@pytest.mark.parametrize("cut", [0, 3, 9, 10, 14])
def test_resumed_it_goes_on_to_the_bit(cut):
    assert_resumes(lambda: build(SWA, start=0.5, every=2, buffers="average"), 20, cut)


def test_without_its_count_it_would_not():
    """So the state is needed: a rule that begins anew in the middle averages something else."""
    whole, _ = walk(build(SWA, start=0.0), 10)
    teacher = Student(0)
    walk(build(SWA, start=0.0), 10, teacher=teacher)
    teacher.load_state_dict(whole[4])
    rest, _ = walk(build(SWA, start=0.0), 10, teacher=teacher, begin=5)
    assert not same(rest[-1], whole[-1])


@pytest.mark.parametrize("state", [{}, {"averaged": torch.tensor(1), "step": torch.tensor(2)}])
def test_a_strange_state_is_refused(state):
    with pytest.raises(ValueError, match="the state of swa must contain averaged, but contains"):
        build(SWA).load_state_dict(state)


@pytest.mark.parametrize("wrong", [{"start": 1.0}, {"start": -0.1}, {"every": 0}])
def test_what_averages_nothing_is_refused(wrong):
    with pytest.raises(ValidationError):
        build(SWA, **wrong)


def test_a_finished_run_gives_the_average():
    assert SWA.export_branch == "teacher"


def test_it_conforms():
    check_teacher_update(SWA)
