"""Axes of plots: where a value is drawn, and the round values beside the axis.

Scale(1e6, 1e9, 0, 300, log=True)(1e7)          ->  100.0
Scale(1e6, 1e9, 0, 300, log=True).ticks()       ->  [1e6, 1e7, 1e8, 1e9]
round_step(1.3)                                 ->  2.0
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

_STEPS = (1, 2, 5, 10)
_LEADING_DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
_ALMOST = 1 - 1e-9  # a quotient that rounding left just below a whole number


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high`, or their logarithms, to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = (log10(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self, least: int = 3) -> list[float]:
        """Round values within the range, up to a dozen.

        On a logarithmic axis that spans a factor of 4 or more there are at least `least` of them.
        """
        if self.log:
            return _log_ticks(self.low, self.high, least)
        step = round_step((self.high - self.low) / 7)
        return [step * index for index in range(ceil(self.low / step), floor(self.high / step) + 1)]


def _log_ticks(low: float, high: float, least: int) -> list[float]:
    """Powers of ten; where these are too few, round values between them too."""
    first, last = floor(log10(low)), ceil(log10(high))
    powers = range(first, last + 1, max((last - first) // 8, 1))
    ticks: list[float] = []
    for digits in _LEADING_DIGITS:
        values = (digit * 10.0**power for power in powers for digit in digits)
        ticks = [value for value in values if low <= value <= high]
        if len(ticks) >= least:
            break
    return ticks


def round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten: the smallest such number that is at least `least` > 0."""
    power = 10.0 ** floor(log10(least))
    return next(each * power for each in _STEPS if each * power >= least * _ALMOST)
