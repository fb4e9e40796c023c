"""`report` and `show`: what a network costs, and what it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.faults import wants_color
from resnetgen.cli.options import Set, Spec, Specs, compile_spec, compile_specs, overrides

if TYPE_CHECKING:
    from resnetgen.compiler import Compiled


class Format(StrEnum):
    """How a report is printed."""

    table = "table"
    json = "json"


class By(StrEnum):
    """What has a row of its own."""

    node = "node"
    block = "block"
    stage = "stage"
    total = "total"


def report(
    specs: Specs,
    format: Annotated[
        Format,
        typer.Option(help="table, for people; json, an object, or a list for several specs."),
    ] = Format.table,
    by: Annotated[
        By | None,
        typer.Option(
            help="What has a row of its own. [default: stage; total for several specs]",
        ),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(metavar="CxHxW", help="Channels and size of the input, such as 3x320x320."),
    ] = None,
    settings: Set = None,
) -> None:
    """What networks cost: parameters, multiply-adds, activations.

    Several networks are compared. Multiply-adds are those of convolutions and linear layers for one
    image, as torchvision publishes them. FLOPs are twice that. Activations are the elements of the
    results of all ops.

    \b
    Examples:
      resnetgen report resnet152
      resnetgen report resnet50 resnet152 my/net.yaml
      resnetgen report resnet50 --by node --input 3x320x320
      resnetgen report resnet50 --set layer3.blocks=11 --format json
    """
    compiled = compile_specs(specs, overrides(settings, input))
    if format is Format.json:
        _print_json(compiled, by or By.stage, several=len(specs) > 1)
    elif (by or (By.total if len(specs) > 1 else By.stage)) is By.total:
        _print_comparison(compiled)
    else:
        _print_tables(compiled, by or By.stage)


def show(spec: Spec, settings: Set = None) -> None:
    """Shows the elaborated network as text.

    Stem, stages and head, then each distinct block once, with attributes and shapes.

    \b
    Examples:
      resnetgen show resnet50
      resnetgen show resnet50 --set shortcut=identity
    """
    from resnetgen.report.text import show as text

    compiled = compile_spec(spec, overrides(settings))
    print(text(compiled.network, compiled.measured))


def _print_json(compiled: Sequence[Compiled], by: By, several: bool) -> None:
    from resnetgen.report.cost import as_data, as_json

    reports = [as_data(each.network, each.measured, by) for each in compiled]
    print(as_json(reports if several else reports[0]))


def _print_comparison(compiled: Sequence[Compiled]) -> None:
    from resnetgen.report.cost import comparison

    heads, *rows = comparison(
        (each.network.name, each.network.input, each.cost) for each in compiled
    )
    print("\n".join([_strong(heads), *rows]))


def _print_tables(compiled: Sequence[Compiled], by: By) -> None:
    from resnetgen.report.cost import table

    for number, each in enumerate(compiled):
        title, heads, *rows, total = table(each.network, each.measured, by)
        print("\n".join(["\n" * (number > 0) + title, _strong(heads), *rows, _strong(total)]))


def _strong(line: str) -> str:
    return f"\x1b[1m{line}\x1b[0m" if wants_color(sys.stdout) else line
