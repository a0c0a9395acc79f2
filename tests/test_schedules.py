"""Schedules: the papers' shapes, delay and warm-up, ranges, the forms of a recipe, and what is refused."""

import json
import math
from typing import Annotated, ClassVar, Optional

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from findna_kit.component_config import ComponentConfig
from findna_kit.schedules import (
    SHAPES,
    Clock,
    Constant,
    Cosine,
    Level,
    Linear,
    Schedule,
    ScheduleConfig,
    WarmupStableDecay,
    within,
    zero_until,
)
from findna_kit.schedules.json_schema import bounds_schema

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
def test_its_range_bounds_it_from_the_first_step_to_the_last(form, start, end, share, steps):
    made = schedule({form: {"start": start, "end": end, "warmup": share}})
    low, high = made.range
    taken = [start, end, *([0.0] if share else [])]
    assert (low, high) == (min(taken), max(taken))
    assert all(low - 1e-9 <= made(Clock(step, steps)) <= high + 1e-9 for step in range(steps + 1))


@given(values)
def test_a_number_stays_what_it_is(value):
    made = schedule(value)
    assert made(Clock(0, 10)) == made(Clock(10, 10)) == value
    assert made.range == (value, value)
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
        ("0.1", "expected a number, or {constant | cosine | linear | wsd: {parameters}}"),
        (True, "expected a number, or {constant | cosine | linear | wsd: {parameters}}"),
        (None, "expected a number, or {constant | cosine | linear | wsd: {parameters}}"),
        (math.nan, "expected a finite number"),
        (math.inf, "expected a finite number"),
        ({}, "expected exactly one of constant, cosine, linear, wsd"),
        (
            {"cosine": {"start": 1, "end": 0}, "linear": {"start": 1, "end": 0}},
            "expected exactly one of constant, cosine, linear, wsd",
        ),
        (
            {"sine": {"start": 1, "end": 0}},
            "no schedule is called 'sine'; did you mean 'cosine'? (known: constant, cosine, linear, wsd)",
        ),
        ({"constant": 1.0}, "constant takes {warmup, delay, value} (got 1.0)"),
        ({"cosine": None}, "cosine takes {start, end, warmup, delay, until} (got null)"),
        ({"name": "sine", "start": 1}, "no schedule is called 'sine'"),
        ({"name": "cosine", "start": 1, "end": 0, "warm": 0.1}, "unknown key"),
        ({"name": 3}, "no schedule is called 'name'"),
        ({"linear": {"start": 1, "end": 0, "warmup": 0.5, "delay": 0.5}}, "their sum must be less than 1"),
        ({"wsd": {"start": 1, "end": 0, "warmup": 0.5, "decay": 0.6}}, "their sum must be at most 1"),
        ({"wsd": {"start": 1, "end": 0, "decay": 0}}, "greater than 0"),
        ({"cosine": {"start": "1", "end": 0}}, "valid number"),
        ({"cosine": {"start": True, "end": 0}}, "valid number"),
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
    assert made.range == (0, 1)


def test_a_bound_says_that_a_delay_begins_at_0():
    at_least = TypeAdapter(Annotated[Schedule, within(0.5)])
    for early in ({"warmup": 0.1}, {"delay": 0.1}):
        with pytest.raises(ValidationError, match=r"must be at least 0\.5 at every step, and a warm-up or a delay begins at 0"):
            at_least.validate_python({"linear": {"start": 1, "end": 2, **early}})


# Delay, warm-up, stable, decay


@given(forms, values, values, st.floats(0.01, 0.4), st.floats(0, 0.4), st.integers(1, 300))
def test_a_delayed_schedule_is_0_and_then_the_whole_curve_over_the_rest(form, start, end, delay, warmup, steps):
    made = schedule({form: {"start": start, "end": end, "delay": delay, "warmup": warmup}})
    begin, warm = delay * steps, warmup * steps
    for step in range(steps + 1):
        value = made(Clock(step, steps))
        if step < begin:
            assert value == 0
        elif step - begin < warm:
            assert value == pytest.approx(start * (step - begin) / warm, abs=1e-9)
        low, high = made.range
        assert low - 1e-9 <= value <= high + 1e-9
    assert made(Clock(steps, steps)) == pytest.approx(end)


def test_a_delayed_weight_by_hand():
    made = schedule({"linear": {"start": 1.0, "end": 3.0, "delay": 0.5}})
    assert [made(Clock(step, 8)) for step in range(9)] == [0, 0, 0, 0, 1.0, 1.5, 2.0, 2.5, 3.0]


def test_a_constant_may_be_delayed_and_warmed_up():
    made = schedule({"constant": {"value": 2.0, "delay": 0.25, "warmup": 0.5}})
    assert [made(Clock(step, 8)) for step in range(9)] == [0, 0, 0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert made.range == (0, 2)


@given(values, values, st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0.05, 0.4), st.integers(1, 300))
def test_warm_up_stable_decay_is_the_papers(start, end, delay, warmup, decay, steps):
    """Hu et al. 2024, section 4: a line to the peak, the peak, and a decrease over the last steps; here along a line."""
    made = schedule({"wsd": {"start": start, "end": end, "delay": delay, "warmup": warmup, "decay": decay}})
    for step in range(steps + 1):
        share = step / steps
        if share < delay - 1e-9:
            expected = 0.0
        elif share < delay + warmup - 1e-9:
            expected = start * (share - delay) / warmup
        else:
            expected = start + (end - start) * max(0.0, share - (1 - decay)) / decay
        assert made(Clock(step, steps)) == pytest.approx(
            expected, abs=1e-6 + 1e-3 * abs(start) * (warmup > 0) / max(warmup * steps, 1)
        )


def test_warm_up_stable_decay_by_hand():
    made = WarmupStableDecay(start=4.0, end=0.0, warmup=0.25, decay=0.5)
    assert [made(Clock(step, 8)) for step in range(9)] == pytest.approx([0, 2, 4, 4, 4, 3, 2, 1, 0])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_zero_until_leaves_the_rest_where_it_was(share):
    rate = Cosine(start=0.1, end=0.02, warmup=0.2)
    values = [(zero_until(share, rate)(Clock(step, 20)), rate(Clock(step, 20))) for step in range(21)]
    assert all(value == (0.0 if step < share * 20 else whole) for step, (value, whole) in enumerate(values))


# Forms


@pytest.mark.parametrize("name", SHAPES)
def test_both_forms_say_the_same_and_the_shorter_is_written(name):
    for parameters in SHAPES[name].examples:
        first, second = schedule({name: dict(parameters)}), schedule({"name": name, **parameters})
        assert first == second and hash(first) == hash(second)
        assert first.name == name
        written = ADAPTER.dump_python(first)
        assert schedule(written) == first
        assert not isinstance(written, dict) or list(written) == [name]


def test_a_delay_of_0_is_not_written_so_that_old_recipes_stay_the_same_text():
    assert Linear(start=1.0, end=2.0).plain() == {"linear": {"start": 1.0, "end": 2.0, "warmup": 0.0}}
    assert Linear(start=1.0, end=2.0, delay=0.5).plain()["linear"]["delay"] == 0.5
    assert Constant(value=3.0).plain() == 3.0


@pytest.mark.parametrize("kind", [Linear, Cosine])
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0.65, 1), st.integers(1, 40))
def test_a_curve_that_ends_early_stays_at_its_end(kind, start, end, delay, warmup, until, steps):
    early, clocks = (
        kind(start=start, end=end, delay=delay, warmup=warmup, until=until),
        [Clock(s, steps) for s in range(steps + 1)],
    )
    for clock in clocks:
        begin = (delay + warmup) * steps
        if clock.step >= until * steps:
            assert early(clock) == pytest.approx(end)
        elif clock.step >= begin:
            share = (clock.step - begin) / (until * steps - begin)
            curve = share if kind is Linear else (1 - math.cos(math.pi * share)) / 2
            assert early(clock) == pytest.approx(start + (end - start) * curve, abs=1e-9)


def test_the_teachers_temperature_of_dino_by_hand():
    """From 0.04 to 0.07 over the first 30 of 100 epochs (the authors' ViT-B/16)."""
    temperature = Linear(start=0.04, end=0.07, until=0.3)
    values = [temperature(Clock(step, 100)) for step in (0, 10, 20, 30, 31, 99)]
    assert values == pytest.approx([0.04, 0.05, 0.06, 0.07, 0.07, 0.07])
    assert temperature.limits() == (0.04, 0.07)


def test_an_end_of_1_is_not_written_and_changes_no_bit():
    assert "until" not in Linear(start=1.0, end=2.0, until=1.0).plain()["linear"]
    assert Linear(start=1.0, end=2.0, until=0.5).plain()["linear"]["until"] == 0.5
    plain = Cosine(start=0.3, end=0.01, warmup=0.1, delay=0.07)
    for step in range(90):
        progress = min(1.0, (step - 0.07 * 90 - 0.1 * 90) / (90 - 0.07 * 90 - 0.1 * 90))
        if progress >= 0:
            assert plain(Clock(step, 90)) == 0.01 + (0.3 - 0.01) * (1 + math.cos(math.pi * progress)) / 2


def test_a_curve_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValidationError, match="until must be above the sum of delay and warmup"):
        Linear(start=1.0, end=2.0, warmup=0.3, delay=0.2, until=0.5)


def test_schedules_of_another_shape_or_other_parameters_differ():
    assert Linear(start=1, end=2) != Cosine(start=1, end=2)
    assert Linear(start=1, end=2) != Linear(start=1, end=3)
    assert Linear(start=1, end=2) != {"linear": {"start": 1, "end": 2}}


def test_a_default_in_a_config_is_written_and_shown():
    class Config(ComponentConfig):
        rate: Annotated[Schedule, within(0)] = Field(Cosine(start=1.0, end=0.0), description="a rate")

    assert Config().model_dump(mode="json") == {"rate": {"cosine": {"start": 1.0, "end": 0.0, "warmup": 0.0}}}
    assert Config.model_json_schema()["properties"]["rate"]["default"] == Config().model_dump(mode="json")["rate"]
    assert Config(rate=0.5).rate == Constant(value=0.5)


# A shape of a plugin


class Steps(Schedule):
    """Halves the value a number of times."""

    class Config(ScheduleConfig):
        first: Level = Field(description="value at first")
        drops: int = Field(2, ge=1, description="how often it is halved")

    def value(self, progress):
        return self.config.first / 2 ** min(self.config.drops, int(progress * (self.config.drops + 1)))

    def limits(self):
        ends = (self.value(0.0), self.value(1.0))
        return min(ends), max(ends)


class Context:
    schedules: ClassVar = {**SHAPES, "steps": Steps}


def test_a_plugins_schedule_is_chosen_by_its_name_wherever_one_is_taken():
    for stated in ({"steps": {"first": 1.0}}, {"name": "steps", "first": 1.0}):
        made = BOUNDED.validate_json(json.dumps(stated), strict=True, context=Context)
        assert [made(Clock(step, 6)) for step in range(7)] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
        assert BOUNDED.dump_python(made) == {"steps": {"first": 1.0, "drops": 2, "warmup": 0.0}}
    with pytest.raises(ValidationError, match="no schedule is called 'steps'"):
        BOUNDED.validate_python({"steps": {"first": 1.0}})


def test_bounds_hold_for_a_plugins_schedule_by_its_limits():
    at_least = TypeAdapter(Annotated[Schedule, within(0.3, 2)])
    assert at_least.validate_python({"steps": {"first": 2.0}}, context=Context).range == (0.5, 2)
    with pytest.raises(ValidationError, match=r"must be between 0\.3 and 2"):
        at_least.validate_python({"steps": {"first": 1.0}}, context=Context)


class Optionals(Schedule):
    """Goes from one value over another, where there is one, to a third."""

    class Config(ScheduleConfig):
        first: Level = Field(1.0, description="value at first")
        between: Level | None = Field(None, description="value in between")
        last: Optional[Level] = Field(None, description="value at last")  # noqa: UP045 - the other form of the same
        shares: tuple[float, ...] | None = Field(None, description="no values")

    def value(self, progress):
        return self.config.first


def test_a_level_may_be_optional():
    context = type("Context", (), {"schedules": {"optionals": Optionals}})
    assert Optionals.Config.levels() == ("first", "between", "last")
    assert Optionals().limits() == (1, 1)
    assert Optionals(between=3.0, shares=(9.0,)).limits() == (1, 3)
    assert Optionals(last=-2.0).limits() == (-2, 1)
    for name in ("between", "last"):
        assert BOUNDED.validate_python({"optionals": {name: 0.5}}, context=context).range == (0.5, 1)
        with pytest.raises(ValidationError, match="must be"):
            BOUNDED.validate_python({"optionals": {name: -1.0}}, context=context)
    schema = json.dumps(bounds_schema(0, 1, {"optionals": Optionals.Config}))
    assert '"between": {"minimum": 0, "maximum": 1}' in schema and '"last": {"minimum": 0, "maximum": 1}' in schema


LIMITS = [(-math.inf, math.inf), (0, math.inf), (0, 1), (0.5, 2), (-math.inf, 3)]
ADAPTERS = [TypeAdapter(Annotated[Schedule, within(*limits)]) for limits in LIMITS]
NUMBERS = st.sampled_from([-1, 0, 0.25, 0.5, 1, 2.0, 5])
SHARES = {"warmup": st.sampled_from([0, 0.5, 1]), "delay": st.sampled_from([0, 0.25]), "more": st.just(1)}
RAMPS = st.fixed_dictionaries({"start": NUMBERS, "end": NUMBERS}, optional=SHARES)
NAMED = st.builds(lambda name, ramp: {"name": name, **ramp}, st.sampled_from(["cosine", "linear", "wsd", "sine"]), RAMPS)
STATED = (
    NUMBERS
    | st.sampled_from([True, None, "1", [], {}, {"constant": 1}, {"cosine": None}, {"cosine": {"start": 1}}])
    | st.builds(lambda value: {"constant": {"value": value}}, NUMBERS)
    | st.dictionaries(st.sampled_from(["cosine", "linear", "constant", "wsd"]), RAMPS, max_size=2)
    | NAMED
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
