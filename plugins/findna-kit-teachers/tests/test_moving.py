"""Tests of a single EMA update, and of saved state."""

import pytest
import torch
from findna_kit_teachers.state import exact_state
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from teaching import Student, same, state_of

from findna_kit.components import AveragingConfig, ema_update


@given(st.floats(0, 1), st.sampled_from(["copy", "average"]))
def test_parameters_and_buffers_go_by_the_formula_and_the_student_stays(momentum, buffers):
    teacher, student = Student(1), Student(2)
    before, target = state_of(teacher), state_of(student)
    ema_update(teacher, student, momentum, buffers)
    after = state_of(teacher)
    averaged = ["linear.weight", "linear.bias", *(["running"] if buffers == "average" else [])]
    for name in averaged:
        expected = momentum * before[name].double() + (1 - momentum) * target[name].double()
        assert after[name].double().allclose(expected, atol=1e-6)
    assert all(after[name].equal(target[name]) for name in after if name not in averaged)
    assert same(state_of(student), target)


@pytest.mark.parametrize("buffers", ["copy", "average"])
def test_momentum_nought_is_a_copy_to_the_bit(buffers):
    teacher, student = Student(1), Student(2)
    ema_update(teacher, student, 0.0, buffers)
    assert same(state_of(teacher), state_of(student))


@given(st.floats(0, 1))
def test_a_teacher_that_is_the_student_stays_it(momentum):
    teacher, student = Student(3), Student(3)
    ema_update(teacher, student, momentum, "average")
    assert same(state_of(teacher), state_of(student))


def test_no_gradient_is_kept():
    teacher, student = Student(1), Student(2)
    ema_update(teacher, student, 0.5, "average")
    assert all(parameter.grad_fn is None and parameter.is_leaf for parameter in teacher.parameters())


def test_another_word_for_buffers_is_refused():
    with pytest.raises(ValidationError, match="Input should be 'copy' or 'average'"):
        AveragingConfig.model_validate({"buffers": "keep"})


@pytest.mark.parametrize("given_names", [(), ("averaged", "more"), ("other",)])
def test_a_state_that_is_not_whole_is_refused(given_names):
    state = {name: torch.zeros(()) for name in given_names}
    with pytest.raises(ValueError, match=r"the state of swa must contain averaged, but contains \["):
        exact_state("swa", state, ("averaged",))


def test_a_exact_state_comes_in_the_order_of_the_names():
    state = {"b": torch.tensor(2), "a": torch.tensor(1)}
    assert [int(one) for one in exact_state("any", state, ("a", "b"))] == [1, 2]
