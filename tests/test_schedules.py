"""Schedules: the paper's forms, their ends, and what is refused."""

import json
import math
from typing import Annotated

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from findna_kit.schedules import Clock, Schedule, within

ADAPTER = TypeAdapter(Schedule)
BOUNDED = TypeAdapter(Annotated[Schedule, within(0, 1)])
values = st.floats(-10, 10)
forms = st.sampled_from(["cosine", "linear"])


def schedule(value):
    return ADAPTER.validate_python(value)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 50_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_cosine_is_the_references_momentum(start, end, clock):
    step, steps = clock
    reference = end - (end - start) * (math.cos(math.pi * step / steps) + 1) / 2
    made = schedule({"cosine": {"start": start, "end": end}})
    assert made(Clock(step, steps)) == pytest.approx(reference, rel=1e-12, abs=1e-12)


@given(forms, values, values, st.integers(1, 1000))
def test_without_warm_up_it_goes_from_start_to_end(form, start, end, steps):
    made = schedule({form: {"start": start, "end": end}})
    assert made(Clock(0, steps)) == pytest.approx(start)
    assert made(Clock(steps, steps)) == pytest.approx(end)
    assert made(Clock(2 * steps, steps)) == pytest.approx(end)
    halfway = made(Clock(steps, 2 * steps))
    assert halfway == pytest.approx((start + end) / 2)


@given(forms, st.floats(0.01, 10), st.floats(0, 10), st.floats(0.01, 0.99), st.integers(10, 500))
def test_a_warm_up_rises_in_a_line_from_nought_to_start(form, start, end, share, steps):
    made = schedule({form: {"start": start, "end": end, "warmup": share}})
    warm = share * steps
    for step in range(steps + 1):
        value = made(Clock(step, steps))
        if step < warm:
            assert value == pytest.approx(start * step / warm)
        else:
            assert min(start, end) - 1e-9 <= value <= max(start, end) + 1e-9
    assert made(Clock(0, steps)) == 0
    assert made(Clock(steps, steps)) == pytest.approx(end)


def test_the_papers_learning_rate():
    made = schedule({"cosine": {"start": 3e-4, "end": 0.0, "warmup": 0.3}})
    assert made(Clock(15, 100)) == pytest.approx(1.5e-4)
    assert made(Clock(30, 100)) == pytest.approx(3e-4)
    assert made(Clock(65, 100)) == pytest.approx(1.5e-4)


@given(forms, values, values, st.floats(0, 0.9), st.integers(1, 300))
def test_ends_bound_it_from_the_first_step_to_the_last(form, start, end, share, steps):
    made = schedule({form: {"start": start, "end": end, "warmup": share}})
    low, high = made.ends
    taken = [start, end, *([0.0] if share else [])]
    assert (low, high) == (min(taken), max(taken))
    assert all(low - 1e-9 <= made(Clock(step, steps)) <= high + 1e-9 for step in range(steps + 1))


@given(values)
def test_a_number_stays_what_it_is(value):
    made = schedule(value)
    assert made(Clock(0, 10)) == made(Clock(10, 10)) == value
    assert made.ends == (value, value)
    assert ADAPTER.dump_python(made) == value


@pytest.mark.parametrize("form", ["cosine", "linear"])
def test_what_is_written_is_read_again(form):
    written = {form: {"start": 1.0, "end": 0.5, "warmup": 0.25}}
    made = schedule(written)
    assert ADAPTER.dump_python(made) == written
    assert schedule(ADAPTER.dump_python(made)) == made


def test_a_run_without_steps_has_the_first_value():
    assert schedule({"cosine": {"start": 0.9, "end": 1.0}})(Clock(0, 0)) == 0.9


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.1", "a number, or {cosine | linear: {start, end, warmup}}, is wanted"),
        (True, "a number, or {cosine | linear: {start, end, warmup}}, is wanted"),
        (None, "a number, or {cosine | linear: {start, end, warmup}}, is wanted"),
        (math.nan, "a finite number is wanted"),
        (math.inf, "a finite number is wanted"),
        ({}, "exactly one of cosine, linear is wanted"),
        ({"cosine": {"start": 1, "end": 0}, "linear": {"start": 1, "end": 0}}, "exactly one of cosine, linear is wanted"),
        ({"sine": {"start": 1, "end": 0}}, "no schedule is called 'sine'; known: cosine, linear"),
        ({"constant": 1.0}, "no schedule is called 'constant'"),
        ({"cosine": None}, "cosine wants {start, end, warmup} (got null)"),
        ({"cosine": {"start": 1}}, "end"),
        ({"cosine": {"start": 1, "end": 0, "warmup": 1.0}}, "less than 1"),
        ({"cosine": {"start": 1, "end": 0, "warmup": -0.1}}, "greater than or equal to 0"),
        ({"linear": {"start": 1, "end": 0, "warm_up": 0.1}}, "warm_up"),
        ({"linear": {"start": math.inf, "end": 0}}, "finite"),
        ({"cosine": {"start": 0, "end": math.nan}}, "finite"),
    ],
)
def test_what_is_no_schedule_is_refused(value, message):
    with pytest.raises(ValidationError) as refused:
        schedule(value)
    assert message in str(refused.value)


@pytest.mark.parametrize("value", [-0.1, 1.1, {"cosine": {"start": 0.5, "end": 1.5}}, {"linear": {"start": -1, "end": 1}}])
def test_bounds_hold_for_either_end(value):
    with pytest.raises(ValidationError, match="must be between 0 and 1"):
        BOUNDED.validate_python(value)


def test_bounds_may_be_reached():
    made = BOUNDED.validate_python({"cosine": {"start": 0, "end": 1, "warmup": 0.5}})
    assert made.ends == (0, 1)


LIMITS = [(-math.inf, math.inf), (0, math.inf), (0, 1), (0.5, 2), (-math.inf, 3)]
ADAPTERS = [TypeAdapter(Annotated[Schedule, within(*limits)]) for limits in LIMITS]
NUMBERS = st.sampled_from([-1, 0, 0.25, 0.5, 1, 2.0, 5])
RAMPS = st.fixed_dictionaries(
    {"start": NUMBERS, "end": NUMBERS}, optional={"warmup": st.sampled_from([0, 0.5, 1]), "more": st.just(1)}
)
STATED = (
    NUMBERS
    | st.sampled_from([True, None, "1", [], {}, {"constant": 1}, {"cosine": None}, {"cosine": {"start": 1}}])
    | st.dictionaries(st.sampled_from(["cosine", "linear", "constant"]), RAMPS, max_size=2)
)


@settings(max_examples=300)
@given(st.sampled_from(ADAPTERS), STATED)
def test_the_json_schema_accepts_what_is_read(adapter, stated):
    try:
        adapter.validate_json(json.dumps(stated), strict=True)
    except ValidationError:
        read = False
    else:
        read = True
    assert jsonschema.Draft7Validator(adapter.json_schema()).is_valid(stated) is read
