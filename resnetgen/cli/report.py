"""`report`: what networks cost, in whatever form helps.

`report --paper`: the papers' tables with what the library's networks cost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import typer

from resnetgen.cli.console import write_report
from resnetgen.cli.errors import SPEC_ERROR, Failed, wants_color
from resnetgen.cli.options import Input, Set, compile_spec, compile_specs, overrides
from resnetgen.cli.report_options import (
    AsCounted,
    Batch,
    Budget,
    By,
    Columns,
    Explain,
    Format,
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
    conditions_of,
    form_of,
)
from resnetgen.compiler.diagnostics.model import SpecError, visible

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
) -> None:
    """What networks cost: parameters, multiply-adds, activations, memory, time.

    Several networks are compared with the first. Multiply-adds are those of convolutions and linear
    layers for one image, as torchvision publishes them. FLOPs are twice that. Activations are the
    elements of the results of all ops. Bytes and times are of a batch.

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
    elif paper:
        write_report(papers(form_of(format, output), specs), output)
    else:
        form, changes = form_of(format, output), overrides(settings, input)
        given = conditions_of(batch, dtype, optimizer, convention, device, paths)
        memory = bool(batch or dtype or optimizer)
        asked = ReportRequest(
            specs or [], changes, form, output, by, columns, given, memory, budget or []
        )
        _answer(asked, match, explain)


def _answer(asked: ReportRequest, match: str | None, explain: bool) -> None:
    """Prints what was asked for. Raises BadParameter, SpecError or Failed."""
    from resnetgen.reports.report import Report

    if not asked.specs:
        raise typer.BadParameter("name a spec, or say --paper", param_hint="SPEC")
    limits, figures = asked.limits, asked.figures  # a wrong call is told before any wrong spec
    compiled = compile_specs(asked.specs, asked.changes)
    if match is not None:
        _print_matches(match, compiled, asked.changes)
        return
    reports = [Report(each.network, each.typed, asked.given, figures) for each in compiled]
    _print(reports, asked)
    if explain:
        _print_explanations(reports)
    if limits:
        _hold(limits, reports, asked)


def _print(reports: Sequence[Report], asked: ReportRequest) -> None:
    """The reports in their form; on a terminal, tables that fit its width."""
    if asked.form is Format.table and asked.output is None and sys.stdout and sys.stdout.isatty():
        _paint(reports, asked.by)
        return
    from resnetgen.reports.formats import FORMATS

    write_report(FORMATS[asked.form](reports, asked.by), asked.output)


def _paint(reports: Sequence[Report], by: By) -> None:
    """The tables on a terminal, equal blocks folded."""
    from resnetgen.reports.report_tables import tables
    from resnetgen.reports.terminal import print_grid

    full = tables(reports, by, folded=True)
    narrow = tables(reports, by, folded=True, short=True)
    for grid, short in zip(full, narrow, strict=True):
        print_grid(grid, short, color=wants_color(sys.stdout))


def _print_matches(text: str, compiled: Sequence[Compiled], changes: dict[str, object]) -> None:
    """Which convention of a network or of a sibling gives a figure that someone has read."""
    from resnetgen.reports.match import match, match_lines, read_figure

    try:
        figure = read_figure(text)
    except ValueError as error:
        raise typer.BadParameter(visible(str(error)), param_hint="--match") from None
    for number, each in enumerate(compiled):
        found = match(figure, list(_alike(each, changes)))
        lines = ["\n" * (number > 0) + each.network.name, *match_lines(figure, found)]
        print("\n".join(lines))


def _alike(compiled: Compiled, changes: dict[str, object]) -> Iterator[tuple[str, TypedInstance]]:
    """A network, and those of the library that could have been meant, by name."""
    from resnetgen.pipeline import compile_document
    from resnetgen.reports.match import siblings

    yield compiled.network.name, compiled.typed
    for name, document in siblings(compiled.document, changes):
        with suppress(SpecError):
            yield name, compile_document(document).typed


def _print_explanations(reports: Sequence[Report]) -> None:
    from resnetgen.reports.conventions import explanation_lines, explanations

    for report in reports:
        for told in explanations(report.conditions.conventions, report.typed):
            print("\n".join(["", *explanation_lines(told)]))


def _hold(limits: Sequence[Limit], reports: Sequence[Report], asked: ReportRequest) -> None:
    """Raises Failed where a network is over its budget."""
    from resnetgen.reports.budget import over_budget

    faults = over_budget(limits, reports, asked.known)
    if faults:
        raise Failed(faults, SPEC_ERROR)


def _explain_names(columns: str | None, device: str | None) -> None:
    """`--columns help` and its like: the names, and what each means."""
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


def papers(form: str, specs: Sequence[str] | None) -> str:
    """The tables in a form. Raises BadParameter for a form that they lack, or with specs."""
    from resnetgen.reports.papers import PAPER_FORMATS, ledger

    if specs:
        raise typer.BadParameter(
            "takes no spec: it has the papers' own networks", param_hint="--paper"
        )
    if form not in PAPER_FORMATS:
        raise typer.BadParameter(
            "the papers' tables are printed as table, json or md", param_hint="--format"
        )
    return PAPER_FORMATS[form](
        ledger(lambda network, changes: _cost(network, tuple(changes.items())))
    )


@cache
def _cost(network: str, changes: tuple[tuple[str, str], ...]) -> Cost:
    return compile_spec(network, dict(changes)).cost
