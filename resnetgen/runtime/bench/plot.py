"""svg(results) -> the plot of a benchmark: a panel for each case, a bar for each side.

Cold starts are on a logarithmic axis. Colours follow the reader's light or dark theme; each bar is
followed by its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import floor, log10

from resnetgen.reports.numbers import duration
from resnetgen.reports.plotting.charts import Bars, Series, bars
from resnetgen.reports.plotting.scales import Scale
from resnetgen.reports.plotting.svg import FONTS, Canvas, Palette, document, themed
from resnetgen.runtime.bench.results import Case, Results, SideResult

WIDTH = 760.0
_MARGIN, _TITLE, _SPACE = 24.0, 58.0, 34.0

_TYPE = f"""\
text{{font:12px {FONTS}}}
.title{{font-size:16px;font-weight:700}}
.case{{font-weight:700}}
.decade{{fill:none}}
"""


@dataclass(frozen=True)
class _Panel:
    """The bars of one figure of one case; `scale` is that of a logarithmic panel."""

    title: str
    bars: Bars
    baseline: int | None  # the bar that the others are compared with
    scale: Scale | None = None


def svg(results: Results) -> str:
    """The plot as text."""
    canvas = Canvas()
    title = f"{results.network}, {results.mode}"
    canvas.text(_MARGIN, 28, title, "title")
    canvas.text(_MARGIN, 47, f"{results.machine['cpu']}, median times; less is better", "soft")
    top = _TITLE
    for panel in _panels(results):
        _draw(canvas, panel, top)
        top += panel.bars.height + _SPACE
    style = _TYPE + themed(_colours)
    return document(canvas, (WIDTH, top), title, "Median times of each side", style)


def _colours(palette: Palette) -> Mapping[str, str]:
    return {
        ".page": f"fill:{palette.page}",
        "text": f"fill:{palette.text}",
        ".soft": f"fill:{palette.muted}",
        ".decade": f"stroke:{palette.line}",
        ".bar": f"fill:{palette.multiply_adds}",
        ".ours": f"fill:{palette.skip}",
    }


def _panels(results: Results) -> Iterator[_Panel]:
    """Steady times of each case, then the cold starts of each, if there are any."""
    for case in results.cases:
        title = f"batch {case.batch}, {case.dtype}"
        steady = {name: each.median_call for name, each in case.sides.items() if each.median_call}
        if steady:
            yield _Panel(f"{title}: a call", _bars(steady), _baseline_index(case, steady))
    for case in results.cases:
        title = f"batch {case.batch}, {case.dtype}"
        cold = {name: _cold_time(each) for name, each in case.sides.items() if each.cold}
        if cold:
            yield _log_panel(f"{title}: to the first output, cold, log scale", case, cold)


def _cold_time(side: SideResult) -> float:
    assert side.first_output_with_toolchain is not None
    return side.first_output_with_toolchain


def _baseline_index(case: Case, times: Mapping[str, float]) -> int | None:
    names = list(times)
    return names.index(case.baseline) if case.baseline in names else None


def _bars(times: Mapping[str, float], values: list[float] | None = None) -> Bars:
    texts = [duration(seconds) for seconds in times.values()]
    series = Series("", values or list(times.values()), texts)
    return bars(list(times), [series], WIDTH - 2 * _MARGIN)


def _log_panel(title: str, case: Case, times: Mapping[str, float]) -> _Panel:
    """Bars as long as the logarithms above a power of ten, which is below all times."""
    low = 10.0 ** floor(log10(min(times.values())) - 1e-9)
    lengths = [log10(seconds / low) for seconds in times.values()]
    drawn = _bars(times, lengths)
    (panel,) = drawn.panels
    longest = max(panel.bars, key=lambda bar: bar.length)
    scale = Scale(low, max(times.values()), longest.x, longest.x + longest.length, log=True)
    return _Panel(title, drawn, _baseline_index(case, times), scale)


def _draw(canvas: Canvas, panel: _Panel, top: float) -> None:
    drawn = panel.bars
    canvas.text(_MARGIN, top + 14, panel.title, "case")
    if panel.scale is not None:
        _draw_decades(canvas, drawn, panel.scale, top)
    for y, label, _ in drawn.names:
        canvas.text(_MARGIN, top + y + 4, label, "name")
    (bars_of,) = drawn.panels
    for number, bar in enumerate(bars_of.bars):
        kind = "ours" if number == panel.baseline else "bar"
        canvas.rect(_MARGIN + bar.x, top + bar.y, max(bar.length, 1), drawn.thickness, kind, 2)
        at = _MARGIN + bar.x + bar.length + 6
        canvas.text(at, top + bar.y + drawn.thickness / 2 + 4, bar.text, "figure")


def _draw_decades(canvas: Canvas, drawn: Bars, scale: Scale, top: float) -> None:
    """A line at each power of ten, with its time below it."""
    for tick in scale.ticks(1):
        x = _MARGIN + scale(tick)
        canvas.outline(f"M{x:.1f} {top + drawn.top:g}V{top + drawn.height:g}", "decade")
        canvas.text(x, top + drawn.height + 13, duration(tick), "soft", "middle")
