"""`diff`: what differs between two networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.console import report_file, write_report
from resnetgen.cli.options import (
    Force,
    Format,
    compile_all,
    complete_spec,
    format_option,
    output_option,
    overrides,
)

if TYPE_CHECKING:
    from resnetgen.pipeline import Compiled
    from resnetgen.variants.diff import Difference
    from resnetgen.variants.diff_headline import NetworkNames

DIFFERENT = 1


FORMATS = (Format.text, Format.json, Format.md)


def diff(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A spec: a file, or the name of a library network.",
            autocompletion=complete_spec,
        ),
    ],
    after: Annotated[
        str,
        typer.Argument(
            metavar="B", help="The spec to compare with it.", autocompletion=complete_spec
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value of B, such as layer3.blocks=11; A stays as it is. Repeatable.",
        ),
    ] = None,
    format: Annotated[
        Format, format_option(FORMATS, "How to print the differences; json has all of them.")
    ] = Format.text,
    output: Annotated[str | None, output_option("Write to a file.")] = None,
    force: Force = False,
) -> None:
    """Shows what differs between two networks.

    A one-line summary, then the parts that differ: the values of the specs (with everything that
    they extend), inputs and outputs, stages, costs, nodes, and keys of the state_dict (- only in A,
    + only in B, ~ in both but different, > in another order). Equal parts are left out, and repeated
    lines are merged. Names, descriptions and allowed warnings are not compared.

    Exits with 0 if neither the networks nor the specs differ, otherwise with 1, even if only the
    specs differ.

    \b
    Examples:
      resnetgen diff resnet50 resnet101
      resnetgen diff resnet50 my/net.yaml --format md
      resnetgen diff resnet50 resnet50 --set layer3.blocks=11
    """
    from resnetgen.variants.diff import diff as compare

    old, new = compile_all([(before, {}), (after, overrides(settings))])
    file = report_file(output, force)
    difference = compare(old, new)
    names = _names(before, after, old, new, settings or ())
    write_report(_text(difference, names, format), file)
    if not difference.identical:
        raise typer.Exit(DIFFERENT)


def _names(
    before: str, after: str, old: Compiled, new: Compiled, settings: Sequence[str]
) -> NetworkNames:
    """The names of the networks, or if these are the same, the arguments of the command."""
    from resnetgen.variants.diff_headline import NetworkNames

    names = (old.network.name, new.network.name)
    one, other = names if names[0] != names[1] else (before, after)
    return NetworkNames(one, f"{other} with {', '.join(settings)}" if settings else other)


def _text(difference: Difference, names: NetworkNames, format: Format) -> str:
    if format is Format.json:
        from resnetgen.reports.formats import as_json
        from resnetgen.variants.diff_data import as_data

        return as_json(as_data(difference)) + "\n"
    from resnetgen.variants.diff_text import as_markdown, as_text

    return as_markdown(difference, names) if format is Format.md else as_text(difference, names)
