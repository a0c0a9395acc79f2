"""Tests of neighbouring crops: their positions, the gap between them, and windows that are too short."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.builtin.augmentations.neighbour import Neighbour
from findna_kit.components import ViewPlan
from findna_kit.data.view_pipeline import ViewPipeline
from findna_kit.errors import FindnaError
from tests.windows import Scripted, draw, random_windows


def made(side, minimum=0, maximum=20):
    return Neighbour(Neighbour.Config(side=side, minimum=minimum, maximum=maximum))


def cropped(window, side, length, minimum, maximum, seed=0):
    """The view as a recipe makes it."""
    plan = ViewPlan(side, student=True, teacher=False, masked=False)
    pipeline = ViewPipeline(plan, (("neighbour", made(side, minimum, maximum)),), crop=length)
    return pipeline.view(window, seed=seed, step=0, rows=torch.arange(len(window.tokens)))


@given(st.integers(1, 20), st.integers(0, 9), st.integers(1, 9), st.integers(0, 7), st.integers(0, 1000))
def test_two_sides_share_no_base_and_leave_a_gap_between_the_bounds(length, minimum, maximum, spare, seed):
    minimum = min(minimum, maximum)
    window = random_windows(6, 2 * length + maximum + spare, seed=seed, padded=False)
    left, right = (cropped(window, side, length, minimum, maximum, seed) for side in ("left", "right"))
    for view in (left, right):
        assert view.tokens.shape == (6, length)
        assert view.origin.equal(view.origin[:, :1] + torch.arange(length)), "a stretch of the window"
        assert view.tokens.equal(window.tokens.gather(1, view.origin))
    gap = right.origin[:, 0] - left.origin[:, -1] - 1
    assert ((gap >= minimum) & (gap <= maximum)).all()


@pytest.mark.parametrize("gap", [0, 1, 6, 7])
@pytest.mark.parametrize("whole", [27, 28])
def test_each_side_keeps_its_half_of_the_gap_from_the_centre(gap, whole):
    window = random_windows(1, whole, padded=False)
    left, right = (made(side, 0, 7).crop_start(window, 10, Scripted(torch.tensor([[gap]]))) for side in ("left", "right"))
    centre = whole // 2
    assert centre - (int(left) + 10) == gap // 2
    assert int(right) - centre == gap - gap // 2
    assert int(left) >= 0
    assert int(right) + 10 <= whole


def test_every_gap_is_drawn_and_sequences_have_their_own():
    window = random_windows(500, 40, padded=False)
    starts = made("right", 2, 9).crop_start(window, 10, draw("gaps", rows=500))
    assert set((starts[:, 0] - 20).tolist()) == {1, 2, 3, 4, 5}
    whole, part = starts, made("right", 2, 9).crop_start(window.select(slice(0, 3)), 10, draw("gaps", rows=3))
    assert part.equal(whole[:3])


def test_bases_are_left_as_they_are():
    window = random_windows(2, 10)
    assert made("left")(window, draw("unread", rows=2)) is window


def test_a_padded_sequence_is_cropped_inside_what_it_has_where_it_can_be():
    window = random_windows(40, 30, unknown=0)
    view = cropped(window, "right", 10, 0, 8)
    enough = window.lengths >= 10
    assert view.lengths[enough].eq(10).all()
    assert view.valid.equal(torch.arange(10) < window.lengths[:, None].clamp(max=10))


def test_a_window_that_is_too_short_is_an_error_that_says_how_long_it_must_be():
    window = random_windows(2, 39, padded=False)
    with pytest.raises(
        FindnaError, match="two crops of 15 bases with up to 10 between them do not fit into a window of 39; set "
    ):
        made("left", 0, 10).crop_start(window, 15, draw("short", rows=2))
    made("left", 0, 9).crop_start(window, 15, draw("fits", rows=2))


@pytest.mark.parametrize(
    ("values", "message"),
    [({"side": "middle"}, "'left' or 'right'"), ({}, "Field required"), ({"side": "left", "minimum": 30}, "above maximum 20")],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Neighbour.Config(**values)
