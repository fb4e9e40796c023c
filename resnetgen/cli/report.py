"""`report`: what networks cost, as tables or data.

`report --paper` prints the tables of papers with the costs of the library's networks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import typer

from resnetgen.cli.console import OutputFile, report_file, write_report
from resnetgen.cli.errors import SPEC_ERROR, Failed, wants_color
from resnetgen.cli.options import (
    Force,
    Format,
    Input,
    Set,
    compile_spec,
    compile_specs,
    overrides,
)
from resnetgen.cli.report_options import (
    AsCounted,
    Batch,
    Budget,
    By,
    Columns,
    Explain,
    InFormat,
    Match,
    Networks,
    OfDtype,
    OnDevice,
    Optimizer,
    Output,
    Paper,
    Paths,
    ReportRequest,
    RowsBy,
    read_conditions,
    report_format,
)
from resnetgen.compiler.diagnostics.model import SpecError, escape_invisible

if TYPE_CHECKING:
    from resnetgen.compiler.passes.infer_types import Cost, TypedInstance
    from resnetgen.pipeline import Compiled
    from resnetgen.reports.budget import Limit
    from resnetgen.reports.report import Report


def report(
    specs: Networks = None,
    format: InFormat = None,
    output: Output = None,
    by: RowsBy = None,
    columns: Columns = None,
    input: Input = None,
    batch: Batch = None,
    dtype: OfDtype = None,
    optimizer: Optimizer = None,
    convention: AsCounted = None,
    explain: Explain = False,
    match: Match = None,
    device: OnDevice = None,
    paths: Paths = False,
    budget: Budget = None,
    paper: Paper = False,
    settings: Set = None,
    force: Force = False,
) -> None:
    """Reports what networks cost: parameters, FLOPs, memory, time.

    Several networks are compared with the first. Multiply-adds are those of convolutions and linear
    layers for one image, as torchvision publishes them. FLOPs are twice that. Activations are the
    elements of the results of all ops. Bytes and times are for a batch.

    \b
    Examples:
      resnetgen report resnet152
      resnetgen report resnet50 resnet152 my/net.yaml
      resnetgen report resnet50 --by node --input 3x320x320 -o nodes.csv
      resnetgen report resnet50 --convention fvcore --convention thop --explain
      resnetgen report resnet50 --match 4.12G
      resnetgen report resnet50 --device h200 --batch 256 --dtype bfloat16
      resnetgen report my/net.yaml --budget 'macs < 4G, params < 26M'
      resnetgen report resnet18 resnet50 resnet152 -o costs.html
      resnetgen report --paper
    """
    if "help" in (columns, device, *(convention or ())):
        _explain_names(columns, device)
        return
    chosen = report_format(format, output)
    if paper:
        file = report_file(output, force)
        write_report(_papers(chosen, specs), file)
        return
    request = ReportRequest(
        specs=specs or [],
        changes=overrides(settings, input),
        format=chosen,
        output=output,
        force=force,
        rows=by,
        columns=columns,
        conditions=read_conditions(batch, dtype, optimizer, convention, device, paths),
        memory=bool(batch or dtype or optimizer),
        budget=budget or [],
    )
    _report(request, match, explain)


def _report(request: ReportRequest, match: str | None, explain: bool) -> None:
    """Prints what was asked for. Raises BadParameter, SpecError or Failed."""
    from resnetgen.reports.report import Report

    if not request.specs:
        raise typer.BadParameter("name a spec, or use --paper", param_hint="SPEC")
    limits, metrics = request.limits, request.metrics  # checks options before compiling
    compiled = compile_specs(request.specs, request.changes)
    if match is not None:
        _print_matches(match, compiled, request.changes)
        return
    file = report_file(request.output, request.force)
    reports = [Report(each.network, each.typed, request.conditions, metrics) for each in compiled]
    _print(reports, request, file)
    if explain:
        _print_explanations(reports)
    if limits:
        _check_budget(limits, reports, request)


def _print(reports: Sequence[Report], request: ReportRequest, file: OutputFile) -> None:
    """The reports in their format; on a terminal, tables that fit its width."""
    if request.format is Format.text and file.path is None and sys.stdout and sys.stdout.isatty():
        _print_tables(reports, request.by)
        return
    from resnetgen.reports.formats import FORMATS

    write_report(FORMATS[request.format](reports, request.by), file)


def _print_tables(reports: Sequence[Report], by: By) -> None:
    """The tables on a terminal, with equal blocks folded."""
    from resnetgen.reports.report_tables import tables
    from resnetgen.reports.terminal import print_grid

    full = tables(reports, by, folded=True)
    narrow = tables(reports, by, folded=True, short=True)
    for grid, short in zip(full, narrow, strict=True):
        print_grid(grid, short, color=wants_color(sys.stdout))


def _print_matches(text: str, compiled: Sequence[Compiled], changes: dict[str, object]) -> None:
    """Which convention, of a network or of a sibling, yields a figure from a publication."""
    from resnetgen.reports.match import match, match_lines, read_figure

    try:
        figure = read_figure(text)
    except ValueError as error:
        raise typer.BadParameter(escape_invisible(str(error)), param_hint="--match") from None
    for number, each in enumerate(compiled):
        matches = match(figure, list(_with_siblings(each, changes)))
        lines = ["\n" * (number > 0) + each.network.name, *match_lines(figure, matches)]
        print("\n".join(lines))


def _with_siblings(
    compiled: Compiled, changes: dict[str, object]
) -> Iterator[tuple[str, TypedInstance]]:
    """A network, and those of the library that could be meant instead, by name."""
    from resnetgen.pipeline import compile_document
    from resnetgen.reports.match import siblings

    yield compiled.network.name, compiled.typed
    for name, document in siblings(compiled.document, changes):
        with suppress(SpecError):
            yield name, compile_document(document).typed


def _print_explanations(reports: Sequence[Report]) -> None:
    from resnetgen.reports.conventions import explanation_lines, explanations

    for report in reports:
        for each in explanations(report.conditions.conventions, report.typed):
            print("\n".join(["", *explanation_lines(each)]))


def _check_budget(
    limits: Sequence[Limit], reports: Sequence[Report], request: ReportRequest
) -> None:
    """Raises Failed if a network is over its budget."""
    from resnetgen.reports.budget import over_budget

    errors = over_budget(limits, reports, request.available)
    if errors:
        raise Failed(errors, SPEC_ERROR)


def _explain_names(columns: str | None, device: str | None) -> None:
    """`--columns help` and the like: the names, and what each means."""
    from resnetgen.reports.conventions import conventions
    from resnetgen.reports.metrics import METRICS
    from resnetgen.reports.roofline import devices
    from resnetgen.reports.table_layout import align

    if columns == "help":
        rows = [(name, each.unit, each.doc) for name, each in METRICS.items()]
    elif device == "help":
        rows = [(name, each.name, each.source) for name, each in devices().items()]
    else:
        rows = [(name, each.tool, each.doc) for name, each in conventions().items()]
    print("\n".join(align(rows, "<<<")))


def _papers(format: Format, specs: Sequence[str] | None) -> str:
    """The tables of papers. Raises BadParameter for specs, or a format that they do not have."""
    from resnetgen.reports.papers import PAPER_FORMATS, ledger

    if specs:
        raise typer.BadParameter(
            "does not accept a spec: the networks are those of the papers", param_hint="--paper"
        )
    if format not in PAPER_FORMATS:
        raise typer.BadParameter(
            f"the formats of --paper are {', '.join(PAPER_FORMATS)}",
            param_hint="--format",
        )
    return PAPER_FORMATS[format](
        ledger(lambda network, changes: _cost(network, tuple(changes.items())))
    )


@cache
def _cost(network: str, changes: tuple[tuple[str, str], ...]) -> Cost:
    return compile_spec(network, dict(changes)).cost
