"""How wide text is without a font at hand.

width("conv 3×3, 64", 9)  ->  55.4        fitted("a long sentence", 40, 9)  ->  "a long…"

Advance widths are those of Helvetica, which Arial and Liberation Sans share, and a little more, so
that what fits by this measure fits in those and in fonts alike.
"""

from __future__ import annotations

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
