"""instantiate(network) -> Instance: numbers in place of parameters, once for each distinct block.

    Block("bottleneck") with width=64, stride=1, 64 channels in
        ->  Instance: conv1 is a convolution of 64 channels, downsample is a projection to 256, ...

What `when`, `identity` and `none` leave out is gone, and so is what does nothing in any instance of
its block. A stage stops evaluating where its blocks repeat, so depth costs nothing. Non-goals:
spatial sizes (`measure.py`), whole networks (`flatten.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnetgen.compiler.diagnostics.model import Note, Span, SpecError
from resnetgen.compiler.frontend.expressions import Value
from resnetgen.compiler.ir.nodes import (
    IDENTITY,
    Block,
    BlockNode,
    BoundSlot,
    Instance,
    InstanceNode,
    Network,
    PassThrough,
)
from resnetgen.compiler.ir.op_def import format_value
from resnetgen.compiler.ir.shape_rules import ChannelInfo
from resnetgen.compiler.passes.evaluate import Arguments, ErrorReported, EvalContext
from resnetgen.compiler.passes.instantiate_block import BlockInstantiator, DeadNodes, NodeIsLive
from resnetgen.compiler.passes.module_paths import path_conflicts
from resnetgen.compiler.passes.provenance import Names, bind_names, with_names

MAX_INSTANCES = 4_000
MAX_DEPTH = 32  # blocks in blocks


def instantiate(network: Network) -> Instance:
    """The instance of the network's own block. Raises SpecError with every fault found."""
    idleness = DeadNodes(frozenset())
    while True:
        walk = Instantiator(network, idleness)
        try:
            root = walk.root()
        except NodeIsLive as found:
            idleness = DeadNodes(idleness.known_live | {found.place})
        else:
            walk.check(instances_below(root))
            return root


def instances_below(root: Instance) -> list[Instance]:
    """The distinct instances, callees before their callers, the root last."""
    found: dict[int, Instance] = {}

    def visit(instance: Instance) -> None:
        if id(instance) in found:
            return
        for placed in instance.nodes:
            if placed.runs:
                for run in placed.runs:
                    visit(run.instance)
        found[id(instance)] = instance

    visit(root)
    return list(found.values())


class Instantiator:
    """The memo of one walk, and the faults so far: one a cause."""

    def __init__(self, network: Network, dead_nodes: DeadNodes) -> None:
        self.network = network
        self.dead_nodes = dead_nodes
        self.ctx = EvalContext(network)
        self.memo: dict[Any, Instance | PassThrough | None] = {}
        self.depth = 0

    # --- blocks

    def root(self) -> Instance:
        """The instance of the network. Raises SpecError."""
        network = self.network
        flow = ChannelInfo(network.input.channels)
        try:
            self.ctx.bind_ambient()
            found = self.instance(network.root, {}, {}, (flow,), network.span)
            if not isinstance(found, Instance):
                self.ctx.error("no-value", "the network computes nothing", network.span)
        except ErrorReported:
            found = None
        if self.ctx.diagnostics or not isinstance(found, Instance):
            raise SpecError(self.ctx.diagnostics)
        return found

    def instance(
        self,
        block: Block,
        arguments: Arguments,
        slots: Mapping[str, BoundSlot],
        flows: tuple[ChannelInfo | None, ...],
        span: Span,
        caller: BlockNode | None = None,
    ) -> Instance | PassThrough:
        """The instance of a call; IDENTITY where the block's `when` is false. Raises Broken."""
        numbers = tuple((name, type(value), value) for name, (value, _) in arguments.items())
        key = (id(block), numbers, tuple(slots.items()), flows)
        if key not in self.memo:
            if self.depth > MAX_DEPTH or len(self.memo) > MAX_INSTANCES:
                raise self.ctx.error(
                    "limit", "too many different blocks, or blocks in blocks", span
                )
            self.depth += 1
            self.memo[key] = self.new_instance(block, arguments, slots, flows, span, caller)
            self.depth -= 1
        found = self.memo[key]
        if found is None:
            raise ErrorReported
        return found

    def new_instance(
        self,
        block: Block,
        arguments: Arguments,
        slots: Mapping[str, BoundSlot],
        flows: tuple[ChannelInfo | None, ...],
        span: Span,
        caller: BlockNode | None,
    ) -> Instance | PassThrough | None:
        try:
            origins = bind_names(block, {name: term for name, (_, term) in arguments.items() if term})
            values = self.environment(block, arguments, origins, flows, span, caller)
            if block.when and not self.ctx.value(block.when, values):
                return IDENTITY
            own = {name: slots.get(name) for name in block.slots}
            bound = {
                name: given or self.ctx.bind(block.slots[name], values, {}, origins)
                for name, given in own.items()
            }
            inputs = dict(zip(block.inputs, flows, strict=True))
            return BlockInstantiator(
                self.ctx, self.instance, self.dead_nodes, block, values, bound, inputs, origins
            ).instance(frozenset(arguments))
        except ErrorReported:
            return None

    def environment(
        self,
        block: Block,
        arguments: Arguments,
        origins: Names,
        flows: tuple[ChannelInfo | None, ...],
        span: Span,
        caller: BlockNode | None,
    ) -> dict[str, Value]:
        """Parameters, `let` and channels of one instance, evaluated in order."""
        values: dict[str, Value] = {}
        for index, (name, flow) in enumerate(zip(block.inputs, flows, strict=True)):
            channels = flow.channels if flow else 0
            values["in_channels" if index == 0 else f"{name}_channels"] = channels
        for name, param in block.params.items():
            if name in arguments:
                value, term = arguments[name]
                wrong = _wrong_argument(param.kind, value)
                if wrong:
                    message = f"`{name}` of `{block.name}` {wrong}"
                    raise self.ctx.error("wrong-value", message, term.span if term else span)
                values[name] = value
            elif param.default is not None:
                values[name] = self.ctx.value(with_names(param.default, origins), values)
            else:
                raise self.missing_argument(block, name, span, caller)
        for name, term in block.let.items():
            values[name] = self.ctx.value(with_names(term, origins), values)
        return values

    def missing_argument(
        self, block: Block, name: str, span: Span, caller: BlockNode | None
    ) -> ErrorReported:
        """A required parameter is missing: of a stage, or of a call."""
        message = f"the block `{block.name}` needs `{name}`"
        if caller and caller.stage:
            note = Note(f"`{block.name}` is named here", span)
            hint = f"say `{name}: ...` in `{caller.key}`"
            return self.ctx.error("missing-argument", message, caller.span, hint, note)
        kind = {"bool": "true or false", "int": "an integer", "float": "a number"}
        wanted = kind.get(block.params[name].kind or "", "...")
        hint = f"say `{{op: {block.name}, {name}: {wanted}}}`"
        return self.ctx.error("missing-argument", message, span, hint)

    # --- what must hold of the whole

    def check(self, instances: Sequence[Instance]) -> None:
        """Every value is read, every module has a path of its own. Raises SpecError."""
        for instance in instances:
            for placed, other, reason in path_conflicts(instance):
                notes = [Note(f"`{other.key}` stands here", other.block_node.span)]
                hint = "give each a path of its own; only equal nodes without weights share one"
                self.ctx.error("module-path", reason, placed.block_node.path_span, hint, *notes)
        for instance, placed in _unread(instances):
            self.report_unread(instance, placed)
        if self.ctx.diagnostics:
            raise SpecError(self.ctx.diagnostics)

    def report_unread(self, instance: Instance, placed: InstanceNode) -> None:
        """A node that nothing reads is a fault: it would hold weights that never train."""
        own = [node for node in instance.block.nodes if node.key == placed.group]
        if own and placed.scope is not None:
            message = f"nothing reads the {placed.group}"
            hint = f"say `{placed.group}: none`, or name `{placed.key}` in `outputs:`"
            span, outputs = own[0].op_span, self.network.outputs
            if span.source is not self.network.span.source and outputs:
                span = outputs[0].span
            self.ctx.error("unread", message, span, hint, Note("written here", own[0].op_span))
            return
        what = "stage" if placed.block_node.stage else "node"
        hint = "name it in `inputs:`, `output:` or `outputs:`, or take it out"
        self.ctx.error(
            "unread", f"nothing reads the {what} `{placed.key}`", placed.block_node.span, hint
        )


def _unread(instances: Sequence[Instance]) -> list[tuple[Instance, InstanceNode]]:
    """The nodes that nothing reads in any instance of their block."""
    unread: dict[tuple[int, str], tuple[Instance, InstanceNode]] = {}
    read: set[tuple[int, str]] = set()
    for instance in instances:
        names = {name for placed in instance.nodes for name in placed.inputs}
        for placed in instance.nodes:
            key = (id(instance.block), placed.key)
            if placed.key in names or placed.key in instance.outputs:
                read.add(key)
            else:
                unread[key] = (instance, placed)
    return [found for key, found in unread.items() if key not in read]


def _wrong_argument(kind: str | None, value: Value) -> str | None:
    wanted = {"int": (int,), "float": (int, float), "bool": (bool,)}
    if kind is None or type(value) in wanted[kind]:
        return None
    name = {"int": "an integer", "float": "a number", "bool": "true or false"}[kind]
    return f"must be {name}, not `{format_value(value)}`"
