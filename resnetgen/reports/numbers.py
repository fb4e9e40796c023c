"""Numbers as people read and write them.

count(4089184256)                ->  4,089,184,256
rounded(4089184256)              ->  4.09 G
byte_size(102228128)             ->  97.5 MiB
expand_suffixes("macs < 4G")     ->  macs < 4000000000
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnetgen.compiler.passes.infer_types import Cost

# --- numbers as text

_DECIMAL = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K"))
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def count(number: int) -> str:
    """1234567 -> `1,234,567`."""
    return f"{number:,}"


def rounded(number: int) -> str:
    """11513626624 -> `11.51 G`, as papers write it."""
    for factor, letter in _DECIMAL:
        if number >= factor:
            return f"{number / factor:.2f} {letter}"
    return str(number)


def short_number(number: float) -> str:
    """2500000000 -> `2.5 G`, with no more digits than it needs, four at most."""
    for factor, letter in _DECIMAL:
        if abs(number) >= factor:
            return f"{number / factor:.4g} {letter}"
    return f"{number:.4g}"


def significant(value: float) -> str:
    """Three significant digits, and no more than needed: `27.5`, `51,984`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def byte_size(number: float) -> str:
    """102228128 -> `97.5 MiB`."""
    power = 0
    while number >= 1024 and power < len(_BINARY) - 1:
        number, power = number / 1024, power + 1
    return f"{number:,.1f} {_BINARY[power]}" if power else f"{number:,.0f} B"


def duration(seconds: float) -> str:
    """0.00123 -> `1.23 ms`."""
    for factor, unit in _SECONDS:
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns" if seconds else "0"


def axes(values: tuple[float, ...]) -> str:
    """`(7, 7)` -> `7`; `(7, 5)` -> `7 x 5`."""
    texts = [significant(value) if isinstance(value, float) else count(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else " x ".join(texts)


def relative_change(value: object, base: object) -> str:
    """235.5, 100 -> `+135.5 %`; `=` for equal numbers, and nothing where either is not a number."""
    if not isinstance(value, int | float) or not isinstance(base, int | float) or not base:
        return ""
    return f"{(value / base - 1) * 100:+.1f} %" if value != base else "="


def cost_summary(cost: Cost) -> str:
    """`60,192,808 parameters, 11.51 G multiply-adds`: what commands print beside their result."""
    return f"{count(cost.params)} parameters, {rounded(cost.macs)} multiply-adds"


# --- numbers from text

_SUFFIXED = re.compile(r"\b(\d+(?:\.\d+)?)([kMGT]|[KMGT]i)(?![A-Za-z0-9_])")
_FACTORS = {
    **{"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12},
    **{"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40},
}


def expand_suffixes(text: str) -> str:
    """An expression with its numbers in full: `macs < 4G` -> `macs < 4000000000`.

    The suffixes are k, M, G, T (powers of 1000) and Ki, Mi, Gi, Ti (powers of 1024).
    """

    def in_full(match: re.Match[str]) -> str:
        value = float(match[1]) * _FACTORS[match[2]]
        return str(int(value)) if value.is_integer() else repr(value)

    return _SUFFIXED.sub(in_full, text)
