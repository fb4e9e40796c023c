"""Figures as people read them.

4089184256 -> `4,089,184,256`, or `4.09 G` where there is little room; 102228128 bytes -> `97.5 MiB`
"""

from __future__ import annotations

from resnetgen.report.columns import count, rounded
from resnetgen.report.metrics import Metric, Value

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def shown(metric: Metric, value: Value, short: bool = False) -> str:
    """A value of a metric as text; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return axes(value)
    if isinstance(value, str):
        return value
    if metric.unit == "bytes":
        return size(value)
    if metric.unit == "seconds":
        return duration(value)
    if isinstance(value, float):
        return significant(value)
    return rounded(value) if short else count(value)


def axes(values: tuple[float, ...]) -> str:
    """`(7, 7)` -> `7`; `(7, 5)` -> `7 x 5`."""
    told = [significant(value) if isinstance(value, float) else count(value) for value in values]
    return told[0] if len(set(told)) == 1 else " x ".join(told)


def size(number: float) -> str:
    """Bytes -> `97.5 MiB`."""
    power = 0
    while number >= 1024 and power < len(_BINARY) - 1:
        number, power = number / 1024, power + 1
    return f"{number:,.1f} {_BINARY[power]}" if power else f"{number:,.0f} B"


def duration(seconds: float) -> str:
    """Seconds -> `1.23 ms`."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns" if seconds else "0"


def significant(value: float) -> str:
    """Three significant digits, and no more than needed: `27.5`, `51,984`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def change(value: Value, base: Value) -> str:
    """How a figure differs from another: `+135.5 %`."""
    if not isinstance(value, int | float) or not isinstance(base, int | float) or not base:
        return ""
    return f"{(value / base - 1) * 100:+.1f} %" if value != base else "="
