"""Tests of both forms of the warm-up against the formulas of their sources."""

import pytest
import torch
from findna_kit_teachers import WarmupEMA
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from teaching import Student, assert_buffers_go_as_declared, assert_resumes, build, same, state_of, walk

from findna_kit.components import Clock
from findna_kit.testing import check_teacher_update


def momentum_at(step, **values):
    return build(WarmupEMA, **values)(Student(1), Student(2), Clock(step, 10_000), {})["momentum"]


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_ratio_is_tensorflows(step, decay):
    """`min(decay, (1 + num_updates) / (10 + num_updates))`."""
    num_updates = step
    assert momentum_at(step, momentum=decay) == min(decay, (1 + num_updates) / (10 + num_updates))


@given(st.integers(0, 10_000), st.floats(0.1, 3), st.floats(0.1, 50))
def test_the_power_is_crowsons(step, power, inv_gamma):
    """`1 - (1 + epoch / inv_gamma) ** -power`, at most the maximum."""
    found = momentum_at(step, momentum=0.9999, form="power", power=power, inverse_gamma=inv_gamma)
    assert found == pytest.approx(min(0.9999, 1 - (1 + step / inv_gamma) ** -power), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("power", "step", "reached"), [(2 / 3, 31_600, 0.999), (3 / 4, 10_000, 0.999), (3 / 4, 215_400, 0.9999)]
)
def test_the_power_reaches_what_its_author_says(power, step, reached):
    rule = build(WarmupEMA, momentum=1.0, form="power", power=power)
    found = rule(Student(1), Student(2), Clock(step, 10**6), {})["momentum"]
    assert found == pytest.approx(reached, abs=2e-6)


def test_power_one_is_the_plain_mean_of_all_students():
    states, _ = walk(build(WarmupEMA, momentum=1.0, form="power", power=1.0), 15)
    for step, state in enumerate(states):
        mean = torch.stack([Student(1 + s).linear.weight.double() for s in range(step + 1)]).mean(0)
        torch.testing.assert_close(state["linear.weight"].double(), mean, rtol=1e-5, atol=1e-6)


def test_the_first_step_of_the_power_is_a_copy_and_of_the_ratio_a_tenth():
    rule = build(WarmupEMA, form="power")
    states, logged = walk(rule, 1)
    assert logged == [{"momentum": 0.0}]
    assert same(states[0], state_of(Student(1)))
    assert momentum_at(0) == 0.1


def test_the_teacher_moves_by_what_is_logged():
    states, logged = walk(build(WarmupEMA, momentum=0.5), 20)
    teacher = Student(0).linear.weight.double()
    for step, (state, said) in enumerate(zip(states, logged, strict=True)):
        expected = min(0.5, (1 + step) / (10 + step))
        assert said == {"momentum": expected}
        teacher = expected * teacher + (1 - expected) * Student(step + 1).linear.weight.double()
        torch.testing.assert_close(state["linear.weight"].double(), teacher, rtol=1e-5, atol=1e-6)


def test_the_momentum_may_follow_a_schedule():
    values = {"momentum": {"linear": {"start": 0.2, "end": 0.6}}}
    assert [momentum_at(step, **values) for step in (5_000, 10_000)] == pytest.approx([0.4, 0.6])


def test_buffers_are_copied_or_averaged():
    averaged = assert_buffers_go_as_declared(
        lambda buffers: build(WarmupEMA, momentum=1.0, form="power", power=1.0, buffers=buffers)
    )
    mean = torch.stack([Student(1 + s).running.double() for s in range(12)]).mean(0)
    torch.testing.assert_close(averaged[-1]["running"].double(), mean, rtol=1e-5, atol=1e-6)


def test_there_is_no_state_and_the_same_calls_give_the_same():
    assert build(WarmupEMA).state_dict() == {}
    assert_resumes(lambda: build(WarmupEMA, momentum=0.7), 9, 4)


@pytest.mark.parametrize(
    "wrong", [{"momentum": 1.1}, {"power": 0}, {"inverse_gamma": -1}, {"form": "log"}, {"power": float("inf")}]
)
def test_what_is_no_warm_up_is_refused(wrong):
    with pytest.raises(ValidationError):
        build(WarmupEMA, **wrong)


def test_a_finished_run_gives_the_teacher():
    assert WarmupEMA.export_branch == "teacher"


def test_it_conforms():
    check_teacher_update(WarmupEMA)
