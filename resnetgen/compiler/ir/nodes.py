"""The IR, on one page: symbolic blocks, their instances, and the flat graph.

symbolic   Network > Block > BlockNode        expressions over parameters, as the author wrote them
instances  Instance > Placed                  one for each distinct (block, arguments, input channels)
concrete   Graph > Node                       every op of the network, with types

A network of 1202 layers has the instances of one of 20: passes that walk instances cost what the
distinct blocks cost. Nothing here knows YAML, torch or Jinja.

called_blocks(network): every block that a network may call, each once, its own body not among them.

    block: {op: bottleneck, attention: eca}  ->  imagenet, bottleneck, eca, projection, ...

What a call decides is not known yet: a slot's default is there, and also what replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from resnetgen.compiler.diagnostics.model import Span
from resnetgen.compiler.frontend.expressions import Expr, Value
from resnetgen.compiler.ir.op_def import OpDef
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import ChannelInfo, TensorType

# What a stage's expressions may read beside the network's own names.
STAGE_NAMES = ("index", "position", "total", "first", "last")

# --- symbolic


@dataclass(frozen=True, slots=True, eq=False)
class SourcedExpr:
    """An expression, where it was written; of an argument of a call, what its names stand for."""

    expr: Expr
    span: Span
    key_span: Span
    names: Mapping[str, SourcedExpr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slot:
    """A call through a slot: the block's own, or an ambient one of the network."""

    name: str


@dataclass(frozen=True, slots=True)
class Op:
    """A call of an entry of the op table."""

    name: str


@dataclass(frozen=True, slots=True)
class PassThrough:
    """`identity`: the value passes."""


@dataclass(frozen=True, slots=True)
class Absent:
    """`none`: there is no value."""


IDENTITY, NONE = PassThrough(), Absent()
SHORTCUT = Slot("shortcut")  # the ambient slot of the residual connection


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """What a slot holds: a target with some of its arguments."""

    target: Target
    arguments: Mapping[str, SourcedExpr]
    slots: Mapping[str, Binding]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class BlockNode:
    """A node of a block. Its key is its name, and its module path unless `path` says otherwise."""

    key: str
    target: Target
    inputs: tuple[str, ...]
    arguments: Mapping[str, SourcedExpr]
    slots: Mapping[str, Binding]
    when: SourcedExpr | None
    otherwise: str | None  # `else:`, the value that passes where the node is left out
    path: str  # may hold `<EXPR>`, `*`; `.` splices
    role: str | None
    repeat: SourcedExpr | None  # `blocks:`
    stage: bool  # it counts in `position` and `total`
    span: Span
    op_span: Span
    path_span: Span
    inputs_span: Span
    read_spans: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Param:
    """A parameter of a block; required where there is no default."""

    name: str
    kind: str | None  # "int", "float", "bool", or None: whatever the default is
    default: SourcedExpr | None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A symbolic block: declaration order is registration order, `schedule` the order of execution."""

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
    schedule: tuple[int, ...]
    span: Span


Target = Op | Block | Slot | PassThrough | Absent

# --- instances


@dataclass(frozen=True, slots=True)
class BoundSlot:
    """A slot's content in an instance: a target and the values of its arguments."""

    target: Op | Block | PassThrough | Absent
    arguments: tuple[tuple[str, Value], ...] = ()
    slots: tuple[tuple[str, BoundSlot], ...] = ()
    terms: Mapping[str, SourcedExpr] = field(
        default_factory=dict, compare=False
    )  # of the arguments
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class OpCall:
    """An op with the values of all its attributes."""

    name: str
    attributes: Mapping[str, Any]
    terms: Mapping[str, SourcedExpr] = field(default_factory=dict)  # where they were written

    @property
    def definition(self) -> OpDef:
        """Its entry in the op table."""
        return OPS[self.name]


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedBlock:
    """Equal blocks in a row."""

    instance: Instance
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class BlockCalls:
    """The blocks that a node runs one after the other: several in a stage, else one."""

    runs: tuple[RepeatedBlock, ...]


# PassThrough: a call through a slot that does nothing in this instance, but does something in
# another instance of the same block.
Callee = OpCall | BlockCalls | PassThrough


@dataclass(frozen=True, slots=True, eq=False)
class InstanceNode:
    """A node that is present in an instance, and what it calls there."""

    block_node: BlockNode
    key: str
    paths: tuple[str, ...]  # one a block of a repeated stage; `*` not yet numbered
    inputs: tuple[str, ...]  # keys of placed nodes, or names of the block's inputs
    callee: Callee
    flow: ChannelInfo
    scope: Mapping[str, Expr] | None = None  # of a spliced node: the names of its block, in ours
    group: str | None = None  # of a spliced node: the call that brought it, `stem` or `head`

    @property
    def op(self) -> OpCall | None:
        """The op that it calls; None where it calls blocks, or nothing."""
        return self.callee if isinstance(self.callee, OpCall) else None

    @property
    def runs(self) -> tuple[RepeatedBlock, ...]:
        """The blocks that it calls; empty where it calls an op, or nothing."""
        return self.callee.runs if isinstance(self.callee, BlockCalls) else ()

    @property
    def role(self) -> str | None:
        """The role by which `init` names it."""
        return self.block_node.role

    @property
    def size(self) -> int:
        """Its ops, expanded."""
        if self.runs:
            return sum(run.instance.size * run.count for run in self.runs)
        return 1


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A block with numbers in place of its parameters; hash-consed, so equal ones are one object."""

    block: Block
    values: Mapping[str, Value]  # params, let, in_channels, ...
    given: frozenset[str]  # the params that the caller wrote
    inputs: Mapping[str, ChannelInfo | None]
    nodes: tuple[InstanceNode, ...]  # in declaration order
    schedule: tuple[int, ...]  # indices into `placed`, in order of execution
    outputs: tuple[str, ...]
    flow: ChannelInfo  # of the first output
    stride: float  # how far the first output is reduced against the first input
    size: int  # ops, expanded
    origins: Mapping[str, SourcedExpr] = field(
        default_factory=dict
    )  # where its values were written


@dataclass(frozen=True, slots=True, eq=False)
class InitRule:
    """How weights of one op or role start: `{weight: RULE, bias: RULE}`."""

    rules: Mapping[str, tuple[str, float | None]]
    span: Span | None


@dataclass(frozen=True, slots=True)
class Output:
    """A result of the network: its name, and the key of the node that computes it."""

    name: str
    key: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network: the block that is its body, and what holds for all blocks in it."""

    name: str
    doc: str
    paper: str | None
    family: str | None
    input: TensorType
    root: Block
    ambient: Mapping[str, Binding]
    outputs: tuple[Output, ...]
    named_outputs: bool  # a dict, not a tuple
    train_outputs: tuple[Output, ...]  # further results, in training only
    init: Mapping[str, InitRule]
    output_stride: int | None
    output_stride_span: Span | None
    input_span: Span
    digest: str  # of the whole text that gave it meaning
    span: Span

    @property
    def axes(self) -> int:
        """The number of spatial axes."""
        return len(self.input.size)


# --- concrete


@dataclass(frozen=True, slots=True)
class Node:
    """An op of the flat graph. `inputs` is the truth about operand order."""

    name: str
    module: str  # the path of its module in the printed network
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(compare=False)
    channels: int  # of its first input
    index: int  # registration order
    span: Span = field(compare=False)
    training: bool = False  # computed in training only
    type: TensorType | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """Every op of a network. Invariant: nodes stand in an order in which they can be executed."""

    name: str
    input: TensorType
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    train_outputs: tuple[str, ...] = ()


def called_blocks(network: Network) -> Iterator[Block]:
    """The blocks below, as they are found."""
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
