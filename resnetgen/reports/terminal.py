"""Grids on a terminal (rich): fitted to its width, with a bar a row that shows its share of the whole.

layer3.1-35  bottleneck  1024 x 14 x 14  39,101,440  7,642,808,320  38,635,520  ████████
layer4.0     bottleneck  2048 x 7 x 7     6,039,552    372,506,624     978,432  ▍
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from resnetgen.reports.table_layout import GAP, Grid

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table

_JUSTIFY: Mapping[str, JustifyMethod] = {"<": "left", ">": "right"}

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BAR = 8  # cells


def print_grid(full: Grid, short: Grid, *, color: bool) -> None:
    """Prints as much of a grid as fits: exact counts and bars, else rounded counts (`short`), else
    fewer columns. The remarks follow in full.
    """
    from rich.console import Console

    console = Console(highlight=False, no_color=not color)
    candidates = list(_ever_narrower(full, short))
    fitting = (each for each in candidates if _width(each) <= console.width)
    console.print(_table(next(fitting, candidates[-1])))
    for remark in full.remarks:
        console.print(remark, markup=False, soft_wrap=True)


def _ever_narrower(full: Grid, short: Grid) -> Iterator[Grid]:
    """Without bars, with rounded counts, and at last without the columns of text but the first."""
    if _can_draw_bars():
        yield full
    yield replace(full, shares=())
    if _can_draw_bars():
        yield short
    bare = replace(short, shares=())
    yield bare
    while "<" in bare.sides[1:]:
        bare = _without(bare, bare.sides.index("<", 1))
        yield bare


def _width(grid: Grid) -> int:
    widths = [max(map(len, column)) for column in zip(*grid.lines, strict=True)]
    widths += [_BAR] if grid.shares else []
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _without(grid: Grid, column: int) -> Grid:
    def cut(cells: tuple[str, ...]) -> tuple[str, ...]:
        return cells[:column] + cells[column + 1 :]

    return replace(
        grid,
        heads=cut(grid.heads),
        rows=tuple(map(cut, grid.rows)),
        sides=grid.sides[:column] + grid.sides[column + 1 :],
        total=cut(grid.total) if grid.total else None,
    )


def _table(grid: Grid) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(grid.title, style="bold") if grid.title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, len(GAP) - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        show_footer=grid.total is not None,
        footer_style="bold",
    )
    footer = grid.total or ("",) * len(grid.heads)
    for head, side, foot in zip(grid.heads, grid.sides, footer, strict=True):
        cells = (Text(head), Text(foot))
        justify = _JUSTIFY[side]
        table.add_column(*cells, justify=justify, no_wrap=True, overflow="ellipsis")
    if grid.shares:
        table.add_column(Text("share", style="dim"), no_wrap=True, min_width=_BAR)
    largest = max(grid.shares, default=0.0)
    for number, row in enumerate(grid.rows):
        bar = [Text(_bar(grid.shares[number], largest), style="cyan")] if grid.shares else []
        table.add_row(*map(Text, row), *bar)
    return table


def _can_draw_bars() -> bool:
    """Whether the terminal's encoding has the characters of a bar."""
    try:
        _EIGHTHS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _bar(share: float, largest: float) -> str:
    """A bar in eighths of a cell, the longest row's of full length."""
    eighths = round(share / largest * _BAR * 8) if largest else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).rstrip()
