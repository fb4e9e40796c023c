"""`check`: diagnostics only."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.faults import diagnose, show
from resnetgen.cli.options import Specs, compile_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnetgen.language.diagnostics import Diagnostic


class Format(StrEnum):
    """How diagnostics are printed."""

    text = "text"
    json = "json"
    github = "github"


def check(
    specs: Specs,
    format: Annotated[
        Format,
        typer.Option(
            help="text, for people; json, a list; github, annotations of GitHub Actions.",
        ),
    ] = Format.text,
) -> None:
    """Says what is wrong with specs, and on which line.

    All files are checked, whatever is wrong with the first. In json and github form the
    diagnostics go to standard output, as a list that is empty if all specs are sound.

    \b
    Examples:
      resnetgen check resnet50
      resnetgen check my/*.yaml
      resnetgen check my/*.yaml --format github
    """
    found: list[Diagnostic] = []
    worst = 0
    for spec in dict.fromkeys(specs):
        faults, status = _faults(spec, quiet=format is not Format.text)
        found += faults
        worst = max(worst, status)
    if format is not Format.text:
        _print(found, format)
    if worst:
        raise typer.Exit(worst)


def _faults(spec: str, quiet: bool) -> tuple[Sequence[Diagnostic], int]:
    """The faults of one spec and what they mean for the exit status; shown unless quiet."""
    from resnetgen.report.cost import summary

    try:
        compiled = compile_spec(spec, {})
        _ = compiled.graph, compiled.plan
    except Exception as error:
        faults, status = diagnose(error)
        if not quiet:
            show(faults)
        return faults, status
    if not quiet:
        print(f"{compiled.network.name}: sound, {summary(compiled.cost)}")
    return [], 0


def _print(found: Sequence[Diagnostic], format: Format) -> None:
    from resnetgen.language.diagnostics import as_github, as_json

    if format is Format.json:
        import json

        print(json.dumps(as_json(found), indent=2))
    elif found:
        print(as_github(found))
