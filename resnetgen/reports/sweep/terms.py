"""What the terms of a block read.

nodes: {a: {op: conv, out: 2 * width, as: <stage>}}   ->   `width`, `stage`

Rates: arguments whose exact value no cost depends on.

    drop: {op: drop_path, rate: drop_path}   ->   of `drop_path` it matters only whether it is 0

A network may give every block a rate of its own, by its position; to a sweep such blocks are alike.
A rate is a parameter that goes to float attributes of ops, as it is, and nowhere else: floats decide
no shape, no weight and no work, only whether an op does anything at all (`tests/sweep` holds that
of every op).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any

from resnetgen.compiler.frontend.expressions import Name, Value, evaluate, free_names
from resnetgen.compiler.ir.nodes import Binding, Block, BlockNode, Op, SourcedExpr, Target
from resnetgen.compiler.ir.ops import OPS


def names_of(terms: Iterable[SourcedExpr]) -> set[str]:
    """The names that some terms read."""
    return {name for term in terms for name in free_names(term.expr)}


def named_terms(block: Block) -> Iterator[tuple[str, SourcedExpr]]:
    """What a block computes for itself, in order: the defaults of its parameters, its `let`."""
    for name, param in block.params.items():
        if param.default:
            yield name, param.default
    yield from block.let.items()


def own_terms(block: Block) -> Iterator[SourcedExpr]:
    """The terms of a block, without those of its nodes."""
    yield from (term for _, term in named_terms(block))
    if block.when:
        yield block.when
    yield from slot_terms(block.slots)


def node_terms(node: BlockNode, but_for: Collection[str] = ()) -> Iterator[SourcedExpr]:
    """The terms of one node but for some arguments, with those of what it puts into slots."""
    yield from (term for name, term in node.arguments.items() if name not in but_for)
    yield from (term for term in (node.when, node.repeat) if term)
    yield from slot_terms(node.slots)


def slot_terms(slots: Mapping[str, Binding]) -> Iterator[SourcedExpr]:
    """The terms of what slots hold."""
    for binding in slots.values():
        yield from binding.arguments.values()
        yield from slot_terms(binding.slots)


def names_in(node: BlockNode, but_for: Collection[str] = ()) -> set[str]:
    """The names that a node reads but for some arguments, and every word of `<...>` in its path."""
    written = re.findall(r"<([^<>]*)>", node.path)
    return names_of(node_terms(node, but_for)) | set(re.findall(r"\w+", " ".join(written)))


def behind(block: Block, known: Mapping[str, set[int]]) -> dict[str, set[int]]:
    """What stands behind each name of a block, where some names are `known` to stand for something."""
    found = {name: set(each) for name, each in known.items()}
    for name, term in named_terms(block):
        read = (found.get(each, set()) for each in free_names(term.expr))
        found[name] = found.get(name, set()).union(*read)
    return found


MOST_KEPT = 50_000  # rates by place
RATE = 0.5  # stands for every rate between 0 and 1


def canonical(value: Value) -> Value:
    """The value that stands for a rate; what is 0, or no rate at all, stands for itself."""
    return RATE if type(value) is float and 0 < value <= 1 else value


def is_rate(op: str, attribute: str) -> bool:
    """Whether an attribute takes any float from 0 to 1, 0 apart, to the same effect on costs."""
    found = OPS[op].attributes.get(attribute)
    return (
        found is not None
        and found.kind == "float"
        and found.least in (None, 0)
        and found.most in (None, 1)
    )


class Patterns:
    """The rates of stages, block by block; the rate at a place is computed once."""

    def __init__(self) -> None:
        self.known: dict[Hashable, dict[Any, Hashable]] = {}
        self.size = 0

    def of(
        self, term: SourcedExpr, values: Mapping[str, Value], count: int, before: int, total: int
    ) -> tuple[Hashable, ...]:
        """What stands for the rate of each of `count` blocks, with `before` of `total` before them.

        `values` are those of the network's names. Raises ExpressionError.
        """
        places = {  # as `stages.stage_values` has them
            "index": range(count),
            "position": range(before, before + count),
            "total": (total,) * count,
            "first": [at == 0 for at in range(count)],
            "last": [at == count - 1 for at in range(count)],
        }
        read = set(free_names(term.expr))
        along = [name for name in places if name in read] or ["total"]
        fixed = [(name, type(values[name]), values[name]) for name in read if name in values]
        known = self.known.setdefault((term, frozenset(fixed)), {})
        rows = list(zip(*(places[name] for name in along), strict=True))
        for row in dict.fromkeys(row for row in rows if row not in known):
            rate = canonical(evaluate(term.expr, {**values, **dict(zip(along, row, strict=True))}))
            known[row] = (type(rate), rate)
            self.size += 1
        found = tuple([known[row] for row in rows])
        if self.size > MOST_KEPT:
            self.known.clear()
            self.size = 0
        return found


class Rates:
    """The parameters of blocks that are rates."""

    def __init__(self) -> None:
        self.memo: dict[Block, frozenset[str]] = {}

    def of(self, target: Target) -> frozenset[str]:
        """The parameters of a block that are rates; none of anything else."""
        if not isinstance(target, Block):
            return frozenset()
        if target not in self.memo:
            read = names_of(own_terms(target)).union(*map(self._read_by, target.nodes))
            self.memo[target] = frozenset(target.params) - read
        return self.memo[target]

    def _read_by(self, node: BlockNode) -> set[str]:
        """The names that a node reads for anything but a rate."""
        arguments = node.arguments.items()
        return names_in(
            node, [name for name, term in arguments if self._hands_on(node, name, term)]
        )

    def _hands_on(self, node: BlockNode, name: str, term: SourcedExpr) -> bool:
        """Whether an argument is a parameter as it is, and a rate where it goes."""
        if not isinstance(term.expr, Name):
            return False
        target = node.target
        return is_rate(target.name, name) if isinstance(target, Op) else name in self.of(target)
