"""`--where`: which variants have a row, as an expression over varied paths and figures.

    layer3.blocks >= 4 and macs < 5e9 and block == bottleneck

It is the language of specs, with paths as names; a word that varies stands for itself. Numbers may
have a suffix, as in budgets: `macs < 5G`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnetgen.compiler.diagnostics.model import Note, SpecError, did_you_mean
from resnetgen.compiler.frontend.expressions import (
    Expr,
    ExpressionError,
    Value,
    evaluate,
    free_names,
    parse,
)
from resnetgen.reports.numbers import with_factors
from resnetgen.reports.sweep.rows import NAMES
from resnetgen.reports.sweep.space import Space, wrong_option

_DOT = "\N{MIDDLE DOT}"  # a letter to Python, and of the same length: columns stay true
_PATH = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.\w+)+")


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on variants."""

    text: str
    expr: Expr
    names: tuple[str, ...]  # that it reads, as they are written
    words: Mapping[str, Value]

    @property
    def reads_figures(self) -> bool:
        """Whether the costs of a variant have to be known."""
        return any(name in NAMES for name in self.names)

    def keeps(self, values: Mapping[str, Any]) -> bool:
        """Whether a variant of these values and figures has a row. Raises SpecError."""
        known = {name.replace(".", _DOT): values[name] for name in self.names if name in values}
        try:
            kept = evaluate(self.expr, {**self.words, **known})
        except ExpressionError as error:
            told = ", ".join(f"`{name}` is {values[name]}" for name in self.names if name in values)
            notes = [Note(f"of a variant of which {told}")] if told else []
            message = str(error).replace(_DOT, ".")
            raise _fault(self.text, self.text, message, None, *notes) from None
        if not isinstance(kept, bool):
            help = "say what is compared: `macs < 5e9`"
            raise _fault(self.text, self.text, f"this is {kept}, neither true nor false", help)
        return kept


def parse_where(text: str, space: Space) -> Where:
    """The condition that a text says. Raises SpecError, which points into the text."""
    try:
        expr = parse(with_factors(_PATH.sub(lambda found: found[0].replace(".", _DOT), text)))
    except ExpressionError as error:
        raise _fault(text, text, str(error).replace(_DOT, ".")) from None
    paths = [factor.path for factor in space.factors]
    words: dict[str, Value] = {
        str(setting.value): str(setting.value)
        for factor in space.factors
        for setting in factor.settings
        if isinstance(setting.value, str)
    }
    names = tuple(name.replace(_DOT, ".") for name in dict.fromkeys(free_names(expr)))
    known = [*paths, *NAMES]
    for name in names:
        if name not in known and name not in words:
            hint = did_you_mean(name, [*known, *words]) or f"there are {', '.join(known)}"
            raise _fault(text, name, f"`{name}` is not varied, and no figure", hint)
    return Where(text, expr, tuple(name for name in names if name in known), words)


def _fault(text: str, part: str, message: str, help: str | None = None, *notes: Note) -> SpecError:
    return wrong_option("--where", text, part, message, help, *notes, code="expression")
