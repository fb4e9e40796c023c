"""`sweep`: what every variant of a network costs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.options import (
    Set,
    Spec,
    force_option,
    look_up,
    output_option,
    overrides,
    safe_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from resnetgen.cli.console import OutputFile
    from resnetgen.reports.sweep.files import SweepFile
    from resnetgen.reports.sweep.pareto import Axis, Front
    from resnetgen.reports.sweep.rows import RowFormat
    from resnetgen.reports.sweep.run import SweepPlan
    from resnetgen.reports.sweep.space import Space

MAX_SHOWN = 20  # points of the front in the table
DEFAULT_AXES = "macs,-params"


Vary = Annotated[
    list[str],
    typer.Option(
        "--vary",
        metavar="PATH=VALUES",
        help="Values of a path, as for --set: 1..40, 64..512..64 (both ends included), "
        "256,384,512 or basic,bottleneck. Repeatable: all combinations, the last varies fastest.",
    ),
]
Output = Annotated[str, output_option("FILE.csv or FILE.jsonl.")]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="EXPR", help="Which variants get a row, such as 'macs < 5e9'."),
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Which figures get a column. [default: all]"),
]
Pareto = Annotated[
    str | None,
    typer.Option(
        "--pareto",
        metavar="X,Y",
        help="The axes of the front and of the plot; a - before one means that more is better."
        f" [default: {DEFAULT_AXES}]",
    ),
]
Plot = Annotated[str | None, typer.Option("--plot", metavar="FILE.svg", help="Plot the variants.")]
Force = Annotated[bool, force_option("Start over, and replace files that sweep did not write.")]


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

    FILE gets one row per variant, in order; FILE.meta.json says what the columns mean. To resume a
    sweep that was stopped, run the same command again. A variant with an error has no figures, and
    the error in the column `error`. At the end the Pareto front is shown: by default the variants
    with the most parameters for their multiply-adds.

    \b
    Examples:
      resnetgen sweep resnet50 --vary layer3.blocks=1..40 -o depth.csv
      resnetgen sweep resnet50 --vary layer3.blocks=1..40 --vary layer4.width=256,384,512 \\
          --where 'macs < 5e9' -o small.jsonl --plot small.svg
      resnetgen sweep my/net.yaml --vary 'input.size=[160,160],[224,224]' -o sizes.csv
    """
    from resnetgen.cli.console import plot_file
    from resnetgen.reports.sweep.files import resume_point
    from resnetgen.reports.sweep.pareto import PLOT
    from resnetgen.reports.sweep.rows import parse_where
    from resnetgen.reports.sweep.run import SweepPlan, metadata
    from resnetgen.reports.sweep.space import parse_space
    from resnetgen.reports.sweep.symbols import read_base

    space, given, figures = parse_space(vary), overrides(settings), _figures(columns)
    _refuse_set_and_varied(space, given)
    format = _format(output, space, figures)
    axes = _axes(space, figures, pareto, plot)
    condition = parse_where(where, space) if where is not None else None
    plan = SweepPlan(read_base(safe_path(spec), given), space, condition)
    meta = metadata(plan, vary, figures, spec)
    file = resume_point(Path(output), meta, format, force)
    svg = None if plot is None else plot_file(plot, output, PLOT, force)
    _fill(plan, file)
    if axes:
        front = _show_front(plan, file, axes)
        if svg:
            _write_plot(spec, file, front, svg)


# --- options


def _refuse_set_and_varied(space: Space, given: dict[str, object]) -> None:
    for factor in space.factors:
        if factor.path in given:
            raise typer.BadParameter(f"{factor.path} is both set and varied", param_hint="--set")


def _format(output: str, space: Space, figures: tuple[str, ...]) -> RowFormat:
    """The format of the rows, by the suffix of the file. Raises BadParameter."""
    from resnetgen.reports.sweep.rows import row_format

    format = row_format(Path(output).suffix, space, figures)
    if format is None:
        raise typer.BadParameter(f"{output!r} is neither .csv nor .jsonl", param_hint="--output")
    return format


def _figures(columns: str | None) -> tuple[str, ...]:
    """The figures that get a column."""
    from resnetgen.reports.sweep.rows import FIGURE_NAMES

    if columns is None:
        return FIGURE_NAMES
    wanted = [name.strip() for name in columns.split(",")]
    for name in wanted:
        look_up(name, dict.fromkeys(FIGURE_NAMES), "--columns", "figure ")
    return tuple(name for name in FIGURE_NAMES if name in wanted)


def _axes(
    space: Space, figures: Sequence[str], pareto: str | None, plot: str | None
) -> tuple[Axis, Axis] | None:
    """The axes of the front; None if none were given and the rows lack the default ones."""
    from resnetgen.compiler.diagnostics.model import SpecError
    from resnetgen.reports.sweep.pareto import parse_axes

    numbers = [factor.path for factor in space.factors if factor.is_numeric]
    try:
        return parse_axes(pareto or DEFAULT_AXES, [*figures, *numbers])
    except SpecError:
        if pareto or plot:
            raise
        return None


# --- rows


def _fill(plan: SweepPlan, file: SweepFile) -> None:
    """Writes the missing rows; Ctrl-C stops it after a whole row."""
    from resnetgen.reports.sweep.costs import Costs
    from resnetgen.reports.sweep.run import probe, run

    if file.complete:
        print(f"{file.path} is complete; there is nothing to do (--force starts over)")
        return
    costs = Costs(plan.base, plan.space)
    probe(plan, costs)
    with _SweepProgress(plan, file) as progress:
        run(plan, costs, file, progress)


class _SweepProgress:
    """The progress line, and how to resume after Ctrl-C."""

    def __init__(self, plan: SweepPlan, file: SweepFile) -> None:
        from resnetgen.cli.console import Progress

        self.plan = plan
        self.file = file
        self.line = Progress()

    def __enter__(self) -> Callable[[int], None]:
        """Starts the line."""
        self.line.__enter__()
        self(self.file.next_variant)
        return self

    def __call__(self, done: int) -> None:
        """Shows how many variants are done, how fast, and how long the others will take."""
        import time

        total, seconds = self.plan.space.count, time.monotonic() - self.line.since
        rate = (done - self.file.next_variant) / seconds if seconds > 1 else 0
        speed = f", {rate:,.0f} a second, {(total - done) / rate:,.0f} s left" if rate else ""
        self.line.text = f"{done:,} of {total:,} variants{speed};"

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Erases the line."""
        self.line.__exit__(kind, None, None)
        if kind is KeyboardInterrupt:
            message = "stopped; run the same command again to continue after the last row of"
            print(f"{message} {self.file.path}", file=sys.stderr)


# --- the front


def _show_front(plan: SweepPlan, file: SweepFile, axes: tuple[Axis, Axis]) -> Front:
    """Prints the Pareto front of a complete file as a table."""
    from resnetgen.reports.sweep.files import read_rows
    from resnetgen.reports.sweep.pareto import Front

    front, total = Front(axes), 0
    for variant, x, y in read_rows(file.path, file.format, ("variant", axes[0].name, axes[1].name)):
        front.add(x, y, variant)
        total += 1
    print(f"{file.path}: {total:,} variants with figures")
    if total:
        print("\n".join(_table(plan, front)))
    return front


def _table(plan: SweepPlan, front: Front) -> list[str]:
    """The front, or some of it from end to end."""
    from resnetgen.reports.numbers import count
    from resnetgen.reports.table_layout import align

    points = list(front)
    step = (len(points) - 1) / (MAX_SHOWN - 1) if len(points) > MAX_SHOWN else 1
    shown = [points[round(index * step)] for index in range(min(len(points), MAX_SHOWN))]
    space = plan.space
    paths = (factor.path for factor in space.factors)
    rows = [("variant", *paths, *(axis.name for axis in front.axes))]
    for point in shown:
        values = (value.text for _, value in space.values(space.choice(point.variant)))
        figures = (
            count(each) if isinstance(each, int) else str(each) for each in (point.x, point.y)
        )
        rows.append((count(point.variant), *values, *figures))
    x, y = (f"{'less' if axis.minimize else 'more'} {axis.name}" for axis in front.axes)
    some = f", {len(shown)} of {len(points):,}" if len(shown) < len(points) else ""
    thinned = " (thinned: too many to keep)" if front.thinned else ""
    return [f"Pareto front, {x} and {y}{some}{thinned}:", *align(rows, ">" * len(rows[0]))]


def _write_plot(title: str, file: SweepFile, front: Front, svg: OutputFile) -> None:
    """Writes the plot of a complete file."""
    from resnetgen.reports.sweep.files import read_rows
    from resnetgen.reports.sweep.pareto import plot_svg

    names = [axis.name for axis in front.axes]
    x, y = front.axes

    def points() -> Iterable[tuple[float, float]]:
        return ((x, y) for x, y in read_rows(file.path, file.format, names))

    svg.write(plot_svg(title, (_label(x), _label(y)), points, front))
    print(svg.path)


def _label(axis: Axis) -> str:
    """`macs` -> `macs (multiply-adds)`."""
    from resnetgen.reports.sweep.rows import FIGURES

    units = {column.name: column.unit for column in FIGURES}
    return f"{axis.name} ({units[axis.name]})" if units.get(axis.name) else axis.name
