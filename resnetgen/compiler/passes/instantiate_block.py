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
from resnetgen.compiler.passes.elaborate_checks import parameters
from resnetgen.compiler.passes.evaluate import (
    Arguments,
    ErrorReported,
    EvalContext,
    check_arity,
    check_offer,
    op_call,
)
from resnetgen.compiler.passes.module_paths import evaluated_path
from resnetgen.compiler.passes.provenance import follow
from resnetgen.compiler.passes.shape_error_causes import size_dependent_op
from resnetgen.compiler.passes.stages import reduction, with_bias

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
        facts: EvalContext,
        instance_of: InstanceOf,
        idleness: DeadNodes,
        block: Block,
        values: dict[str, Value],
        slots: Mapping[str, BoundSlot],
        inputs: Mapping[str, ChannelInfo | None],
        origins: Mapping[str, SourcedExpr],
    ) -> None:
        self.facts = facts
        self.instance_of = instance_of
        self.idleness = idleness
        self.block = block
        self.values = values
        self.slots = slots
        self.inputs = inputs
        self.origins = origins  # where the arguments were written
        self.flows: dict[str, ChannelInfo] = {name: flow for name, flow in inputs.items() if flow}
        self.where: dict[str, Reference] = {
            name: name if flow else None for name, flow in inputs.items()
        }
        self.absence = Absence(facts, block, [name for name, flow in inputs.items() if not flow])
        self.strides: dict[str, float] = dict.fromkeys(inputs, 1)
        self.placed: list[list[InstanceNode]] = [[] for _ in block.nodes]
        self.stages = stages.stages_of(facts, block, values)
        self.broken: set[str] = set()
        self.dilation = 1  # of the stages so far, under `output_stride`

    def instance(self, given: frozenset[str]) -> Instance | None:
        """The instance of the block; None after a fault."""
        before = len(self.facts.faults)
        for index in self.block.schedule:
            self.visit(index, self.block.nodes[index])
        placed = with_bias([each for row in self.placed for each in row])
        outputs = self.outputs()
        size = sum(each.size for each in placed)
        if size > stages.MOST_NODES:
            largest = max(placed, key=lambda each: each.size)
            stages.too_many(
                self.facts, largest.block_node, f"{size} ops, most of them in `{largest.key}`"
            )
        if len(self.facts.faults) > before or self.broken:
            return None
        return Instance(
            block=self.block,
            values=self.values,
            given=given,
            inputs=self.inputs,
            nodes=tuple(placed),
            schedule=schedule_of(placed),
            outputs=outputs,
            flow=self.flows[outputs[0]],
            stride=self.strides[outputs[0]],
            size=size,
            origins=self.origins,
        )

    def outputs(self) -> tuple[str, ...]:
        """The keys of the values that the block gives."""
        network, whose = self.facts.network, f"the block `{self.block.name}`"
        named = [(self.block.output or "", self.block.span)]
        if self.block is network.root:
            given = (*network.outputs, *network.train_outputs)
            named, whose = [(output.key, output.span) for output in given], "the network"
        for key, span in named:
            if self.where.get(key) is None and key not in self.broken:
                message = f"{whose} gives `{key}`, which is `none` here"
                self.absence.fault(message, key, span, "given here")
        return tuple(found for key, _ in named if (found := self.where.get(key)))

    # --- one node

    def visit(self, index: int, node: BlockNode) -> None:
        """Places a node, or says which value stands in its place."""
        passes = node.otherwise or node.inputs[0]
        try:
            if self.broken & {*node.inputs, passes}:
                raise ErrorReported
            if self.is_left_out(node):
                self.stand_in(node, passes)
            else:
                self.resolve(index, node, passes)
        except ErrorReported:
            self.broken.add(node.key)
            self.where.setdefault(node.key, self.block.inputs[0])

    def is_left_out(self, node: BlockNode) -> bool:
        return node.when is not None and not self.facts.value(node.when, self.values)

    def resolve(self, index: int, node: BlockNode, passes: str) -> None:
        """Finds what a node calls, directly or through a slot, and what it reads."""
        bound = self.bound(node)
        if isinstance(bound.target, Absent):
            self.where[node.key] = None
            note = Note(f"`{node.key}` is `none`", bound.span or node.op_span)
            self.absence.why[node.key] = note
        elif isinstance(bound.target, PassThrough):
            self.pass_on(index, node, passes)
        elif (inputs := self.operands(node, bound)) is not None:
            self.place(index, node, bound, inputs, passes)

    def bound(self, node: BlockNode) -> BoundSlot:
        if not isinstance(node.target, Slot):
            return BoundSlot(node.target)
        name = node.target.name
        bound = self.slots.get(name) or self.facts.ambient.get(name)
        if bound is None:
            raise self.facts.unbound(name, node.op_span)
        return bound

    def pass_on(self, index: int, node: BlockNode, passes: str) -> None:
        """Leaves a node out; a call through a slot may do something in another instance."""
        if passes == "none" and node.target == SHORTCUT:
            raise self.absence.dropped_shortcut(node)
        source = self.where.get(passes)
        called = isinstance(node.target, Slot) and source is not None
        if not called or passes != node.inputs[0] or self.idleness.leaves_out(self.block, node):
            self.stand_in(node, passes)
            return
        assert source is not None
        path = self.path(node, {})
        self.add(
            index, InstanceNode(node, node.key, (path,), (source,), IDENTITY, self.flows[source])
        )

    def stand_in(self, node: BlockNode, passes: str) -> None:
        """The value that passes stands for a node that is left out."""
        self.where[node.key] = self.where.get(passes)
        self.absence.passed_on(node, passes)

    def operands(self, node: BlockNode, bound: BoundSlot) -> tuple[Reference, ...] | None:
        """The values that a node reads. Joins drop `none`, and pass a single value on."""
        check_arity(self.facts, node, bound)
        inputs = tuple(None if name == "none" else self.where.get(name) for name in node.inputs)
        if isinstance(bound.target, Block) and inputs[0] is not None:
            return inputs
        present = tuple(each for each in inputs if each is not None)
        if isinstance(bound.target, Op) and OPS[bound.target.name].arity is None:
            if len(present) > 1:
                return present
            self.stand_in(node, next((n for n in node.inputs if self.where.get(n)), node.inputs[0]))
            return None
        if len(present) == len(inputs):
            return present
        gone = node.inputs[inputs.index(None)]
        message = f"`{node.key}` reads `{gone}`, which is `none` here"
        raise self.absence.fault(message, gone, node.read_spans.get(gone, node.span))

    def place(
        self,
        index: int,
        node: BlockNode,
        bound: BoundSlot,
        inputs: tuple[Reference, ...],
        passes: str,
    ) -> None:
        """Places what a node calls."""
        if node.repeat is not None or node.stage:
            self.repeat(index, node, bound, inputs)
            return
        what = self.call(node, bound, self.values, inputs, {})
        if isinstance(what, PassThrough):
            self.pass_on(index, node, passes)
        elif isinstance(what, Instance) and node.path == ".":
            rename = self.splice(index, node, what, inputs, "", {})
            own = {name: key for name, key in rename.items() if name not in what.inputs}
            self.where |= own
        elif node.path == ".":
            message = f"`as: .` splices the nodes of a block, and `{node.key}` calls an op"
            raise self.facts.fault("not-a-block", message, node.path_span, "leave `as` out")
        else:
            callee = BlockCalls((RepeatedBlock(what, 1),)) if isinstance(what, Instance) else what
            names = tuple(name or "none" for name in inputs)
            flow = self.result(node, what, inputs)
            placed = InstanceNode(node, node.key, (self.path(node, {}),), names, callee, flow)
            if does_nothing(placed) and self.idleness.leaves_out(self.block, node):
                self.stand_in(node, passes)
            else:
                self.add(index, placed)

    def add(self, index: int, placed: InstanceNode) -> None:
        """Records a placed node, which is the value of its key from now on."""
        if placed.scope is None and not does_nothing(placed):
            self.idleness.works(self.block, placed.block_node)
        self.placed[index].append(placed)
        self.flows[placed.key] = placed.flow
        self.where[placed.key] = placed.key
        self.strides[placed.key] = reduction(placed, self.strides)

    def result(
        self, node: BlockNode, what: Instance | OpCall, inputs: tuple[Reference, ...]
    ) -> ChannelInfo:
        if isinstance(what, Instance):
            return what.flow
        flows = [self.flows[name] for name in inputs if name]
        try:
            return what.definition.flow(what.attributes, flows, self.facts.network.axes)
        except ShapeError as error:
            message = f"{node.key}: {error}"
            raise self.refused(node, message, error, inputs) from None

    def refused(
        self, node: BlockNode, message: str, error: ShapeError, inputs: tuple[Reference, ...]
    ) -> ErrorReported:
        """An op cannot take its input: told at an op before it that made it so, where there is one."""
        placed = [each for row in self.placed for each in row]
        cause = size_dependent_op(placed, self.flows, inputs[0] or "", self.origins)
        if cause is None:
            return self.facts.fault("shape-mismatch", message, node.span, error.help)
        blame = cause.blames(self.facts.network)[0]
        span = blame.span if blame.own else node.span
        here = [Note(f"`{node.key}` is this node", node.span)] if blame.own else []
        return self.facts.fault("shape-mismatch", message, span, error.help, blame.note, *here)

    # --- stages and spliced blocks

    def repeat(
        self, index: int, node: BlockNode, bound: BoundSlot, inputs: tuple[Reference, ...]
    ) -> None:
        """Places the blocks of a stage, evaluated until they repeat."""
        (source, *others) = inputs
        assert source is not None
        stage = self.stage(node, source)
        runs: list[RepeatedBlock] = []
        flow, at, steady = self.flows[source], 0, not stages.depends_on_index(node)
        while at < stage.count:
            what = self.block_at(node, bound, stage, at, flow, others)
            if node.path == ".":
                prefix = f"{node.key}.{at}." if node.repeat else f"{node.key}."
                self.splice(index, node, what, (source, *others), prefix, stage.values(at))
                source = self.where[node.key] or source
            settled = runs and runs[-1].instance is what and steady and at > 1 and node.path != "."
            times = stage.count - at if settled else 1
            if runs and runs[-1].instance is what:
                runs[-1] = RepeatedBlock(what, runs[-1].count + times)
            else:
                runs.append(RepeatedBlock(what, times))
            at, flow = at + times, what.flow
            size = sum(run.instance.size * run.count for run in runs)
            if size > stages.MOST_NODES:
                raise stages.too_many(self.facts, node, f"{size} ops in `{node.key}`")
        if node.path == ".":
            return
        names = tuple(name or "none" for name in inputs)
        paths = tuple(self.path(node, stage.values(at)) for at in range(stage.count))
        self.add(index, InstanceNode(node, node.key, paths, names, BlockCalls(tuple(runs)), flow))

    def stage(self, node: BlockNode, source: str) -> stages.Stage:
        """The stage of a node, with its stride and dilation."""
        found = self.stages.get(node.key)
        if found is None:
            count = stages.block_count(self.facts, node, self.values)
            found = stages.Stage(count, 0, count)
        reduction = self.strides.get(source, 1)
        stage = stages.strided(self.facts, node, found, self.values, reduction, self.dilation)
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
        self.flows[here] = flow
        instead = stages.stage_arguments(self.facts, node, bound, stage, at)
        values = {**self.values, **stage.values(at)}
        what = self.call(node, bound, values, (here, *others), instead)
        if isinstance(what, PassThrough):
            raise self.facts.fault("no-value", f"the blocks of `{node.key}` do nothing", node.span)
        if isinstance(what, OpCall):
            message = f"a stage repeats a block, and `{what.name}` is an op"
            raise self.facts.fault("not-a-block", message, node.op_span)
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
        placed, rename = stages.spliced(node, what, names, prefix, stage)
        for each in placed:
            self.add(index, each)
        self.where[node.key] = rename[what.outputs[0]]
        return rename

    # --- calls

    def call(
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
        known = parameters(bound.target)
        for name, term in node.arguments.items():
            if isinstance(node.target, Slot) and name not in known:
                check_offer(self.facts, node.target, bound, name, term)
            elif name in instead:
                arguments[name] = (instead[name], follow(term, self.origins))
            else:
                value = self.facts.argument(bound.target, name, term, values)
                arguments[name] = (value, follow(term, self.origins))
        if isinstance(bound.target, Op):
            return op_call(self.facts, node, bound.target.name, arguments)
        assert isinstance(bound.target, Block)
        slots = dict(bound.slots)
        for name, binding in node.slots.items():
            slots[name] = self.facts.bind(binding, values, self.slots, self.origins)
        flows = tuple(self.flows[name] if name else None for name in inputs)
        span = bound.span or node.op_span
        return self.instance_of(bound.target, arguments, slots, flows, span, node)

    # --- paths

    def path(self, node: BlockNode, extra: Mapping[str, Value]) -> str:
        """The module path of a node, or of one block of a stage."""
        if "<" not in node.path:
            return node.path
        return evaluated_path(self.facts, node, {**self.values, **extra, "stage": node.key})


def schedule_of(placed: Sequence[InstanceNode]) -> tuple[int, ...]:
    """Indices into `placed`, in an order of execution."""
    reads = reads_among((each.key for each in placed), (each.inputs for each in placed))
    order = stable_order(reads)
    assert order is not None, "a block's schedule was checked for cycles"
    return tuple(order)


_HINT = "only `add`, `mul` and `concat` do without a value; `identity` passes one on"


class Absence:
    """The values of one instance that are `none`, each with the note that says why.

    `inputs` are the inputs of its block that the call leaves out.
    """

    def __init__(self, facts: EvalContext, block: Block, inputs: Iterable[str]) -> None:
        self.facts = facts
        self.why = {
            name: Note(f"`{name}` is `none` in a call of `{block.name}`") for name in inputs
        }

    def passed_on(self, node: BlockNode, source: str) -> None:
        """A node is left out, and `source`, which stands for it, may be `none`."""
        if source == "none":
            self.why[node.key] = Note(f"`none` stands for `{node.key}`", node.read_spans["none"])
        elif source in self.why:
            self.why[node.key] = self.why[source]

    def fault(self, message: str, name: str, read: Span, how: str = "read here") -> ErrorReported:
        """`none` is read where a value is needed: told at its cause, which may have many readers.

        Not so where only the reader stands in the file that the person is writing.
        """
        why, own = self.why.get(name), self.facts.network.span.source
        if why is None or why.span is None or (read.source is own and why.span.source is not own):
            return self.facts.fault("no-value", message, read, _HINT, *([why] if why else []))
        notes = [Note(how, read)] if read != why.span else []
        return self.facts.fault("no-value", message, why.span, _HINT, *notes)

    def dropped_shortcut(self, node: BlockNode) -> ErrorReported:
        """`else: none` of a shortcut that is the identity: the residual addition would vanish."""
        message = "`else: none` takes the shortcut away wherever its policy is the identity"
        policy = self.facts.ambient["shortcut"].span
        notes = [Note("the policy", policy)] if policy else []
        hint = (
            "leave `else` out: the identity passes its input; a plain network says `shortcut: none`"
        )
        return self.facts.fault("no-value", message, node.read_spans["none"], hint, *notes)


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

    def __init__(self, kept: frozenset[tuple[Block, str]]) -> None:
        self.kept = kept
        self.left_out: set[tuple[Block, str]] = set()
        self.busy: set[tuple[Block, str]] = set()

    def leaves_out(self, block: Block, node: BlockNode) -> bool:
        """Whether a node that does nothing here is left out."""
        place = (block, node.key)
        if place in self.kept or place in self.busy:
            return False
        self.left_out.add(place)
        return True

    def works(self, block: Block, node: BlockNode) -> None:
        """Records that a node does something. Raises NotIdle where it was left out."""
        place = (block, node.key)
        if place in self.left_out:
            raise NodeIsLive(place)
        self.busy.add(place)


def does_nothing(placed: InstanceNode) -> bool:
    """Whether a node passes its input as it is, and may be left out.

    Not so in a numbered container, where the numbers of the others would lose their meaning.
    """
    if isinstance(placed.callee, PassThrough):
        return True
    numbered = placed.paths[0].rpartition(".")[2].isdigit()
    if placed.op and not numbered:
        return placed.op.definition.neutral(placed.op.attributes)
    return False
