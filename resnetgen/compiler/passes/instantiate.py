"""instantiate(network) -> Instance: values for the parameters, once for each distinct block.

    Block("bottleneck") with width=64, stride=1, 64 channels in
        ->  Instance: conv1 is a convolution of 64 channels, downsample is a projection to 256, ...

Invariant: what `when`, `identity` and `none` leave out is gone, and so is what does nothing in any
instance of its block; every value is read, and every module has a path of its own. A stage is
evaluated until its blocks repeat, so depth costs nothing. Non-goals: spatial sizes
(`infer_types.py`), the ops of the whole network (`flatten.py`).

`instantiate_block.py` instantiates the nodes of one block; here are the memo over all blocks, the
values of the names of each, and the checks of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span, SpecError
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
from resnetgen.compiler.passes.init_rules import check_init
from resnetgen.compiler.passes.instantiate_block import BlockInstantiator, DeadNodes
from resnetgen.compiler.passes.module_paths import path_conflicts
from resnetgen.compiler.passes.provenance import Names, bind_names, with_names
from resnetgen.compiler.passes.unread import Unread, path_of, unread_nodes

MAX_INSTANCE_SIZE = 50_000  # nodes and values of all distinct instances
MAX_DEPTH = 32  # blocks in blocks

InputChannels = tuple[ChannelInfo | None, ...]  # None: the input is `none`


def instantiate(network: Network) -> Instance:
    """The instance of the network's own block. Raises SpecError with every error found."""
    dead_nodes = DeadNodes(frozenset())
    while True:
        instantiator = Instantiator(network, dead_nodes)
        try:
            root = instantiator.root()
        except SpecError:
            if not dead_nodes.revived:
                raise
        if not dead_nodes.revived:
            if not root.nodes:
                raise SpecError([_computes_nothing(network)])
            instantiator.check(instances_below(root))
            return root
        # Each retry knows more live nodes, so this ends.
        dead_nodes = DeadNodes(dead_nodes.known_live | dead_nodes.revived)


def _computes_nothing(network: Network) -> Diagnostic:
    """Every node was left out, such as a drop path of rate 0."""
    first = network.root.nodes[0]
    message = (
        f"the network computes nothing: `{first.key}` does nothing here, and no other node does"
    )
    return Diagnostic("wrong-value", message, first.span)


def instances_below(root: Instance) -> list[Instance]:
    """The distinct instances, callees before their callers, the root last."""
    instances: dict[int, Instance] = {}

    def visit(instance: Instance) -> None:
        if id(instance) in instances:
            return
        for node in instance.nodes:
            for run in node.runs:
                visit(run.instance)
        instances[id(instance)] = instance

    visit(root)
    return list(instances.values())


def instance_size(instance: Instance | PassThrough | None) -> int:
    """What an instance counts for in `MAX_INSTANCE_SIZE`, without the instances in it."""
    return len(instance.nodes) + len(instance.values) if isinstance(instance, Instance) else 1


class Instantiator:
    """The memo of one walk over a network, and the errors so far: one for each cause."""

    def __init__(self, network: Network, dead_nodes: DeadNodes) -> None:
        self.network = network
        self.dead_nodes = dead_nodes
        self.ctx = EvalContext(network)
        self.memo: dict[Any, Instance | PassThrough | None] = {}
        self.depth = 0
        self.size = 0  # of all instances in the memo

    # --- instances

    def root(self) -> Instance:
        """The instance of the network. Raises SpecError."""
        network = self.network
        channels = ChannelInfo(network.input.channels)
        try:
            self.ctx.bind_ambient(self.ctx.network_values({}))
            root = self.instance(network.root, {}, {}, (channels,), network.span)
            if not isinstance(root, Instance):
                raise self.ctx.error("no-value", "the network computes nothing", network.span)
        except ErrorReported:
            raise SpecError(self.ctx.errors) from None
        if self.ctx.errors:
            raise SpecError(self.ctx.errors)
        return root

    def instance(
        self,
        block: Block,
        arguments: Arguments,
        slots: Mapping[str, BoundSlot],
        inputs: InputChannels,
        span: Span,
        caller: BlockNode | None = None,
    ) -> Instance | PassThrough:
        """The instance of a call; IDENTITY if it does nothing, as by its `when`. Raises ErrorReported."""
        values = tuple((name, type(value), value) for name, (value, _) in arguments.items())
        key = (id(block), values, tuple(slots.items()), inputs)
        if key not in self.memo:
            if self.depth > MAX_DEPTH or self.size > MAX_INSTANCE_SIZE:
                message = "too many different blocks, or blocks in blocks"
                raise self.ctx.error("limit", message, span)
            self.depth += 1
            self.memo[key] = self.new_instance(block, arguments, slots, inputs, span, caller)
            self.size += instance_size(self.memo[key])
            self.depth -= 1
        instance = self.memo[key]
        if instance is None:
            raise ErrorReported
        return instance

    def new_instance(
        self,
        block: Block,
        arguments: Arguments,
        slots: Mapping[str, BoundSlot],
        inputs: InputChannels,
        span: Span,
        caller: BlockNode | None,
    ) -> Instance | PassThrough | None:
        """The same, not memoised; None after an error."""
        try:
            terms = {name: term for name, (_, term) in arguments.items() if term}
            origins = bind_names(block, terms)
            values = self.environment(block, arguments, origins, inputs, span, caller)
            if block.when and not self.ctx.value(block.when, values):
                return IDENTITY
            bound = {
                name: slots.get(name) or self.ctx.bind(default, values, {}, origins)
                for name, default in block.slots.items()
            }
            named = dict(zip(block.inputs, inputs, strict=True))
            instance = BlockInstantiator(
                self.ctx, self.instance, self.dead_nodes, block, values, bound, named, origins
            ).instance(frozenset(arguments))
            passes_on = instance and not instance.nodes and instance.outputs == block.inputs[:1]
            return IDENTITY if passes_on and block is not self.network.root else instance
        except ErrorReported:
            return None

    # --- the values of the names of a block

    def environment(
        self,
        block: Block,
        arguments: Arguments,
        origins: Names,
        inputs: InputChannels,
        span: Span,
        caller: BlockNode | None,
    ) -> dict[str, Value]:
        """The values of channels, parameters and `let`, in this order. Raises ErrorReported."""
        values: dict[str, Value] = {}
        for index, (name, source) in enumerate(zip(block.inputs, inputs, strict=True)):
            channels = source.channels if source else 0
            values["in_channels" if index == 0 else f"{name}_channels"] = channels
        for name, param in block.params.items():
            if name in arguments:
                values[name] = self.checked_argument(block, name, arguments, span)
            elif param.default is not None:
                values[name] = self.ctx.value(with_names(param.default, origins), values)
            else:
                raise self.missing_argument(block, name, span, caller)
        for name, term in block.let.items():
            values[name] = self.ctx.value(with_names(term, origins), values)
        return values

    def checked_argument(self, block: Block, name: str, arguments: Arguments, span: Span) -> Value:
        """The value of an argument, of the kind that the parameter has. Raises ErrorReported."""
        value, term = arguments[name]
        if reason := _kind_error(block.params[name].kind, value):
            message = f"`{name}` of `{block.name}` {reason}"
            raise self.ctx.error("wrong-value", message, term.span if term else span)
        return value

    def missing_argument(
        self, block: Block, name: str, span: Span, caller: BlockNode | None
    ) -> ErrorReported:
        """A required parameter is missing: from a stage, or from a call."""
        message = f"the block `{block.name}` needs `{name}`"
        if caller and caller.stage:
            note = Note(f"`{block.name}` is named here", span)
            hint = f"write `{name}: ...` in `{caller.key}`"
            return self.ctx.error("missing-argument", message, caller.span, hint, note)
        value = _KINDS.get(block.params[name].kind or "", "...")
        hint = f"write `{{op: {block.name}, {name}: {value}}}`"
        return self.ctx.error("missing-argument", message, span, hint)

    # --- checks of the whole

    def check(self, instances: Sequence[Instance]) -> None:
        """Every module has a path of its own, and every value is read. Raises SpecError."""
        for instance in instances:
            for node, other, reason in path_conflicts(instance):
                note = Note(f"`{other.key}` is here", other.block_node.span)
                hint = "give each a path of its own; only equal nodes without weights share one"
                self.ctx.error("module-path", reason, node.block_node.path_span, hint, note)
        check_init(self.ctx.errors, self.network, instances)
        for each in unread_nodes(instances):
            self.report_unread(each, instances)
        if self.ctx.errors:
            raise SpecError(self.ctx.errors)

    def report_unread(self, unread: Unread, instances: Sequence[Instance]) -> None:
        """Reports a node that nothing reads: its weights would never train."""
        instance, node = unread.instance, unread.node
        callers = [each for each in instance.block.nodes if each.key == node.group]
        if callers and node.scope is not None:
            self._report_unread_splice(callers[0], node)
            return
        if unread.before_last:
            message = f"a block of the stage `{node.key}` does not read the block before it"
            self.ctx.error("unread", message, node.block_node.span)
            return
        what = "stage" if node.block_node.stage else "node"
        message = f"nothing reads the {what} `{node.key}`"
        hint = "name it in `inputs:`, `output:` or `outputs:`, or take it out"
        notes = []
        if unread.elsewhere:
            path = path_of(instance, instances)
            message += f" in `{path}`" if path else ""
            notes.append(Note(f"other calls of `{instance.block.name}` read it"))
            hint = "let `when:` leave it out where nothing reads it"
        self.ctx.error("unread", message, node.block_node.span, hint, *notes)

    def _report_unread_splice(self, caller: BlockNode, node: InstanceNode) -> None:
        """A spliced stem or head: reported at `outputs:` if the spec extends what wrote it."""
        message = f"nothing reads the {node.group}"
        hint = f"write `{node.group}: none`, or name `{node.key}` in `outputs:`"
        span, outputs = caller.op_span, self.network.outputs
        if span.source is not self.network.span.source and outputs:
            span = outputs[0].span
        self.ctx.error("unread", message, span, hint, Note("written here", caller.op_span))


_KINDS = {"int": "an integer", "float": "a number", "bool": "true or false"}


def _kind_error(kind: str | None, value: Value) -> str | None:
    """Why a parameter of a kind cannot have a value; None if it can."""
    types = {"int": (int,), "float": (int, float), "bool": (bool,)}
    if kind is None or type(value) in types[kind]:
        return None
    return f"must be {_KINDS[kind]}, not `{format_value(value)}`"
