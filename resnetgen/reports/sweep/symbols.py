"""Varied numbers as names: one symbolic network for all variants that differ only in numbers.

    layer3: {blocks: 36, width: 256}   with layer3.blocks varied   ->   repeat=Name("\N{GREEK SMALL LETTER NU}0")

A number becomes a name only if it is proved to be part of an expression of the network's own body,
and of nothing else. Any other number (in the form of a document, in a block, in an ambient slot) is
written into the spec, and the spec is elaborated for each of its values.

Below are the two questions that the proof and the memo of `evaluator.py` ask: which names an expression
reads, and which parameters are rates, whose exact value no cost depends on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import Name, Value, evaluate, free_names
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.tree import MapTree
from resnetgen.compiler.ir.nodes import (
    Binding,
    Block,
    BlockNode,
    Network,
    Op,
    SourcedExpr,
    Target,
    called_blocks,
)
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.reports.sweep.space import Factor, Space


@dataclass(frozen=True, slots=True)
class BaseSpec:
    """The spec before anything varies: its tree, the folders of its blocks, and its `--set`."""

    tree: MapTree
    folders: tuple[Path, ...]
    settings: Mapping[str, object]

    def document(self, varied: Mapping[str, object]) -> Document:
        """The document with some values varied. Raises SpecError."""
        return library.complete(self.tree, self.folders, {**self.settings, **varied})


def read_base(spec: str | Path, settings: Mapping[str, object]) -> BaseSpec:
    """The base spec from a path or the name of a library network. Raises SpecError and OSError."""
    path = library.locate_network(spec)
    return BaseSpec(library.read_spec(path), (path.parent,), settings)


def variant_document(base: BaseSpec, space: Space, choice: Sequence[int]) -> Document:
    """The document of one variant, the same as with `--set`. Raises SpecError."""
    return base.document({path: each.text for path, each in space.values(choice)})


# --- symbolic networks


def symbol(index: int) -> str:
    """The name of a factor's value. It is not ASCII, so no spec can contain it."""
    return f"\N{GREEK SMALL LETTER NU}{index}"


@dataclass(frozen=True, slots=True)
class SymbolicNetwork:
    """A network in which some varied numbers are names."""

    network: Network
    named: tuple[int, ...]  # the factors whose values are names


def symbolic_network(
    base: BaseSpec, space: Space, choice: Sequence[int], named: Iterable[int]
) -> SymbolicNetwork:
    """The network of a variant, with as many as possible of the factors `named` as names.

    Raises SpecError if it cannot be elaborated even with numbers alone.
    """
    wanted = tuple(named)
    while True:
        try:
            network = elaborate(_document(base, space, choice, wanted))
        except SpecError as error:
            wanted = _without_blamed(error, space.factors, wanted)
            continue
        proved = tuple(index for index in wanted if _only_in_body(network, symbol(index)))
        if proved == wanted:
            return SymbolicNetwork(network, wanted)
        wanted = proved


def _document(
    base: BaseSpec, space: Space, choice: Sequence[int], named: Sequence[int]
) -> Document:
    texts = {path: each.text for path, each in space.values(choice)}
    for index in named:
        texts[space.factors[index].path] = symbol(index)
    return base.document(texts)


def _without_blamed(
    error: SpecError, factors: Sequence[Factor], named: tuple[int, ...]
) -> tuple[int, ...]:
    """The names without those that an error points at; none of them if it points elsewhere."""
    if not named:
        raise error
    files = {each.span.file for each in error.diagnostics if each.span}
    fewer = tuple(index for index in named if f"--set {factors[index].path}" not in files)
    return fewer if len(fewer) < len(named) else ()


def _only_in_body(network: Network, name: str) -> bool:
    """Whether a name is read by expressions of the network's own body and by nothing else."""
    reads = dependencies(network.root, {name: {name}})
    dependents = {each for each, slots in reads.items() if slots}
    return (
        name in names_read(_body_expressions(network.root))
        and dependents.isdisjoint(names_read(slot_expressions(network.ambient)))
        and not any(name in names_read(_body_expressions(b)) for b in called_blocks(network))
    )


def _body_expressions(block: Block) -> Iterator[SourcedExpr]:
    """The expressions of a block, without those of the blocks that it calls."""
    yield from own_expressions(block)
    for node in block.nodes:
        yield from node_expressions(node)


# --- what expressions read


def names_read(expressions: Iterable[SourcedExpr]) -> set[str]:
    """The names that some expressions read."""
    return {name for each in expressions for name in free_names(each.expr)}


def named_expressions(block: Block) -> Iterator[tuple[str, SourcedExpr]]:
    """What a block computes under a name, in order: the defaults of its parameters, its `let`."""
    for name, param in block.params.items():
        if param.default:
            yield name, param.default
    yield from block.let.items()


def own_expressions(block: Block) -> Iterator[SourcedExpr]:
    """The expressions of a block, without those of its nodes."""
    yield from (each for _, each in named_expressions(block))
    if block.when:
        yield block.when
    yield from slot_expressions(block.slots)


def node_expressions(node: BlockNode, without: Collection[str] = ()) -> Iterator[SourcedExpr]:
    """The expressions of a node, without some arguments, including what it binds to slots."""
    yield from (each for name, each in node.arguments.items() if name not in without)
    yield from (each for each in (node.when, node.repeat) if each)
    yield from slot_expressions(node.slots)


def slot_expressions(slots: Mapping[str, Binding]) -> Iterator[SourcedExpr]:
    """The expressions in the bindings of slots."""
    for binding in slots.values():
        yield from binding.arguments.values()
        yield from slot_expressions(binding.slots)


def names_read_by(node: BlockNode, without: Collection[str] = ()) -> set[str]:
    """The names that a node reads, without some arguments, and every word of `<...>` in its path."""
    written = re.findall(r"<([^<>]*)>", node.path)
    return names_read(node_expressions(node, without)) | set(re.findall(r"\w+", " ".join(written)))


def dependencies(block: Block, known: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """What each name of a block depends on, given what some `known` names depend on.

    width=v0, deep=2 * width, known {v0: {1}}   ->   {v0: {1}, width: {1}, deep: {1}}
    """
    slots = {name: set(each) for name, each in known.items()}
    for name, expression in named_expressions(block):
        read = (slots.get(each, set()) for each in free_names(expression.expr))
        slots[name] = slots.get(name, set()).union(*read)
    return slots


# --- rates
#
#     drop: {op: drop_path, rate: drop_path}   ->   of `drop_path` it only matters whether it is 0
#
# A network may give every block a rate of its own, by its position; to a sweep such blocks are the
# same. A rate is a parameter that is passed as it is to float attributes of ops, and used nowhere
# else: a float decides no shape, no weight and no work, only whether an op does anything at all
# (`tests/sweep` checks that for every op).

MAX_RATES = 50_000  # that are remembered
RATE = 0.5  # represents every rate in (0, 1]


def canonical_rate(value: Value) -> Value:
    """The value that represents a rate; 0, and anything that is not a rate, represents itself."""
    return RATE if type(value) is float and 0 < value <= 1 else value


def is_rate(op: str, attribute: str) -> bool:
    """Whether all floats in (0, 1] have the same effect on costs as values of an attribute."""
    definition = OPS[op].attributes.get(attribute)
    return (
        definition is not None
        and definition.kind == "float"
        and definition.minimum in (None, 0)
        and definition.maximum in (None, 1)
    )


class RateParameters:
    """The parameters of blocks that are rates."""

    def __init__(self) -> None:
        self.memo: dict[Block, frozenset[str]] = {}

    def of(self, target: Target) -> frozenset[str]:
        """The parameters of a block that are rates; an op or a slot has none."""
        if not isinstance(target, Block):
            return frozenset()
        if target not in self.memo:
            read = names_read(own_expressions(target)).union(*map(self._read_by, target.nodes))
            self.memo[target] = frozenset(target.params) - read
        return self.memo[target]

    def _read_by(self, node: BlockNode) -> set[str]:
        """The names that a node reads other than as a rate."""
        arguments = node.arguments.items()
        rates = [name for name, value in arguments if self._is_rate(node, name, value)]
        return names_read_by(node, rates)

    def _is_rate(self, node: BlockNode, name: str, value: SourcedExpr) -> bool:
        """Whether an argument is a parameter passed as it is, and a rate in the node's target."""
        if not isinstance(value.expr, Name):
            return False
        target = node.target
        return is_rate(target.name, name) if isinstance(target, Op) else name in self.of(target)


class RatePatterns:
    """The rates of stages, block by block; each is computed once."""

    def __init__(self) -> None:
        self.known: dict[Hashable, dict[Any, Hashable]] = {}
        self.size = 0

    def of(
        self,
        expression: SourcedExpr,
        values: Mapping[str, Value],
        count: int,
        before: int,
        total: int,
    ) -> tuple[Hashable, ...]:
        """The canonical rate of each of `count` blocks, of which `before` of `total` come earlier.

        `values` are those of the network's names. Raises ExpressionError.
        """
        positions = {  # the names that `stages.stage_values` defines
            "index": range(count),
            "position": range(before, before + count),
            "total": (total,) * count,
            "first": [at == 0 for at in range(count)],
            "last": [at == count - 1 for at in range(count)],
        }
        read = set(free_names(expression.expr))
        varying = [name for name in positions if name in read] or ["total"]
        fixed = [(name, type(values[name]), values[name]) for name in read if name in values]
        known = self.known.setdefault((expression, frozenset(fixed)), {})
        rows = list(zip(*(positions[name] for name in varying), strict=True))
        for row in dict.fromkeys(row for row in rows if row not in known):
            names = {**values, **dict(zip(varying, row, strict=True))}
            rate = canonical_rate(evaluate(expression.expr, names))
            known[row] = (type(rate), rate)
            self.size += 1
        pattern = tuple([known[row] for row in rows])
        if self.size > MAX_RATES:
            self.known.clear()
            self.size = 0
        return pattern
