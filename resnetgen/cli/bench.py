"""`bench`: how fast a network runs, beside other ways to run it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.console import Progress, write_report
from resnetgen.cli.errors import USAGE_ERROR, Failed, wants_color
from resnetgen.cli.options import (
    Set,
    Spec,
    compile_spec,
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
_MOST_IMAGES = 65_536


class Format(StrEnum):
    """How results are printed."""

    text = "text"
    json = "json"
    markdown = "markdown"


class Mode(StrEnum):
    """What a call of the network is."""

    inference = "inference"
    training = "training"


Batches = Annotated[str, typer.Option("--batch", metavar="N,...", help="Images a call.")]
Dtypes = Annotated[
    str,
    typer.Option("--dtype", metavar="TYPE,...", help="float32 and bfloat16: weights and images."),
]
Sides = Annotated[
    str | None,
    typer.Option(
        "--side", metavar="NAME,...", help="Which to compare; `--side help` explains all of them."
    ),
]
InMode = Annotated[Mode, typer.Option("--mode", help="A call, or a step forward and backward.")]
Cold = Annotated[
    bool, typer.Option("--cold", help="Cold starts too: fresh processes, empty caches.")
]
Rounds = Annotated[
    int, typer.Option("--rounds", min=0, help="Timed calls a side; 0 for none, with --cold.")
]
Runs = Annotated[int, typer.Option("--runs", min=1, help="Cold starts a side.")]
Memory = Annotated[bool, typer.Option("--memory/--no-memory", help="Peak memory too.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of each side. [default: as torch takes]"),
]
Limit = Annotated[
    float,
    typer.Option("--limit", min=1, metavar="SECONDS", help="How long a side may say nothing."),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", metavar="FILE", help="A checkpoint. [default: random weights]"),
]
InFormat = Annotated[Format, typer.Option("--format", help="How results are printed.")]
Output = Annotated[str | None, output_option("Where they are written.")]
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
) -> None:
    """How fast a network runs on this CPU, beside other ways to run it.

    All sides have the same weights and images and run in turn. Times are medians; `times` says how
    many times as long as `optimized` (or as the first side) a side takes. Memory formats that a side
    may like are tried, and the quickest is named. `--side help` says what each side and figure is.

    \b
    Examples:
      resnetgen bench resnet50
      resnetgen bench resnet50 --batch 1,16 --dtype float32,bfloat16 -o r50.json --format json
      resnetgen bench resnet152 --cold --side optimized,compile --plot cold.svg
      resnetgen bench my/net.yaml --mode training --side eager,compile,regional
      resnetgen bench --side help
    """
    if side == "help":
        return _explain()
    _check_options(spec, rounds, cold)
    from resnetgen.runtime.bench.run import BenchmarkConfig

    changes = overrides(settings)
    question = BenchmarkConfig(
        compile_spec(spec, changes), safe_path(spec), changes, _sides(side, mode), _batches(batch),
        _each_of(dtype, _DTYPES, "--dtype", "type"), mode.value, rounds, runs if cold else 0,
        memory, threads, weights, limit,
    )  # fmt: skip
    asked = question.sides if side is not None else []
    _refuse([(each.name, question.reasons(each)) for each in asked])
    results = _measured(question)
    _show(results, format, output, plot)
    _refuse([(each.name, results.reasons(each.name)) for each in asked])


def _explain() -> None:
    """What `--side help` prints."""
    from resnetgen.runtime.bench.sides import sides
    from resnetgen.runtime.bench.table import help_lines

    print("\n".join(help_lines(sides())))


def _check_options(spec: str, rounds: int, cold: bool) -> None:
    if not spec:
        raise typer.BadParameter("name a spec, or say --side help", param_hint="SPEC")
    if not rounds and not cold:
        raise typer.BadParameter(
            "with no round there is nothing to measure but --cold", param_hint="--rounds"
        )


def _list(text: str | None) -> list[str]:
    """`1,16` -> its parts, each once."""
    return list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _batches(text: str) -> list[int]:
    found = [int(part) if part.isdecimal() else 0 for part in _list(text)]
    if not found or not all(0 < each <= _MOST_IMAGES for each in found):
        raise typer.BadParameter(
            f"{text!r} is not a list of sizes, such as 1,16", param_hint="--batch"
        )
    return found


def _sides(text: str | None, mode: Mode) -> list[Side]:
    """Those that were named, else all that the mode has."""
    from resnetgen.runtime.bench.sides import sides

    known = sides()
    if text is not None:
        return [known[name] for name in _each_of(text, known, "--side", "side")]
    return [each for each in known.values() if mode in each.modes and not each.on_request]


def _each_of(text: str, known: Iterable[str], option: str, kind: str) -> list[str]:
    """The names in a list, all of them known. Raises typer.BadParameter."""
    names = {name: name for name in known}
    found = [look_up(name, names, option, f"{kind} ") for name in _list(text)]
    if not found:
        raise typer.BadParameter(f"names no {kind}", param_hint=option)
    return found


def _measured(question: BenchmarkConfig) -> Results:
    """The results. Raises Failed where the network itself does not run."""
    from resnetgen.runtime.bench.process import WorkerFailed
    from resnetgen.runtime.bench.run import measure

    signal.signal(signal.SIGTERM, _stop)
    with Progress() as progress:
        try:
            return measure(question, progress)
        except WorkerFailed as fault:
            message = f"`{question.spec}` cannot be run: {fault.reason}"
            raise Failed([Diagnostic("not-measured", message)], USAGE_ERROR) from None


def _stop(number: int, frame: object) -> None:
    """Ends as Ctrl-C does, so that no process and no folder is left."""
    raise SystemExit(128 + number)


def _refuse(reasons: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Raises Failed where a side that was asked for gives nothing, with its reasons."""
    faults = [
        Diagnostic("not-measured", f"`{name}` cannot be measured: {'; '.join(each)}")
        for name, each in reasons
        if each
    ]
    if faults:
        raise Failed(faults, USAGE_ERROR)


def _show(results: Results, format: Format, output: str | None, plot: str | None) -> None:
    """Prints or writes, and draws."""
    from resnetgen.runtime.bench.plot import svg
    from resnetgen.runtime.bench.table import markdown_tables, text_tables

    if format is Format.text and output is None and sys.stdout and sys.stdout.isatty():
        _paint(results)
    else:
        forms = {Format.text: text_tables, Format.json: type(results).json, Format.markdown: markdown_tables}
        write_report(forms[format](results), output)
    if plot is not None:
        write_report(svg(results), plot)


def _paint(results: Results) -> None:
    """The tables on a terminal, as wide as it is."""
    from resnetgen.reports.terminal import print_grid
    from resnetgen.runtime.bench.table import grids, remarks

    for full, short in zip(grids(results), grids(results, short=True), strict=True):
        print_grid(full, short, color=wants_color(sys.stdout))
        print()
    print("\n".join(remarks(results)))
