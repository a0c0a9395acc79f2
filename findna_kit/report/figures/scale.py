"""Axes of plots: from values to positions, and the choice and text of tick labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROUND = (1, 2, 5, 10, 20)
"""Factors of a power of ten that make round steps between ticks."""


@dataclass(frozen=True)
class AxisRange:
    """Range of an axis, from its smallest to its largest value; never empty."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float], *, margin: float = 0.04) -> AxisRange | None:
        """Return the range of the finite values, widened by a share on either side; None where there are none."""
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            return None
        low, high = min(finite), max(finite)
        spare = (high - low) * margin
        if spare <= abs(high) * 1e-9:  # a single value, or values too close to be told apart
            spare = abs(high) * 0.05 or 0.5
        return cls(low - spare, high + spare)

    def position(self, value: float, at_low: float, at_high: float) -> float:
        """Return the position of a value between the positions of the range's ends."""
        return at_low + (value - self.low) / (self.high - self.low) * (at_high - at_low)


def ticks(axis: AxisRange, count: int, *, whole: bool = False) -> list[tuple[float, str]]:
    """Return round values in the range with their labels: about `count`, at most half as many more. whole: integers only."""
    # Rounding makes a step up to 2.5 times as large (2 to 5): without the 1.5, less than half of the ticks may remain.
    step = _step((axis.high - axis.low) / (1.5 * count))
    if whole:
        step = max(1.0, step)
    # The small tolerance keeps a tick at the very end of the axis in spite of rounding.
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    values = [multiple * step for multiple in range(first, last + 1)]
    return [(value, tick_label(value, step)) for value in values]


def _step(rough: float) -> float:
    """Return the smallest round step that is at least as large as this one."""
    power = 10.0 ** math.floor(math.log10(rough))
    # The tolerance keeps a rounding error from selecting the next larger step.
    return power * next(factor for factor in _ROUND if factor * power >= rough * 0.999)


def tick_label(value: float, step: float) -> str:
    """Return the text of a tick, with the digits that distinguish it from ticks one step away."""
    if value == 0:
        return "0"
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if step >= unit / 10 and abs(value) >= unit:
            return f"{_plain(value / unit, step / unit)}{letter}"
    # Very small steps would need long labels, so they are written with an exponent.
    if step < 1e-4:
        digits = max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(step)))
        return f"{value:.{min(digits, 3)}e}".replace("e-0", "e-").replace("e+0", "e")
    return _plain(value, step)


def _plain(value: float, step: float) -> str:
    """Return a number with as many decimals as its step has."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text and step >= 1 else text
