"""Placing the nodes of one block: which are present, what each calls, which value stands for what.

downsample: {op: shortcut, inputs: x, out: 256}   with option B, 64 channels in
    ->  Placed("downsample", inputs=("x",), what=(Run(Instance(projection), 1),))
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from resnetgen.graph import stages
from resnetgen.graph.bias import with_bias
from resnetgen.graph.blocks import offers
from resnetgen.graph.ir import (
    IDENTITY,
    Block,
    BlockNode,
    Bound,
    Instance,
    Nothing,
    Op,
    OpCall,
    Passes,
    Placed,
    Run,
    Slot,
    Target,
    Term,
)
from resnetgen.graph.ops import AMBIENT, OPS, Flow, ShapeError, complete, wrong_value
from resnetgen.graph.order import stable_order
from resnetgen.language.diagnostics import did_you_mean
from resnetgen.language.expressions import ExpressionError, Value, evaluate, parse

if TYPE_CHECKING:
    from resnetgen.graph.instantiate import Arguments, Walk

Reference = str | None  # a key, or None for `none`


class Placing:
    """The walk over the nodes of one block, in an order in which they can be computed."""

    def __init__(
        self,
        walk: Walk,
        block: Block,
        values: dict[str, Value],
        slots: Mapping[str, Bound],
        inputs: Mapping[str, Flow | None],
    ) -> None:
        self.walk = walk
        self.block = block
        self.values = values
        self.slots = slots
        self.inputs = inputs
        self.flows: dict[str, Flow] = {name: flow for name, flow in inputs.items() if flow}
        self.where: dict[str, Reference] = {
            name: name if flow else None for name, flow in inputs.items()
        }
        self.strides: dict[str, float] = dict.fromkeys(inputs, 1)
        self.placed: list[list[Placed]] = [[] for _ in block.nodes]
        self.stages = stages.stages_of(self)
        self.broken: set[str] = set()
        self.dilation = 1  # of the stages so far, under `output_stride`

    def instance(self, given: frozenset[str]) -> Instance | None:
        """The instance of the block; None after a fault."""
        before = len(self.walk.faults)
        for index in self.block.schedule:
            self.visit(index, self.block.nodes[index])
        placed = with_bias([each for row in self.placed for each in row])
        outputs = self.outputs()
        size = sum(_size(each) for each in placed)
        if size > stages.MOST_NODES:
            message = f"the network has more than {stages.MOST_NODES} ops"
            self.walk.fault("limit", message, self.block.span)
        if len(self.walk.faults) > before:
            return None
        return Instance(
            block=self.block,
            values=self.values,
            given=given,
            inputs=self.inputs,
            placed=tuple(placed),
            schedule=_schedule(placed),
            outputs=outputs,
            flow=self.flows[outputs[0]],
            stride=self.strides[outputs[0]],
            size=size,
        )

    def outputs(self) -> tuple[str, ...]:
        """The keys of the values that the block gives."""
        network = self.walk.network
        if self.block is network.root:
            named = [(key, span) for _, key, span in (*network.outputs, *network.train_outputs)]
        else:
            named = [(self.block.output or "", self.block.span)]
        for key, span in named:
            if self.where.get(key) is None and key not in self.broken:
                self.walk.fault("no-value", f"`{key}` is `none` here", span)
        return tuple(found for key, _ in named if (found := self.where.get(key)))

    # --- one node

    def visit(self, index: int, node: BlockNode) -> None:
        """Places a node, or says which value stands in its place."""
        passes = node.otherwise or node.inputs[0]
        if self.broken & {*node.inputs, passes}:
            self.break_off(node)
        elif (self.block, node.key) in self.walk.idle or self.is_left_out(node):
            self.where[node.key] = self.where.get(passes)
        else:
            before = len(self.walk.faults)
            self.resolve(index, node, passes)
            if len(self.walk.faults) > before:
                self.break_off(node)

    def break_off(self, node: BlockNode) -> None:
        """After a fault: what follows from it stays silent."""
        self.broken.add(node.key)
        self.where.setdefault(node.key, self.block.inputs[0])

    def is_left_out(self, node: BlockNode) -> bool:
        return node.when is not None and not self.walk.value(node.when, self.values)

    def resolve(self, index: int, node: BlockNode, passes: str) -> None:
        """Finds what a node calls, directly or through a slot, and what it reads."""
        bound = self.bound(node)
        if isinstance(bound.target, Nothing):
            self.where[node.key] = None
        elif isinstance(bound.target, Passes):
            self.pass_on(index, node, passes)
        elif (inputs := self.operands(node, bound)) is not None:
            self.place(index, node, bound, inputs, passes)

    def bound(self, node: BlockNode) -> Bound:
        if not isinstance(node.target, Slot):
            return Bound(node.target)
        return self.slots.get(node.target.name) or self.walk.ambient[node.target.name]

    def pass_on(self, index: int, node: BlockNode, passes: str) -> None:
        """Leaves a node out; a call through a slot may do something in another instance."""
        source = self.where.get(passes)
        if source is None or passes != node.inputs[0] or not isinstance(node.target, Slot):
            self.where[node.key] = source
            return
        path = self.path(node, {})
        self.add(index, Placed(node, node.key, (path,), (source,), IDENTITY, self.flows[source]))

    def operands(self, node: BlockNode, bound: Bound) -> tuple[Reference, ...] | None:
        """The values that a node reads. Joins drop `none`, and pass a single value on."""
        inputs = tuple(None if name == "none" else self.where.get(name) for name in node.inputs)
        if isinstance(bound.target, Block) and inputs[0] is not None:
            return inputs
        present = tuple(each for each in inputs if each is not None)
        if isinstance(bound.target, Op) and OPS[bound.target.name].arity is None:
            if len(present) > 1:
                return present
            self.where[node.key] = present[0] if present else None
            return None
        if len(present) == len(inputs):
            return present
        gone = node.inputs[inputs.index(None)]
        message = f"`{node.key}` reads `{gone}`, which is `none` here"
        hint = "only `add`, `mul` and `concat` do without a value"
        self.walk.fault("no-value", message, node.read_spans.get(gone, node.span), hint)
        return None

    def place(
        self, index: int, node: BlockNode, bound: Bound, inputs: tuple[Reference, ...], passes: str
    ) -> None:
        """Places what a node calls."""
        if node.repeat is not None or node.stage:
            stages.repeat(self, index, node, bound, inputs)
            return
        what = self.call(node, bound, self.values, inputs, {})
        if isinstance(what, Passes):
            self.pass_on(index, node, passes)
        elif isinstance(what, Instance) and node.path == ".":
            stages.splice(self, index, node, what, inputs, node.key, {})
        elif what is not None:
            runs = (Run(what, 1),) if isinstance(what, Instance) else what
            names = tuple(name or "none" for name in inputs)
            flow = self.result(node, what, inputs)
            self.add(index, Placed(node, node.key, (self.path(node, {}),), names, runs, flow))

    def add(self, index: int, placed: Placed) -> None:
        """Records a placed node, which is the value of its key from now on."""
        self.placed[index].append(placed)
        self.flows[placed.key] = placed.flow
        self.where[placed.key] = placed.key
        source = max((self.strides.get(name, 1) for name in placed.inputs), default=1)
        self.strides[placed.key] = source * _stride(placed)

    def result(
        self, node: BlockNode, what: Instance | OpCall, inputs: tuple[Reference, ...]
    ) -> Flow:
        if isinstance(what, Instance):
            return what.flow
        flows = [self.flows[name] for name in inputs if name]
        try:
            return OPS[what.op].flow(what.attributes, flows, self.walk.network.axes)
        except ShapeError as error:
            hint = "put `global_avg_pool` or `adaptive_avg_pool` before it"
            self.walk.fault("shape-mismatch", f"{node.key}: {error}", node.span, hint)
            return Flow(1, 1)

    # --- calls

    def call(
        self,
        node: BlockNode,
        bound: Bound,
        values: Mapping[str, Value],
        inputs: tuple[Reference, ...],
        instead: Mapping[str, Value],
    ) -> Instance | OpCall | Passes | None:
        """The op or instance that a node calls; `instead` replaces arguments (a stage's stride)."""
        arguments: dict[str, tuple[Value, Term | None]] = {
            name: (value, None) for name, value in (*bound.arguments, *instead.items())
        }
        known = _parameters(bound.target)
        for name, term in node.arguments.items():
            if isinstance(node.target, Slot) and name not in known:
                self.check_offer(node.target, bound, name, term)
            elif name in instead:
                arguments[name] = (instead[name], term)
            else:
                arguments[name] = (self.walk.argument(bound.target, name, term, values), term)
        if isinstance(bound.target, Op):
            return self.op(node, bound.target.name, arguments)
        assert isinstance(bound.target, Block)
        slots = dict(bound.slots)
        for name, binding in node.slots.items():
            slots[name] = self.walk.bind(binding, values, self.slots)
        flows = tuple(self.flows[name] if name else None for name in inputs)
        return self.walk.block(bound.target, arguments, slots, flows, node.op_span)

    def check_offer(self, slot: Slot, bound: Bound, name: str, term: Term) -> None:
        """What neither an ambient slot nor what it holds knows is a misspelling."""
        if slot.name not in AMBIENT or name in offers(slot.name):
            return
        known = list(dict.fromkeys([*offers(slot.name), *_parameters(bound.target)]))
        message = f"neither `{slot.name}` nor what it is bound to has `{name}`"
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        self.walk.fault("unknown-argument", message, term.key_span, hint)

    def op(self, node: BlockNode, name: str, arguments: Arguments) -> OpCall | None:
        """An op with its attributes checked and completed; None after a fault."""
        definition = OPS[name]
        for key, (value, term) in arguments.items():
            attribute = definition.attributes.get(key)
            wrong = wrong_value(attribute, value, self.walk.network.axes) if attribute else None
            if wrong:
                span = term.span if term else node.span
                self.walk.fault("wrong-value", f"`{key}` of `{name}` {wrong}", span)
                return None
        for key, attribute in definition.attributes.items():
            if attribute.required and key not in arguments:
                message = f"`{name}` needs `{key}`: {attribute.doc}"
                self.walk.fault("missing-argument", message, node.op_span, f"say `{key}: ...` here")
                return None
        known = {
            key: value for key, (value, _) in arguments.items() if key in definition.attributes
        }
        return OpCall(name, complete(definition, known))

    # --- paths

    def path(self, node: BlockNode, extra: Mapping[str, Value]) -> str:
        """The module path of a node: `<EXPR>` evaluated, `*` left for `paths.py`."""
        if "<" not in node.path:
            return node.path
        env: dict[str, Value] = {**self.values, **extra, "stage": node.key}

        def written(match: re.Match[str]) -> str:
            try:
                return str(evaluate(parse(match[1]), env))
            except ExpressionError as error:
                self.walk.fault("expression", f"in the path `{node.path}`: {error}", node.span)
                return "0"

        return re.sub(r"<([^<>]*)>", written, node.path)


def _parameters(target: Target) -> Sequence[str]:
    if isinstance(target, Op):
        return list(OPS[target.name].attributes)
    return list(target.params) if isinstance(target, Block) else []


def _size(placed: Placed) -> int:
    """The ops of a placed node, expanded."""
    if isinstance(placed.what, tuple):
        return sum(run.instance.size * run.count for run in placed.what)
    return 1


def _stride(placed: Placed) -> float:
    """How far a placed node reduces the resolution."""
    if isinstance(placed.what, OpCall):
        return OPS[placed.what.op].stride(placed.what.attributes)
    runs = placed.what if isinstance(placed.what, tuple) else ()
    return math.prod(run.instance.stride**run.count for run in runs)


def _schedule(placed: Sequence[Placed]) -> tuple[int, ...]:
    indices = {each.key: index for index, each in enumerate(placed)}
    reads = [[indices[name] for name in each.inputs if name in indices] for each in placed]
    order = stable_order(reads)
    assert order is not None, "a block's schedule was checked for cycles"
    return tuple(order)
