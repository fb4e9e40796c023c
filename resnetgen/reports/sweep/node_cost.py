"""The cost of one node of a network's body, by the compiler's own passes.

    layer3 at width 256, reading 512 channels of 28 x 28   ->   defines 1024 channels of 14 x 14; its cost

Two decisions are left to the body as a whole (`body.py`): which of its convolutions have a bias, and
which nodes are computed in training only. The result says what each choice costs.
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
    PassThrough,
)
from resnetgen.compiler.ir.shape_rules import ChannelInfo, TensorType
from resnetgen.compiler.passes.evaluate import Arguments
from resnetgen.compiler.passes.infer_types import Cost, TypedNode, TypeInference, typed_op
from resnetgen.compiler.passes.instantiate import Instantiator
from resnetgen.compiler.passes.instantiate_block import (
    BlockInstantiator,
    DeadNodes,
    is_identity,
    schedule_of,
)
from resnetgen.compiler.passes.module_paths import path_conflicts
from resnetgen.reports.sweep.state import BodyNode
from resnetgen.reports.sweep.symbols import RateParameters, canonical_rate

MAX_KNOWN = 1_000  # instances that an instantiator remembers from one node to the next

BlockNodes = frozenset[tuple[Block, str]]
Counts = tuple[int, int, int, int]  # params, buffers, macs, activations


# --- what is known of a node


class ErrorKind(Enum):
    """What is wrong with a node, in the order in which the compiler checks it."""

    INSTANTIATION = "instantiation"
    MODULE_PATHS = "two modules at one path"
    SHAPES = "shapes"


class BodyValue(NamedTuple):
    """A value of the body: which node computes it, and what is known of it."""

    source: str | None  # None: there is no value
    channels: ChannelInfo | None = None
    stride: float = 1
    type: TensorType | None = None  # None: its size is not known
    broken: bool = False  # it follows an error


BROKEN, ABSENT = BodyValue(None, broken=True), BodyValue(None)


@dataclass(frozen=True, slots=True)
class PartCost:
    """What one instance node costs, and how many parameters a bias would add."""

    key: str
    cost: Cost
    bias: int = 0


@dataclass(frozen=True, slots=True)
class UsageBits:
    """What the instances below a node show about the nodes of their blocks, as sets of bits.

    A node is left out if it is dead in some instance and live in none. It is an error if it is
    unread in some instance and read in none. Both are decided over all instances of a network.
    """

    dead: int = 0  # does nothing
    live: int = 0
    unread: int = 0
    read: int = 0
    conflict: bool = False  # two modules at one path

    def __or__(self, other: UsageBits) -> UsageBits:
        return UsageBits(
            self.dead | other.dead,
            self.live | other.live,
            self.unread | other.unread,
            self.read | other.read,
            self.conflict or other.conflict,
        )


@dataclass(slots=True, eq=False)
class NodeCost:
    """What is remembered of a node of the body in one state. No instances: they are large."""

    parts: tuple[PartCost, ...]
    size: int  # ops, expanded
    instances: int  # upper bound of the distinct instances below it
    error: ErrorKind | None
    dead: int  # as in `UsageBits`, and the next three
    live: int
    unread: int
    read: int
    # The evaluator of `costs.py` adds:
    id: int = 0
    connections: int = 0  # their number
    writes: list[int] = field(default_factory=list)  # into the state
    counts: dict[int, Counts] = field(default_factory=dict)  # by the id of the body


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The result of the passes for one node of the body."""

    cost: NodeCost
    values: tuple[BodyValue, ...]  # of the names that the node defines
    dilation: int  # after it
    nodes: tuple[InstanceNode, ...]


class NodeBits:
    """A bit for each node of each block of a network."""

    def __init__(self) -> None:
        self.bits: dict[tuple[Block, str], int] = {}

    def of(self, block: Block, key: str) -> int:
        """The bit of a node."""
        return self.bits.setdefault((block, key), 1 << len(self.bits))

    def nodes(self, bits: int) -> BlockNodes:
        """The nodes in a set of bits."""
        return frozenset(node for node, bit in self.bits.items() if bit & bits)


# --- the passes, shared by many variants


@dataclass(slots=True)
class _KnownInstance:
    """What is known of an instance, which is kept alive so that its `id` stays unique."""

    instance: Instance
    memo_size: int  # calls of blocks in it, itself included: an upper bound of what they memoize
    usage: UsageBits | None = None


class FixedDeadNodes(DeadNodes):
    """The nodes to leave out, decided in advance over all instances of a network."""

    def __init__(self, nodes: BlockNodes) -> None:
        super().__init__(frozenset())
        self.nodes = nodes

    def drops(self, block: Block, node: BlockNode) -> bool:
        """Whether it is one of them."""
        return (block, node.key) in self.nodes

    def mark_live(self, block: Block, node: BlockNode) -> None:
        """Does nothing: that the node is live was considered in advance."""


class MemoizingInstantiator(Instantiator):
    """An instantiator whose memo serves many variants; counts what one variant would put into it."""

    def __init__(
        self, network: Network, dead: BlockNodes, bits: NodeBits, rates: RateParameters
    ) -> None:
        super().__init__(network, FixedDeadNodes(dead))
        self.bits = bits
        self.rates = rates
        self.memo_size = 0
        self.max_depth = 0
        self.known: dict[int, _KnownInstance] = {}
        self.inference = _QuietTypeInference(network)

    def instance(
        self, block: Block, arguments: Arguments, *call: Any, **options: Any
    ) -> Instance | PassThrough:
        """As in the base class, with canonical rates; counts the call in `memo_size`."""
        if rates := self.rates.of(block) & arguments.keys():
            same = {
                name: (canonical_rate(arguments[name][0]), arguments[name][1]) for name in rates
            }
            arguments = {**arguments, **same}
        instance = super().instance(block, arguments, *call, **options)
        known = self.known.get(id(instance))
        self.memo_size += known.memo_size if known else 1
        return instance

    def new_instance(self, *call: Any, **options: Any) -> Instance | PassThrough | None:
        """As in the base class; remembers the instance."""
        before, self.memo_size = self.memo_size, 0
        self.max_depth = max(self.max_depth, self.depth)
        instance = super().new_instance(*call, **options)
        if isinstance(instance, Instance):
            self.known[id(instance)] = _KnownInstance(instance, 1 + self.memo_size)
        self.memo_size = before
        return instance

    def make_room(self) -> None:
        """Forgets everything if there is much of it."""
        if max(len(self.memo), len(self.known), len(self.inference.memo)) > MAX_KNOWN:
            self.memo.clear()
            self.inference.memo.clear()
            self.known.clear()

    def usage(self, instance: Instance) -> UsageBits:
        """The usage in an instance and in those below it."""
        known = self.known[id(instance)]
        if known.usage is None:
            known.usage = self._own_usage(instance)
        return known.usage

    def _own_usage(self, instance: Instance) -> UsageBits:
        read = {name for node in instance.nodes for name in node.inputs}
        read |= set(instance.outputs)
        usage = UsageBits(conflict=has_conflict(instance))
        for node in instance.nodes:
            bit = self.bits.of(instance.block, node.key)
            usage |= UsageBits(read=bit) if node.key in read else UsageBits(unread=bit)
            usage |= self.usage_of(instance.block, node)
        return usage

    def usage_of(self, block: Block, node: InstanceNode) -> UsageBits:
        """Whether a node of a block is live, and the usage in the instances that it runs."""
        usage = UsageBits()
        if node.scope is None:
            bit = self.bits.of(block, node.block_node.key)
            usage = UsageBits(dead=bit) if is_identity(node) else UsageBits(live=bit)
        for run in node.runs:
            usage |= self.usage(run.instance)
        return usage


class _QuietTypeInference(TypeInference):
    """Type inference that only records whether there was an error."""

    failed = False

    def report(self, *error: Any, **options: Any) -> None:
        self.failed = True


class _BodyInstantiator(BlockInstantiator):
    """Instantiates nodes of the body; a shortcut for the paths `layer3.0`, `layer3.1`, ... of stages."""

    def module_path(self, node: BlockNode, extra: Mapping[str, Value]) -> str:
        """The module path of a node, or of one block of a stage."""
        if _is_numbered(node) and "index" in extra:
            return f"{node.key}.{extra['index']}"
        return super().module_path(node, extra)


def _is_numbered(node: BlockNode) -> bool:
    """Whether the blocks of a node have the default paths of a stage."""
    return node.path == f"{node.key}.<index>"


# --- one node


def evaluate_node(
    instantiator: MemoizingInstantiator,
    node: BodyNode,
    values: dict[str, Value],
    inputs: Sequence[BodyValue],
    dilation: int,
) -> Evaluated:
    """Instantiates one node of the body and infers its types, in the state after the nodes before it.

    `values` are those of the network's names, varied numbers included. `inputs` are the values that
    the node reads.
    """
    instantiator.make_room()
    memos = (len(instantiator.memo), len(instantiator.inference.memo))
    body = _body_instantiator(instantiator, values, node, inputs, dilation)
    body.visit(node.index, node.node)
    nodes = tuple(body.nodes[node.index])
    types = {each.source: each.type for each in inputs if each.source}
    parts, usage = _part_costs(instantiator, nodes, types), _usage(instantiator, node, nodes)
    cost = NodeCost(
        parts,
        sum(each.size for each in nodes),
        instantiator.memo_size,
        _error_kind(instantiator, usage),
        usage.dead,
        usage.live,
        usage.unread,
        usage.read,
    )
    _forget_errors(instantiator, *memos)
    defined = tuple(_body_value(body, name, types) for name in node.defines)
    return Evaluated(cost, defined, body.dilation, nodes)


def _error_kind(instantiator: MemoizingInstantiator, usage: UsageBits) -> ErrorKind | None:
    if instantiator.ctx.errors:
        return ErrorKind.INSTANTIATION
    if usage.conflict:
        return ErrorKind.MODULE_PATHS
    return ErrorKind.SHAPES if instantiator.inference.failed else None


def _body_instantiator(
    instantiator: MemoizingInstantiator,
    values: dict[str, Value],
    node: BodyNode,
    inputs: Sequence[BodyValue],
    dilation: int,
) -> BlockInstantiator:
    """The instantiator of the body in the state after the nodes before this one."""
    instantiator.depth, instantiator.memo_size = 1, 0
    root, dead = instantiator.network.root, instantiator.dead_nodes
    given = dict.fromkeys(root.inputs, ChannelInfo(instantiator.network.input.channels))
    body = _BodyInstantiator(
        instantiator.ctx, instantiator.instance, dead, root, values, {}, given, {}
    )
    body.dilation = dilation
    for (name, _), value in zip(node.reads, inputs, strict=True):
        if value.broken:
            body.failed.add(name)
        body.source_of[name] = value.source
        if value.source and value.channels:
            body.channels[value.source] = value.channels
            body.strides[value.source] = value.stride
    return body


def _body_value(
    body: BlockInstantiator, name: str, types: Mapping[str, TensorType | None]
) -> BodyValue:
    if name in body.failed:
        return BROKEN
    source = body.source_of.get(name)
    if source is None:
        return ABSENT
    return BodyValue(source, body.channels[source], body.strides[source], types.get(source))


def _part_costs(
    instantiator: MemoizingInstantiator,
    nodes: tuple[InstanceNode, ...],
    types: dict[str, TensorType | None],
) -> tuple[PartCost, ...]:
    """The cost of each node whose input has a known size; adds the results to `types`."""
    instantiator.inference.failed = False
    body = body_of(instantiator.network.root, nodes)
    typed = instantiator.inference.infer_nodes(body, types, ())
    return tuple(
        PartCost(node.key, each.cost, _bias(node, each))
        for node, each in zip(nodes, typed, strict=True)
        if each
    )


def _bias(node: InstanceNode, typed: TypedNode) -> int:
    """The parameters that a bias would add, if that is not decided yet."""
    if not node.op or node.op.attributes.get("bias", True) is not None:
        return 0
    biased = replace(node.op, attributes={**node.op.attributes, "bias": True})
    known = [source for source in typed.sources if source is not None]
    return typed_op(node, biased, known).cost.params - typed.cost.params


def _usage(
    instantiator: MemoizingInstantiator, node: BodyNode, nodes: Sequence[InstanceNode]
) -> UsageBits:
    """The usage below a node of the body. Which nodes of the body are read is not known here."""
    root = instantiator.network.root
    may_conflict = node.owns_paths and not _is_numbered(node.node)
    usage = UsageBits(conflict=may_conflict and has_conflict(body_of(root, nodes)))
    for each in nodes:
        usage |= instantiator.usage_of(root, each)
    return usage


def has_conflict(instance: Instance) -> bool:
    """Whether two modules of an instance have the same path."""
    return next(path_conflicts(instance), None) is not None


def body_of(root: Block, nodes: Sequence[InstanceNode]) -> Instance:
    """Some nodes of the network's own block as an instance; only paths and types may be asked of it."""
    return Instance(
        block=root,
        values={},
        given=frozenset(),
        inputs={},
        nodes=tuple(nodes),
        schedule=schedule_of(nodes),
        outputs=(),
        result=ChannelInfo(0),
        stride=1,
        size=0,
    )


def _forget_errors(instantiator: MemoizingInstantiator, instances: int, typed: int) -> None:
    """After an error, drops the memo entries made since: they would not report it again."""
    if not instantiator.ctx.errors and not instantiator.inference.failed:
        return
    instantiator.ctx.forget_errors()
    while len(instantiator.memo) > instances:
        instantiator.memo.popitem()
    while len(instantiator.inference.memo) > typed:
        instantiator.inference.memo.popitem()
