"""Axes of plots: where a value lies, and the round values that stand beside it.

Scale(1e6, 1e9, 0, 300, log=True)(1e7)  ->  100.0
round_step(1.3)  ->  2.0        its steps over 9.1: 0, 2, 4, 6, 8, 10

How wide text is without a font at hand.

width("conv 3×3, 64", 9)  ->  55.4        fitted("a long sentence", 40, 9)  ->  "a long…"

Advance widths are those of Helvetica, which Arial and Liberation Sans share, and a little more, so
that what fits by this measure fits in those and in fonts alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

_STEPS = (1, 2, 5, 10)
_LEADS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
_ALMOST = 1 - 1e-9  # what division leaves of a whole number


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high`, or their logarithms, to places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        low, high, at = (log10(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self, least: int = 3) -> list[float]:
        """Round values within the range, up to a dozen.

        On a logarithmic axis there are at least `least` of them, if it spans a factor of 4 or more.
        """
        if self.log:
            return _decades(self.low, self.high, least)
        step = round_step((self.high - self.low) / 7)
        return [step * index for index in range(ceil(self.low / step), floor(self.high / step) + 1)]


def _decades(low: float, high: float, least: int) -> list[float]:
    """Powers of ten; where these are too few, round values between them too."""
    first, last = floor(log10(low)), ceil(log10(high))
    powers = range(first, last + 1, max((last - first) // 8, 1))
    found: list[float] = []
    for leads in _LEADS:
        values = (lead * 10.0**power for power in powers for lead in leads)
        found = [value for value in values if low <= value <= high]
        if len(found) >= least:
            break
    return found


def round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten: the smallest of these that is not below `least` > 0."""
    power = 10.0 ** floor(log10(least))
    return next(each * power for each in _STEPS if each * power >= least * _ALMOST)


SLACK = 1.04
BOLD = 1.08
ELLIPSIS = "…"

# Thousandths of the font size (Adobe's metrics of Helvetica).
_CLASSES = {
    222: "ijl'|",
    278: " !,./:;I[]\\ft·",
    333: '()-`r{}"*',
    500: "Jckvsxyz",
    556: "0123456789abdeghnopquL_#$?–",
    584: "+<=>~×^",
    611: "FTZ",
    667: "ABEKPSVXY&",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    944: "W%",
}
_ADVANCES = {char: advance for advance, chars in _CLASSES.items() for char in chars}
_WIDEST = 1050  # any other character: at most as wide as it is high, give or take


def width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text in pixels, `size` pixels high."""
    advance = sum(_ADVANCES.get(char, _WIDEST) for char in text) * SLACK / 1000
    return advance * size * (BOLD if bold else 1)


def fitted(text: str, room: float, size: float, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits, and an ellipsis."""
    if width(text, size, bold) <= room:
        return text
    while text and width(text + ELLIPSIS, size, bold) > room:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS
