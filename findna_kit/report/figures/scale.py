"""From values to places on a drawing, and which of them are written at its axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROUND = (1, 2, 5, 10, 20)


@dataclass(frozen=True)
class Range:
    """From the smallest to the largest value of an axis; never empty."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float], *, margin: float = 0.04) -> Range | None:
        """That holds all of the values, with a share of it to spare on either side; None where there are none."""
        found = [value for value in values if math.isfinite(value)]
        if not found:
            return None
        low, high = min(found), max(found)
        spare = (high - low) * margin
        if spare <= abs(high) * 1e-9:  # one value alone, or none that a picture could tell apart
            spare = abs(high) * 0.05 or 0.5
        return cls(low - spare, high + spare)

    def place(self, value: float, at_low: float, at_high: float) -> float:
        """Where a value stands between two places."""
        return at_low + (value - self.low) / (self.high - self.low) * (at_high - at_low)


def ticks(shown: Range, wanted: int, *, whole: bool = False) -> list[tuple[float, str]]:
    """So many round values in the range, or half as many more at most, and how each is written. whole: whole numbers alone."""
    step = _step((shown.high - shown.low) / (1.5 * wanted))
    if whole:
        step = max(1.0, step)
    first, last = math.ceil(shown.low / step - 1e-9), math.floor(shown.high / step + 1e-9)
    values = [count * step for count in range(first, last + 1)]
    return [(value, written(value, step)) for value in values]


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(one for one in _ROUND if one * power >= rough * 0.999)


def written(value: float, step: float) -> str:
    """A tick's value with the digits that its neighbours at this distance need."""
    if value == 0:
        return "0"
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if step >= unit / 10 and abs(value) >= unit:
            return f"{_plain(value / unit, step / unit)}{letter}"
    if step < 1e-4:
        digits = max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(step)))
        return f"{value:.{min(digits, 3)}e}".replace("e-0", "e-").replace("e+0", "e")
    return _plain(value, step)


def _plain(value: float, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text and step >= 1 else text
