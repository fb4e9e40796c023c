"""Placing the nodes of one block: which are present, what each calls, which value stands for what.

downsample: {op: shortcut, inputs: x, out: 256}   with option B, 64 channels in
    ->  Placed("downsample", inputs=("x",), what=(Run(Instance(projection), 1),))

Absence: why a value is `none`, and the faults of what needs it all the same.

gate: {op: none}                    why: `gate` is `none`
out: {op: relu, inputs: gate}       no-value: `out` reads `gate`, which is `none` here

Idleness: nodes that do nothing in any instance of their block are left out of all of them.

drop_path: {op: drop_path, rate: ...}   of rate 0 in every block of the network: no module is printed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from resnetgen.compiler.diagnostics.model import Note, Span
from resnetgen.compiler.frontend.expressions import Value
from resnetgen.compiler.ir.nodes import (
    IDENTITY,
    SHORTCUT,
    Absent,
    Block,
    BlockCalls,
    BlockNode,
    BoundSlot,
    Instance,
    InstanceNode,
    Op,
    OpCall,
    PassThrough,
    RepeatedBlock,
    Slot,
    SourcedExpr,
)
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.schedule import reads_among, stable_order
from resnetgen.compiler.ir.shape_rules import ChannelInfo, ShapeError
from resnetgen.compiler.passes import stages
from resnetgen.compiler.passes.elaborate_checks import declared_arguments
from resnetgen.compiler.passes.evaluate import (
    Arguments,
    ErrorReported,
    EvalContext,
    check_arity,
    check_offer,
    op_call,
)
from resnetgen.compiler.passes.module_paths import evaluated_path
from resnetgen.compiler.passes.provenance import resolve
from resnetgen.compiler.passes.shape_error_causes import size_dependent_op
from resnetgen.compiler.passes.stages import reduction, decide_biases

Reference = str | None  # a key, or None for `none`
Flows = tuple[ChannelInfo | None, ...]
# The instance of a block with arguments, slots and inputs; called from a place, by a node.
InstanceOf = Callable[
    [Block, Arguments, Mapping[str, BoundSlot], Flows, Span, BlockNode], Instance | PassThrough
]


class BlockInstantiator:
    """The walk over the nodes of one block, in an order in which they can be computed."""

    def __init__(
        self,
        ctx: EvalContext,
        instance_of: InstanceOf,
        dead_nodes: DeadNodes,
        block: Block,
        values: dict[str, Value],
        slots: Mapping[str, BoundSlot],
        inputs: Mapping[str, ChannelInfo | None],
        origins: Mapping[str, SourcedExpr],
    ) -> None:
        self.ctx = ctx
        self.instance_of = instance_of
        self.dead_nodes = dead_nodes
        self.block = block
        self.values = values
        self.slots = slots
        self.inputs = inputs
        self.origins = origins  # where the arguments were written
        self.channels: dict[str, ChannelInfo] = {name: flow for name, flow in inputs.items() if flow}
        self.source_of: dict[str, Reference] = {
            name: name if flow else None for name, flow in inputs.items()
        }
        self.absent = AbsentValues(ctx, block, [name for name, flow in inputs.items() if not flow])
        self.strides: dict[str, float] = dict.fromkeys(inputs, 1)
        self.nodes: list[list[InstanceNode]] = [[] for _ in block.nodes]
        self.stages = stages.stages_of(ctx, block, values)
        self.failed: set[str] = set()
        self.dilation = 1  # of the stages so far, under `output_stride`

    def instance(self, given: frozenset[str]) -> Instance | None:
        """The instance of the block; None after a fault."""
        before = len(self.ctx.diagnostics)
        for index in self.block.schedule:
            self.visit(index, self.block.nodes[index])
        nodes = decide_biases([each for row in self.nodes for each in row])
        outputs = self.outputs()
        size = sum(each.size for each in nodes)
        if size > stages.MAX_OPS:
            largest = max(nodes, key=lambda each: each.size)
            stages.too_many_ops(
                self.ctx, largest.block_node, f"{size} ops, most of them in `{largest.key}`"
            )
        if len(self.ctx.diagnostics) > before or self.failed:
            return None
        return Instance(
            block=self.block,
            values=self.values,
            given=given,
            inputs=self.inputs,
            nodes=tuple(nodes),
            schedule=schedule_of(nodes),
            outputs=outputs,
            result=self.channels[outputs[0]],
            stride=self.strides[outputs[0]],
            size=size,
            origins=self.origins,
        )

    def outputs(self) -> tuple[str, ...]:
        """The keys of the values that the block gives."""
        network, whose = self.ctx.network, f"the block `{self.block.name}`"
        named = [(self.block.output or "", self.block.span)]
        if self.block is network.root:
            given = (*network.outputs, *network.train_outputs)
            named, whose = [(output.key, output.span) for output in given], "the network"
        for key, span in named:
            if self.source_of.get(key) is None and key not in self.failed:
                message = f"{whose} gives `{key}`, which is `none` here"
                self.absent.error(message, key, span, "given here")
        return tuple(found for key, _ in named if (found := self.source_of.get(key)))

    # --- one node

    def visit(self, index: int, node: BlockNode) -> None:
        """Places a node, or says which value stands in its place."""
        passes = node.otherwise or node.inputs[0]
        try:
            if self.failed & {*node.inputs, passes}:
                raise ErrorReported
            if self.is_left_out(node):
                self.bypass(node, passes)
            else:
                self.resolve(index, node, passes)
        except ErrorReported:
            self.failed.add(node.key)
            self.source_of.setdefault(node.key, self.block.inputs[0])

    def is_left_out(self, node: BlockNode) -> bool:
        return node.when is not None and not self.ctx.value(node.when, self.values)

    def resolve(self, index: int, node: BlockNode, passes: str) -> None:
        """Finds what a node calls, directly or through a slot, and what it reads."""
        bound = self.bound_slot(node)
        if isinstance(bound.target, Absent):
            self.source_of[node.key] = None
            note = Note(f"`{node.key}` is `none`", bound.span or node.op_span)
            self.absent.why[node.key] = note
        elif isinstance(bound.target, PassThrough):
            self.pass_through(index, node, passes)
        elif (inputs := self.operands(node, bound)) is not None:
            self.emit_call(index, node, bound, inputs, passes)

    def bound_slot(self, node: BlockNode) -> BoundSlot:
        if not isinstance(node.target, Slot):
            return BoundSlot(node.target)
        name = node.target.name
        bound = self.slots.get(name) or self.ctx.ambient.get(name)
        if bound is None:
            raise self.ctx.unbound(name, node.op_span)
        return bound

    def pass_through(self, index: int, node: BlockNode, passes: str) -> None:
        """Leaves a node out; a call through a slot may do something in another instance."""
        if passes == "none" and node.target == SHORTCUT:
            raise self.absent.dropped_shortcut(node)
        source = self.source_of.get(passes)
        called = isinstance(node.target, Slot) and source is not None
        if not called or passes != node.inputs[0] or self.dead_nodes.drops(self.block, node):
            self.bypass(node, passes)
            return
        assert source is not None
        path = self.module_path(node, {})
        self.emit(
            index, InstanceNode(node, node.key, (path,), (source,), IDENTITY, self.channels[source])
        )

    def bypass(self, node: BlockNode, passes: str) -> None:
        """The value that passes stands for a node that is left out."""
        self.source_of[node.key] = self.source_of.get(passes)
        self.absent.passed_on(node, passes)

    def operands(self, node: BlockNode, bound: BoundSlot) -> tuple[Reference, ...] | None:
        """The values that a node reads. Joins drop `none`, and pass a single value on."""
        check_arity(self.ctx, node, bound)
        inputs = tuple(None if name == "none" else self.source_of.get(name) for name in node.inputs)
        if isinstance(bound.target, Block) and inputs[0] is not None:
            return inputs
        present = tuple(each for each in inputs if each is not None)
        if isinstance(bound.target, Op) and OPS[bound.target.name].arity is None:
            if len(present) > 1:
                return present
            self.bypass(node, next((n for n in node.inputs if self.source_of.get(n)), node.inputs[0]))
            return None
        if len(present) == len(inputs):
            return present
        gone = node.inputs[inputs.index(None)]
        message = f"`{node.key}` reads `{gone}`, which is `none` here"
        raise self.absent.error(message, gone, node.read_spans.get(gone, node.span))

    def emit_call(
        self,
        index: int,
        node: BlockNode,
        bound: BoundSlot,
        inputs: tuple[Reference, ...],
        passes: str,
    ) -> None:
        """Places what a node calls."""
        if node.repeat is not None or node.stage:
            self.emit_stage(index, node, bound, inputs)
            return
        what = self.evaluate_call(node, bound, self.values, inputs, {})
        if isinstance(what, PassThrough):
            self.pass_through(index, node, passes)
        elif isinstance(what, Instance) and node.path == ".":
            rename = self.splice(index, node, what, inputs, "", {})
            own = {name: key for name, key in rename.items() if name not in what.inputs}
            self.source_of |= own
        elif node.path == ".":
            message = f"`as: .` splices the nodes of a block, and `{node.key}` calls an op"
            raise self.ctx.error("not-a-block", message, node.path_span, "leave `as` out")
        else:
            callee = BlockCalls((RepeatedBlock(what, 1),)) if isinstance(what, Instance) else what
            names = tuple(name or "none" for name in inputs)
            flow = self.result_of(node, what, inputs)
            placed = InstanceNode(node, node.key, (self.module_path(node, {}),), names, callee, flow)
            if is_identity(placed) and self.dead_nodes.drops(self.block, node):
                self.bypass(node, passes)
            else:
                self.emit(index, placed)

    def emit(self, index: int, placed: InstanceNode) -> None:
        """Records a placed node, which is the value of its key from now on."""
        if placed.scope is None and not is_identity(placed):
            self.dead_nodes.mark_live(self.block, placed.block_node)
        self.nodes[index].append(placed)
        self.channels[placed.key] = placed.result
        self.source_of[placed.key] = placed.key
        self.strides[placed.key] = reduction(placed, self.strides)

    def result_of(
        self, node: BlockNode, what: Instance | OpCall, inputs: tuple[Reference, ...]
    ) -> ChannelInfo:
        if isinstance(what, Instance):
            return what.result
        channels = [self.channels[name] for name in inputs if name]
        try:
            return what.definition.channels(what.attributes, channels, self.ctx.network.axes)
        except ShapeError as error:
            message = f"{node.key}: {error}"
            raise self.rejected_input(node, message, error, inputs) from None

    def rejected_input(
        self, node: BlockNode, message: str, error: ShapeError, inputs: tuple[Reference, ...]
    ) -> ErrorReported:
        """An op cannot take its input: told at an op before it that made it so, where there is one."""
        placed = [each for row in self.nodes for each in row]
        cause = size_dependent_op(placed, self.channels, inputs[0] or "", self.origins)
        if cause is None:
            return self.ctx.error("shape-mismatch", message, node.span, error.help)
        blame = cause.blames(self.ctx.network)[0]
        span = blame.span if blame.own else node.span
        here = [Note(f"`{node.key}` is this node", node.span)] if blame.own else []
        return self.ctx.error("shape-mismatch", message, span, error.help, blame.note, *here)

    # --- stages and spliced blocks

    def emit_stage(
        self, index: int, node: BlockNode, bound: BoundSlot, inputs: tuple[Reference, ...]
    ) -> None:
        """Places the blocks of a stage, evaluated until they repeat."""
        (source, *others) = inputs
        assert source is not None
        stage = self.stage(node, source)
        runs: list[RepeatedBlock] = []
        flow, at, steady = self.channels[source], 0, not stages.depends_on_index(node)
        while at < stage.count:
            what = self.block_at(node, bound, stage, at, flow, others)
            if node.path == ".":
                prefix = f"{node.key}.{at}." if node.repeat else f"{node.key}."
                self.splice(index, node, what, (source, *others), prefix, stage.values(at))
                source = self.source_of[node.key] or source
            settled = runs and runs[-1].instance is what and steady and at > 1 and node.path != "."
            times = stage.count - at if settled else 1
            if runs and runs[-1].instance is what:
                runs[-1] = RepeatedBlock(what, runs[-1].count + times)
            else:
                runs.append(RepeatedBlock(what, times))
            at, flow = at + times, what.result
            size = sum(run.instance.size * run.count for run in runs)
            if size > stages.MAX_OPS:
                raise stages.too_many_ops(self.ctx, node, f"{size} ops in `{node.key}`")
        if node.path == ".":
            return
        names = tuple(name or "none" for name in inputs)
        paths = tuple(self.module_path(node, stage.values(at)) for at in range(stage.count))
        self.emit(index, InstanceNode(node, node.key, paths, names, BlockCalls(tuple(runs)), flow))

    def stage(self, node: BlockNode, source: str) -> stages.Stage:
        """The stage of a node, with its stride and dilation."""
        found = self.stages.get(node.key)
        if found is None:
            count = stages.block_count(self.ctx, node, self.values)
            found = stages.Stage(count, 0, count)
        reduction = self.strides.get(source, 1)
        stage = stages.with_stride(self.ctx, node, found, self.values, reduction, self.dilation)
        self.dilation = stage.dilation
        return stage

    def block_at(
        self,
        node: BlockNode,
        bound: BoundSlot,
        stage: stages.Stage,
        at: int,
        flow: ChannelInfo,
        others: Sequence[Reference],
    ) -> Instance:
        """The instance of one block of a stage."""
        here = "the block before"
        self.channels[here] = flow
        instead = stages.stage_arguments(self.ctx, node, bound, stage, at)
        values = {**self.values, **stage.values(at)}
        what = self.evaluate_call(node, bound, values, (here, *others), instead)
        if isinstance(what, PassThrough):
            raise self.ctx.error("no-value", f"the blocks of `{node.key}` do nothing", node.span)
        if isinstance(what, OpCall):
            message = f"a stage repeats a block, and `{what.name}` is an op"
            raise self.ctx.error("not-a-block", message, node.op_span)
        return what

    def splice(
        self,
        index: int,
        node: BlockNode,
        what: Instance,
        inputs: tuple[Reference, ...],
        prefix: str,
        stage: Mapping[str, Value],
    ) -> dict[str, str]:
        """Places the nodes of a block as if they were written here; gives their keys here."""
        pairs = zip(what.block.inputs, inputs, strict=True)
        names = {name: source for name, source in pairs if source is not None}
        placed, rename = stages.spliced_nodes(node, what, names, prefix, stage)
        for each in placed:
            self.emit(index, each)
        self.source_of[node.key] = rename[what.outputs[0]]
        return rename

    # --- calls

    def evaluate_call(
        self,
        node: BlockNode,
        bound: BoundSlot,
        values: Mapping[str, Value],
        inputs: tuple[Reference, ...],
        instead: Mapping[str, Value],
    ) -> Instance | OpCall | PassThrough:
        """The op or instance that a node calls; `instead` replaces arguments (a stage's stride)."""
        arguments: dict[str, tuple[Value, SourcedExpr | None]] = {
            name: (value, bound.terms.get(name))
            for name, value in (*bound.arguments, *instead.items())
        }
        known = declared_arguments(bound.target)
        for name, term in node.arguments.items():
            if isinstance(node.target, Slot) and name not in known:
                check_offer(self.ctx, node.target, bound, name, term)
            elif name in instead:
                arguments[name] = (instead[name], resolve(term, self.origins))
            else:
                value = self.ctx.argument(bound.target, name, term, values)
                arguments[name] = (value, resolve(term, self.origins))
        if isinstance(bound.target, Op):
            return op_call(self.ctx, node, bound.target.name, arguments)
        assert isinstance(bound.target, Block)
        slots = dict(bound.slots)
        for name, binding in node.slots.items():
            slots[name] = self.ctx.bind(binding, values, self.slots, self.origins)
        channels = tuple(self.channels[name] if name else None for name in inputs)
        span = bound.span or node.op_span
        return self.instance_of(bound.target, arguments, slots, channels, span, node)

    # --- paths

    def module_path(self, node: BlockNode, extra: Mapping[str, Value]) -> str:
        """The module path of a node, or of one block of a stage."""
        if "<" not in node.path:
            return node.path
        return evaluated_path(self.ctx, node, {**self.values, **extra, "stage": node.key})


def schedule_of(placed: Sequence[InstanceNode]) -> tuple[int, ...]:
    """Indices into `placed`, in an order of execution."""
    reads = reads_among((each.key for each in placed), (each.inputs for each in placed))
    order = stable_order(reads)
    assert order is not None, "a block's schedule was checked for cycles"
    return tuple(order)


_HINT = "only `add`, `mul` and `concat` do without a value; `identity` passes one on"


class AbsentValues:
    """The values of one instance that are `none`, each with the note that says why.

    `inputs` are the inputs of its block that the call leaves out.
    """

    def __init__(self, ctx: EvalContext, block: Block, inputs: Iterable[str]) -> None:
        self.ctx = ctx
        self.why = {
            name: Note(f"`{name}` is `none` in a call of `{block.name}`") for name in inputs
        }

    def passed_on(self, node: BlockNode, source: str) -> None:
        """A node is left out, and `source`, which stands for it, may be `none`."""
        if source == "none":
            self.why[node.key] = Note(f"`none` stands for `{node.key}`", node.read_spans["none"])
        elif source in self.why:
            self.why[node.key] = self.why[source]

    def error(self, message: str, name: str, read: Span, how: str = "read here") -> ErrorReported:
        """`none` is read where a value is needed: told at its cause, which may have many readers.

        Not so where only the reader stands in the file that the person is writing.
        """
        why, own = self.why.get(name), self.ctx.network.span.source
        if why is None or why.span is None or (read.source is own and why.span.source is not own):
            return self.ctx.error("no-value", message, read, _HINT, *([why] if why else []))
        notes = [Note(how, read)] if read != why.span else []
        return self.ctx.error("no-value", message, why.span, _HINT, *notes)

    def dropped_shortcut(self, node: BlockNode) -> ErrorReported:
        """`else: none` of a shortcut that is the identity: the residual addition would vanish."""
        message = "`else: none` takes the shortcut away wherever its policy is the identity"
        policy = self.ctx.ambient["shortcut"].span
        notes = [Note("the policy", policy)] if policy else []
        hint = (
            "leave `else` out: the identity passes its input; a plain network says `shortcut: none`"
        )
        return self.ctx.error("no-value", message, node.read_spans["none"], hint, *notes)


class NodeIsLive(Exception):
    """A node was left out where it did nothing, and does something in a later instance of its block."""

    def __init__(self, place: tuple[Block, str]) -> None:
        super().__init__(place[1])
        self.place = place


class DeadNodes:
    """Nodes that do nothing in any instance of their block: rate-0 drop paths, unused slots.

    They are left out on trust, as long as none is `kept`: the walk starts anew where one turns out
    to do something elsewhere, so that its module stands in every instance or in none.
    """

    def __init__(self, known_live: frozenset[tuple[Block, str]]) -> None:
        self.known_live = known_live
        self.dropped: set[tuple[Block, str]] = set()
        self.live: set[tuple[Block, str]] = set()

    def drops(self, block: Block, node: BlockNode) -> bool:
        """Whether a node that does nothing here is left out."""
        place = (block, node.key)
        if place in self.known_live or place in self.live:
            return False
        self.dropped.add(place)
        return True

    def mark_live(self, block: Block, node: BlockNode) -> None:
        """Records that a node does something. Raises NotIdle where it was left out."""
        place = (block, node.key)
        if place in self.dropped:
            raise NodeIsLive(place)
        self.live.add(place)


def is_identity(placed: InstanceNode) -> bool:
    """Whether a node passes its input as it is, and may be left out.

    Not so in a numbered container, where the numbers of the others would lose their meaning.
    """
    if isinstance(placed.callee, PassThrough):
        return True
    numbered = placed.paths[0].rpartition(".")[2].isdigit()
    if placed.op and not numbered:
        return placed.op.definition.is_identity(placed.op.attributes)
    return False
