"""The IR on one page: symbolic blocks, their instances, and the flat graph.

    symbolic    Network > Block > BlockNode       expressions over parameters, as in the spec
    instances   Instance > InstanceNode           one for each distinct block, arguments and channels
    flat        Graph > Node                      every op of the network, with types

Example: `layer2: {blocks: 4, width: 128, stride: 2}`.

    symbolic    BlockNode("layer2", target=bottleneck, repeat=4, arguments={width: 128, stride: 2})
    instances   InstanceNode("layer2", BlockCalls(1 x bottleneck/stride 2, 3 x bottleneck/stride 1))
    flat        layer2.0.conv1, layer2.0.bn1, ..., layer2.3.act3

A network of 1202 layers has as many instances as one of 20, so a pass over instances costs what the
distinct blocks cost. Nothing here knows YAML, torch or Jinja.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from resnetgen.compiler.diagnostics.model import Span
from resnetgen.compiler.frontend.expressions import Expr, Value
from resnetgen.compiler.ir.init_rules import InitRule
from resnetgen.compiler.ir.op_def import OpDef
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import ChannelInfo, TensorType

# --- symbolic: what `elaborate` makes of a spec

# What the expressions of a stage may read besides the names of the network.
STAGE_NAMES = ("index", "position", "total", "first", "last")


@dataclass(frozen=True, slots=True, eq=False)
class SourcedExpr:
    """A term: an expression and its position in the spec.

    `names`, for an argument of a call: the terms that its names refer to, in the caller.
    """

    expr: Expr
    span: Span
    key_span: Span
    names: Mapping[str, SourcedExpr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Op:
    """A call of an op of the table."""

    name: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A call through a slot: one of the block, or an ambient one, which the network binds for all blocks."""

    name: str


@dataclass(frozen=True, slots=True)
class PassThrough:
    """`identity`: the result is the input."""


@dataclass(frozen=True, slots=True)
class Absent:
    """`none`: there is no result."""


IDENTITY, NONE = PassThrough(), Absent()
SHORTCUT = Slot("shortcut")  # the ambient slot of the residual connection


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """What a slot is bound to, or a node calls: a target, and some of its arguments."""

    target: Target
    arguments: Mapping[str, SourcedExpr]
    slots: Mapping[str, Binding]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class BlockNode:
    """A node of a block. Its key is its name, and its module path unless `path` differs."""

    key: str
    target: Target
    inputs: tuple[str, ...]
    arguments: Mapping[str, SourcedExpr]
    slots: Mapping[str, Binding]
    when: SourcedExpr | None
    otherwise: str | None  # `else:`, whose value is used where the node is left out
    path: str  # may contain `<EXPR>` and `*`; `.` splices
    role: str | None
    repeat: SourcedExpr | None  # `blocks:`
    stage: bool  # it counts in `position` and `total`
    span: Span
    op_span: Span
    path_span: Span
    inputs_span: Span
    read_spans: Mapping[str, Span] = field(default_factory=dict)

    @property
    def spliced(self) -> Block | None:
        """The block whose nodes stand in its place, under keys of their own."""
        is_spliced = self.path == "." and self.repeat is None
        return self.target if is_spliced and isinstance(self.target, Block) else None

    @property
    def result_key(self) -> str:
        """The name of its result: of a spliced block, whose own key a node may have, that of a node."""
        inner = self.spliced
        if inner is None or inner.output is None or inner.output in inner.inputs:
            return self.key
        return inner.output


@dataclass(frozen=True, slots=True, eq=False)
class Param:
    """A parameter of a block; required if it has no default."""

    name: str
    kind: str | None  # "int", "float", "bool"; None: any value, as the default
    default: SourcedExpr | None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A symbolic block. Nodes are in the order of registration, `schedule` is that of execution."""

    name: str
    class_name: str | None
    doc: str
    inputs: tuple[str, ...]
    params: Mapping[str, Param]
    slots: Mapping[str, Binding]
    let: Mapping[str, SourcedExpr]
    when: SourcedExpr | None
    nodes: tuple[BlockNode, ...]
    output: str | None  # None: several, which the network names
    schedule: tuple[int, ...]  # indices into `nodes`
    span: Span


Target = Op | Block | Slot | PassThrough | Absent


@dataclass(frozen=True, slots=True)
class Output:
    """An output of the network: its name, and the key of the node that computes it."""

    name: str
    key: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network: the block that is its body, and what applies to every block in it."""

    name: str
    doc: str  # what it is, in a line
    is_changed: bool  # `doc` says what was changed
    command: str | None  # that builds it again
    paper: str | None
    family: str | None
    input: TensorType
    root: Block
    ambient: Mapping[str, Binding]
    outputs: tuple[Output, ...]
    named_outputs: bool  # returned as a dict, not as a tuple
    train_outputs: tuple[Output, ...]  # further ones, in training only
    init: Mapping[str, InitRule]  # by op or role
    unused_init: Mapping[str, Span]  # inherited rules for roles that no node has
    output_stride: int | None
    output_stride_span: Span | None
    input_span: Span
    digest: str  # of every text that it was elaborated from
    span: Span

    @property
    def axes(self) -> int:
        """The number of spatial axes."""
        return len(self.input.size)


# --- instances: what `instantiate` makes of a network


@dataclass(frozen=True, slots=True)
class BoundSlot:
    """The content of a slot in an instance: a target, and the values of its arguments."""

    target: Op | Block | PassThrough | Absent
    arguments: tuple[tuple[str, Value], ...] = ()
    slots: tuple[tuple[str, BoundSlot], ...] = ()
    terms: Mapping[str, SourcedExpr] = field(default_factory=dict, compare=False)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class OpCall:
    """An op with the values of all its attributes, and the terms of those that the spec sets."""

    name: str
    attributes: Mapping[str, Any]
    terms: Mapping[str, SourcedExpr] = field(default_factory=dict)

    @property
    def definition(self) -> OpDef:
        """Its entry in the op table."""
        return OPS[self.name]


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedBlock:
    """`count` equal blocks in a row."""

    instance: Instance
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class BlockCalls:
    """The blocks that a node runs one after the other: several for a stage, otherwise one."""

    runs: tuple[RepeatedBlock, ...]


# PassThrough is a call that does nothing in this instance of its block, but does something in another
# one, or has a number in a container.
Callee = OpCall | BlockCalls | PassThrough


@dataclass(frozen=True, slots=True, eq=False)
class InstanceNode:
    """A node that is present in an instance, and what it calls there."""

    block_node: BlockNode
    key: str
    paths: tuple[str, ...]  # one for each block of a stage; `*` is not yet numbered
    inputs: tuple[str, ...]  # keys of nodes, names of inputs of the block, or `none`
    callee: Callee
    result: ChannelInfo
    # Of a node that was spliced in from another block:
    scope: Mapping[str, Expr] | None = None  # the names of that block in terms of this one's
    group: str | None = None  # the key of the node that called that block, `stem` or `head`

    @property
    def op(self) -> OpCall | None:
        """The op that it calls; None if it calls blocks or nothing."""
        return self.callee if isinstance(self.callee, OpCall) else None

    @property
    def runs(self) -> tuple[RepeatedBlock, ...]:
        """The blocks that it calls; empty if it calls an op or nothing."""
        return self.callee.runs if isinstance(self.callee, BlockCalls) else ()

    @property
    def role(self) -> str | None:
        """The role by which `init` refers to it."""
        return self.block_node.role

    @property
    def size(self) -> int:
        """The number of its ops, expanded."""
        if self.runs:
            return sum(run.instance.size * run.count for run in self.runs)
        return 1


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A block with values for its parameters. Hash-consed: equal instances are one object."""

    block: Block
    values: Mapping[str, Value]  # of params, `let`, `in_channels`, ...
    given: frozenset[str]  # the params that the caller set
    inputs: Mapping[str, ChannelInfo | None]  # None: the input is `none`
    nodes: tuple[InstanceNode, ...]  # in the order of registration
    schedule: tuple[int, ...]  # indices into `nodes`, in the order of execution
    outputs: tuple[str, ...]
    result: ChannelInfo  # of the first output
    stride: float  # by how much the first output is smaller than the first input
    size: int  # ops, expanded
    origins: Mapping[str, SourcedExpr] = field(default_factory=dict)  # the terms of `values`


# --- flat: what `flatten` makes of an instance


@dataclass(frozen=True, slots=True)
class Node:
    """An op of the flat graph, with its operands in order."""

    name: str
    module: str  # the path of its module in the printed network
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(compare=False)
    in_channels: int  # the channels of its first input
    registration_rank: (
        int  # the position of its module in the order of registration; -1: it has none
    )
    span: Span = field(compare=False)
    training: bool = False  # computed in training only
    type: TensorType | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """Every op of a network. Invariant: the nodes are in an order in which they can be executed."""

    name: str
    input: TensorType
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    train_outputs: tuple[str, ...] = ()


# --- a walk over the symbolic blocks


def called_blocks(network: Network) -> Iterator[Block]:
    """Every block that a network may call, each once, without the network's own.

        block: {op: bottleneck, attention: eca}  ->  imagenet, bottleneck, eca, projection, ...

    What a call selects is not known yet: both the default of a slot and what replaces it are here.
    """
    seen: set[int] = set()
    todo = list(_called(network.root))
    for binding in network.ambient.values():
        todo += _targets(binding)
    while todo:
        target = todo.pop()
        if isinstance(target, Block) and id(target) not in seen:
            seen.add(id(target))
            yield target
            todo += _called(target)


def _called(block: Block) -> Iterator[Target]:
    for binding in block.slots.values():
        yield from _targets(binding)
    for node in block.nodes:
        yield node.target
        for binding in node.slots.values():
            yield from _targets(binding)


def _targets(binding: Binding) -> Iterator[Target]:
    yield binding.target
    for each in binding.slots.values():
        yield from _targets(each)
