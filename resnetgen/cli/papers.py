"""`report --paper`: the papers' tables with what the library's networks cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import typer

from resnetgen.cli.options import compile_spec

if TYPE_CHECKING:
    from resnetgen.graph.measure import Cost


def papers(form: str, specs: Sequence[str] | None) -> str:
    """The tables in a form. Raises BadParameter for a form that they lack, or with specs."""
    from resnetgen.report.paper import FORMS, ledger

    if specs:
        raise typer.BadParameter(
            "takes no spec: it has the papers' own networks", param_hint="--paper"
        )
    if form not in FORMS:
        raise typer.BadParameter(
            "the papers' tables are printed as table, json or md", param_hint="--format"
        )
    return FORMS[form](ledger(lambda network, changes: _cost(network, tuple(changes.items()))))


@cache
def _cost(network: str, changes: tuple[tuple[str, str], ...]) -> Cost:
    return compile_spec(network, dict(changes)).cost
