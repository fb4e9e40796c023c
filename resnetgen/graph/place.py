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
from resnetgen.language.diagnostics import Note, did_you_mean
from resnetgen.language.expressions import (
    ExpressionError,
    Name,
    UnknownName,
    Value,
    evaluate,
    parse,
)
from resnetgen.language.names import wrong_key

if TYPE_CHECKING:
    from resnetgen.graph.instantiate import Arguments, Walk

Reference = str | None  # a key, or None for `none`


class Broken(Exception):
    """A fault has been recorded; what follows from it stays silent."""


class Placing:
    """The walk over the nodes of one block, in an order in which they can be computed."""

    def __init__(
        self,
        walk: Walk,
        block: Block,
        values: dict[str, Value],
        slots: Mapping[str, Bound],
        inputs: Mapping[str, Flow | None],
        origins: Mapping[str, Term],
    ) -> None:
        self.walk = walk
        self.block = block
        self.values = values
        self.slots = slots
        self.inputs = inputs
        self.origins = origins  # where the arguments were written
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
            self.too_many(placed)
        if len(self.walk.faults) > before or self.broken:
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

    def too_many(self, placed: Sequence[Placed]) -> None:
        """The network is too long: the stage that is longest is told."""
        largest = max(placed, key=_size)
        term = largest.node.repeat
        message = (
            f"{_size(largest)} ops in `{largest.key}`; a network has at most {stages.MOST_NODES}"
        )
        self.walk.fault("limit", message, term.span if term else largest.node.span)

    def outputs(self) -> tuple[str, ...]:
        """The keys of the values that the block gives."""
        network = self.walk.network
        if self.block is network.root:
            given = (*network.outputs, *network.train_outputs)
            named = [(output.key, output.span) for output in given]
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
        try:
            if self.broken & {*node.inputs, passes}:
                raise Broken
            if (self.block, node.key) in self.walk.idle or self.is_left_out(node):
                self.where[node.key] = self.where.get(passes)
            else:
                self.resolve(index, node, passes)
        except Broken:
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
        name = node.target.name
        bound = self.slots.get(name) or self.walk.ambient.get(name)
        if bound is None:
            raise self.walk.unbound(name, node.op_span)
        return bound

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
        self.check_arity(node, bound)
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
        raise self.no_value(node, node.inputs[inputs.index(None)])

    def check_arity(self, node: BlockNode, bound: Bound) -> None:
        """The number of inputs that a node reads is that of what it calls."""
        count, span = len(node.inputs), node.inputs_span
        if isinstance(bound.target, Block):
            wanted = bound.target.inputs
            if count != len(wanted):
                names = ", ".join(wanted)
                message = f"`{bound.target.name}` takes {len(wanted)} inputs ({names}), not {count}"
                raise self.walk.fault("wrong-inputs", message, span)
            return
        assert isinstance(bound.target, Op)
        arity = OPS[bound.target.name].arity
        if arity is None and count < 2:
            hint = "say `inputs: [a, b]`"
            message = f"`{node.key}` joins two values or more"
            raise self.walk.fault("wrong-inputs", message, span, hint)
        if arity is not None and count != arity:
            hint = f"join them first: {{op: concat, inputs: [{', '.join(node.inputs)}]}}"
            message = f"`{node.key}` takes one input, not {count}"
            raise self.walk.fault("wrong-inputs", message, span, hint)

    def no_value(self, node: BlockNode, gone: str) -> Broken:
        """A node reads what `none` took away; told in the file that the person is writing."""
        message = f"`{node.key}` reads `{gone}`, which is `none` here"
        hint = "only `add`, `mul` and `concat` do without a value; `identity` passes one on"
        read = node.read_spans.get(gone, node.span)
        target = next((each.target for each in self.block.nodes if each.key == gone), None)
        bound = self.walk.ambient.get(target.name) if isinstance(target, Slot) else None
        span = bound.span if bound else None
        if span is None:
            return self.walk.fault("no-value", message, read, hint)
        if read.source is self.walk.network.span.source:
            note = Note(f"`{gone}` calls what is bound here", span)
            return self.walk.fault("no-value", message, read, hint, note)
        return self.walk.fault("no-value", message, span, hint, Note("read here", read))

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
            message = f"{node.key}: {error}"
            raise self.walk.fault("shape-mismatch", message, node.span, error.help) from None

    # --- calls

    def call(
        self,
        node: BlockNode,
        bound: Bound,
        values: Mapping[str, Value],
        inputs: tuple[Reference, ...],
        instead: Mapping[str, Value],
    ) -> Instance | OpCall | Passes:
        """The op or instance that a node calls; `instead` replaces arguments (a stage's stride)."""
        arguments: dict[str, tuple[Value, Term | None]] = {
            name: (value, bound.terms.get(name))
            for name, value in (*bound.arguments, *instead.items())
        }
        known = _parameters(bound.target)
        for name, term in node.arguments.items():
            if isinstance(node.target, Slot) and name not in known:
                self.check_offer(node.target, bound, name, term)
            elif name in instead:
                arguments[name] = (instead[name], term)
            else:
                value = self.walk.argument(bound.target, name, term, values)
                arguments[name] = (value, follow(term, self.origins))
        if isinstance(bound.target, Op):
            return self.op(node, bound.target.name, arguments)
        assert isinstance(bound.target, Block)
        slots = dict(bound.slots)
        for name, binding in node.slots.items():
            slots[name] = self.walk.bind(binding, values, self.slots, self.origins)
        flows = tuple(self.flows[name] if name else None for name in inputs)
        span = bound.span or node.op_span
        return self.walk.block(bound.target, arguments, slots, flows, span, node)

    def check_offer(self, slot: Slot, bound: Bound, name: str, term: Term) -> None:
        """What neither an ambient slot nor what it holds knows is a misspelling."""
        if slot.name not in AMBIENT or name in offers(slot.name):
            return
        known = list(dict.fromkeys([*offers(slot.name), *_parameters(bound.target)]))
        message = f"neither `{slot.name}` nor what it is bound to has `{name}`"
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        self.walk.fault("unknown-argument", message, term.key_span, hint)

    def op(self, node: BlockNode, name: str, arguments: Arguments) -> OpCall:
        """An op with its attributes checked and completed."""
        definition = OPS[name]
        for key, (value, term) in arguments.items():
            attribute = definition.attributes.get(key)
            wrong = wrong_value(attribute, value, self.walk.network.axes) if attribute else None
            if wrong:
                raise self.wrong_attribute(node, f"`{key}` of `{name}`", wrong, term)
        for key, attribute in definition.attributes.items():
            if attribute.required and key not in arguments:
                message = f"`{name}` needs `{key}`: {attribute.doc}"
                hint = f"say `{key}: ...` here"
                raise self.walk.fault("missing-argument", message, node.op_span, hint)
        known = {
            key: value for key, (value, _) in arguments.items() if key in definition.attributes
        }
        terms = {key: term for key, (_, term) in arguments.items() if term}
        return OpCall(name, complete(definition, known), terms)

    def wrong_attribute(self, node: BlockNode, what: str, wrong: str, term: Term | None) -> Broken:
        """A value that does not suit an attribute, told where it was written."""
        if term is None or term.span.source is node.span.source:
            span = term.span if term else node.span
            return self.walk.fault("wrong-value", f"{what} {wrong}", span)
        message = f"`{term.key_span.text}` {wrong}"
        return self.walk.fault(
            "wrong-value", message, term.span, None, Note(f"it is {what}", node.span)
        )

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
                name = error.name if isinstance(error, UnknownName) else ""
                hint = did_you_mean(name, env) or f"there are {', '.join(f'`{n}`' for n in env)}"
                message = f"in the path `{node.path}`: {error}"
                raise self.walk.fault("expression", message, node.path_span, hint) from None

        path = re.sub(r"<([^<>]*)>", written, node.path)
        reason = wrong_key(path.replace(".*", ""))
        if reason:
            message = f"the path `{node.path}` gives `{path}`: it {reason}"
            raise self.walk.fault("wrong-name", message, node.path_span)
        return path


def follow(term: Term, origins: Mapping[str, Term]) -> Term:
    """The place where a value was written: of a bare parameter, the argument of the call."""
    if isinstance(term.expr, Name) and term.expr.id in origins:
        return origins[term.expr.id]
    return term


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
