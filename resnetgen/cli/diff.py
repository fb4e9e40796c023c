"""`diff`: what differs between two networks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.console import write
from resnetgen.cli.options import compile_all, complete_spec, output_option, overrides

if TYPE_CHECKING:
    from resnetgen.pipeline import Compiled
    from resnetgen.variants.diff import Difference
    from resnetgen.variants.diff_report import Names

DIFFERENT = 1


class Format(StrEnum):
    """How a difference is printed."""

    text = "text"
    json = "json"
    md = "md"


def diff(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A spec: a file or a library network.", autocompletion=complete_spec
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
        Format, typer.Option(help="How it is printed; json has everything.")
    ] = Format.text,
    output: Annotated[str | None, output_option("A file instead of standard output.")] = None,
) -> None:
    """Says what differs between two networks.

    First in one line, then the parts that differ: values of the specs after all that they extend,
    inputs and outputs, stages, costs, nodes, and keys of the state_dict (- of A alone, + of B alone,
    ~ in both and different, > in another order). What is equal is left out, and lines that repeat
    are one. Names, descriptions and allowed warnings of a spec are no difference.

    Exits with 0 where nothing differs, neither in the networks nor in what the specs say; else
    with 1, also where the specs differ and the networks are equal.

    \b
    Examples:
      resnetgen diff resnet50 resnet101
      resnetgen diff resnet50 my/net.yaml --format md
      resnetgen diff resnet50 resnet50 --set layer3.blocks=11
    """
    from resnetgen.variants.diff import diff as compare

    old, new = compile_all([(before, {}), (after, overrides(settings))])
    found = compare(old, new)
    write(_text(found, _names(before, after, old, new, settings or ()), format), output)
    if not found.equal:
        raise typer.Exit(DIFFERENT)


def _names(before: str, after: str, old: Compiled, new: Compiled, settings: Sequence[str]) -> Names:
    """The names of the networks, or what was asked for where these are the same."""
    from resnetgen.variants.diff_report import Names

    names = (old.network.name, new.network.name)
    one, other = names if names[0] != names[1] else (before, after)
    return Names(one, f"{other} with {', '.join(settings)}" if settings else other)


def _text(found: Difference, names: Names, format: Format) -> str:
    if format is Format.json:
        from resnetgen.reports.formats import as_json
        from resnetgen.variants.diff_report import as_data

        return as_json(as_data(found)) + "\n"
    from resnetgen.variants.diff_report import as_markdown, as_text

    return as_markdown(found, names) if format is Format.md else as_text(found, names)
