"""instantiate(network) -> Instance: numbers in place of parameters, once for each distinct block.

    Block("bottleneck") with width=64, stride=1, 64 channels in
        ->  Instance: conv1 is a convolution of 64 channels, downsample is a projection to 256, ...

What `when`, `identity` and `none` leave out is gone, and so is what does nothing in any instance of
its block. A stage stops evaluating where its blocks repeat, so depth costs nothing. Non-goals:
spatial sizes (`shapes.py`), whole networks (`flatten.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnetgen.graph.ir import (
    IDENTITY,
    NONE,
    Binding,
    Block,
    Bound,
    Instance,
    Network,
    Op,
    OpCall,
    Passes,
    Placed,
    Slot,
    Target,
    Term,
)
from resnetgen.graph.ops import OPS, Flow
from resnetgen.graph.place import Placing
from resnetgen.language.diagnostics import Diagnostic, Note, Span, SpecError
from resnetgen.language.expressions import (
    ExpressionError,
    Name,
    Value,
    evaluate,
)

MOST_NODES = 200_000  # ops of one network, expanded
MOST_INSTANCES = 20_000
DEEPEST = 32  # blocks in blocks

Reference = str | None  # a key, or None for `none`
Arguments = Mapping[str, tuple[Value, Term | None]]


def instantiate(network: Network) -> Instance:
    """The instance of the network's own block. Raises SpecError with every fault found."""
    first = Walk(network, frozenset())
    root = first.root()
    idle = _idle_everywhere(first.instances())
    if idle and not first.faults:
        first = Walk(network, idle)
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


class Walk:
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

    def fault(
        self, code: str, message: str, span: Span, help: str | None = None, *notes: Note
    ) -> None:
        """Records a fault; the same place and code is the same cause."""
        self.faults.setdefault(
            (code, span.file, span.line, span.column), Diagnostic(code, message, span, notes, help)
        )

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
        bound = {
            name: slots.get(name) or self.bind(each, values, {})
            for name, each in block.slots.items()
        }
        body = Placing(self, block, values, bound, dict(zip(block.inputs, flows, strict=True)))
        return body.instance(frozenset(arguments))

    def environment(
        self, block: Block, arguments: Arguments, flows: tuple[Flow | None, ...], span: Span
    ) -> dict[str, Value] | None:
        """Parameters, `let` and channels of one instance, evaluated in order."""
        values: dict[str, Value] = {}
        for index, (name, flow) in enumerate(zip(block.inputs, flows, strict=True)):
            values["in_channels" if index == 0 else f"{name}_channels"] = (
                flow.channels if flow else 0
            )
        for name, param in block.params.items():
            if name in arguments:
                value, term = arguments[name]
                wrong = _wrong_argument(param.kind, value)
                if wrong:
                    self.fault(
                        "wrong-value",
                        f"`{name}` of `{block.name}` {wrong}",
                        term.span if term else span,
                    )
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

    def bind(
        self, binding: Binding, values: Mapping[str, Value], slots: Mapping[str, Bound]
    ) -> Bound:
        """A slot's content with the values of its arguments."""
        if isinstance(binding.target, Slot):
            inner = (
                slots.get(binding.target.name)
                or self.ambient.get(binding.target.name)
                or Bound(NONE)
            )
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
            names = {name for placed in instance.placed for name in placed.inputs} | set(
                instance.outputs
            )
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
