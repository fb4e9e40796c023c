"""Text in columns, and numbers as people read and write them.

[("name", "params"), ("conv1", "9,408")], "<>"  ->  name   params
                                                    conv1   9,408
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnetgen.compiler.passes.infer_types import Cost

GAP = "  "
_SUFFIXED = re.compile(r"\b(\d+(?:\.\d+)?)([kMGT]i?|Ki)(?![A-Za-z0-9_])")
_FACTORS = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_LETTERS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K"))
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def align(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Rows of cells -> lines; `sides` has one `<` or `>` a column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [GAP.join(map(_padded, row, sides, widths)).rstrip() for row in rows]


def _padded(cell: str, side: str, width: int) -> str:
    return f"{cell:{side}{width}}"


def count(number: int) -> str:
    """1234567 -> `1,234,567`."""
    return f"{number:,}"


def rounded(number: int) -> str:
    """11513626624 -> `11.51 G`, as papers write it."""
    for factor, letter in _LETTERS:
        if number >= factor:
            return f"{number / factor:.2f} {letter}"
    return str(number)


def short_number(number: float) -> str:
    """2500000000 -> `2.5 G`, with no more digits than it needs, four at most."""
    for factor, letter in _LETTERS:
        if abs(number) >= factor:
            return f"{number / factor:.4g} {letter}"
    return f"{number:.4g}"


def summary(cost: Cost) -> str:
    """`60,192,808 parameters, 11.51 G multiply-adds`: what commands say beside their own result."""
    return f"{count(cost.params)} parameters, {rounded(cost.macs)} multiply-adds"


def with_factors(text: str) -> str:
    """`4.1G` -> `4100000000.0`."""

    def number(found: re.Match[str]) -> str:
        factor = (_FACTORS | _BINARY)[found[2]]
        value = float(found[1]) * factor
        return str(int(value)) if value.is_integer() else repr(value)

    return _SUFFIXED.sub(number, text)
