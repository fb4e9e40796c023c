"""One node of a network's body, placed and measured by the compiler's own passes.

    layer3 at width 256, after 512 channels of 28 x 28   ->   Outcome: 1024 channels of 14 x 14, its cost

What is decided over the whole body, which convolutions of the body itself have a bias and what only
training computes, is left open: an outcome says what each choice costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from resnetgen.compiler.frontend.expressions import Value
from resnetgen.compiler.ir.nodes import (
    Block,
    BlockNode,
    Instance,
    InstanceNode,
    Network,
    OpCall,
    PassThrough,
)
from resnetgen.compiler.ir.shape_rules import ChannelInfo, TensorType
from resnetgen.compiler.passes.evaluate import Arguments
from resnetgen.compiler.passes.infer_types import Cost, TypedNode, TypeInference, op_step
from resnetgen.compiler.passes.instantiate import Instantiator
from resnetgen.compiler.passes.instantiate_block import (
    BlockInstantiator,
    DeadNodes,
    does_nothing,
    schedule_of,
)
from resnetgen.compiler.passes.module_paths import conflicts
from resnetgen.reports.sweep.state import BodyNode
from resnetgen.reports.sweep.terms import Rates, canonical

MOST_KEPT = 1_000  # instances that a walk keeps between nodes

Idle = frozenset[tuple[Block, str]]
Counts = tuple[int, int, int, int]  # params, buffers, macs, activations


class Fault(Enum):
    """What is wrong with a node, in the order in which the compiler asks."""

    PLACING = "placing"
    CONFLICT = "two modules at one path"
    SHAPES = "shapes"


class ValueRead(NamedTuple):
    """What a name of the body stands for: which node's value, and what is known of it."""

    source: str | None  # None: there is no value
    flow: ChannelInfo | None = None
    stride: float = 1
    type: TensorType | None = None  # None: its size is not known
    broken: bool = False  # a fault came before it


BROKEN, ABSENT = ValueRead(None, broken=True), ValueRead(None)


@dataclass(frozen=True, slots=True)
class PartCost:
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


@dataclass(slots=True, eq=False)
class NodeCost:
    """What is remembered of a node of the body in one state: no instance, they are large."""

    parts: tuple[PartCost, ...]
    size: int  # ops, expanded
    instances: int  # at most so many distinct ones are evaluated for it
    fault: Fault | None
    idle: int  # traits, as in `Traits`
    busy: int
    unread: int
    read: int
    # What the evaluator adds:
    number: int = 0
    wiring: int = 0
    writes: list[int] = field(default_factory=list)  # into the state
    costs: dict[int, Counts] = field(default_factory=dict)  # by the number of the body


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What the passes found out about one node of the body."""

    outcome: NodeCost
    readings: tuple[ValueRead, ...]  # of the names that the node gives
    dilation: int  # after it
    placed: tuple[InstanceNode, ...]


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


class Decided(DeadNodes):
    """Which nodes are left out, decided beforehand over all instances of a network."""

    def leaves_out(self, block: Block, node: BlockNode) -> bool:
        """Whether it is one of them; none is left out on trust."""
        return (block, node.key) in self.kept

    def works(self, block: Block, node: BlockNode) -> None:
        """That a node works has been taken into account."""


class MemoizingInstantiator(Instantiator):
    """A walk whose memo serves many variants, and that counts what one variant would fill of it."""

    def __init__(self, network: Network, idle: Idle, bits: Bits, rates: Rates) -> None:
        super().__init__(network, Decided(idle))
        self.bits = bits
        self.rates = rates
        self.weight = 0
        self.deepest = 0
        self.kept: dict[int, _Kept] = {}
        self.sizes = _Sizes(network)

    def block(
        self, block: Block, arguments: Arguments, *call: Any, **options: Any
    ) -> Instance | PassThrough:
        """As every walk, but all rates are one; adds what the call would fill of a memo to `weight`."""
        if rates := self.rates.of(block) & arguments.keys():
            alike = {name: (canonical(arguments[name][0]), arguments[name][1]) for name in rates}
            arguments = {**arguments, **alike}
        found = super().block(block, arguments, *call, **options)
        kept = self.kept.get(id(found))
        self.weight += kept.weight if kept else 1
        return found

    def fresh(self, *call: Any, **options: Any) -> Instance | PassThrough | None:
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

    def traits(self, instance: Instance) -> Traits:
        """The traits of an instance and of those below it."""
        kept = self.kept[id(instance)]
        if kept.traits is None:
            kept.traits = self._own_traits(instance)
        return kept.traits

    def _own_traits(self, instance: Instance) -> Traits:
        read = {name for placed in instance.nodes for name in placed.inputs}
        read |= set(instance.outputs)
        traits = Traits(conflict=has_conflict(instance))
        for placed in instance.nodes:
            bit = self.bits.of(instance.block, placed.key)
            traits |= Traits(read=bit) if placed.key in read else Traits(unread=bit)
            traits |= self.traits_of(instance.block, placed)
        return traits

    def traits_of(self, block: Block, placed: InstanceNode) -> Traits:
        """Whether a placed node of a block works, and the traits of the instances that it runs."""
        traits = Traits()
        if placed.scope is None:
            bit = self.bits.of(block, placed.block_node.key)
            traits = Traits(idle=bit) if does_nothing(placed) else Traits(busy=bit)
        for run in placed.runs:
            traits |= self.traits(run.instance)
        return traits


class _Sizes(TypeInference):
    """A measuring walk that only notes that there was a fault: the compiler tells it."""

    misshapen = False

    def refuse(self, *fault: Any, **options: Any) -> None:
        self.misshapen = True


class _BodyPlacing(BlockInstantiator):
    """The walk over the body, which knows the paths `layer3.0`, `layer3.1`, ... of stages."""

    def path(self, node: BlockNode, extra: Mapping[str, Value]) -> str:
        """The module path of a node, or of one block of a stage."""
        if _is_numbered(node) and "index" in extra:
            return f"{node.key}.{extra['index']}"
        return super().path(node, extra)


def _is_numbered(node: BlockNode) -> bool:
    """Whether a node's blocks stand at its key and their number, as stages do by default."""
    return node.path == f"{node.key}.<index>"


def evaluate(
    walk: MemoizingInstantiator,
    site: BodyNode,
    values: dict[str, Value],
    readings: Sequence[ValueRead],
    dilation: int,
) -> Evaluated:
    """Places and measures one node of the body, in the state that the nodes before it have left.

    `values` are those of the network's names, varied numbers among them.
    """
    walk.make_room()
    known = (len(walk.memo), len(walk.sizes.memo))
    placing = _placing(walk, values, site, readings, dilation)
    placing.visit(site.at, site.node)
    placed = tuple(placing.placed[site.at])
    types = {each.source: each.type for each in readings if each.source}
    parts, traits = _measured(walk, placed, types), _traits(walk, site, placed)
    outcome = NodeCost(
        parts,
        sum(each.size for each in placed),
        walk.weight,
        _fault(walk, traits),
        traits.idle,
        traits.busy,
        traits.unread,
        traits.read,
    )
    _forget_faults(walk, *known)
    given = tuple(_reading(placing, name, types) for name in site.gives)
    return Evaluated(outcome, given, placing.dilation, placed)


def _fault(walk: MemoizingInstantiator, traits: Traits) -> Fault | None:
    if walk.facts.faults:
        return Fault.PLACING
    if traits.conflict:
        return Fault.CONFLICT
    return Fault.SHAPES if walk.sizes.misshapen else None


def _placing(
    walk: MemoizingInstantiator,
    values: dict[str, Value],
    site: BodyNode,
    readings: Sequence[ValueRead],
    dilation: int,
) -> BlockInstantiator:
    """The walk over the body, as the nodes before this one have left it."""
    walk.depth, walk.weight = 1, 0
    root = walk.network.root
    flow = ChannelInfo(walk.network.input.channels)
    inputs = dict.fromkeys(root.inputs, flow)
    placing = _BodyPlacing(walk.facts, walk.block, walk.idleness, root, values, {}, inputs, {})
    placing.dilation = dilation
    for (name, _), reading in zip(site.reads, readings, strict=True):
        if reading.broken:
            placing.broken.add(name)
        placing.where[name] = reading.source
        if reading.source and reading.flow:
            placing.flows[reading.source] = reading.flow
            placing.strides[reading.source] = reading.stride
    return placing


def _reading(
    placing: BlockInstantiator, name: str, types: Mapping[str, TensorType | None]
) -> ValueRead:
    if name in placing.broken:
        return BROKEN
    source = placing.where.get(name)
    if source is None:
        return ABSENT
    return ValueRead(source, placing.flows[source], placing.strides[source], types.get(source))


def _measured(
    walk: MemoizingInstantiator,
    placed: tuple[InstanceNode, ...],
    types: dict[str, TensorType | None],
) -> tuple[PartCost, ...]:
    """The cost of each placed node whose input has a known size; `types` is completed."""
    walk.sizes.misshapen = False
    steps = walk.sizes.steps(body_of(walk.network.root, placed), types, ())
    return tuple(
        PartCost(each.key, step.cost, _bias(each, step))
        for each, step in zip(placed, steps, strict=True)
        if step
    )


def _bias(placed: InstanceNode, step: TypedNode) -> int:
    """The parameters that a bias would add, where that is still open."""
    call = placed.callee
    if not isinstance(call, OpCall) or call.attributes.get("bias", True) is not None:
        return 0
    biased = replace(call, attributes={**call.attributes, "bias": True})
    known = [source for source in step.sources if source is not None]
    return op_step(placed, biased, known).cost.params - step.cost.params


def _traits(walk: MemoizingInstantiator, site: BodyNode, placed: Sequence[InstanceNode]) -> Traits:
    """What a node of the body says about nodes; which of the body's own are read is not known here."""
    root = walk.network.root
    may_conflict = site.alone and not _is_numbered(site.node)
    traits = Traits(conflict=may_conflict and has_conflict(body_of(root, placed)))
    for each in placed:
        traits |= walk.traits_of(root, each)
    return traits


def has_conflict(instance: Instance) -> bool:
    """Whether two modules of an instance would stand at one path."""
    return next(conflicts(instance), None) is not None


def body_of(root: Block, placed: Sequence[InstanceNode]) -> Instance:
    """Some nodes of the network's own block as an instance, as far as paths and sizes go."""
    return Instance(
        block=root,
        values={},
        given=frozenset(),
        inputs={},
        nodes=tuple(placed),
        schedule=schedule_of(placed),
        outputs=(),
        flow=ChannelInfo(0),
        stride=1,
        size=0,
    )


def _forget_faults(walk: MemoizingInstantiator, placed: int, measured: int) -> None:
    """After a fault, what the walk has learned since is partly wrong: it is silent the next time."""
    if not walk.facts.faults and not walk.sizes.misshapen:
        return
    walk.facts.faults.clear()
    while len(walk.memo) > placed:
        walk.memo.popitem()
    while len(walk.sizes.memo) > measured:
        walk.sizes.memo.popitem()
