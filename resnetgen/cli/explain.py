"""`explain`: what a diagnostic code means, with an example that fails and one that is fixed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from resnetgen.cli.errors import USAGE_ERROR, Failed, wants_color
from resnetgen.compiler.diagnostics.model import Diagnostic, did_you_mean


def _complete(incomplete: str) -> list[str]:
    from resnetgen.compiler.diagnostics import catalog

    return [code for code in catalog.codes() if code.startswith(incomplete)]


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE",
            help="The word in brackets in a message, such as shape-mismatch; without it, all codes are"
            " listed.",
            autocompletion=_complete,
        ),
    ] = None,
) -> None:
    """Explains an error or a warning: its meaning, causes and fixes.

    \b
    Examples:
      resnetgen explain
      resnetgen explain shape-mismatch
    """
    print(_index() if code is None else _explain(code))


def _index() -> str:
    from resnetgen.compiler.diagnostics import catalog
    from resnetgen.reports.table_layout import align

    rows = [(entry.code, entry.severity, entry.title) for entry in catalog.entries()]
    return "\n".join(align([("code", "", "about"), *rows], "<<<"))


def _explain(word: str) -> str:
    """The entry of a code, also of `error[CODE]`. Raises Failed `unknown-code`."""
    from resnetgen.compiler.diagnostics import catalog

    code = word.partition("[")[2].rstrip("]:") or word
    try:
        entry = catalog.entry(code)
    except KeyError:
        hint = did_you_mean(code, catalog.codes()) or "`resnetgen explain` lists all codes"
        error = Diagnostic("unknown-code", f"there is no code `{code}`", help=hint)
        raise Failed([error], USAGE_ERROR) from None
    head = f"{entry.severity}[{entry.code}]: {entry.title}"
    bold = f"\x1b[1m{head}\x1b[0m" if wants_color(sys.stdout) else head
    return f"{bold}\n\n{entry.as_text()}"
