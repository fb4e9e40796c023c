"""How tools count operations, and why two of them disagree on a network.

    network_operations(conventions()["fvcore"], typed)  ->  4111512576 for ResNet-50
    explain(macs, fvcore, typed)                        ->  normalisation +22,227,968, pooling +100,352

The tables are data (`tables/conventions.yaml`): for each op and reason an expression over NAMES and
the attributes of the op. No tool is imported. Ops that only training computes count nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError
from resnetgen.compiler.frontend.expressions import (
    Expr,
    ExpressionError,
    Value,
    evaluate,
    free_names,
    parse,
)
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import per_axis
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode, op_counts
from resnetgen.reports.numbers import count
from resnetgen.reports.table_layout import align
from resnetgen.reports.tables import read_table

CountedNodes = Iterable[tuple[TypedNode, int]]  # nodes, and how often each runs


@dataclass(frozen=True, slots=True)
class CountingRule:
    """What an op counts for one reason."""

    op: str
    reason: str
    text: str  # as written in the table
    expr: Expr
    reads: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Convention:
    """What a tool counts, at one version of the tool."""

    name: str
    doc: str
    tool: str
    version: str | None  # None: this compiler's own
    unit: str
    rules: Mapping[str, tuple[CountingRule, ...]]  # by op
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CountingDifference:
    """What two conventions count for one reason, and how: `batch_norm: 0 -> 2 * source`."""

    name: str
    first: int
    second: int
    how: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two conventions differ on a network: the reasons sum to the difference, exactly."""

    first: Convention
    second: Convention
    totals: tuple[int, int]
    reasons: tuple[CountingDifference, ...]

    @property
    def difference(self) -> int:
        """How much more the second counts."""
        return self.totals[1] - self.totals[0]


# --- the tables


def _biased(step: TypedNode) -> int:
    return step.result.elements if _attributes(step).get("bias") else 0


def _padded(step: TypedNode) -> int:
    kernel = per_axis(_attributes(step)["kernel"], len(step.source.size))
    sizes = zip(step.source.size, kernel, strict=True)
    return step.source.channels * prod(size + taps - 1 for size, taps in sizes)


def _ratio(step: TypedNode) -> float:
    return prod(a / b for a, b in zip(step.source.size, step.result.size, strict=True))


NAMES: Mapping[str, Callable[[TypedNode], Value]] = {
    "macs": lambda step: step.cost.macs,
    "source": lambda step: step.source.elements,
    "result": lambda step: step.result.elements,
    "biased": _biased,
    "params": lambda step: step.cost.params,
    "padded": _padded,
    "ratio": _ratio,
    "axes": lambda step: len(step.source.size),
}


@cache
def conventions() -> Mapping[str, Convention]:
    """The conventions of `tables/conventions.yaml` by name; read once a process."""
    return read_conventions(read_table("conventions"))


def read_conventions(table: Mapping[str, Any]) -> dict[str, Convention]:
    """Conventions from the content of a table. Raises ValueError for an unknown op, reason or name."""
    reasons = table["reasons"]
    return {
        name: Convention(
            name,
            entry["doc"],
            entry["tool"],
            entry.get("version"),
            entry["unit"],
            _rules(name, entry["counts"], reasons),
            tuple(entry.get("notes", ())),
        )
        for name, entry in table["conventions"].items()
    }


def _rules(
    convention: str, counts: Mapping[str, Any], reasons: Iterable[str]
) -> dict[str, tuple[CountingRule, ...]]:
    rules: dict[str, tuple[CountingRule, ...]] = {}
    for reason, coefficients in counts.items():
        if reason not in reasons:
            raise ValueError(f"{convention}: there is no reason `{reason}`")
        for op, coefficient in coefficients.items():
            rules[op] = (*rules.get(op, ()), _rule(convention, reason, op, str(coefficient)))
    return rules


def _rule(convention: str, reason: str, op: str, text: str) -> CountingRule:
    if op not in OPS:
        raise ValueError(f"{convention}: there is no op `{op}`")
    try:
        expr = parse(text)
    except ExpressionError as error:
        raise ValueError(f"{convention}, {op}: {error}") from None
    reads = tuple(dict.fromkeys(free_names(expr)))
    attributes = OPS[op].attributes
    known = {*NAMES, *attributes, *(word for each in attributes.values() for word in each.choices)}
    for name in reads:
        if name not in known:
            raise ValueError(f"{convention}, {op}: there is no `{name}` to read")
    return CountingRule(op, reason, text, expr, reads)


# --- counting


def operations(convention: Convention, nodes: CountedNodes) -> int:
    """What a convention counts for some nodes of a network, for one image."""
    return sum(amount for _, amount in _amounts(convention, nodes))


def network_operations(convention: Convention, typed: TypedInstance) -> int:
    """What a convention counts for a whole network, for one image."""
    return operations(convention, _whole(typed))


def _whole(typed: TypedInstance) -> CountedNodes:
    return [(step, 1) for step in typed.nodes]


def _amounts(convention: Convention, nodes: CountedNodes) -> Iterator[tuple[CountingRule, int]]:
    for step, times in op_counts(nodes):
        assert step.node.op
        if not step.training:
            for rule in convention.rules.get(step.node.op.name, ()):
                yield rule, times * _value(rule, step)


def _value(rule: CountingRule, step: TypedNode) -> int:
    try:
        value = evaluate(rule.expr, {name: _read(name, step) for name in rule.reads})
    except ExpressionError as error:  # the network has sizes that no machine has
        message = f"cannot count the operations of `{step.node.key}`: {error}"
        raise SpecError([Diagnostic("limit", message, step.node.block_node.span)]) from None
    assert isinstance(value, int), f"{rule.text} counts {value}"
    return value


def _read(name: str, step: TypedNode) -> Value:
    """One of NAMES, an attribute of the op, or a word, which is its own value."""
    if name in NAMES:
        return NAMES[name](step)
    value: Value = _attributes(step).get(name, name)
    return value


def _attributes(step: TypedNode) -> Mapping[str, Any]:
    assert step.node.op
    return step.node.op.attributes


# --- explaining


def explain(first: Convention, second: Convention, typed: TypedInstance) -> Explanation:
    """Why two conventions differ on a network, by reason."""
    before, after = _by_reason_and_op(first, typed), _by_reason_and_op(second, typed)
    counted_ops = dict.fromkeys((*before, *after))
    reasons = []
    for reason in read_table("conventions")["reasons"]:
        ops = [op for its_reason, op in counted_ops if its_reason == reason]
        if different := [op for op in ops if before[reason, op] != after[reason, op]]:
            amounts = [sum(each[reason, op] for op in ops) for each in (before, after)]
            how = tuple(_how(first, second, reason, different))
            reasons.append(CountingDifference(reason, amounts[0], amounts[1], how))
    totals = (sum(before.values()), sum(after.values()))
    return Explanation(first, second, totals, tuple(reasons))


def explanations(chosen: Sequence[Convention], typed: TypedInstance) -> Iterator[Explanation]:
    """Each of some conventions compared with the first, or a single one with this compiler's own."""
    first, *others = chosen if len(chosen) > 1 else (next(iter(conventions().values())), *chosen)
    return (explain(first, other, typed) for other in others)


def _by_reason_and_op(convention: Convention, typed: TypedInstance) -> Counter[tuple[str, str]]:
    amounts: Counter[tuple[str, str]] = Counter()
    for rule, amount in _amounts(convention, _whole(typed)):
        amounts[rule.reason, rule.op] += amount
    return amounts


def _how(first: Convention, second: Convention, reason: str, ops: list[str]) -> Iterator[str]:
    """`max_pool, avg_pool: 0 -> 2 * source`: ops with the same coefficients together."""
    alike: dict[str, list[str]] = {}
    for op in ops:
        change = f"{_coefficient(first, reason, op)} -> {_coefficient(second, reason, op)}"
        alike.setdefault(change, []).append(op)
    return (f"{', '.join(names)}: {change}" for change, names in alike.items())


def _coefficient(convention: Convention, reason: str, op: str) -> str:
    texts = (rule.text for rule in convention.rules.get(op, ()) if rule.reason == reason)
    return next(texts, "0")


def explanation_lines(explanation: Explanation) -> list[str]:
    """The lines of `report --explain`: a row for each reason, the totals, and what the names mean."""
    first, second = explanation.first, explanation.second
    rows = [("reason", first.name, second.name, "difference", "each op counts")]
    for reason in explanation.reasons:
        rows.append((reason.name, *_figures(reason.first, reason.second), "; ".join(reason.how)))
    shared = explanation.totals[0] - sum(reason.first for reason in explanation.reasons)
    if shared and explanation.reasons:
        rows.append(("what both count", *_figures(shared, shared), ""))
    rows.append(("total", *_figures(*explanation.totals), ""))
    return [*align(rows, "<>>><"), *_legend(explanation)]


def _legend(explanation: Explanation) -> list[str]:
    """The names that the coefficients read: `source  elements of the first input`."""
    words = {word for each in explanation.reasons for word in re.findall(r"\w+", str(each.how))}
    names: Mapping[str, str] = read_table("conventions")["names"]
    rows = [(name, doc) for name, doc in names.items() if name in words]
    return ["", *align(rows, "<<")] if rows else []


def _figures(first: int, second: int) -> tuple[str, str, str]:
    return count(first), count(second), f"{second - first:+,}" if second != first else "0"
