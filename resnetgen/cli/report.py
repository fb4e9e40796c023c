"""`report`: what networks cost, in whatever form helps."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from resnetgen.cli.faults import WRONG_SPEC, Failed, wants_color
from resnetgen.cli.options import Set, compile_spec, compile_specs, complete_spec, overrides
from resnetgen.language.diagnostics import SpecError, did_you_mean, visible

if TYPE_CHECKING:
    from resnetgen.compiler import Compiled
    from resnetgen.report.assemble import Report
    from resnetgen.report.budget import Limit
    from resnetgen.report.grid import Grid
    from resnetgen.report.metrics import Conditions, Metric


class Format(StrEnum):
    """How a report is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    md = "md"
    html = "html"


class By(StrEnum):
    """What has a row of its own."""

    node = "node"
    block = "block"
    stage = "stage"
    total = "total"


class Dtype(StrEnum):
    """The type of weights and activations."""

    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    int8 = "int8"


_OF_MEMORY = ("weight_bytes", "peak_bytes", "kept_bytes", "training_bytes")


def report(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SPEC...",
            help="Spec files, or names of library networks (see `resnetgen list`).",
            autocompletion=complete_spec,
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            help="How it is printed. [default: what the suffix of --output says, else table]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A file (.json, .csv, .md, .html or .txt)."
        ),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(
            help="What has a row of its own. [default: stage; total for several specs]",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="The figures to show, or `all`; `--columns help` explains each.",
        ),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(metavar="CxHxW", help="Channels and size of the input, such as 3x320x320."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000, help="Images at once, for bytes and times. [default: 1]"
        ),
    ] = None,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Type of weights and activations. [default: float32]")
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="sgd, momentum or adam: its state is memory of training. [default: momentum]",
        ),
    ] = None,
    convention: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Count as another tool does, such as fvcore. Repeatable; `help` lists them.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say why two conventions differ (one is compared with macs)."
        ),
    ] = False,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="FIGURE", help="Say which convention or sibling gives a figure such as 4.12G."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The least time on a device, such as h200 (roofline); `help` lists them.",
        ),
    ] = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="Lengths of the shortest and longest gradient path.")
    ] = False,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMITS",
            help="Exit with 1 where a limit does not hold, such as 'macs < 4G, params < 26M'. Repeatable.",
        ),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The papers' tables, published beside computed.")
    ] = False,
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
    from resnetgen.report.budget import parse_budget
    from resnetgen.report.metrics import metrics

    if "help" in (columns, device) or "help" in (convention or ()):
        _explain_names(columns, convention, device)
        return
    form = _form(format, output)
    if paper:
        _write(_papers(form, specs), output)
        return
    if not specs:
        raise typer.BadParameter("name a spec, or say --paper", param_hint="SPEC")
    conditions = _conditions(batch, dtype, optimizer, convention, device, paths)
    known = metrics(conditions)
    limits = [each for text in budget or () for each in parse_budget(text, known, "--budget")]
    said = bool(batch or dtype or optimizer)
    names = _names(columns, known, form, several=len(specs) > 1, memory=said)
    changes = overrides(settings, input)
    compiled = compile_specs(specs, changes)
    if match is not None:
        _print_matches(match, compiled, changes)
        return
    reports = [_report(each, conditions, [known[name] for name in names]) for each in compiled]
    lines = by or (By.total if len(specs) > 1 else By.stage)
    if form is Format.table and output is None and sys.stdout and sys.stdout.isatty():
        _paint(reports, lines)
    else:
        _write(_text(reports, lines, form), output)
    if explain:
        _print_explanations(reports)
    _hold_budget(limits, reports, known)


# --- what was asked for


def _form(format: Format | None, output: str | None) -> Format:
    """The form; a file's suffix names one, and a file of another kind is not written over."""
    suffix = Path(output).suffix.removeprefix(".") if output else ""
    suffixes = {"txt": Format.table, "htm": Format.html, **{each.value: each for each in Format}}
    named = suffixes.get(suffix.lower())
    if output is not None and (named is None or (format and format is not named)):
        wanted = format or "table, json, csv, md or html"
        raise typer.BadParameter(
            f"{visible(output)!r}: its suffix does not say {wanted}", param_hint="--output"
        )
    return format or named or Format.table


def _conditions(
    batch: int | None,
    dtype: Dtype | None,
    optimizer: str | None,
    convention: Sequence[str] | None,
    device: str | None,
    paths: bool,
) -> Conditions:
    from resnetgen.graph.memory import OPTIMIZERS
    from resnetgen.report.conventions import conventions
    from resnetgen.report.metrics import Conditions
    from resnetgen.report.roofline import devices

    found = _one_of(device, devices(), "--device") if device else None
    type_ = dtype or Dtype.float32
    if found and type_ not in found.rates:
        raise typer.BadParameter(
            f"{found.name} has no rate for {type_}; there are {', '.join(found.rates)}",
            param_hint="--dtype",
        )
    _one_of(optimizer or "momentum", OPTIMIZERS, "--optimizer")
    return Conditions(
        batch or 1,
        type_.value,
        optimizer or "momentum",
        tuple(_one_of(each, conventions(), "--convention") for each in convention or ()),
        found,
        paths,
    )


Entry = TypeVar("Entry")


def _one_of(name: str, known: Mapping[str, Entry], option: str) -> Entry:
    """The entry of a name that an option gave. Raises typer.BadParameter."""
    if name in known:
        return known[name]
    hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
    raise typer.BadParameter(f"there is no {visible(repr(name))}; {hint}", param_hint=option)


def _names(
    columns: str | None, known: Mapping[str, Metric], form: Format, *, several: bool, memory: bool
) -> list[str]:
    """The figures to show: those named; else all for programs, and for people what they asked for."""
    from resnetgen.report.metrics import METRICS, Conditions

    if columns is not None and columns != "all":
        names = [name.strip() for name in columns.split(",") if name.strip()]
        for name in names:
            _one_of(name, known, "--columns")
        if not names:
            raise typer.BadParameter("names no figure", param_hint="--columns")
        return list(dict.fromkeys(names))
    if columns == "all" or form in (Format.json, Format.csv, Format.html):
        return list(known)
    shown = ["params", "macs", *(["flops"] if several else []), "activations"]
    asked = [name for name in known if name not in METRICS or not METRICS[name].asked(Conditions())]
    of_memory = [name for name in _OF_MEMORY if name in known] if memory else []
    return [*shown, *asked, *of_memory]


# --- what is printed


def _report(compiled: Compiled, conditions: Conditions, figures: Sequence[Metric]) -> Report:
    from resnetgen.report.assemble import Report

    return Report(compiled.network, compiled.measured, conditions, tuple(figures))


def _text(reports: Sequence[Report], by: By, form: Format) -> str:
    """The reports in one of the forms."""
    from resnetgen.report import data
    from resnetgen.report.grid import markdown, plain

    if form is Format.json:
        each = [data.as_data(report, by) for report in reports]
        return data.as_json(each if len(each) > 1 else each[0]) + "\n"
    if form is Format.csv:
        return data.as_csv(reports, by)
    if form is Format.html:
        from resnetgen.report.page import page

        return page(reports)
    lines: list[str] = []
    for grid, remarks in _grids(reports, by):
        lines += [""] if lines else []
        if form is Format.md:
            title = [f"**{grid.title}**", ""] if grid.title else []
            lines += [
                *title,
                *markdown(grid),
                *([""] if remarks else []),
                *(f"- {r}" for r in remarks),
            ]
        else:
            lines += [*([grid.title] if grid.title else []), *plain(grid), *remarks]
    return "\n".join(lines) + "\n"


def _grids(
    reports: Sequence[Report], by: By, *, folded: bool = False, short: bool = False
) -> Iterator[tuple[Grid, list[str]]]:
    """The tables of a report, each with what is said below it."""
    from resnetgen.report.grid import comparison, grid, outputs, remarks

    if by is By.total:
        yield comparison(reports, short), []
        return
    for report in reports:
        yield grid(report, by, folded, short), remarks(report)
        several = outputs(report)
        if several:
            yield several, []


def _paint(reports: Sequence[Report], by: By) -> None:
    """The tables on a terminal, equal blocks folded."""
    from resnetgen.report.terminal import paint

    full = list(_grids(reports, by, folded=True))
    narrow = list(_grids(reports, by, folded=True, short=True))
    for (grid, remarks), (short, _) in zip(full, narrow, strict=True):
        paint(grid, short, remarks, color=wants_color(sys.stdout))


def _write(text: str, output: str | None) -> None:
    """To a file, whole or not at all; else to standard output."""
    if output is None:
        print(text, end="")
        return
    from resnetgen.codegen.write import write_atomically

    write_atomically(Path(output), text.encode())
    print(f"wrote {visible(output)}")


def _print_matches(text: str, compiled: Sequence[Compiled], changes: dict[str, object]) -> None:
    """Which convention of a network or of a sibling gives a figure that someone has read."""
    from resnetgen.compiler import compile_document
    from resnetgen.report.matching import match, match_lines, read_figure, siblings

    try:
        figure = read_figure(text)
    except ValueError as error:
        raise typer.BadParameter(visible(str(error)), param_hint="--match") from None
    for number, each in enumerate(compiled):
        known = [(each.network.name, each.measured)]
        for name, document in siblings(each.document, changes):
            with suppress(SpecError):
                known.append((name, compile_document(document).measured))
        print(
            "\n".join(
                [
                    "\n" * (number > 0) + each.network.name,
                    *match_lines(figure, match(figure, known)),
                ]
            )
        )


def _print_explanations(reports: Sequence[Report]) -> None:
    """Each convention against the first, or against ours where there is one only."""
    from resnetgen.report.conventions import conventions, explain, explanation_lines

    for report in reports:
        chosen = report.conditions.conventions
        if len(chosen) < 2:
            chosen = (next(iter(conventions().values())), *chosen)
        for other in chosen[1:]:
            told = explain(chosen[0], other, report.measured)
            print("\n".join(["", *explanation_lines(told)]))


def _hold_budget(
    limits: Sequence[Limit], reports: Sequence[Report], known: Mapping[str, Metric]
) -> None:
    """Raises Failed where a network is over its budget."""
    from resnetgen.report.assemble import Report
    from resnetgen.report.budget import exceeded

    faults = []
    read = [known[name] for name in known if any(name in limit.names for limit in limits)]
    for report in reports if limits else ():
        whole = Report(report.network, report.measured, report.conditions, tuple(read))
        faults += exceeded(limits, report.name, whole.total.values, known)
    if faults:
        raise Failed(faults, WRONG_SPEC)


def _papers(form: Format, specs: Sequence[str] | None) -> str:
    """The papers' tables with what the library's networks cost."""
    from functools import cache

    from resnetgen.graph.measure import Cost
    from resnetgen.report import paper
    from resnetgen.report.data import as_json
    from resnetgen.report.grid import markdown, plain

    if specs:
        raise typer.BadParameter(
            "takes no spec: it has the papers' own networks", param_hint="--paper"
        )

    @cache
    def cost(network: str, changes: tuple[tuple[str, str], ...]) -> Cost:
        return compile_spec(network, dict(changes)).cost

    tables = list(paper.ledger(lambda network, changes: cost(network, tuple(changes.items()))))
    if form is Format.json:
        return as_json([paper.as_data(table) for table in tables]) + "\n"
    if form not in (Format.table, Format.md):
        raise typer.BadParameter(
            "the papers' tables are printed as table, json or md", param_hint="--format"
        )
    lines: list[str] = []
    for table in tables:
        grid, remarks = paper.grid(table), paper.remarks(table)
        lines += [""] if lines else []
        if form is Format.md:
            lines += [
                f"**{grid.title}**",
                "",
                *markdown(grid),
                "",
                *(f"- {remark}" for remark in remarks),
            ]
        else:
            lines += [grid.title, *plain(grid), *remarks]
    return "\n".join(lines) + "\n"


def _explain_names(
    columns: str | None, convention: Sequence[str] | None, device: str | None
) -> None:
    """`--columns help` and its like: the names, and what each means."""
    from resnetgen.report.columns import align
    from resnetgen.report.conventions import conventions
    from resnetgen.report.metrics import METRICS
    from resnetgen.report.roofline import devices

    rows: list[tuple[str, str, str]] = []
    if columns == "help":
        rows = [(name, each.unit, each.doc) for name, each in METRICS.items()]
    elif device == "help":
        rows = [(name, each.name, each.source) for name, each in devices().items()]
    elif convention:
        rows = [(name, each.tool, each.doc) for name, each in conventions().items()]
    print("\n".join(align(rows, "<<<")))
