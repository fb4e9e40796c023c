"""Budgets: whether the figures of a network are within `macs < 4G, params < 26M`.

    limits = parse_budget("macs < 4G", METRICS, "--budget")
    over_budget(limits, [report], METRICS)  ->  [net is over its budget: macs is 4,089,184,256, ...]

A limit is a comparison in the expression language over the names of `metrics.py`. Numbers may have
a suffix (`numbers.expand_suffixes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import Diagnostic, Source, Span, SpecError, did_you_mean
from resnetgen.compiler.frontend.expressions import (
    Apply,
    Const,
    Expr,
    ExpressionError,
    Name,
    evaluate,
    free_names,
    parse,
    to_text,
)
from resnetgen.reports.metrics import Metric, Value
from resnetgen.reports.numbers import expand_suffixes
from resnetgen.reports.report import Report

_COMPARISONS = ("<", "<=", ">", ">=", "==")


@dataclass(frozen=True, slots=True)
class Limit:
    """`macs < 4G`: a comparison, and where it was written."""

    comparison: Apply
    span: Span

    @property
    def names(self) -> set[str]:
        """The figures that it reads."""
        return set(free_names(self.comparison))


def parse_budget(text: str, known: Mapping[str, Metric], option: str) -> list[Limit]:
    """The limits of a budget, separated by commas. Raises SpecError with every error."""
    written, limits, errors = Source(option, text), list[Limit](), list[Diagnostic]()
    for start, part in _parts(text):
        span = Span(written, 1, start + 1, start + len(part) + 1)
        try:
            expression = parse(expand_suffixes(part))
        except ExpressionError as error:
            errors.append(Diagnostic("expression", str(error), span))
            continue
        wrong = _check(expression, part, span, known)
        if wrong:
            errors.append(wrong)
        elif isinstance(expression, Apply):
            limits.append(Limit(expression, span))
    if errors:
        raise SpecError(errors)
    return limits


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The limits, each with its start; commas within parentheses do not separate."""
    for match in re.finditer(r"(?:[^,(]|\([^)]*\)?)+", text):
        part = match[0].strip()
        if part:
            yield match.start() + match[0].index(part), part


def _check(
    expression: Expr, text: str, span: Span, known: Mapping[str, Metric]
) -> Diagnostic | None:
    for name in free_names(expression):
        if name not in known:
            at = re.search(rf"\b{re.escape(name)}\b", text)
            assert at is not None
            where = Span(span.source, 1, span.column + at.start(), span.column + at.end())
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            return Diagnostic("unknown-name", f"there is no figure `{name}`", where, (), hint)
    if not isinstance(expression, Apply) or expression.function not in _COMPARISONS:
        message = f"`{text}` is not a limit: it has no comparison"
        return Diagnostic("wrong-value", message, span, (), "for example `macs < 4G`")
    return None


def over_budget(
    limits: Sequence[Limit], reports: Iterable[Report], known: Mapping[str, Metric]
) -> list[Diagnostic]:
    """The limits that reports exceed, whichever figures they show. Raises SpecError."""
    read = tuple(each for each in known.values() if any(each.name in one.names for one in limits))
    wholes = [replace(report, metrics=read) for report in reports] if limits else []
    return [
        each
        for whole in wholes
        for each in exceeded_limits(limits, whole.name, whole.total.values, known)
    ]


def exceeded_limits(
    limits: Sequence[Limit], network: str, values: Mapping[str, Value], known: Mapping[str, Metric]
) -> list[Diagnostic]:
    """A diagnostic for each limit that a network exceeds, and by how much. Raises SpecError."""
    env = {name: _number(value) for name, value in values.items()}
    diagnostics = []
    for limit in limits:
        try:
            if evaluate(limit.comparison, env):
                continue
            left, right = (evaluate(each, env) for each in limit.comparison.operands)
        except ExpressionError as error:
            raise SpecError([Diagnostic("expression", f"{network}: {error}", limit.span)]) from None
        message = f"{network} is over its budget: {_by_how_much(limit, left, right, known)}"
        diagnostics.append(Diagnostic("over-budget", message, limit.span))
    return diagnostics


def _by_how_much(limit: Limit, left: object, right: object, known: Mapping[str, Metric]) -> str:
    assert isinstance(left, int | float)
    assert isinstance(right, int | float)
    first, second = limit.comparison.operands
    metric = known.get(first.id) if isinstance(first, Name) else None
    value = metric.text(left) if metric else _text(left)
    bound = _text(right) if isinstance(second, Const) else f"{to_text(second)}, {_text(right)}"
    over = left - right
    share = f" ({abs(over / right):.1%})" if right else ""
    return f"{to_text(first)} is {value}, {_text(abs(over))}{share} {'more' if over > 0 else 'less'} than {bound}"


def _text(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.4g}"


def _number(value: Value) -> int | float | str:
    """The value of a figure in an expression: of several axes the largest."""
    if isinstance(value, tuple):
        return float(max(value))
    return value if value is not None else "unknown"
