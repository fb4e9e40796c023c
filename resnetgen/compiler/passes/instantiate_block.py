"""One block -> its instance: which nodes are present, what each calls, which value each name has.

    downsample: {op: shortcut, inputs: x, out: 256}   with option B, 64 channels in
        ->  InstanceNode("downsample", inputs=("x",), callee=BlockCalls(1 x projection))

A node may be missing in an instance: its `when` is false, or what it calls is `identity` or `none`.

    identity    its name has the value of its input (or of `else`)
    none        its name has no value; joins leave it out, any other reader is an error
    dead        it is present, and does nothing in any instance of its block, such as a drop path of
                rate 0: it is left out of all of them, or of none
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

Source = str | None  # the key of a node, or the name of an input; None: there is no value
# The instance of a block with arguments, slots and input channels; called at a span, by a node.
InstanceOf = Callable[
    [
        Block,
        Arguments,
        Mapping[str, BoundSlot],
        tuple[ChannelInfo | None, ...],
        Span,
        BlockNode,
    ],
    Instance | PassThrough,
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
        self.origins = origins  # the terms of the arguments
        self.stages = stages.stages_of(ctx, block, values)
        self.nodes: list[list[InstanceNode]] = [[] for _ in block.nodes]  # several if spliced
        # What each name of the block refers to so far, and what is known of each value.
        self.source_of: dict[str, Source] = {
            name: name if channels else None for name, channels in inputs.items()
        }
        self.channels = {name: channels for name, channels in inputs.items() if channels}
        self.strides: dict[str, float] = dict.fromkeys(inputs, 1)
        self.absent = AbsentValues(ctx, block, [name for name in inputs if not inputs[name]])
        self.failed: set[str] = set()  # nodes after an error
        self.dilation = 1  # of the stages so far, under `output_stride`

    def instance(self, given: frozenset[str]) -> Instance | None:
        """The instance of the block; None after an error."""
        errors = len(self.ctx.errors)
        for index in self.block.schedule:
            self.visit(index, self.block.nodes[index])
        nodes = stages.decide_biases([node for row in self.nodes for node in row])
        outputs = self.outputs()
        if len(self.ctx.errors) > errors or self.failed:
            return None
        size = sum(node.size for node in nodes)
        if size > stages.MAX_OPS:
            largest = max(nodes, key=lambda node: node.size)
            message = f"{size} ops, most of them in `{largest.key}`"
            stages.too_many_ops(self.ctx, largest.block_node, message)
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
        """The sources of the outputs of the block."""
        network, what = self.ctx.network, f"the block `{self.block.name}`"
        outputs = [(self.block.output or "", self.block.span)]
        if self.block is network.root:
            every = (*network.outputs, *network.train_outputs)
            outputs, what = [(output.key, output.span) for output in every], "the network"
        for key, span in outputs:
            if self.source_of.get(key) is None and not self.failed:
                message = f"the output `{key}` of {what} is `none` here"
                self.absent.error(message, key, span, "the output")
        return tuple(source for key, _ in outputs if (source := self.source_of.get(key)))

    # --- one node

    def visit(self, index: int, node: BlockNode) -> None:
        """Emits what a node calls, or gives its name the value of another one."""
        passes = node.otherwise or node.inputs[0]
        try:
            if self.failed & {*node.inputs, passes}:
                raise ErrorReported
            if node.when is not None and not self.ctx.value(node.when, self.values):
                self.bypass(node, passes)
            else:
                self.resolve(index, node, passes)
        except ErrorReported:
            for key in (node.key, node.result_key):
                self.failed.add(key)
                self.source_of.setdefault(key, self.block.inputs[0])

    def resolve(self, index: int, node: BlockNode, passes: str) -> None:
        """Finds what a node calls, directly or through a slot, and what it reads."""
        bound = self.bound_slot(node)
        if isinstance(bound.target, Absent):
            self.source_of[node.key] = None
            self.absent.is_none(node, bound.span or node.op_span)
        elif isinstance(bound.target, PassThrough):
            self.pass_through(index, node, passes)
        elif (inputs := self.operands(node, bound)) is not None:
            self.emit_call(index, node, bound, inputs, passes)

    def bound_slot(self, node: BlockNode) -> BoundSlot:
        """What a node calls, with the arguments that its slot sets."""
        if not isinstance(node.target, Slot):
            return BoundSlot(node.target)
        return self.ctx.slot(node.target.name, self.slots, node.op_span)

    def pass_through(self, index: int, node: BlockNode, passes: str) -> None:
        """Leaves out a call that does nothing, unless another instance needs the node."""
        if passes == "none" and node.target == SHORTCUT:
            raise self.absent.dropped_shortcut(node)
        source = self.source_of.get(passes)
        is_call = isinstance(node.target, Slot) and passes == node.inputs[0]
        if source is None or not is_call:
            self.bypass(node, passes)
        else:
            self.leave_out(index, node)

    def leave_out(self, index: int, node: BlockNode, live: InstanceNode | None = None) -> None:
        """Leaves out a node that does nothing, unless another instance needs it, `live` here.

        In a numbered container it keeps its number: otherwise a rate of 0, or an empty slot, would
        rename the modules after it, or not, by what another stage has there.
        """
        name = node.path.rpartition(".")[2]
        is_numbered = name == "*" or name.isdigit()
        is_dead = self.dead_nodes.drops(self.block, node)
        if is_dead and not is_numbered:
            self.bypass(node, node.inputs[0])
        elif live and not is_dead:
            self.emit(index, live)
        else:
            source = self.source_of[node.inputs[0]]
            assert source is not None
            paths, channels = (self.module_path(node, {}),), self.channels[source]
            passes = InstanceNode(node, node.key, paths, (source,), IDENTITY, channels)
            self.emit(index, passes)

    def bypass(self, node: BlockNode, passes: str) -> None:
        """The name of a node that is left out has the value of another one."""
        self.source_of[node.key] = self.source_of.get(passes)
        self.absent.has_value_of(node, passes)

    def operands(self, node: BlockNode, bound: BoundSlot) -> tuple[Source, ...] | None:
        """The values that a node reads. A join leaves `none` out, and bypasses a single value."""
        check_arity(self.ctx, node, bound)
        inputs = tuple(None if name == "none" else self.source_of.get(name) for name in node.inputs)
        if isinstance(bound.target, Block) and inputs[0] is not None:
            return inputs
        present = tuple(source for source in inputs if source is not None)
        if isinstance(bound.target, Op) and OPS[bound.target.name].arity is None:
            if len(present) > 1:
                return present
            names = (name for name in node.inputs if self.source_of.get(name))
            self.bypass(node, next(names, node.inputs[0]))
            return None
        if len(present) == len(inputs):
            return present
        missing = node.inputs[inputs.index(None)]
        message = f"`{node.key}` reads `{missing}`, which is `none` here"
        raise self.absent.error(message, missing, node.read_spans.get(missing, node.span))

    # --- what a node calls

    def emit_call(
        self,
        index: int,
        node: BlockNode,
        bound: BoundSlot,
        inputs: tuple[Source, ...],
        passes: str,
    ) -> None:
        """Emits an op, a block, the blocks of a stage, or the nodes of a spliced block."""
        if node.repeat is not None or node.stage:
            self.emit_stage(index, node, bound, inputs)
            return
        callee = self.evaluate_call(node, bound, self.values, inputs, {})
        if isinstance(callee, PassThrough):
            self.pass_through(index, node, passes)
            return
        if node.path == ".":
            if isinstance(callee, OpCall):
                message = f"`as: .` splices the nodes of a block, and `{node.key}` calls an op"
                raise self.ctx.error("not-a-block", message, node.path_span, "leave `as` out")
            keys = self.splice(index, node, callee, inputs, "", {})
            self.source_of |= {name: key for name, key in keys.items() if name not in callee.inputs}
            self.source_of[node.result_key] = keys[callee.outputs[0]]
            return
        channels = self.result_of(node, callee, inputs)
        calls = callee if isinstance(callee, OpCall) else BlockCalls((RepeatedBlock(callee, 1),))
        paths, names = (self.module_path(node, {}),), tuple(name or "none" for name in inputs)
        emitted = InstanceNode(node, node.key, paths, names, calls, channels)
        if is_identity(emitted):
            self.leave_out(index, node, emitted)
        else:
            self.emit(index, emitted)

    def emit(self, index: int, node: InstanceNode) -> None:
        """Adds a node to the instance; its name has its value from now on."""
        if node.scope is None and not is_identity(node):
            self.dead_nodes.mark_live(self.block, node.block_node)
        self.nodes[index].append(node)
        self.source_of[node.key] = node.key
        self.channels[node.key] = node.result
        self.strides[node.key] = stages.reduction(node, self.strides)

    def evaluate_call(
        self,
        node: BlockNode,
        bound: BoundSlot,
        values: Mapping[str, Value],
        inputs: tuple[Source, ...],
        instead: Mapping[str, Value],
    ) -> Instance | OpCall | PassThrough:
        """The op or the instance that a node calls; `instead` replaces some of its arguments."""
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

    def result_of(
        self, node: BlockNode, callee: Instance | OpCall, inputs: tuple[Source, ...]
    ) -> ChannelInfo:
        """The channels of the result of a call."""
        if isinstance(callee, Instance):
            return callee.result
        sources = [self.channels[name] for name in inputs if name]
        try:
            return callee.definition.channels(callee.attributes, sources, self.ctx.network.axes)
        except ShapeError as error:
            raise self.rejected_input(node, error, inputs) from None

    def rejected_input(
        self, node: BlockNode, error: ShapeError, inputs: tuple[Source, ...]
    ) -> ErrorReported:
        """An op does not accept its input: reported at the op before it that made it so, if any."""
        message = f"{node.key}: {error}"
        before = [each for row in self.nodes for each in row]
        cause = size_dependent_op(before, self.channels, inputs[0] or "", self.origins)
        if cause is None:
            return self.ctx.error("shape-mismatch", message, node.span, error.help)
        blame = cause.blames(self.ctx.network)[0]
        span = blame.span if blame.own else node.span
        here = [Note(f"`{node.key}` is this node", node.span)] if blame.own else []
        return self.ctx.error("shape-mismatch", message, span, error.help, blame.note, *here)

    def module_path(self, node: BlockNode, stage_values: Mapping[str, Value]) -> str:
        """The module path of a node, or of one block of a stage."""
        if "<" not in node.path:
            return node.path
        if "index" in stage_values and node.path == f"{node.key}.<index>":
            return f"{node.key}.{stage_values['index']}"  # of most stages; not worth an evaluation
        return evaluated_path(self.ctx, node, {**self.values, **stage_values, "stage": node.key})

    # --- stages and spliced blocks

    def emit_stage(
        self, index: int, node: BlockNode, bound: BoundSlot, inputs: tuple[Source, ...]
    ) -> None:
        """Emits the blocks of a stage. They are evaluated until one is like the one before it."""
        (source, *others) = inputs
        assert source is not None
        stage, splices = self.stage(node, source), node.path == "."
        may_repeat = not stages.depends_on_index(node) and not splices
        runs: list[RepeatedBlock] = []
        channels, at = self.channels[source], 0
        while at < stage.count:
            block = self.block_at(node, bound, stage, at, channels, others)
            if splices:
                prefix = f"{node.key}.{at}." if node.repeat else f"{node.key}."
                self.splice(index, node, block, (source, *others), prefix, stage.values(at))
                source = self.source_of[node.key] or source
            same = bool(runs) and runs[-1].instance is block
            # From the third block on, arguments and channels are those of the block before.
            times = stage.count - at if same and may_repeat and at > 1 else 1
            if same:
                runs[-1] = RepeatedBlock(block, runs[-1].count + times)
            else:
                runs.append(RepeatedBlock(block, times))
            at, channels = at + times, block.result
            size = sum(run.instance.size * run.count for run in runs)
            if size > stages.MAX_OPS:
                raise stages.too_many_ops(self.ctx, node, f"{size} ops in `{node.key}`")
        if splices:
            return
        names = tuple(name or "none" for name in inputs)
        paths = tuple(self.module_path(node, stage.values(at)) for at in range(stage.count))
        calls = BlockCalls(tuple(runs))
        self.emit(index, InstanceNode(node, node.key, paths, names, calls, channels))

    def stage(self, node: BlockNode, source: str) -> stages.Stage:
        """The stage of a node, with its stride and dilation."""
        stage = self.stages.get(node.key)
        if stage is None:
            count = stages.block_count(self.ctx, node, self.values)
            stage = stages.Stage(count, 0, count)
        reduction = self.strides.get(source, 1)
        stage = stages.with_stride(self.ctx, node, stage, self.values, reduction, self.dilation)
        self.dilation = stage.dilation
        return stage

    def block_at(
        self,
        node: BlockNode,
        bound: BoundSlot,
        stage: stages.Stage,
        at: int,
        channels: ChannelInfo,
        others: Sequence[Source],
    ) -> Instance:
        """The instance of one block of a stage, which reads the block before it."""
        before = "the block before"  # not a key
        self.channels[before] = channels
        instead = stages.stage_arguments(self.ctx, node, bound, stage, at)
        values = {**self.values, **stage.values(at)}
        callee = self.evaluate_call(node, bound, values, (before, *others), instead)
        if isinstance(callee, PassThrough):
            raise self.ctx.error("no-value", f"the blocks of `{node.key}` do nothing", node.span)
        if isinstance(callee, OpCall):
            message = f"a stage repeats a block, and `{callee.name}` is an op"
            raise self.ctx.error("not-a-block", message, node.op_span)
        return callee

    def splice(
        self,
        index: int,
        node: BlockNode,
        callee: Instance,
        inputs: tuple[Source, ...],
        prefix: str,
        stage_values: Mapping[str, Value],
    ) -> dict[str, str]:
        """Emits the nodes of a block as if they were written here; returns their keys here."""
        pairs = zip(callee.block.inputs, inputs, strict=True)
        names = {name: source for name, source in pairs if source is not None}
        nodes, keys = stages.spliced_nodes(node, callee, names, prefix, stage_values)
        for each in nodes:
            self.emit(index, each)
        self.source_of[node.key] = keys[callee.outputs[0]]
        return keys


def schedule_of(nodes: Sequence[InstanceNode]) -> tuple[int, ...]:
    """Indices into `nodes`, in an order of execution."""
    reads = reads_among((node.key for node in nodes), (node.inputs for node in nodes))
    order = stable_order(reads)
    assert order is not None, "a block's schedule was checked for cycles"
    return tuple(order)


# --- values that are `none`


class AbsentValues:
    """The values of one instance that are `none`, each with the reason.

    gate: {op: none}                    reason: `gate` is `none`
    out: {op: relu, inputs: gate}       error[no-value]: `out` reads `gate`, which is `none` here
    """

    HINT = "only `add`, `mul` and `concat` do without a value; `identity` passes one on"

    def __init__(self, ctx: EvalContext, block: Block, inputs: Iterable[str]) -> None:
        """`inputs`: the inputs of the block that the call leaves out."""
        self.ctx = ctx
        self.reasons = {
            name: Note(f"`{name}` is `none` in a call of `{block.name}`") for name in inputs
        }

    def is_none(self, node: BlockNode, span: Span) -> None:
        """A node calls `none`, which is written at `span`."""
        self.reasons[node.key] = Note(f"`{node.key}` is `none`", span)

    def has_value_of(self, node: BlockNode, source: str) -> None:
        """A node is left out, and its name has the value of `source`, which may be `none`."""
        if source == "none":
            text = f"`none` replaces `{node.key}`"
            self.reasons[node.key] = Note(text, node.read_spans["none"])
        elif source in self.reasons:
            self.reasons[node.key] = self.reasons[source]

    def error(self, message: str, name: str, read: Span, how: str = "read here") -> ErrorReported:
        """`none` is read where a value is needed: reported at its reason, which may have many readers.

        But at the reader, if only that is in the user's spec.
        """
        reason, own = self.reasons.get(name), self.ctx.network.span.source
        at = reason.span if reason else None
        if reason is None or at is None or (read.source is own and at.source is not own):
            notes = [reason] if reason else []
            return self.ctx.error("no-value", message, read, self.HINT, *notes)
        notes = [Note(how, read)] if read != at else []
        return self.ctx.error("no-value", message, at, self.HINT, *notes)

    def dropped_shortcut(self, node: BlockNode) -> ErrorReported:
        """`else: none` of a shortcut that is the identity: the residual addition would vanish."""
        message = "`else: none` removes the shortcut wherever its policy is the identity"
        policy = self.ctx.ambient["shortcut"].span
        notes = [Note("the policy", policy)] if policy else []
        hint = (
            "leave `else` out: the identity passes its input; a plain network has `shortcut: none`"
        )
        return self.ctx.error("no-value", message, node.read_spans["none"], hint, *notes)


# --- dead nodes


class DeadNodes:
    """The nodes, by block and key, that do nothing in any instance, such as drop paths of rate 0.

    They are left out optimistically. Those that turn out to be live in a later instance are in
    `revived`: `instantiate` then starts again with them in `known_live`, so that a module is in every
    instance or in none.
    """

    def __init__(self, known_live: frozenset[tuple[Block, str]]) -> None:
        self.known_live = known_live
        self.dropped: set[tuple[Block, str]] = set()
        self.live: set[tuple[Block, str]] = set()

    @property
    def revived(self) -> set[tuple[Block, str]]:
        """The nodes that were left out of an instance, and are live in another."""
        return self.dropped & self.live

    def drops(self, block: Block, node: BlockNode) -> bool:
        """Whether a node that does nothing here is left out."""
        key = (block, node.key)
        if key in self.known_live or key in self.live:
            return False
        self.dropped.add(key)
        return True

    def mark_live(self, block: Block, node: BlockNode) -> None:
        """Records that a node does something."""
        self.live.add((block, node.key))


def is_identity(node: InstanceNode) -> bool:
    """Whether a node passes its input on as it is."""
    if isinstance(node.callee, PassThrough):
        return True
    return node.op is not None and node.op.definition.is_identity(node.op.attributes)
