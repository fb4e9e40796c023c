"""`sweep`: what every variant of a network costs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.options import Set, Spec, as_path, force_option, one_of, output_option, overrides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from resnetgen.reports.sweep.files import SweepFile
    from resnetgen.reports.sweep.pareto import Axis, Front
    from resnetgen.reports.sweep.rows import Format
    from resnetgen.reports.sweep.run import SweepPlan
    from resnetgen.reports.sweep.space import Space

MOST_SHOWN = 20  # points of the front in the table
DEFAULT_AXES = "macs,-params"


Vary = Annotated[
    list[str],
    typer.Option(
        "--vary",
        metavar="PATH=VALUES",
        help="Values of a path, as for --set: 1..40, 64..512..64 (both ends belong to it), "
        "256,384,512 or basic,bottleneck. Repeatable: all combinations, the last the fastest.",
    ),
]
Output = Annotated[str, output_option("FILE.csv or FILE.jsonl.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="EXPR", help="Which variants have a row, such as 'macs < 5e9'."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Which figures have a column. [default: all]"),
]
Pareto = Annotated[
    str | None,
    typer.Option(
        "--pareto",
        metavar="X,Y",
        help="The axes of the front and of the plot; with - before it, more is better."
        f" [default: {DEFAULT_AXES}]",
    ),
]
Plot = Annotated[str | None, typer.Option("--plot", metavar="FILE.svg", help="Draw the variants.")]
Force = Annotated[bool, force_option("Begin anew, and replace what is not ours.")]


def sweep(
    spec: Spec,
    vary: Vary,
    output: Output,
    where: Where = None,
    columns: Columns = None,
    pareto: Pareto = None,
    plot: Plot = None,
    settings: Set = None,
    force: Force = False,
) -> None:
    """Writes what every variant of a network costs.

    FILE gets a row a variant, in order; FILE.meta.json says what the columns mean. A sweep that was
    stopped, in whatever way, goes on with the same command. A variant that the compiler refuses has
    no figures, and its fault in the column `error`. At the end stands the Pareto front: by default
    the variants with the most parameters for their multiply-adds.

    \b
    Examples:
      resnetgen sweep resnet50 --vary layer3.blocks=1..40 -o depth.csv
      resnetgen sweep resnet50 --vary layer3.blocks=1..40 --vary layer4.width=256,384,512 \\
          --where 'macs < 5e9' -o small.jsonl --plot small.svg
      resnetgen sweep my/net.yaml --vary 'input.size=[160,160],[224,224]' -o sizes.csv
    """
    from resnetgen.reports.sweep.files import find_place, refuse_foreign_plot
    from resnetgen.reports.sweep.run import SweepPlan, description
    from resnetgen.reports.sweep.space import parse_space
    from resnetgen.reports.sweep.symbols import base_of
    from resnetgen.reports.sweep.where import parse_where

    space, given, figures = parse_space(vary), overrides(settings), _figures(columns)
    _refuse_set_and_varied(space, given)
    format = _format(output, space, figures)
    axes = _axes(space, figures, pareto, plot)
    condition = parse_where(where, space) if where is not None else None
    plan = SweepPlan(base_of(as_path(spec), given), space, condition)
    if plot is not None:
        refuse_foreign_plot(Path(plot), Path(output), force)
    meta = description(plan, vary, figures, spec)
    place = find_place(Path(output), meta, format, force)
    _fill(plan, place)
    if axes:
        _conclude(plan, place, axes, plot, str(meta["spec"]))


def _refuse_set_and_varied(space: Space, given: dict[str, object]) -> None:
    for factor in space.factors:
        if factor.path in given:
            raise typer.BadParameter(f"{factor.path} is both set and varied", param_hint="--set")


def _format(output: str, space: Space, figures: tuple[str, ...]) -> Format:
    """How rows are written. Raises BadParameter where the suffix does not say."""
    from resnetgen.reports.sweep.rows import format_of

    format = format_of(Path(output).suffix, space, figures)
    if format is None:
        raise typer.BadParameter(f"{output!r} is neither .csv nor .jsonl", param_hint="--output")
    return format


def _fill(plan: SweepPlan, place: SweepFile) -> None:
    """Writes the rows that are missing; Ctrl-C stops it after a whole one."""
    from resnetgen.reports.sweep.costs import Costs
    from resnetgen.reports.sweep.run import probe, run

    if place.complete:
        print(f"{place.path} is complete; there is nothing to do (--force begins anew)")
        return
    costs = Costs(plan.base, plan.space)
    probe(plan, costs)
    with _Told(plan, place) as tell:
        run(plan, costs, place, tell)


class _Told:
    """Progress on a terminal, and where to go on after Ctrl-C."""

    def __init__(self, plan: SweepPlan, place: SweepFile) -> None:
        from resnetgen.cli.console import Progress

        self.plan = plan
        self.place = place
        self.progress = Progress()

    def __enter__(self) -> Callable[[int], None]:
        """Starts the line."""
        self.progress.__enter__()
        self(self.place.next)
        return self

    def __call__(self, done: int) -> None:
        """Says how many variants are done, how fast, and how long the others take."""
        import time

        total, seconds = self.plan.space.count, time.monotonic() - self.progress.since
        rate = (done - self.place.next) / seconds if seconds > 1 else 0
        left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        told = f", {rate:,.0f} a second" if rate else ""
        self.progress.text = f"{done:,} of {total:,} variants{told}{left};"

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Wipes the line."""
        self.progress.__exit__(kind, None, None)
        if kind is KeyboardInterrupt:
            told = "stopped; the same command goes on after the last row of"
            print(f"{told} {self.place.path}", file=sys.stderr)


def _figures(columns: str | None) -> tuple[str, ...]:
    """The figures that have a column."""
    from resnetgen.reports.sweep.rows import NAMES

    if columns is None:
        return NAMES
    wanted = [name.strip() for name in columns.split(",")]
    for name in wanted:
        one_of(name, dict.fromkeys(NAMES), "--columns", "figure ")
    return tuple(name for name in NAMES if name in wanted)


def _axes(
    space: Space, figures: Sequence[str], pareto: str | None, plot: str | None
) -> tuple[Axis, Axis] | None:
    """The axes of the front; None where nobody asked and the rows lack the default ones."""
    from resnetgen.compiler.diagnostics.model import SpecError
    from resnetgen.reports.sweep.pareto import parse_axes

    numbers = [factor.path for factor in space.factors if factor.is_numeric]
    try:
        return parse_axes(pareto or DEFAULT_AXES, [*figures, *numbers])
    except SpecError:
        if pareto or plot:
            raise
        return None


def _conclude(
    plan: SweepPlan, place: SweepFile, axes: tuple[Axis, Axis], plot: str | None, title: str
) -> None:
    """The Pareto front of a complete file as a table, and its plot."""
    from resnetgen.reports.sweep.files import read
    from resnetgen.reports.sweep.pareto import Front

    names = ("variant", axes[0].name, axes[1].name)
    front, total = Front(axes), 0
    for variant, x, y in read(place.path, place.format, names):
        front.add(x, y, variant)
        total += 1
    print(f"{place.path}: {total:,} variants with figures")
    if total:
        print("\n".join(_table(plan, front)))
    if plot:
        from resnetgen.compiler.codegen.files import write_atomically
        from resnetgen.reports.sweep.plot import svg

        def points() -> Iterable[tuple[float, float]]:
            return ((x, y) for _, x, y in read(place.path, place.format, names))

        text = svg(title, (_label(axes[0]), _label(axes[1])), points, front)
        write_atomically(Path(plot), text.encode())
        print(plot)


def _label(axis: Axis) -> str:
    """`macs` -> `macs (multiply-adds)`."""
    from resnetgen.reports.sweep.rows import FIGURES

    units = {column.name: column.unit for column in FIGURES}
    return f"{axis.name} ({units[axis.name]})" if units.get(axis.name) else axis.name


def _table(plan: SweepPlan, front: Front) -> list[str]:
    """The front, or some of it from end to end."""
    from resnetgen.reports.numbers import align, count

    points = list(front)
    step = (len(points) - 1) / (MOST_SHOWN - 1) if len(points) > MOST_SHOWN else 1
    shown = [points[round(index * step)] for index in range(min(len(points), MOST_SHOWN))]
    space = plan.space
    heads = ("variant", *(factor.path for factor in space.factors))
    rows = [(*heads, *(axis.name for axis in front.axes))]
    for point in shown:
        values = (setting.text for _, setting in space.settings(space.choice(point.row)))
        figures = (
            count(each) if isinstance(each, int) else str(each) for each in (point.x, point.y)
        )
        rows.append((count(point.row), *values, *figures))
    x, y = (f"{'less' if axis.less else 'more'} {axis.name}" for axis in front.axes)
    some = f", {len(shown)} of {len(points):,}" if len(shown) < len(points) else ""
    thinned = " (thinned: too many to keep)" if front.thinned else ""
    return [f"Pareto front, {x} and {y}{some}{thinned}:", *align(rows, ">" * len(rows[0]))]
