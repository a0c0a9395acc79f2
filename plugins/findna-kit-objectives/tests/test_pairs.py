"""Tests of pairs of views, their number, and the spread of projections."""

import math

import pytest
import torch
from branches import numbers, plan, windows
from findna_kit_objectives import pairs, spread

from findna_kit.components import BranchOutput


def test_a_view_is_never_paired_with_itself():
    assert pairs.across("ab", "bc") == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs.across("a", "a") == []
    assert pairs.ordered("abc") == [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]


def test_items_are_pairs_times_sequences():
    views = {"a": windows(5, 8), "b": windows(5, 8)}
    assert float(pairs.items(views, 3)) == 15


@pytest.mark.parametrize(
    ("seen", "refused"),
    [
        ([("a", "st")], True),
        ([("a", "s"), ("b", "s")], True),
        ([("a", "t"), ("b", "t")], True),
        ([("a", "s"), ("b", "t")], False),
        ([("a", "st"), ("b", "st")], False),
        ([("a", "st"), ("b", "s")], False),
    ],
)
def test_a_teacher_is_wanted_on_another_view(seen, refused):
    plans = [plan(name, student="s" in by, teacher="t" in by) for name, by in seen]
    assert pairs.teacher_problem(plans) == (
        "needs a view that the teacher sees and a different one that the student sees" if refused else None
    )


def test_two_views_of_the_students_are_wanted():
    one, other, theirs = plan("a", student=True), plan("b", student=True), plan("c", teacher=True)
    assert pairs.student_problem([one, theirs]) == "needs two views that the student sees"
    assert pairs.student_problem([one, theirs, other]) is None


def projections(batch=6, output=4):
    return {
        name: BranchOutput(windows(batch, 8), heads={"p": numbers(batch, output, seed=seed)})
        for name, seed in (("a", 1), ("b", 2))
    }


def test_spread_is_the_sum_of_the_channels_squared_deviations():
    """Of all rows at length 1; by `statistics`' definition, in plain numbers."""
    views = spread.unit(projections(), "p")
    rows = [row for z in views.values() for row in z.tolist()]
    assert all(math.isclose(math.hypot(*row), 1, rel_tol=1e-6) for row in rows)
    expected = 0.0
    for channel in zip(*rows, strict=True):
        mean = sum(channel) / len(channel)
        expected += sum((value - mean) ** 2 for value in channel) / len(channel)
    assert float(spread.batch_spread(views)) == pytest.approx(expected, rel=1e-5)
    middle = spread.middle(views).mean(0)
    assert float(spread.around(views, middle)) / 6 == pytest.approx(expected, rel=1e-5)


def test_spread_is_0_at_collapse_and_1_on_the_sphere():
    alike = {"a": torch.ones(50, 8) / 8**0.5, "b": torch.ones(50, 8) / 8**0.5}
    assert float(spread.batch_spread(alike)) == pytest.approx(0, abs=1e-6)
    assert float(spread.around(alike, alike["a"][0])) == pytest.approx(0, abs=1e-6)
    even = {"a": torch.nn.functional.normalize(numbers(4000, 8), dim=-1)}
    assert float(spread.batch_spread(even)) == pytest.approx(1, abs=0.01)
    assert float(even["a"].std(0).mean()) == pytest.approx(8**-0.5, rel=0.02), "SimSiam's 1 / sqrt(d)"


def test_spread_around_a_mean_adds_up_over_parts():
    views = spread.unit(projections(), "p")
    mean = torch.tensor([0.1, 0.2, 0.3, 0.4])
    parts = [spread.around({name: z[part] for name, z in views.items()}, mean) for part in (slice(2), slice(2, None))]
    assert float(sum(parts)) == pytest.approx(float(spread.around(views, mean)), rel=1e-6)
