"""Round ticks, within the axis, each different from the others."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from findna_kit.report.figures.scale import AxisRange, ticks

VALUES = st.floats(-1e9, 1e9)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_range_holds_its_values_and_is_never_empty(values):
    found = AxisRange.around(values)
    assert found.low < found.high
    assert all(found.low <= value <= found.high for value in values)


def test_there_is_none_around_nothing():
    assert AxisRange.around([]) is None
    assert AxisRange.around([float("nan"), float("inf")]) is None
    assert AxisRange.around([0.0]) == AxisRange(-0.5, 0.5)


@given(VALUES, st.floats(1e-6, 1e9), st.integers(2, 6))
def test_ticks_are_within_and_can_be_told_apart(low, span, wanted):
    shown = AxisRange(low, low + span)
    assume(span > 1e-6 * abs(low))  # beyond, a picture has other troubles
    found = ticks(shown, wanted)
    values, texts = zip(*found, strict=True)
    assert list(values) == sorted(values) and 1 <= len(values) <= 1.5 * wanted + 1
    assert all(shown.low - span * 1e-6 <= value <= shown.high + span * 1e-6 for value in values)
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(("low", "high", "texts"), [
    (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    (0.9, 2.3, ["1.0", "1.5", "2.0"]),
    (-0.06, 0.05, ["-0.06", "-0.04", "-0.02", "0", "0.02", "0.04"]),
    (0, 3e-4, ["0", "5e-5", "1.0e-4", "1.5e-4", "2.0e-4", "2.5e-4", "3.0e-4"]),
    (0, 1_000_000, ["0", "200k", "400k", "600k", "800k", "1.0M"]),
    (0, 45_000, ["0", "10k", "20k", "30k", "40k"]),
])  # fmt: skip
def test_how_they_are_written(low, high, texts):
    assert [text for _, text in ticks(AxisRange(low, high), 4)] == texts


def test_steps_are_whole():
    assert [text for _, text in ticks(AxisRange(0, 2), 4, whole=True)] == ["0", "1", "2"]


def test_places_go_from_end_to_end():
    shown = AxisRange(10, 20)
    assert [shown.position(value, 0, 100) for value in (10, 15, 20)] == [0, 50, 100]
    assert shown.position(15, 100, 0) == 50
