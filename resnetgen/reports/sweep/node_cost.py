"""The cost of one node of a network's body, by the compiler's own passes.

    layer3 at width 256, reading 512 channels of 28 x 28   ->   defines 1024 channels of 14 x 14; its cost

The memos of the passes serve many variants. Two decisions are left to the body as a whole
(`evaluator.py`): which of its convolutions have a bias, and which nodes are computed in training
only. The result says what each choice costs.
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
from resnetgen.compiler.passes.instantiate import Instantiator, instance_size
from resnetgen.compiler.passes.instantiate_block import BlockInstantiator, DeadNodes, schedule_of
from resnetgen.compiler.passes.module_paths import path_conflicts
from resnetgen.compiler.passes.unread import Reads
from resnetgen.reports.sweep.symbols import RateParameters, canonical_rate

MAX_KNOWN = 1_000  # instances that an instantiator remembers from one node to the next


# --- what is known of a node


class ErrorKind(Enum):
    """What is wrong with a node, in the order in which the compiler checks it."""

    INSTANTIATION = "instantiation"
    CHECK = "two modules at one path, or a value that nothing reads"
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


@dataclass(slots=True, eq=False)
class NodeCost:
    """What is remembered of a node of the body in one state. No instances: they are large."""

    parts: tuple[PartCost, ...]
    size: int  # ops, expanded
    instances: int  # upper bound of the distinct instances below it
    error: ErrorKind | None
    usage: int  # the bits of `Usage`
    # The evaluator adds:
    id: int = 0
    connections: int = 0  # their number
    modules: int = 0  # the number of connections including modules
    defines: dict[str, int] = field(default_factory=dict)  # the numbers of the values, by name
    totals: dict[int, tuple[int, ...]] = field(default_factory=dict)  # by the id of the body


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The result of the passes for one node of the body."""

    cost: NodeCost
    values: tuple[BodyValue, ...]  # of the names that the node defines
    dilation: int  # after it
    nodes: tuple[InstanceNode, ...]
    reads: frozenset[str]  # the values of the body that the nodes read


# --- how nodes of blocks are used


class UsageBits:
    """Two bits for each node of each block: it is dead, live in some instance.

    A node is left out of all instances if it is dead and never live. This is decided over all
    instances of a network, so usages are joined by `|`.
    """

    WRONG = 1  # `ErrorKind.CHECK`; below the bits of all nodes

    def __init__(self) -> None:
        self.bits: dict[tuple[Block, str], int] = {}
        self.all = 0

    def dead(self, block: Block, key: str) -> int:
        """The first bit of a node; `<< 1` is live."""
        bit = self.bits.get((block, key))
        if bit is None:
            bit = self.bits[block, key] = 1 << 2 * (len(self.bits) + 1)
            self.all |= bit
        return bit

    def dead_and_live(self, usage: int) -> int:
        """The first bits of the nodes that must not be left out."""
        return usage & usage >> 1 & self.all


class UsageRecorder(DeadNodes):
    """Leaves out every dead node that is not known to be live elsewhere; records the usage."""

    def __init__(self, bits: UsageBits, known_live: int) -> None:
        super().__init__(frozenset())
        self.bits = bits
        self.known_live_bits = known_live
        self.usage = 0

    def drops(self, block: Block, node: BlockNode) -> bool:
        """Records that a node does nothing here; whether it is left out."""
        bit = self.bits.dead(block, node.key)
        self.usage |= bit
        return not bit & self.known_live_bits

    def mark_live(self, block: Block, node: BlockNode) -> None:
        """Records that a node does something."""
        self.usage |= self.bits.dead(block, node.key) << 1


def has_conflict(instance: Instance) -> bool:
    """Whether two modules of an instance have the same path."""
    return next(path_conflicts(instance), None) is not None


# --- the passes, shared by many variants


@dataclass(frozen=True, slots=True)
class _KnownInstance:
    """What is known of an instance, which is kept alive so that its `id` stays unique."""

    instance: Instance
    memo_size: int  # of it and of the calls in it: an upper bound of what they add to the memo
    usage: int


class SharedInstantiator(Instantiator):
    """An instantiator whose memo serves many variants; counts what one variant would put into it."""

    def __init__(
        self, network: Network, bits: UsageBits, known_live: int, rates: RateParameters
    ) -> None:
        self.recorder = UsageRecorder(bits, known_live)
        super().__init__(network, self.recorder)
        self.rates = rates
        self.memo_size = 0
        self.max_depth = 0
        self.known: dict[int, _KnownInstance] = {}
        self.reads = Reads()
        self.inference = _QuietTypeInference(network)

    def instance(
        self, block: Block, arguments: Arguments, *call: Any, **options: Any
    ) -> Instance | PassThrough:
        """As in the base class, with canonical rates; counts the call and records its usage."""
        if rates := self.rates.of(block) & arguments.keys():
            same = {
                name: (canonical_rate(arguments[name][0]), arguments[name][1]) for name in rates
            }
            arguments = {**arguments, **same}
        instance = super().instance(block, arguments, *call, **options)
        known = self.known.get(id(instance))
        self.memo_size += known.memo_size if known else 1
        self.recorder.usage |= known.usage if known else 0
        return instance

    def new_instance(self, *call: Any, **options: Any) -> Instance | PassThrough | None:
        """As in the base class; remembers the instance."""
        before = self.memo_size, self.recorder.usage
        self.memo_size = self.recorder.usage = 0
        self.max_depth = max(self.max_depth, self.depth)
        instance = super().new_instance(*call, **options)
        if isinstance(instance, Instance):
            if list(self.reads.add(instance)) or has_conflict(instance):
                self.recorder.usage |= UsageBits.WRONG
            known = _KnownInstance(
                instance, instance_size(instance) + self.memo_size, self.recorder.usage
            )
            self.known[id(instance)] = known
        self.memo_size, self.recorder.usage = before
        return instance

    def start_node(self) -> None:
        """Before each node of the body; forgets everything if there is much of it."""
        self.depth, self.size, self.memo_size, self.recorder.usage = 1, 0, 0, 0
        self.inference.failed = False
        if max(len(self.memo), len(self.known), len(self.inference.memo)) > MAX_KNOWN:
            self.memo.clear()
            self.inference.memo.clear()
            self.known.clear()
            self.reads.inputs_of.clear()

    @property
    def failed(self) -> bool:
        """Whether there was an error."""
        return bool(self.ctx.errors) or self.inference.failed

    def forget_errors(self, instances: int, typed: int) -> None:
        """Drops errors, and the memo entries made since: they would not report them again."""
        self.ctx.forget_errors()
        while len(self.memo) > instances:
            self.memo.popitem()
        while len(self.inference.memo) > typed:
            self.inference.memo.popitem()


class _QuietTypeInference(TypeInference):
    """Type inference that only records whether there was an error."""

    failed = False

    def report(self, *error: Any, **options: Any) -> None:
        self.failed = True


# --- one node


def evaluate_node(
    instantiator: SharedInstantiator,
    index: int,
    values: dict[str, Value],
    inputs: Mapping[str, BodyValue],
    dilation: int,
    defines: Sequence[str],
) -> Evaluated:
    """Instantiates a node of the body and infers its types, in the state after the nodes before it.

    `values` are those of the network's names, varied numbers included; `inputs` are the values that
    the node reads, and `defines` are the names that others read of it.
    """
    instantiator.start_node()
    memos = len(instantiator.memo), len(instantiator.inference.memo)
    body = _body_instantiator(instantiator, values, inputs)
    body.dilation = dilation
    body.visit(index, body.block.nodes[index])
    nodes = tuple(body.nodes[index])
    types = {value.source: value.type for value in inputs.values() if value.source}
    typed = instantiator.inference.infer_nodes(body_of(body.block, nodes), types, ())
    parts = [
        PartCost(node.key, each.cost, _bias(node, each))
        for node, each in zip(nodes, typed, strict=True)
        if each
    ]
    reads = instantiator.reads
    if has_conflict(body_of(body.block, nodes)) or not all(map(reads.is_sequence, nodes)):
        instantiator.recorder.usage |= UsageBits.WRONG
    usage, error = instantiator.recorder.usage, _error_kind(instantiator)
    size = sum(node.size for node in nodes)
    cost = NodeCost(tuple(parts), size, instantiator.memo_size, error, usage)
    if instantiator.failed:
        instantiator.forget_errors(*memos)
    defined = tuple(_body_value(body, name, types) for name in defines)
    return Evaluated(cost, defined, body.dilation, nodes, frozenset(reads.values_read(nodes)))


def _error_kind(instantiator: SharedInstantiator) -> ErrorKind | None:
    if instantiator.ctx.errors:
        return ErrorKind.INSTANTIATION
    if instantiator.recorder.usage & UsageBits.WRONG:
        return ErrorKind.CHECK
    return ErrorKind.SHAPES if instantiator.inference.failed else None


def _body_instantiator(
    instantiator: SharedInstantiator, values: dict[str, Value], inputs: Mapping[str, BodyValue]
) -> BlockInstantiator:
    """The instantiator of the body, at a node that reads some values."""
    network, dead = instantiator.network, instantiator.dead_nodes
    given = dict.fromkeys(network.root.inputs, ChannelInfo(network.input.channels))
    body = BlockInstantiator(
        instantiator.ctx, instantiator.instance, dead, network.root, values, {}, given, {}
    )
    for name, value in inputs.items():
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


def _bias(node: InstanceNode, typed: TypedNode) -> int:
    """The parameters that a bias would add, if that is not decided yet."""
    if not node.op or node.op.attributes.get("bias", True) is not None:
        return 0
    biased = replace(node.op, attributes={**node.op.attributes, "bias": True})
    known = [source for source in typed.sources if source is not None]
    return typed_op(node, biased, known).cost.params - typed.cost.params


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
