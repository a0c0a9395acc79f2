"""Tests of when the gated teacher pauses, and when it continues."""

import math
from itertools import groupby

import pytest
import torch
from findna_kit_teachers import Gated
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from teaching import RECIPES, SMALL, Student, assert_resumes, build, findna, same, sets, state_of, walk

from findna_kit.components import Clock
from findna_kit.errors import FindnaError
from findna_kit.testing import check_teacher_update

METRIC = "held_out/masked/loss"


def gated(**values):
    return build(Gated, **{"metric": METRIC, "momentum": 0.9, **values})


def seen(*values, name=METRIC):
    """What the rule is shown step by step; None: nobody has looked yet; what repeats itself is the same look."""
    groups = [list(group) for _, group in groupby(values, key=str)]
    looks = [(look, value) for look, group in enumerate(groups) for value in group]
    return [{"loss": 3.0, **({} if value is None else {name: value, "validation_step": float(look)})} for look, value in looks]


def moves(rule, metrics):
    """At which steps the teacher moved; the momentum that is logged says the same."""
    teacher = rule.initial(Student(0))
    found = []
    for step, one in enumerate(metrics):
        before = state_of(teacher)
        logged = rule(teacher, Student(step + 1), Clock(step, len(metrics)), one)
        found.append(not same(state_of(teacher), before))
        assert logged == {"momentum": 0.9 if found[-1] else 1.0}
    return found


def test_it_stands_while_the_student_is_worse_than_its_best():
    assert moves(gated(), seen(2.0, 1.5, 1.6, 1.5, 1.4, 1.45, 1.3)) == [True, True, False, True, True, False, True]


def test_it_moves_by_the_formula_of_an_ema():
    states, logged = walk(gated(momentum={"linear": {"start": 0.5, "end": 0.9}}), 4, metrics=seen(4, 3, 2, 1))
    teacher = Student(0).linear.weight.double()
    for step, (state, said) in enumerate(zip(states, logged, strict=True)):
        momentum = 0.5 + 0.4 * step / 4
        assert said["momentum"] == pytest.approx(momentum)
        teacher = momentum * teacher + (1 - momentum) * Student(step + 1).linear.weight.double()
        torch.testing.assert_close(state["linear.weight"].double(), teacher, rtol=1e-5, atol=1e-6)


def test_it_stands_whole():
    """Buffers, integers too."""
    states, _ = walk(gated(), 3, metrics=seen(1.0, 2.0, 0.5))
    assert same(states[1], states[0])
    assert int(states[2]["seen"]) == 3


def test_before_the_first_look_it_moves():
    assert moves(gated(), seen(None, None, 2.0, 2.5)) == [True, True, True, False]


def test_between_two_looks_it_does_as_after_the_last():
    assert moves(gated(), seen(2.0, 2.0, 2.5, 2.5, 2.5, 1.9, 1.9)) == [True, True, False, False, False, True, True]


def test_a_tolerance_is_counted_from_the_best():
    """Not from the last: a student that gets worse bit by bit is noticed."""
    assert moves(gated(tolerance=0.25), seen(1.0, 1.25, 1.5, 1.0)) == [True, True, False, True]


def test_patience_counts_looks_and_not_steps():
    shown = seen(1.0, 1.5, 1.5, 1.5, 1.6, 1.6, 1.7, 0.9, 1.5)
    assert moves(gated(patience=1), shown) == [True, True, True, True, False, False, False, True, True]


def test_higher_may_be_better():
    rule = gated(metric="held_out/masked/accuracy", better="higher")
    assert moves(rule, seen(0.3, 0.4, 0.35, 0.4, 0.5, name="held_out/masked/accuracy")) == [True, True, False, True, True]


def test_what_is_no_number_is_worse():
    nan = math.nan
    assert moves(gated(), seen(nan, nan, 1.0, nan, 0.9)) == [False, False, True, False, True]
    assert moves(gated(patience=1), seen(1.0, nan, nan, nan, 1.1)) == [True, True, True, True, False]


def oracle(looks, tolerance, patience):
    """Whether it moves after each look: shut where the last `patience + 1` looks all miss the best before them."""
    misses = [bool(looks[:at]) and look > min(looks[:at]) + tolerance for at, look in enumerate(looks)]
    return [not (at >= patience and all(misses[at - patience : at + 1])) for at in range(len(looks))]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=15), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
def test_it_stands_where_the_looks_say_so(eighths, tolerance, patience, held):
    looks = [value / 8 for value in eighths]
    expected = [open_ for open_ in oracle(looks, tolerance / 8, patience) for _ in range(held)]
    shown = [{METRIC: value, "validation_step": float(at)} for at, value in enumerate(looks) for _ in range(held)]
    assert moves(gated(tolerance=tolerance / 8, patience=patience), shown) == expected


def test_a_metric_that_is_not_there_is_a_sentence_that_names_those_that_are():
    rule = gated(metric="held_out/maskd/loss")
    shown = {"loss": 1.0, "held_out/masked/loss": 1.0, "held_out/distill/loss": 2.0, "collapse/student/pooled_rankme": 3.0}
    with pytest.raises(FindnaError) as caught:
        rule(Student(1), Student(2), Clock(0, 1), shown)
    assert str(caught.value) == (
        "teacher_update.metric: there is no metric 'held_out/maskd/loss'; did you mean 'held_out/masked/loss'? "
        "(validation metrics: held_out/distill/loss, held_out/masked/loss)"
    )


def test_a_run_with_such_a_metric_leaves_with_code_2(tmp_path):
    wrong = sets(*SMALL, "teacher_update.metric=held_out/distil/loss")
    code, _, said = findna("run", RECIPES / "gated.yaml", *wrong, "--out", tmp_path / "run", "--device", "cpu")
    assert code == 2
    assert "there is no metric 'held_out/distil/loss'; did you mean 'held_out/distill/loss'?" in " ".join(said.split())
    assert "Traceback" not in said


def test_its_state_is_the_best_the_last_and_the_worse():
    rule = gated()
    assert {name: float(value) for name, value in rule.state_dict().items()} == {"best": math.inf, "last": -1, "worse": 0}
    moves(rule, seen(2.0, 1.1, 1.5, 1.2))
    assert {name: float(value) for name, value in rule.state_dict().items()} == {"best": 1.1, "last": 3, "worse": 2}
    assert rule.state_dict()["best"].dtype == torch.float64, "as exact as it was"


@pytest.mark.parametrize("cut", range(8))
def test_resumed_it_goes_on_to_the_bit(cut):
    shown = seen(2.0, 1.1, 1.5, 1.5, 1.2, 1.1, 1.3, 1.3, 1.05)
    assert_resumes(lambda: gated(patience=1, buffers="average"), len(shown), cut, shown)


@pytest.mark.parametrize("state", [{}, {"best": torch.tensor(1.0), "last": torch.tensor(1.0)}])
def test_a_strange_state_is_refused(state):
    with pytest.raises(ValueError, match="the state of gated must contain best, last, worse, but contains"):
        gated().load_state_dict(state)


@pytest.mark.parametrize("wrong", [{"metric": ""}, {"tolerance": -1}, {"patience": -1}, {"momentum": 2}, {"better": "most"}])
def test_what_is_no_gate_is_refused(wrong):
    with pytest.raises(ValidationError):
        gated(**wrong)


def test_a_metric_must_be_named():
    with pytest.raises(ValidationError, match="metric"):
        build(Gated)


def test_a_finished_run_gives_the_teacher():
    assert Gated.export_branch == "teacher"


def test_it_conforms():
    check_teacher_update(Gated)
