"""How wide text is, without a font at hand.

    text_width("conv 3×3, 64", 9)       ->  53.9
    fit_text("a long sentence", 40, 9)  ->  "a long…"

Advance widths are those of Helvetica, which Arial and Liberation Sans share, and a little more, so
that text that fits by this measure fits in those fonts and in similar ones.
"""

from __future__ import annotations

_SLACK = 1.04
_BOLD = 1.08
_ELLIPSIS = "…"

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
_WIDEST = 1050  # any other character: about as wide as it is high, at most


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text in pixels, at a font size of `size` pixels."""
    advance = sum(_ADVANCES.get(char, _WIDEST) for char in text) * _SLACK / 1000
    return advance * size * (_BOLD if bold else 1)


def fit_text(text: str, room: float, size: float, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits, and an ellipsis."""
    if text_width(text, size, bold) <= room:
        return text
    while text and text_width(text + _ELLIPSIS, size, bold) > room:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS
