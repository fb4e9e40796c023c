"""Results as tables: text_tables(results), markdown_tables(results); grids(results) for a terminal.

    resnet50, 25,557,032 parameters, inference, 1 image, float32
    side       memory format  median  least    most     images/s  times  memory    error
    optimized  contiguous     43 ms   42.5 ms  45.1 ms      23.3      1  120 MiB   1.0e-06
    eager      channels_last  63 ms   ...                          1.47

A side is one contender of the benchmark. `times` follows a column of times, and is the ratio of that
time to the baseline's: the baseline is `optimized`, or else the first side. `memory format` is the
layout that was the fastest. A cold start has two such pairs: `cold` includes the start-up of the C++
toolchain (compiling a trivial function), `after the toolchain` does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from resnetgen.reports.numbers import byte_size, count, duration, significant
from resnetgen.reports.table_layout import GAP, Grid, align, as_markdown, as_text
from resnetgen.runtime.bench.results import DEFINITIONS, Case, Results, SideResult
from resnetgen.runtime.bench.sides import Side


@dataclass(frozen=True)
class _Column:
    """A column of a table. `cell` is given a side, the baseline, and the batch."""

    head: str
    cell: Callable[[SideResult, SideResult, int], str]
    needed: bool = True  # False: omitted if there is little room
    alignment: str = ">"


def text_tables(results: Results) -> str:
    """Plain tables, and below them the machine and what was not measured."""
    return "\n".join([as_text(grids(results)), *remarks(results)]) + "\n"


def markdown_tables(results: Results) -> str:
    """The same as tables of Markdown."""
    listed = [f"- {remark}" for remark in remarks(results)]
    return "\n".join([as_markdown(grids(results)), *listed]) + "\n"


def grids(results: Results, short: bool = False) -> list[Grid]:
    """A grid for each case; `short` has fewer columns."""
    return [_grid(results, case, short) for case in results.cases]


def remarks(results: Results) -> list[str]:
    """The machine, and each side without some or all figures, with the reason."""
    return [_machine(results), *_reasons(results)]


def help_lines(known: Mapping[str, Side]) -> list[str]:
    """What `--side help` prints: the sides, and what each figure is."""
    rows = [
        (name, each.doc + " (only if asked for)" * each.on_request) for name, each in known.items()
    ]
    return [*align(rows, "<<"), "", *align(list(DEFINITIONS.items()), "<<")]


def _grid(results: Results, case: Case, short: bool) -> Grid:
    measured = {name: each for name, each in case.sides.items() if not each.empty}
    columns = [each for each in _columns(case) if each.needed or not short]
    rows = [
        (name, *(each.cell(side, measured[case.baseline or name], case.batch) for each in columns))
        for name, side in measured.items()
    ]
    images = "image" if case.batch == 1 else "images"
    title = f"{results.network}, {count(results.parameters)} parameters, {results.mode}, "
    return Grid(
        f"{title}{case.batch} {images}, {case.dtype}",
        ("side", *(each.head for each in columns)),
        tuple(rows),
        "<" + "".join(each.alignment for each in columns),
    )


def _columns(case: Case) -> Iterator[_Column]:
    """The columns in which a case has figures."""
    sides = case.sides.values()
    if any(each.steady for each in sides):
        yield _Column("memory format", lambda side, *_: side.layout or "", False, "<")
        yield _Column("median", lambda side, *_: _time(side.median_call))
        yield _Column("least", lambda side, *_: _time(min(side.steady, default=None)), False)
        yield _Column("most", lambda side, *_: _time(max(side.steady, default=None)), False)
        yield _Column("images/s", lambda side, _, batch: _rate(side.median_call, batch), False)
        yield _Column("times", lambda side, base, _: _ratio(side.median_call, base.median_call))
    if any(each.cold for each in sides):
        yield _Column("cold", lambda side, *_: _time(side.first_output_with_toolchain))
        yield _Column("times", _ratio_with_toolchain)
        yield _Column("after the toolchain", lambda side, *_: _time(side.first_output), False)
        yield _Column(
            "times", lambda side, base, _: _ratio(side.first_output, base.first_output), False
        )
    if any(each.memory is not None for each in sides):
        yield _Column("memory", lambda side, *_: _bytes(side.memory))
    yield _Column("error", lambda side, *_: f"{side.error.max:.1e}" if side.error else "")


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _rate(seconds: float | None, batch: int) -> str:
    return significant(batch / seconds) if seconds else ""


def _ratio(seconds: float | None, base: float | None) -> str:
    return significant(seconds / base) if seconds and base else ""


def _ratio_with_toolchain(side: SideResult, base: SideResult, batch: int) -> str:
    return _ratio(side.first_output_with_toolchain, base.first_output_with_toolchain)


def _bytes(number: int | None) -> str:
    return "" if number is None else byte_size(number)


def _machine(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']}, cores: {machine['cores']}, threads: {machine['threads']}, "
        f"load before: {machine['load']}; {versions}"
    )


def _reasons(results: Results) -> Iterator[str]:
    """A line for each side and reason, with the cases unless it applies to all."""
    cases: dict[tuple[str, str], list[str]] = {}
    for case in results.cases:
        for name, each in case.sides.items():
            if each.reason is not None:
                cases.setdefault((name, each.reason), []).append(f"{case.batch} x {case.dtype}")
    for (name, reason), where in cases.items():
        everywhere = len(where) == len(results.cases)
        yield f"{name}: {reason}" + ("" if everywhere else f"{GAP}({', '.join(where)})")
