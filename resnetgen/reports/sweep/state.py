"""What each node of a network's body depends on, and the state of a variant that stores it.

    layer3: {blocks: v0, width: v1}, after layer2   ->   key = (index of v0, of v1, value of layer2)

The state of a variant is a flat list of integers: the index of each varied number, the position of
each stage, and the value of every name that a node reads. The key of a node is the part of the state
that it depends on. A missing dependence would give a wrong figure, and a needless one only costs
time: whatever is not certain counts as a dependence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from typing import Any

from resnetgen.compiler.frontend.expressions import free_names
from resnetgen.compiler.ir.nodes import Block, BlockNode, Network, SourcedExpr
from resnetgen.compiler.passes.elaborate_checks import readable_keys
from resnetgen.reports.sweep.symbols import (
    RateParameters,
    SymbolicNetwork,
    dependencies,
    names_read,
    names_read_by,
    symbol,
)

State = list[int]
Key = Callable[[State], Any]  # picks the key out of a state


@dataclass(frozen=True, slots=True)
class BodyNode:
    """A node of the body: what it reads and defines, and the key under which its cost is stored."""

    index: int  # among the declared nodes
    node: BlockNode
    key: Key
    reads: tuple[tuple[str, int], ...]  # a name, and its slot
    defines: tuple[str, ...]  # the names that others read
    writes: slice  # the slots of those names, then of the dilation after it
    dilation: int  # the slot of the dilation before it
    owns_paths: bool  # no other node has a module path at, around or inside its own


@dataclass(frozen=True, slots=True)
class SweepStage:
    """A stage of the body, and what its number of blocks depends on."""

    node: BlockNode
    key: Key
    position: int  # the slot of the number of blocks before it


@dataclass(frozen=True, slots=True)
class RatedStage:
    """A stage whose blocks have rates that vary: only their pattern matters to its cost."""

    node: BlockNode
    expressions: tuple[SourcedExpr, ...]
    key: Key
    position: int  # the slot of the number of blocks before it
    pattern: int  # the slot of the pattern


@dataclass(frozen=True, slots=True)
class StateLayout:
    """The slots of a state, and the nodes of the body in order of execution."""

    size: int
    input: int  # the slot of the network's input
    dilation: int  # the slot of the dilation at its start
    total: int  # the slot of the number of blocks of all stages
    varied: tuple[tuple[int, int, str], ...]  # a factor, its slot, its name
    environment: Key  # what parameters and `let` depend on
    stages: tuple[SweepStage, ...]
    rated_stages: tuple[RatedStage, ...]
    nodes: tuple[BodyNode, ...]


def state_layout(symbolic: SymbolicNetwork, rates: RateParameters) -> StateLayout:
    """The layout for a network in which varied numbers are names."""
    return _LayoutBuilder(symbolic, rates).layout()


class _LayoutBuilder:
    """Assigns slots in order."""

    def __init__(self, symbolic: SymbolicNetwork, rates: RateParameters) -> None:
        self.rates = rates
        self.network = symbolic.network
        self.root = symbolic.network.root
        self.slots = count()
        self.constant = next(self.slots)  # so that every key has something to pick
        self.varied = tuple((each, next(self.slots), symbol(each)) for each in symbolic.named)
        self.total = next(self.slots)
        self.positions = {node.key: next(self.slots) for node in self.root.nodes if node.stage}
        self.slots_of = dependencies(self.root, {name: {slot} for _, slot, name in self.varied})
        self.dilation = next(self.slots)
        self.values = {name: next(self.slots) for name in self.root.inputs}

    def layout(self) -> StateLayout:
        """The slots and nodes of the body."""
        input, dilation = self.values[self.root.inputs[0]], self.dilation
        named = [*self.root.params, *self.root.let]
        rated = {node.key: each for node in self.root.nodes if (each := self.rated_stage(node))}
        return StateLayout(
            varied=self.varied,
            total=self.total,
            input=input,
            dilation=dilation,
            environment=self.picker(self.dependences(named)),
            stages=tuple(self.stage(node) for node in self.root.nodes if node.stage),
            rated_stages=tuple(rated.values()),
            nodes=tuple(self.nodes({key: each.pattern for key, each in rated.items()})),
            size=next(self.slots),
        )

    def stage(self, node: BlockNode) -> SweepStage:
        names = free_names(node.repeat.expr) if node.repeat else ()
        return SweepStage(node, self.picker(self.dependences(names)), self.positions[node.key])

    def rated_stage(self, node: BlockNode) -> RatedStage | None:
        """A stage whose rates vary, with a varied number or with the position of a block."""
        names = self.rates.of(node.target) & node.arguments.keys() if node.stage else ()
        expressions = tuple(node.arguments[name] for name in sorted(names))
        read = names_read(expressions)
        slots = self.dependences(read) | self.position_slots(node, read)
        if not slots:
            return None
        slots |= self.dependences(free_names(node.repeat.expr) if node.repeat else ())
        key = self.picker(slots)
        return RatedStage(node, expressions, key, self.positions[node.key], next(self.slots))

    def position_slots(self, node: BlockNode, names: Collection[str]) -> set[int]:
        """The slots of the position of a stage, if the names include it."""
        read = node.stage and ("position" in names or "total" in names)
        return {self.positions[node.key], self.total} if read else set()

    def nodes(self, patterns: Mapping[str, int]) -> Iterator[BodyNode]:
        """The nodes in order of execution, given the slot of each rated stage's pattern."""
        read, owns_paths = _names_read_anywhere(self.network), _path_owners(self.root.nodes)
        for index in self.root.schedule:
            node = self.root.nodes[index]
            reads = tuple((name, self.values[name]) for name in _reads(node) if name in self.values)
            picked = self.node_dependences(node) | {slot for _, slot in reads}
            picked |= {patterns[node.key]} if node.key in patterns else set()
            before = self.dilation
            defines = tuple(name for name in readable_keys(node) if name in read)
            defined = {name: next(self.slots) for name in defines}
            self.values |= defined
            self.dilation = next(self.slots)
            writes = slice(self.dilation - len(defined), self.dilation + 1)
            key = self.picker(picked)
            yield BodyNode(index, node, key, reads, defines, writes, before, owns_paths[index])

    def node_dependences(self, node: BlockNode) -> set[int]:
        """The slots that a node depends on, except the values that it reads and its rates."""
        names = names_read_by(node, self.rates.of(node.target) if node.stage else ())
        picked = self.dependences(names) | self.position_slots(node, names)
        return picked if self.network.output_stride is None else picked | {self.dilation}

    def dependences(self, names: Iterable[str]) -> set[int]:
        """The slots of the varied numbers that some names depend on."""
        return set[int]().union(*(self.slots_of.get(name, set()) for name in names))

    def picker(self, slots: Iterable[int]) -> Key:
        """Picks some slots out of a state: a number, or a tuple of several."""
        return itemgetter(*(sorted(slots) or [self.constant]))


def _reads(node: BlockNode) -> tuple[str, ...]:
    """The names that a node may read: its inputs, and the value that replaces it if it is absent."""
    otherwise = (node.otherwise,) if node.otherwise else ()
    return tuple(dict.fromkeys((*node.inputs, *otherwise)))


def _names_read_anywhere(network: Network) -> set[str]:
    """The names that some node or some output reads."""
    outputs = (*network.outputs, *network.train_outputs)
    return {each for node in network.root.nodes for each in _reads(node)} | {
        output.key for output in outputs
    }


# --- module paths


def _path_owners(nodes: Sequence[BlockNode]) -> list[bool]:
    """For each node, whether its module paths are separate from those of all others."""
    prefixes = [_path_prefixes(node) for node in nodes]
    return [
        all(
            _disjoint(one, other)
            for index, others in enumerate(prefixes)
            if index != at
            for one in own
            for other in others
        )
        for at, own in enumerate(prefixes)
    ]


def _path_prefixes(node: BlockNode) -> list[tuple[str, ...]]:
    """The fixed beginnings of a node's module paths."""
    if node.path == "." and isinstance(node.target, Block):
        return [prefix for each in node.target.nodes for prefix in _path_prefixes(each)]
    if node.path == ".":
        return [()]
    components = node.path.split(".")
    computed = [index for index, each in enumerate(components) if "<" in each or "*" in each]
    return [tuple(components[: computed[0] if computed else len(components)])]


def _disjoint(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether neither path is the other or contains it."""
    shared = min(len(one), len(other))
    return one[:shared] != other[:shared]
