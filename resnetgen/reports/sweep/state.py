"""What each node of a network's body depends on, and where that stands in the state of a variant.

    layer3: {blocks: v0, width: v1}, after layer2   ->   key = (index of v0, of v1, value of layer2)

The state of a variant is one flat list of integers: the index of each varied number, the position
of each stage, and the value of every name that a node reads. The key of a node is what it depends
on, picked from that list. A dependence too few would give a wrong figure, one too many only costs
time: what cannot be told counts as a dependence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from typing import Any

from resnetgen.compiler.frontend.expressions import free_names
from resnetgen.compiler.ir.nodes import Block, BlockNode, Network, SourcedExpr
from resnetgen.compiler.passes.elaborate_checks import keys_of
from resnetgen.reports.sweep.symbols import Symbolic, symbol
from resnetgen.reports.sweep.terms import Rates, behind, names_in, names_of

State = list[int]
Key = Callable[[State], Any]


@dataclass(frozen=True, slots=True)
class BodyNode:
    """A node of the body: what it reads and gives, and the key under which its outcome is known."""

    at: int  # among the declared nodes
    node: BlockNode
    key: Key
    reads: tuple[tuple[str, int], ...]  # a name, and its slot
    gives: tuple[str, ...]  # the names that others read
    writes: slice  # the slots of those names, then of the dilation after it
    dilation: int  # the slot of the dilation before it
    alone: bool  # no other node stands at, around or inside its module paths


@dataclass(frozen=True, slots=True)
class SweepStage:
    """A stage of the body, and what its number of blocks depends on."""

    node: BlockNode
    key: Key
    position: int  # the slot of the number of blocks before it


@dataclass(frozen=True, slots=True)
class Rated:
    """A stage that gives its blocks rates which vary: only their pattern matters to its cost."""

    node: BlockNode
    terms: tuple[SourcedExpr, ...]
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
    leaves: tuple[tuple[int, int, str], ...]  # a factor, its slot, its name
    environment: Key  # what parameters and `let` depend on
    stages: tuple[SweepStage, ...]
    rated: tuple[Rated, ...]
    sites: tuple[BodyNode, ...]


def layout(symbolic: Symbolic, rates: Rates) -> StateLayout:
    """The layout of a network in which varied numbers are names."""
    return _Plan(symbolic, rates).layout()


class _Plan:
    """The slots given out so far."""

    def __init__(self, symbolic: Symbolic, rates: Rates) -> None:
        self.rates = rates
        self.network = symbolic.network
        self.root = symbolic.network.root
        self.slots = count()
        self.constant = next(self.slots)  # so that every key has something to pick
        self.leaves = tuple((each, next(self.slots), symbol(each)) for each in symbolic.named)
        self.total = next(self.slots)
        self.positions = {node.key: next(self.slots) for node in self.root.nodes if node.stage}
        self.depends = behind(self.root, {name: {slot} for _, slot, name in self.leaves})
        self.dilation = next(self.slots)
        self.places = {name: next(self.slots) for name in self.root.inputs}

    def layout(self) -> StateLayout:
        """The slots and sites of the body."""
        input, dilation = self.places[self.root.inputs[0]], self.dilation
        named = [*self.root.params, *self.root.let]
        rated = {node.key: found for node in self.root.nodes if (found := self.rated(node))}
        return StateLayout(
            leaves=self.leaves,
            total=self.total,
            input=input,
            dilation=dilation,
            environment=self.picker(self.behind(named)),
            stages=tuple(self.stage(node) for node in self.root.nodes if node.stage),
            rated=tuple(rated.values()),
            sites=tuple(self.sites({key: each.pattern for key, each in rated.items()})),
            size=next(self.slots),
        )

    def stage(self, node: BlockNode) -> SweepStage:
        names = free_names(node.repeat.expr) if node.repeat else ()
        return SweepStage(node, self.picker(self.behind(names)), self.positions[node.key])

    def rated(self, node: BlockNode) -> Rated | None:
        """The rates of a stage that vary, by what is varied or by where a block stands."""
        names = self.rates.of(node.target) & node.arguments.keys() if node.stage else ()
        terms = tuple(node.arguments[name] for name in sorted(names))
        read = names_of(terms)
        slots = self.behind(read) | self.positions_in(node, read)
        if not slots:
            return None
        slots |= self.behind(free_names(node.repeat.expr) if node.repeat else ())
        key = self.picker(slots)
        return Rated(node, terms, key, self.positions[node.key], next(self.slots))

    def positions_in(self, node: BlockNode, names: Collection[str]) -> set[int]:
        """The slots of where a stage stands, if some names ask for it."""
        asked = node.stage and ("position" in names or "total" in names)
        return {self.positions[node.key], self.total} if asked else set()

    def sites(self, patterns: Mapping[str, int]) -> Iterator[BodyNode]:
        """The nodes in order of execution; the slots of patterns are known by the node's key."""
        read, alone = _read_names(self.network), _alone(self.root.nodes)
        for at in self.root.schedule:
            node = self.root.nodes[at]
            reads = tuple((name, self.places[name]) for name in _reads(node) if name in self.places)
            picked = self.dependences(node) | {slot for _, slot in reads}
            picked |= {patterns[node.key]} if node.key in patterns else set()
            before = self.dilation
            gives = tuple(name for name in keys_of(node) if name in read)
            given = {name: next(self.slots) for name in gives}
            self.places |= given
            self.dilation = next(self.slots)
            writes = slice(self.dilation - len(given), self.dilation + 1)
            yield BodyNode(at, node, self.picker(picked), reads, gives, writes, before, alone[at])

    def dependences(self, node: BlockNode) -> set[int]:
        """The slots of what a node depends on, but for the values that it reads and its rates."""
        names = names_in(node, self.rates.of(node.target) if node.stage else ())
        picked = self.behind(names) | self.positions_in(node, names)
        return picked if self.network.output_stride is None else picked | {self.dilation}

    def behind(self, names: Iterable[str]) -> set[int]:
        """The slots of the varied numbers behind some names."""
        return set[int]().union(*(self.depends.get(name, set()) for name in names))

    def picker(self, slots: Iterable[int]) -> Key:
        """Picks some slots of a state: a number, or a tuple of several."""
        return itemgetter(*(sorted(slots) or [self.constant]))


def _reads(node: BlockNode) -> tuple[str, ...]:
    """The names that a node may read: its inputs, and what passes where it is left out."""
    otherwise = (node.otherwise,) if node.otherwise else ()
    return tuple(dict.fromkeys((*node.inputs, *otherwise)))


def _read_names(network: Network) -> set[str]:
    """The names that some node or some output reads."""
    outputs = (*network.outputs, *network.train_outputs)
    return {each for node in network.root.nodes for each in _reads(node)} | {
        output.key for output in outputs
    }


# --- module paths


def _alone(nodes: Sequence[BlockNode]) -> list[bool]:
    """For each node, whether its module paths are apart from those of all others."""
    places = [_places(node) for node in nodes]
    return [
        all(
            _apart(one, other)
            for index, others in enumerate(places)
            if index != at
            for one in own
            for other in others
        )
        for at, own in enumerate(places)
    ]


def _places(node: BlockNode) -> list[tuple[str, ...]]:
    """What a node's module paths begin with, as far as that is always the same."""
    if node.path == "." and isinstance(node.target, Block):
        return [place for each in node.target.nodes for place in _places(each)]
    if node.path == ".":
        return [()]
    components = node.path.split(".")
    fixed = [index for index, each in enumerate(components) if "<" in each or "*" in each]
    return [tuple(components[: fixed[0] if fixed else len(components)])]


def _apart(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether neither place is, or holds, the other."""
    shared = min(len(one), len(other))
    return one[:shared] != other[:shared]
