"""instantiate(network) -> Instance: numbers in place of parameters, once for each distinct block.

    Block("bottleneck") with width=64, stride=1, 64 channels in
        ->  Instance: conv1 is a convolution of 64 channels, downsample is a projection to 256, ...

What `when`, `identity` and `none` leave out is gone, and so is what does nothing in any instance of
its block. A stage stops evaluating where its blocks repeat, so depth costs nothing. Non-goals:
spatial sizes (`shapes.py`), whole networks (`flatten.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resnetgen.graph.elaborate import STAGE_NAMES, offers
from resnetgen.graph.ir import (
    IDENTITY,
    NONE,
    Binding,
    Block,
    BlockNode,
    Bound,
    Instance,
    Network,
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
from resnetgen.language.diagnostics import Diagnostic, Note, Span, SpecError
from resnetgen.language.expressions import (
    Apply,
    Const,
    Expr,
    ExpressionError,
    Name,
    Value,
    evaluate,
    free_names,
    parse,
    substitute,
)

MOST_NODES = 200_000  # ops of one network, expanded
MOST_INSTANCES = 20_000
DEEPEST = 32  # blocks in blocks

Reference = str | None  # a key, or None for `none`
Arguments = Mapping[str, tuple[Value, Term | None]]


def instantiate(network: Network) -> Instance:
    """The instance of the network's own block. Raises SpecError with every fault found."""
    first = _Instantiation(network, frozenset())
    root = first.root()
    idle = _idle_everywhere(first.instances())
    if idle and not first.faults:
        first = _Instantiation(network, idle)
        root = first.root()
    if not first.faults:
        first.check_all_read()
    if first.faults:
        raise SpecError(list(first.faults.values()))
    return root


def instances_below(root: Instance) -> list[Instance]:
    """The distinct instances, callees before their callers, the root last."""
    found: dict[int, Instance] = {}

    def visit(instance: Instance) -> None:
        if id(instance) in found:
            return
        for placed in instance.placed:
            if isinstance(placed.what, tuple):
                for run in placed.what:
                    visit(run.instance)
        found[id(instance)] = instance

    visit(root)
    return list(found.values())


def _idle_everywhere(instances: Sequence[Instance]) -> frozenset[tuple[Block, str]]:
    """The nodes that do nothing in any instance of their block: rate-0 drop paths, unused slots.

    Never inside a numbered container, where the numbers of the others would lose their meaning.
    """
    idle: dict[tuple[int, str], tuple[Block, str]] = {}
    busy: set[tuple[int, str]] = set()
    for instance in instances:
        for placed in instance.placed:
            block = instance.block
            name = (id(block), placed.node.key)
            if _does_nothing(placed):
                idle[name] = (block, placed.node.key)
            else:
                busy.add(name)
    return frozenset(node for name, node in idle.items() if name not in busy)


def _does_nothing(placed: Placed) -> bool:
    if isinstance(placed.what, Passes):
        return True
    numbered = placed.paths[0].rpartition(".")[2].isdigit()
    if isinstance(placed.what, OpCall) and not numbered and placed.scope is None:
        return OPS[placed.what.op].neutral(placed.what.attributes)
    return False


class _Instantiation:
    """The memo of one walk, and the faults so far: one a cause."""

    def __init__(self, network: Network, idle: frozenset[tuple[Block, str]]) -> None:
        self.network = network
        self.idle = idle
        self.memo: dict[Any, Instance | Passes | None] = {}
        self.faults: dict[Any, Diagnostic] = {}
        self.ambient = {
            name: self.bind(binding, {"in_channels": network.input.channels}, {})
            for name, binding in network.ambient.items()
        }
        self.depth = 0

    def instances(self) -> list[Instance]:
        return [each for each in self.memo.values() if isinstance(each, Instance)]

    def fault(self, code: str, message: str, span: Span, help: str | None = None, *notes: Note) -> None:
        """Records a fault; the same place and code is the same cause."""
        self.faults.setdefault((code, span.file, span.line, span.column), Diagnostic(code, message, span, notes, help))

    # --- blocks

    def root(self) -> Instance:
        flow = Flow(self.network.input.channels)
        found = self.block(self.network.root, {}, {}, (flow,), self.network.span)
        if isinstance(found, Instance):
            return found
        if not self.faults:
            self.fault("unknown-value", "the network computes nothing", self.network.span)
        raise SpecError(list(self.faults.values()))

    def block(
        self,
        block: Block,
        arguments: Arguments,
        slots: Mapping[str, Bound],
        flows: tuple[Flow | None, ...],
        span: Span,
    ) -> Instance | Passes | None:
        """The instance of a call; IDENTITY where the block's `when` is false, None after a fault."""
        key = (
            id(block),
            tuple((name, value) for name, (value, _) in arguments.items()),
            tuple(slots.items()),
            flows,
        )
        if key not in self.memo:
            if self.depth > DEEPEST or len(self.memo) > MOST_INSTANCES:
                self.fault("limit", "too many different blocks, or blocks in blocks", span)
                return None
            self.depth += 1
            self.memo[key] = self.fresh(block, arguments, slots, flows, span)
            self.depth -= 1
        return self.memo[key]

    def fresh(
        self,
        block: Block,
        arguments: Arguments,
        slots: Mapping[str, Bound],
        flows: tuple[Flow | None, ...],
        span: Span,
    ) -> Instance | Passes | None:
        values = self.environment(block, arguments, flows, span)
        if values is None:
            return None
        if block.when and not self.value(block.when, values):
            return IDENTITY
        bound = {name: slots.get(name) or self.bind(each, values, {}) for name, each in block.slots.items()}
        body = _Body(self, block, values, bound, dict(zip(block.inputs, flows, strict=True)))
        return body.instance(frozenset(arguments))

    def environment(
        self, block: Block, arguments: Arguments, flows: tuple[Flow | None, ...], span: Span
    ) -> dict[str, Value] | None:
        """Parameters, `let` and channels of one instance, evaluated in order."""
        values: dict[str, Value] = {}
        for index, (name, flow) in enumerate(zip(block.inputs, flows, strict=True)):
            values["in_channels" if index == 0 else f"{name}_channels"] = flow.channels if flow else 0
        for name, param in block.params.items():
            if name in arguments:
                value, term = arguments[name]
                wrong = _wrong_argument(param.kind, value)
                if wrong:
                    self.fault("wrong-value", f"`{name}` of `{block.name}` {wrong}", term.span if term else span)
                    return None
                values[name] = value
            elif param.default is not None:
                values[name] = self.value(param.default, values)
            else:
                message = f"the block `{block.name}` needs `{name}`"
                self.fault("missing-argument", message, span, f"say `{name}: ...` here")
                return None
        for name, term in block.let.items():
            values[name] = self.value(term, values)
        return values

    # --- values and slots

    def value(self, term: Term, values: Mapping[str, Value]) -> Value:
        """The value of an expression; 1 after a fault, which is recorded."""
        try:
            return evaluate(term.expr, values)
        except ExpressionError as error:
            known = ", ".join(f"`{name}`" for name in values)
            hint = f"there are {known}" if "there is no `" in str(error) and known else None
            self.fault("expression", str(error), term.span, hint)
            return 1

    def bind(self, binding: Binding, values: Mapping[str, Value], slots: Mapping[str, Bound]) -> Bound:
        """A slot's content with the values of its arguments."""
        if isinstance(binding.target, Slot):
            inner = slots.get(binding.target.name) or self.ambient.get(binding.target.name) or Bound(NONE)
            target, given = inner.target, dict(inner.arguments)
            below = dict(inner.slots)
        else:
            target, given, below = binding.target, {}, {}
        for name, term in binding.arguments.items():
            given[name] = self.argument(target, name, term, values)
        for name, each in binding.slots.items():
            below[name] = self.bind(each, values, slots)
        return Bound(target, tuple(given.items()), tuple(below.items()))

    def argument(self, target: Target, name: str, term: Term, values: Mapping[str, Value]) -> Value:
        """An argument's value; of an attribute that takes a word, the word."""
        if isinstance(target, Op) and isinstance(term.expr, Name):
            attribute = OPS[target.name].attributes.get(name)
            if attribute and attribute.kind == "word":
                return term.expr.id
        return self.value(term, values)

    def check_all_read(self) -> None:
        """A node that nothing reads is a fault: it would hold weights that never train."""
        unread: dict[tuple[int, str], tuple[Instance, Placed]] = {}
        read: set[tuple[int, str]] = set()
        for instance in self.instances():
            names = {name for placed in instance.placed for name in placed.inputs} | set(instance.outputs)
            for placed in instance.placed:
                key = (id(instance.block), placed.key)
                if placed.key in names:
                    read.add(key)
                else:
                    unread[key] = (instance, placed)
        for key, (instance, placed) in unread.items():
            if key not in read:
                self.unread(instance, placed)

    def unread(self, instance: Instance, placed: Placed) -> None:
        what = "stage" if placed.node.stage else "node"
        hint = "name it in `inputs:`, `output:` or `outputs:`, or take it out"
        if instance.block is self.network.root:
            hint = "name it in `inputs:` or `outputs:`, or take it out (the head with `head: none`)"
        self.fault("unread", f"nothing reads the {what} `{placed.key}`", placed.node.span, hint)


def _wrong_argument(kind: str | None, value: Value) -> str | None:
    wanted = {"int": (int,), "float": (int, float), "bool": (bool,)}
    if kind is None or (type(value) in wanted[kind]):
        return None
    name = {"int": "an integer", "float": "a number", "bool": "true or false"}[kind]
    return f"must be {name}, not `{value}`"


@dataclass(slots=True)
class _Stage:
    """Where a stage stands among the stages: what `position`, `total` and `output_stride` give it."""

    position: int
    total: int
    stride: Value | None = None
    dilation: int = 1
    first_dilation: int = 1


class _Body:
    """The walk over the nodes of one block, in an order in which they can be computed."""

    def __init__(
        self,
        walk: _Instantiation,
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
        self.where: dict[str, Reference] = {name: name if flow else None for name, flow in inputs.items()}
        self.strides: dict[str, float] = dict.fromkeys(inputs, 1)
        self.placed: list[list[Placed]] = [[] for _ in block.nodes]
        self.stages = self.stage_positions()
        self.broken: set[str] = set()

    def stage_positions(self) -> dict[str, _Stage]:
        """The blocks before each stage and in all: `position` and `total`."""
        counts = {node.key: self.count(node) for node in self.block.nodes if node.stage}
        total, before = sum(counts.values()), 0
        stages = {}
        for key, count in counts.items():
            stages[key] = _Stage(before, total)
            before += count
        return stages

    def count(self, node: BlockNode) -> int:
        if node.repeat is None:
            return 1
        count = self.walk.value(node.repeat, self.values)
        if type(count) is not int or count < 1:
            self.walk.fault("wrong-value", f"`blocks` must be a positive integer, not `{count}`", node.repeat.span)
            return 1
        if count > MOST_NODES:
            self.walk.fault("limit", f"{count} blocks; a network has at most {MOST_NODES} ops", node.repeat.span)
            return 1
        return count

    def instance(self, given: frozenset[str]) -> Instance | None:
        before = len(self.walk.faults)
        for index in self.block.schedule:
            self.visit(index, self.block.nodes[index])
        if len(self.walk.faults) > before:
            return None
        placed = _with_bias([each for row in self.placed for each in row], self.walk)
        outputs = self.outputs()
        flow = self.flows[outputs[0]] if outputs else Flow(0)
        size = sum(_size(each) for each in placed)
        if size > MOST_NODES:
            self.walk.fault("limit", f"the network has more than {MOST_NODES} ops", self.block.span)
            return None
        return Instance(
            self.block, self.values, given, self.inputs, tuple(placed), _schedule(placed), outputs, flow, size
        )

    def outputs(self) -> tuple[str, ...]:
        if self.block is self.walk.network.root:
            named = [*self.walk.network.outputs, *self.walk.network.train_outputs]
            for _, key, span in named:
                if self.where.get(key) is None:
                    self.walk.fault("unknown-value", f"`{key}` is `none` here", span)
            return tuple(found for _, key, _ in named if (found := self.where.get(key)) is not None)
        found = self.where.get(self.block.output or "")
        if found is None:
            self.walk.fault("unknown-value", f"the block `{self.block.name}` has no output here", self.block.span)
            return tuple(self.inputs)[:1]
        return (found,)

    # --- one node

    def visit(self, index: int, node: BlockNode) -> None:
        """Places a node, or says which value stands in its place."""
        if self.broken & {*node.inputs, node.otherwise or ""}:
            self.broken.add(node.key)  # what follows from a fault stays silent
            self.where[node.key] = self.block.inputs[0]
            return
        passes = node.otherwise or node.inputs[0]
        if (self.block, node.key) in self.walk.idle or (node.when and not self.walk.value(node.when, self.values)):
            self.where[node.key] = self.where.get(passes)
            return
        bound, offered = self.resolve(node)
        if isinstance(bound.target, Passes | Nothing):
            self.leave_out(index, node, bound, passes)
            return
        inputs = self.operands(node, bound)
        if inputs is None:
            return
        before = len(self.walk.faults)
        self.place(index, node, bound, offered, inputs, passes)
        if len(self.walk.faults) > before:
            self.broken.add(node.key)
            self.where.setdefault(node.key, self.block.inputs[0])

    def resolve(self, node: BlockNode) -> tuple[Bound, bool]:
        """What a node calls, and whether through a slot."""
        if isinstance(node.target, Slot):
            bound = self.slots.get(node.target.name) or self.walk.ambient[node.target.name]
            return bound, True
        return Bound(node.target), False

    def leave_out(self, index: int, node: BlockNode, bound: Bound, passes: str) -> None:
        """`none` is no value; `identity` passes what `else:` names, or the first input."""
        if isinstance(bound.target, Nothing):
            self.where[node.key] = None
            return
        self.pass_on(index, node, passes)

    def pass_on(self, index: int, node: BlockNode, passes: str) -> None:
        """A slot that does nothing here; it may do something in another instance of the block."""
        source = self.where.get(passes)
        if source is None or passes != node.inputs[0] or not isinstance(node.target, Slot):
            self.where[node.key] = source
            return
        placed = Placed(node, node.key, (self.path(node, {}),), (source,), IDENTITY, self.flows[source])
        self.add(index, placed)

    def operands(self, node: BlockNode, bound: Bound) -> tuple[Reference, ...] | None:
        """The values that a node reads. Joins drop `none`, and pass a single value on."""
        inputs = tuple(None if name == "none" else self.where.get(name) for name in node.inputs)
        if isinstance(bound.target, Block):
            if None in inputs[:1]:
                self.no_value(node)
                return None
            return inputs
        assert isinstance(bound.target, Op)
        present = tuple(each for each in inputs if each is not None)
        if OPS[bound.target.name].arity is None and len(present) < 2:
            self.where[node.key] = present[0] if present else None
            return None
        if len(present) < len(inputs) and OPS[bound.target.name].arity is not None:
            self.no_value(node)
            return None
        return present

    def no_value(self, node: BlockNode) -> None:
        gone = next(name for name in node.inputs if name == "none" or self.where.get(name) is None)
        message = f"`{node.key}` reads `{gone}`, which is `none` here; only add, mul and concat do without a value"
        self.walk.fault("no-value", message, node.span)
        self.broken.add(node.key)
        self.where[node.key] = self.block.inputs[0]

    def place(
        self,
        index: int,
        node: BlockNode,
        bound: Bound,
        offered: bool,
        inputs: tuple[Reference, ...],
        passes: str,
    ) -> None:
        if node.repeat is not None or node.stage:
            self.repeat(index, node, bound, offered, inputs)
            return
        what = self.call(node, bound, offered, self.values, inputs, {})
        if isinstance(what, Passes):
            self.pass_on(index, node, passes)
            return
        if what is None:
            return
        if isinstance(what, Instance) and node.path == ".":
            self.splice(index, node, what, inputs, node.key, {}, bound)
            return
        runs = (Run(what, 1),) if isinstance(what, Instance) else what
        path = self.path(node, {})
        names = tuple(name or "none" for name in inputs)
        self.add(index, Placed(node, node.key, (path,), names, runs, self.result(node, what, inputs)))

    def add(self, index: int, placed: Placed) -> None:
        self.placed[index].append(placed)
        self.flows[placed.key] = placed.flow
        self.where[placed.key] = placed.key
        self.strides[placed.key] = self.stride_of(placed)

    def stride_of(self, placed: Placed) -> float:
        """How far the value at a node is reduced against the block's input."""
        source = max((self.strides.get(name, 1) for name in placed.inputs), default=1)
        if isinstance(placed.what, OpCall):
            return source * OPS[placed.what.op].stride(placed.what.attributes)
        if isinstance(placed.what, tuple):
            for run in placed.what:
                source = source * _stride_of_instance(run.instance) ** run.count
        return source

    def result(self, node: BlockNode, what: Instance | OpCall, inputs: tuple[Reference, ...]) -> Flow:
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
        offered: bool,
        values: Mapping[str, Value],
        inputs: tuple[Reference, ...],
        instead: Mapping[str, Value],
    ) -> Instance | OpCall | Passes | None:
        """The op or instance that a node calls; `instead` replaces arguments (a stage's stride)."""
        arguments: dict[str, tuple[Value, Term | None]] = {name: (v, None) for name, v in bound.arguments}
        declared = _declared(bound.target)
        for name, term in node.arguments.items():
            if offered and name not in declared:
                self.check_offer(node, bound, name, term)
                continue
            value = instead[name] if name in instead else self.walk.argument(bound.target, name, term, values)
            arguments[name] = (value, term)
        for name, value in instead.items():
            if name not in node.arguments:
                arguments[name] = (value, None)
        if isinstance(bound.target, Op):
            return self.op(node, bound.target.name, arguments)
        assert isinstance(bound.target, Block)
        slots = dict(bound.slots)
        for name, binding in node.slots.items():
            slots[name] = self.walk.bind(binding, values, self.slots)
        flows = tuple(self.flows[name] if name else None for name in inputs)
        return self.walk.block(bound.target, arguments, slots, flows, node.op_span)

    def check_offer(self, node: BlockNode, bound: Bound, name: str, term: Term) -> None:
        """What neither the slot nor what it holds knows is a misspelling."""
        assert isinstance(node.target, Slot)
        if node.target.name not in AMBIENT or name in offers(node.target.name):
            return
        known = [*offers(node.target.name), *_declared(bound.target)]
        message = f"neither `{node.target.name}` nor what it is bound to has `{name}`"
        self.walk.fault("unknown-argument", message, term.key_span, f"there are {', '.join(known)}")

    def op(self, node: BlockNode, name: str, arguments: Arguments) -> OpCall | None:
        definition = OPS[name]
        for key, (value, term) in arguments.items():
            attribute = definition.attributes.get(key)
            wrong = wrong_value(attribute, value, self.walk.network.axes) if attribute else None
            if wrong:
                self.walk.fault("wrong-value", f"`{key}` of `{name}` {wrong}", term.span if term else node.span)
                return None
        for key, attribute in definition.attributes.items():
            if attribute.required and key not in arguments:
                message = f"`{name}` needs `{key}`: {attribute.doc}"
                self.walk.fault("missing-argument", message, node.op_span, f"say `{key}: ...` here")
                return None
        given = {key: value for key, (value, _) in arguments.items() if key in definition.attributes}
        return OpCall(name, complete(definition, given))

    # --- stages

    def repeat(
        self, index: int, node: BlockNode, bound: Bound, offered: bool, inputs: tuple[Reference, ...]
    ) -> None:
        """The blocks of a stage, evaluated until they repeat."""
        count = self.count(node)
        stage = self.stages.get(node.key) or _Stage(0, count)
        self.dilate(node, stage)
        depends = _depends_on_index(node)
        (source,) = inputs if len(inputs) == 1 else (inputs[0],)
        assert source is not None
        flow, runs, spliced = self.flows[source], list[Run](), node.path == "."
        at, previous = 0, source
        while at < count:
            env = {**self.values, **_stage_values(at, count, stage)}
            instead = self.strided(node, bound, stage, at)
            if instead is None:
                return
            self.flows["."] = flow
            self.where["."] = "."
            what = self.call(node, bound, offered, env, (".", *inputs[1:]), instead)
            if what is None or isinstance(what, Passes):
                if isinstance(what, Passes):
                    self.walk.fault("no-value", f"the blocks of `{node.key}` do nothing", node.span)
                return
            if not isinstance(what, Instance):
                self.walk.fault("wrong-value", f"a stage repeats a block, and `{what.op}` is an op", node.op_span)
                return
            settled = runs and runs[-1].instance is what and not depends and at > 1
            times = count - at if settled else 1
            if spliced:
                times = 1
                inner = f"{node.key}.{at}" if node.repeat else node.key
                previous = self.splice(index, node, what, (previous,), inner, env, bound)
            if runs and runs[-1].instance is what:
                runs[-1] = Run(what, runs[-1].count + times)
            else:
                runs.append(Run(what, times))
            at, flow = at + times, what.flow
        if spliced:
            self.where[node.key] = previous
            return
        names = tuple(name or "none" for name in inputs)
        paths = tuple(self.path(node, {**_stage_values(i, count, stage)}) for i in range(count))
        self.add(index, Placed(node, node.key, paths, names, tuple(runs), flow))

    def dilate(self, node: BlockNode, stage: _Stage) -> None:
        """`output_stride`: a stride beyond it becomes dilation (timm's rule)."""
        limit = self.walk.network.output_stride
        term = node.arguments.get("stride")
        stage.stride = self.walk.value(term, {**self.values, **_stage_values(0, 1, stage)}) if term else None
        if limit is None or not node.stage:
            return
        stage.first_dilation = stage.dilation = self.dilation_so_far
        reduction = self.strides.get(self.where.get(node.inputs[0]) or "", 1)
        if isinstance(stage.stride, int) and reduction * stage.stride > limit:
            stage.dilation = stage.dilation * stage.stride
            stage.stride = 1
        self.dilation_so_far = stage.dilation

    dilation_so_far = 1

    def strided(self, node: BlockNode, bound: Bound, stage: _Stage, at: int) -> dict[str, Value] | None:
        """The arguments that the stage itself gives: its stride to the first block, its dilation."""
        if node.repeat is None and not node.stage:
            return {}
        instead: dict[str, Value] = {}
        declared = _declared(bound.target)
        if "stride" in node.arguments:
            instead["stride"] = stage.stride if at == 0 and stage.stride is not None else 1
        if stage.dilation > 1:
            instead["dilation"] = stage.dilation
            if at == 0:
                instead["first_dilation"] = stage.first_dilation
        for name in instead:
            if name not in declared:
                term = node.arguments.get(name)
                message = f"the block of `{node.key}` has no parameter `{name}`"
                self.walk.fault("unknown-argument", message, term.key_span if term else node.span)
                return None
        return instead

    def splice(
        self,
        index: int,
        node: BlockNode,
        instance: Instance,
        inputs: tuple[Reference, ...],
        prefix: str,
        env: Mapping[str, Value],
        bound: Bound,
    ) -> str:
        """`as: .`: the nodes of a block stand in this one, as if written here."""
        rename: dict[str, str] = {}
        for name, source in zip(instance.block.inputs, inputs, strict=True):
            if source is not None:
                rename[name] = source
        plain = node.repeat is None and not node.stage
        scope = self.scope(node, instance, env, bound)
        for each in instance.placed:
            key = each.key if plain else f"{prefix}.{each.key}"
            inner = {name: substitute(expr, scope) for name, expr in (each.scope or {}).items()} or scope
            rename[each.key] = key
            names = tuple(rename[name] for name in each.inputs)
            self.add(index, Placed(each.node, key, each.paths, names, each.what, each.flow, inner, node.key))
        for name, key in rename.items():
            if plain and name not in instance.block.inputs:
                self.where[name] = key
        result = rename.get(instance.outputs[0], instance.outputs[0])
        self.where[node.key] = result
        return result

    def scope(
        self, node: BlockNode, instance: Instance, env: Mapping[str, Value], bound: Bound
    ) -> dict[str, Expr]:
        """The names of a spliced block in terms of the names of this one."""
        here = {name: Const(value) for name, value in env.items() if name in STAGE_NAMES}
        scope: dict[str, Expr] = {}
        for name, value in instance.values.items():
            term = node.arguments.get(name)
            param = instance.block.params.get(name)
            if term and name in instance.given and not node.stage:
                scope[name] = substitute(term.expr, here)
            elif param and param.default and name not in instance.given:
                scope[name] = substitute(param.default.expr, scope)
            elif name in instance.block.let:
                scope[name] = substitute(instance.block.let[name].expr, scope)
            else:
                scope[name] = Const(value)
        return scope

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


def _declared(target: Target) -> Sequence[str]:
    if isinstance(target, Op):
        return list(OPS[target.name].attributes)
    return list(target.params) if isinstance(target, Block) else []


def _depends_on_index(node: BlockNode) -> bool:
    def names(slots: Mapping[str, Binding]) -> Iterator[str]:
        for binding in slots.values():
            for term in binding.arguments.values():
                yield from free_names(term.expr)
            yield from names(binding.slots)

    own = (name for term in node.arguments.values() for name in free_names(term.expr))
    return any(name in STAGE_NAMES for name in (*own, *names(node.slots)))


def _stage_values(at: int, count: int, stage: _Stage) -> dict[str, Value]:
    return {
        "index": at,
        "position": stage.position + at,
        "total": stage.total,
        "first": at == 0,
        "last": at == count - 1,
    }


def _stride_of_instance(instance: Instance) -> float:
    strides: dict[str, float] = dict.fromkeys(instance.block.inputs, 1)
    for index in instance.schedule:
        placed = instance.placed[index]
        stride = max((strides.get(name, 1) for name in placed.inputs), default=1)
        if isinstance(placed.what, OpCall):
            stride *= OPS[placed.what.op].stride(placed.what.attributes)
        elif isinstance(placed.what, tuple):
            for run in placed.what:
                stride *= _stride_of_instance(run.instance) ** run.count
        strides[placed.key] = stride
    return strides.get(instance.outputs[0], 1) if instance.outputs else 1


def _size(placed: Placed) -> int:
    if isinstance(placed.what, tuple):
        return sum(run.instance.blocks * run.count for run in placed.what)
    return 1


def _schedule(placed: Sequence[Placed]) -> tuple[int, ...]:
    indices = {each.key: index for index, each in enumerate(placed)}
    reads = [[indices[name] for name in each.inputs if name in indices] for each in placed]
    order = stable_order(reads)
    assert order is not None, "a block's schedule was checked for cycles"
    return tuple(order)


def _with_bias(placed: list[Placed], walk: _Instantiation) -> list[Placed]:
    """A convolution's bias is false exactly where every reader is a norm."""
    readers: dict[str, list[Placed]] = {each.key: [] for each in placed}
    for each in placed:
        for name in each.inputs:
            if name in readers:
                readers[name].append(each)

    def norms(key: str) -> bool:
        found = readers[key]
        return bool(found) and all(
            norms(each.key) if isinstance(each.what, Passes) else _is_norm(each) for each in found
        )

    for index, each in enumerate(placed):
        if isinstance(each.what, OpCall) and each.what.attributes.get("bias", True) is None:
            attributes = {**each.what.attributes, "bias": not norms(each.key)}
            call = OpCall(each.what.op, attributes)
            placed[index] = replace(each, what=call)
    return placed


def _is_norm(placed: Placed) -> bool:
    if isinstance(placed.what, OpCall):
        return OPS[placed.what.op].is_norm
    return placed.node.target == Slot("norm")
