"""One node of a network's body, placed and measured by the compiler's own passes.

    layer3 at width 256, after 512 channels of 28 x 28   ->   Outcome: 1024 channels of 14 x 14, its cost

What is decided over the whole body, which convolutions of the body itself have a bias and what only
training computes, is left open: an outcome says what each choice costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from resnetgen.graph.instantiate import Walk
from resnetgen.graph.ir import Block, BlockNode, Instance, Network, OpCall, Passes, Placed
from resnetgen.graph.measure import Cost, Measuring, Step, op_step
from resnetgen.graph.opcalls import Arguments
from resnetgen.graph.order import stable_order
from resnetgen.graph.paths import conflicts
from resnetgen.graph.place import Idleness, Placing, does_nothing
from resnetgen.graph.rules import Flow, TensorType
from resnetgen.language.expressions import Value
from resnetgen.sweep.inert import Rates, canonical
from resnetgen.sweep.layout import Site

MOST_KEPT = 1_000  # instances that a walk keeps between nodes
MOST_PATHS = 20_000  # of the blocks of stages

Idle = frozenset[tuple[Block, str]]


class Reading(NamedTuple):
    """What a name of the body stands for: which node's value, and what is known of it."""

    source: str | None  # None: there is no value
    flow: Flow | None = None
    stride: float = 1
    type: TensorType | None = None  # None: its size is not known
    broken: bool = False  # a fault came before it


BROKEN, ABSENT = Reading(None, broken=True), Reading(None)


@dataclass(frozen=True, slots=True)
class Part:
    """What one placed node costs, and how many parameters a bias would add."""

    key: str
    cost: Cost
    bias: int = 0


@dataclass(frozen=True, slots=True)
class Traits:
    """What the instances below a node say about their blocks, as sets of (block, node) in bits.

    A node is left out where it is idle and never busy; it is a fault where it is unread and never
    read. Both are decided over all instances of a network.
    """

    idle: int = 0
    busy: int = 0
    unread: int = 0
    read: int = 0
    conflict: bool = False  # two modules at one path

    def __or__(self, other: Traits) -> Traits:
        return Traits(
            self.idle | other.idle,
            self.busy | other.busy,
            self.unread | other.unread,
            self.read | other.read,
            self.conflict or other.conflict,
        )


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What the passes found out about one node of the body."""

    readings: tuple[Reading, ...]  # of the names that the node gives
    dilation: int
    placed: tuple[Placed, ...]
    parts: tuple[Part, ...]
    traits: Traits
    size: int  # ops, expanded
    instances: int  # at most so many distinct ones are evaluated for it
    refused: bool  # placing it is a fault
    misshapen: bool  # measuring it is a fault


class Bits:
    """A bit for each node of each block of a network."""

    def __init__(self) -> None:
        self.bits: dict[tuple[Block, str], int] = {}

    def of(self, block: Block, key: str) -> int:
        """The bit of a node."""
        return self.bits.setdefault((block, key), 1 << len(self.bits))

    def nodes(self, bits: int) -> Idle:
        """The nodes of a set of bits."""
        return frozenset(node for node, bit in self.bits.items() if bit & bits)


@dataclass(slots=True)
class _Kept:
    """An instance, kept alive so that its `id` names it, and what was found out about it."""

    instance: Instance
    weight: int  # the calls of blocks in it, itself counted: a bound of what a walk would remember
    traits: Traits | None = None


class Decided(Idleness):
    """Which nodes are left out, decided beforehand over all instances of a network."""

    def leaves_out(self, block: Block, node: BlockNode) -> bool:
        """Whether it is one of them; none is left out on trust."""
        return (block, node.key) in self.kept

    def works(self, block: Block, node: BlockNode) -> None:
        """That a node works has been taken into account."""


class KeepingWalk(Walk):
    """A walk whose memo serves many variants, and that counts what one variant would fill of it."""

    def __init__(self, network: Network, idle: Idle, bits: Bits, rates: Rates) -> None:
        super().__init__(network, Decided(idle))
        self.bits = bits
        self.rates = rates
        self.weight = 0
        self.deepest = 0
        self.kept: dict[int, _Kept] = {}
        self.paths: dict[tuple[str, Value], str] = {}
        self.sizes = _Sizes(network)

    def block(
        self, block: Block, arguments: Arguments, *call: Any, **options: Any
    ) -> Instance | Passes:
        """As every walk, but all rates are one; adds what the call would fill of a memo to `weight`."""
        if rates := self.rates.of(block) & arguments.keys():
            alike = {name: (canonical(arguments[name][0]), arguments[name][1]) for name in rates}
            arguments = {**arguments, **alike}
        found = super().block(block, arguments, *call, **options)
        kept = self.kept.get(id(found))
        self.weight += kept.weight if kept else 1
        return found

    def fresh(self, *call: Any, **options: Any) -> Instance | Passes | None:
        """As every walk; and keeps the instance."""
        before, self.weight = self.weight, 0
        self.deepest = max(self.deepest, self.depth)
        found = super().fresh(*call, **options)
        if isinstance(found, Instance):
            self.kept[id(found)] = _Kept(found, 1 + self.weight)
        self.weight = before
        return found

    def make_room(self) -> None:
        """Forgets everything once there is much of it."""
        if max(len(self.memo), len(self.kept), len(self.sizes.memo)) > MOST_KEPT:
            self.memo.clear()
            self.sizes.memo.clear()
            self.kept.clear()
        if len(self.paths) > MOST_PATHS:
            self.paths.clear()

    def traits(self, instance: Instance) -> Traits:
        """The traits of an instance and of those below it."""
        kept = self.kept[id(instance)]
        if kept.traits is None:
            kept.traits = self._own_traits(instance)
        return kept.traits

    def _own_traits(self, instance: Instance) -> Traits:
        names = {name for placed in instance.placed for name in placed.inputs}
        names |= set(instance.outputs)
        idle = busy = unread = read = 0
        below = Traits(conflict=has_conflict(instance))
        for placed in instance.placed:
            bit = self.bits.of(instance.block, placed.key)
            read, unread = (read | bit, unread) if placed.key in names else (read, unread | bit)
            if placed.scope is None:
                bit = self.bits.of(instance.block, placed.node.key)
                idle, busy = (idle | bit, busy) if does_nothing(placed) else (idle, busy | bit)
            below |= self.below(placed)
        return below | Traits(idle, busy, unread, read)

    def below(self, placed: Placed) -> Traits:
        """The traits of the instances that a placed node runs."""
        traits = Traits()
        for run in placed.what if isinstance(placed.what, tuple) else ():
            traits |= self.traits(run.instance)
        return traits


class _Sizes(Measuring):
    """A measuring walk that only notes that there was a fault: the compiler tells it."""

    misshapen = False

    def refuse(self, *fault: Any, **options: Any) -> None:
        self.misshapen = True


class _BodyPlacing(Placing):
    """The walk over the body, which remembers the paths `layer3.0`, `layer3.1`, ... of stages."""

    paths: dict[tuple[str, Value], str]

    def path(self, node: BlockNode, extra: Mapping[str, Value]) -> str:
        """The module path of a node, or of one block of a stage."""
        if not _is_numbered(node) or "index" not in extra:
            return super().path(node, extra)
        key = (node.key, extra["index"])
        if key not in self.paths:
            self.paths[key] = super().path(node, extra)
        return self.paths[key]


def _is_numbered(node: BlockNode) -> bool:
    """Whether a node's blocks stand at its key and their number, as stages do by default."""
    return node.path == f"{node.key}.<index>"


def evaluate(
    walk: KeepingWalk,
    site: Site,
    values: dict[str, Value],
    readings: Sequence[Reading],
    dilation: int,
) -> Evaluated:
    """Places and measures one node of the body, in the state that the nodes before it have left.

    `values` are those of the network's names, varied numbers among them.
    """
    root = walk.network.root
    walk.make_room()
    known = (len(walk.memo), len(walk.sizes.memo))
    placing = _placing(walk, root, values, site, readings, dilation)
    placing.visit(site.at, site.node)
    refused = bool(walk.facts.faults)
    placed = tuple(placing.placed[site.at])
    types = {each.source: each.type for each in readings if each.source}
    parts = _measured(walk, placed, types)
    misshapen = walk.sizes.misshapen
    result = Evaluated(
        readings=tuple(_reading(placing, name, types) for name in site.gives),
        dilation=placing.dilation,
        placed=placed,
        parts=parts,
        traits=_traits(walk, site, placed),
        size=sum(_size(each) for each in placed),
        instances=walk.weight,
        refused=refused,
        misshapen=misshapen,
    )
    _forget_faults(walk, *known)
    return result


def _placing(
    walk: KeepingWalk,
    root: Block,
    values: dict[str, Value],
    site: Site,
    readings: Sequence[Reading],
    dilation: int,
) -> Placing:
    """The walk over the body, as the nodes before this one have left it."""
    walk.depth, walk.weight = 1, 0
    flow = Flow(walk.network.input.channels)
    inputs = dict.fromkeys(root.inputs, flow)
    placing = _BodyPlacing(walk.facts, walk.block, walk.idleness, root, values, {}, inputs, {})
    placing.paths = walk.paths
    placing.dilation = dilation
    for (name, _), reading in zip(site.reads, readings, strict=True):
        if reading.broken:
            placing.broken.add(name)
        placing.where[name] = reading.source
        if reading.source and reading.flow:
            placing.flows[reading.source] = reading.flow
            placing.strides[reading.source] = reading.stride
    return placing


def _reading(placing: Placing, name: str, types: Mapping[str, TensorType | None]) -> Reading:
    if name in placing.broken:
        return BROKEN
    source = placing.where.get(name)
    if source is None:
        return ABSENT
    return Reading(source, placing.flows[source], placing.strides[source], types.get(source))


def _measured(
    walk: KeepingWalk, placed: tuple[Placed, ...], types: dict[str, TensorType | None]
) -> tuple[Part, ...]:
    """The cost of each placed node whose input has a known size; `types` is completed."""
    indices = {each.key: index for index, each in enumerate(placed)}
    reads = [[indices[name] for name in each.inputs if name in indices] for each in placed]
    parts: list[Part] = []
    walk.sizes.misshapen = False
    for index in stable_order(reads) or ():
        each = placed[index]
        sources = [types.get(name) for name in each.inputs]
        missing = any(
            source is None and name != "none"
            for name, source in zip(each.inputs, sources, strict=True)
        )
        step = None if missing else _step(walk, each, sources)
        types[each.key] = step.result if step else None
        if step:
            parts.append(Part(each.key, step.cost, _bias(each, step)))
    return tuple(parts)


def _step(walk: KeepingWalk, placed: Placed, sources: list[TensorType | None]) -> Step | None:
    known = [source for source in sources if source is not None]
    body = body_of(walk.network.root, (placed,))
    return walk.sizes.step(body, placed, known, sources, {}, ())


def _bias(placed: Placed, step: Step) -> int:
    """The parameters that a bias would add, where that is still open."""
    call = placed.what
    if not isinstance(call, OpCall) or call.attributes.get("bias", True) is not None:
        return 0
    biased = replace(call, attributes={**call.attributes, "bias": True})
    known = [source for source in step.sources if source is not None]
    return op_step(placed, biased, known).cost.params - step.cost.params


def _traits(walk: KeepingWalk, site: Site, placed: Sequence[Placed]) -> Traits:
    """What a node of the body says about nodes; which of the body's own are read is not known here."""
    root = walk.network.root
    may_conflict = site.alone and not _is_numbered(site.node)
    traits = Traits(conflict=may_conflict and has_conflict(body_of(root, placed)))
    for each in placed:
        if each.scope is None:
            bit = walk.bits.of(root, each.node.key)
            traits |= Traits(idle=bit) if does_nothing(each) else Traits(busy=bit)
        traits |= walk.below(each)
    return traits


def has_conflict(instance: Instance) -> bool:
    """Whether two modules of an instance would stand at one path."""
    return next(conflicts(instance), None) is not None


def body_of(root: Block, placed: Sequence[Placed], outputs: Sequence[str] = ()) -> Instance:
    """The network's own instance as far as paths and reads go."""
    return Instance(
        block=root,
        values={},
        given=frozenset(),
        inputs={},
        placed=tuple(placed),
        schedule=(),
        outputs=tuple(outputs),
        flow=Flow(0),
        stride=1,
        size=0,
    )


def _size(placed: Placed) -> int:
    if isinstance(placed.what, tuple):
        return sum(run.instance.size * run.count for run in placed.what)
    return 1


def _forget_faults(walk: KeepingWalk, placed: int, measured: int) -> None:
    """After a fault, what the walk has learned since is partly wrong: it is silent the next time."""
    if not walk.facts.faults and not walk.sizes.misshapen:
        return
    walk.facts.faults.clear()
    while len(walk.memo) > placed:
        walk.memo.popitem()
    while len(walk.sizes.memo) > measured:
        walk.sizes.memo.popitem()
