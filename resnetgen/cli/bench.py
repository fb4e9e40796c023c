"""`bench`: how fast a network runs, compared with other ways to run it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.console import OutputFile, Progress, plot_file, report_file, write_report
from resnetgen.cli.errors import USAGE_ERROR, Failed, wants_color
from resnetgen.cli.options import (
    Force,
    Format,
    Set,
    Spec,
    compile_spec,
    format_option,
    look_up,
    output_option,
    overrides,
    safe_path,
)
from resnetgen.compiler.diagnostics.model import Diagnostic

if TYPE_CHECKING:
    from resnetgen.runtime.bench.results import Results
    from resnetgen.runtime.bench.run import BenchmarkConfig
    from resnetgen.runtime.bench.sides import Side

_DTYPES = "float32", "bfloat16"
_MAX_IMAGES = 65_536
FORMATS = (Format.text, Format.json, Format.md)


class Mode(StrEnum):
    """What is timed."""

    inference = "inference"
    training = "training"


Batches = Annotated[str, typer.Option("--batch", metavar="N,...", help="Images per call.")]
Dtypes = Annotated[
    str,
    typer.Option(
        "--dtype", metavar="TYPE,...", help="Types of weights and images: float32, bfloat16."
    ),
]
Sides = Annotated[
    str | None,
    typer.Option(
        "--side", metavar="NAME,...", help="The ways to compare; `--side help` explains them."
    ),
]
InMode = Annotated[Mode, typer.Option("--mode", help="Time a forward pass, or a training step.")]
Cold = Annotated[
    bool, typer.Option("--cold", help="Also time cold starts: fresh processes, empty caches.")
]
Rounds = Annotated[
    int, typer.Option("--rounds", min=0, help="Timed calls per side; with --cold, 0 for none.")
]
Runs = Annotated[int, typer.Option("--runs", min=1, help="Cold starts per side.")]
Memory = Annotated[bool, typer.Option("--memory/--no-memory", help="Also measure peak memory.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads per side. [default: those of torch]"),
]
Limit = Annotated[
    float,
    typer.Option(
        "--limit",
        min=1,
        metavar="SECONDS",
        help="Stop a side after this long without a sign of life.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", metavar="FILE", help="A checkpoint. [default: random weights]"),
]
InFormat = Annotated[Format, format_option(FORMATS, "How to print the results.")]
Output = Annotated[str | None, output_option("Write the results to a file.")]
Plot = Annotated[
    str | None, typer.Option("--plot", metavar="FILE.svg", help="Draw the times as bars.")
]


def bench(
    spec: Spec = "",
    batch: Batches = "1",
    dtype: Dtypes = "float32",
    side: Sides = None,
    mode: InMode = Mode.inference,
    cold: Cold = False,
    rounds: Rounds = 15,
    runs: Runs = 3,
    memory: Memory = True,
    threads: Threads = None,
    limit: Limit = 1800,
    weights: Weights = None,
    format: InFormat = Format.text,
    output: Output = None,
    plot: Plot = None,
    settings: Set = None,
    force: Force = False,
) -> None:
    """Measures how fast a network runs on this CPU.

    The network is compared with other ways to run it. All sides get the same weights and images and
    run in turn. Times are medians; `times` is the ratio to `optimized`, or to the first side. Each
    side is tried in the memory formats that may suit it, and the fastest is reported. `--side help`
    explains every side and figure.

    \b
    Examples:
      resnetgen bench resnet50
      resnetgen bench resnet50 --batch 1,16 --dtype float32,bfloat16
      resnetgen bench resnet50 --format json -o r50.json
      resnetgen bench resnet152 --cold --side optimized,compile --plot cold.svg
      resnetgen bench my/net.yaml --mode training --side eager,compile,regional
      resnetgen bench --side help
    """
    if side == "help":
        return _explain()
    _check_options(spec, rounds, cold)
    from resnetgen.runtime.bench.run import BenchmarkConfig

    changes = overrides(settings)
    config = BenchmarkConfig(
        compile_spec(spec, changes), safe_path(spec), changes, _sides(side, mode), _batches(batch),
        _known_names(dtype, _DTYPES, "--dtype", "type"), mode.value, rounds, runs if cold else 0,
        memory, threads, weights, limit,
    )  # fmt: skip
    asked = config.sides if side is not None else []
    _refuse_missing([(each.name, config.reasons(each)) for each in asked])
    files = _output_files(output, plot, weights, force)
    results = _measure(config)
    _output(results, format, *files)
    _refuse_missing([(each.name, results.reasons(each.name)) for each in asked])


def _explain() -> None:
    """What `--side help` prints."""
    from resnetgen.runtime.bench.sides import sides
    from resnetgen.runtime.bench.table import help_lines

    print("\n".join(help_lines(sides())))


def _check_options(spec: str, rounds: int, cold: bool) -> None:
    if not spec:
        raise typer.BadParameter("name a spec, or use --side help", param_hint="SPEC")
    if not rounds and not cold:
        raise typer.BadParameter(
            "there is nothing to measure with 0 rounds and without --cold", param_hint="--rounds"
        )


def _list(text: str | None) -> list[str]:
    """`1,16` -> ["1", "16"], each once."""
    return list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _batches(text: str) -> list[int]:
    sizes = [int(part) if part.isdecimal() else 0 for part in _list(text)]
    if not sizes or not all(0 < each <= _MAX_IMAGES for each in sizes):
        raise typer.BadParameter(
            f"{text!r} is not a list of sizes, such as 1,16", param_hint="--batch"
        )
    return sizes


def _sides(text: str | None, mode: Mode) -> list[Side]:
    """The sides that were named, else all of the mode that need not be named."""
    from resnetgen.runtime.bench.sides import sides

    known = sides()
    if text is not None:
        return [known[name] for name in _known_names(text, known, "--side", "side")]
    return [each for each in known.values() if mode in each.modes and not each.on_request]


def _known_names(text: str, known: Iterable[str], option: str, kind: str) -> list[str]:
    """The names in a list. Raises typer.BadParameter if one is not known."""
    entries = {name: name for name in known}
    names = [look_up(name, entries, option, f"{kind} ") for name in _list(text)]
    if not names:
        raise typer.BadParameter(f"names no {kind}", param_hint=option)
    return names


def _measure(config: BenchmarkConfig) -> Results:
    """Runs the benchmark. Raises Failed if the network itself does not run."""
    from resnetgen.runtime.bench.process import WorkerFailed
    from resnetgen.runtime.bench.run import measure

    signal.signal(signal.SIGTERM, _stop)
    with Progress() as progress:
        try:
            return measure(config, progress)
        except WorkerFailed as error:
            message = f"`{config.spec}` cannot be run: {error.reason}"
            raise Failed([Diagnostic("not-measured", message)], USAGE_ERROR) from None


def _stop(number: int, frame: object) -> None:
    """Ends as Ctrl-C does, so that no process and no temporary folder is left."""
    raise SystemExit(128 + number)


def _refuse_missing(reasons: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Raises Failed for the sides that were asked for and have no result, with the reasons."""
    errors = [
        Diagnostic("not-measured", f"`{name}` cannot be measured: {'; '.join(each)}")
        for name, each in reasons
        if each
    ]
    if errors:
        raise Failed(errors, USAGE_ERROR)


def _output_files(
    output: str | None, plot: str | None, weights: str | None, force: bool
) -> tuple[OutputFile, OutputFile | None]:
    """Where the results and the plot go, known before minutes are spent. Raises WriteError."""
    from resnetgen.compiler.codegen.files import UNMARKED
    from resnetgen.compiler.frontend.input_file import note_input

    if weights is not None:
        note_input(weights)
    file = report_file(output, force)
    return file, None if plot is None else plot_file(plot, output, UNMARKED, force)


def _output(results: Results, format: Format, file: OutputFile, plot: OutputFile | None) -> None:
    """Prints or writes the results, and draws the plot."""
    from resnetgen.runtime.bench.plot import svg
    from resnetgen.runtime.bench.table import markdown_tables, text_tables

    if format is Format.text and file.path is None and sys.stdout and sys.stdout.isatty():
        _print_tables(results)
    else:
        formats = {
            Format.text: text_tables,
            Format.json: type(results).json,
            Format.md: markdown_tables,
        }
        write_report(formats[format](results), file)
    if plot is not None:
        write_report(svg(results), plot)


def _print_tables(results: Results) -> None:
    """The tables, fitted to the width of the terminal."""
    from resnetgen.reports.terminal import print_grid
    from resnetgen.runtime.bench.table import grids, remarks

    for full, short in zip(grids(results), grids(results, short=True), strict=True):
        print_grid(full, short, color=wants_color(sys.stdout))
        print()
    print("\n".join(remarks(results)))
