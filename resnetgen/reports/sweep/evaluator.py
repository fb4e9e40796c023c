"""The costs of the variants of one symbolic network: each node of the body is looked up.

    layer1.blocks=1..40, layer4.width=256,384,512   ->   120 variants, but the stem is evaluated once

The state of a variant has a number for each name: the index of each varied number, then the value
of each name of the body, in order of execution. The key of a node is the part of the state that it
depends on; under it, its cost is stored. A missing dependence would give a wrong figure, and a
needless one only costs time: whatever is not certain counts as a dependence.

What the nodes leave open is decided by the body as a whole (`body.py`). A variant that may have an
error is compiled on its own, so that the error is the compiler's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from resnetgen.compiler.frontend.expressions import ExpressionError, Value
from resnetgen.compiler.ir.nodes import BlockNode, SourcedExpr
from resnetgen.compiler.ir.shape_rules import ChannelInfo
from resnetgen.compiler.passes.elaborate_checks import readable_keys
from resnetgen.compiler.passes.evaluate import ErrorReported, EvalContext
from resnetgen.compiler.passes.infer_types import MAX_ACTIVATIONS, MAX_PARAMS, Cost
from resnetgen.compiler.passes.instantiate import MAX_DEPTH, MAX_INSTANCE_SIZE
from resnetgen.compiler.passes.stages import MAX_OPS, block_count
from resnetgen.reports.sweep.body import Connections, NetworkBody, decide_body
from resnetgen.reports.sweep.node_cost import (
    ABSENT,
    BROKEN,
    BodyValue,
    ErrorKind,
    Evaluated,
    NodeCost,
    SharedInstantiator,
    UsageBits,
    evaluate_node,
)
from resnetgen.reports.sweep.space import Space
from resnetgen.reports.sweep.symbols import (
    RateParameters,
    RatePatterns,
    SymbolicNetwork,
    dependencies,
    names_read,
    names_read_by,
    symbol,
)

MAX_REMEMBERED = 30_000  # node costs, environments, bodies and patterns of one network
MAX_ROUNDS = 4  # until the set of dead nodes is stable

State = dict[str, int]
Key = Callable[[State], Any]  # picks the key out of a state

# What a state has besides names; no spec can contain these.
DILATION, TOTAL, NOTHING = "<dilation>", "<total>", "<nothing>"


class Figures(NamedTuple):
    """What a variant costs, for one image; in the order of the columns of a row."""

    params: int
    buffers: int
    macs: int
    flops: int
    activations: int


def figures_of(cost: Cost) -> Figures:
    """The figures of a compiled network."""
    return Figures(cost.params, cost.buffers, cost.macs, cost.flops, cost.activations)


@dataclass(frozen=True, slots=True)
class NeedsCompile:
    """A variant that the compiler has to judge: it has an error, or may have one.

    Variants of a network with the same reason have the same errors. None: each may differ.
    """

    reason: Hashable = None


# --- keys


@dataclass(frozen=True, slots=True)
class BodyNode:
    """A node of the body: what it reads and defines, and the key under which its cost is stored."""

    index: int  # among the declared nodes
    key: Key
    reads: tuple[str, ...]
    defines: tuple[str, ...]  # the names that others read


@dataclass(frozen=True, slots=True)
class SweepStage:
    """A stage of the body: what its number of blocks depends on, and its rates if they vary.

    Of rates only the pattern matters to the cost.
    """

    node: BlockNode
    count_key: Key
    position: str  # the name of the number of blocks before it
    rates: tuple[SourcedExpr, ...]
    pattern_key: Key
    pattern: str  # the name of the pattern of the rates


class BodyKeys:
    """The keys of everything in a body."""

    def __init__(self, symbolic: SymbolicNetwork, rates: RateParameters) -> None:
        self.network, self.root = symbolic.network, symbolic.network.root
        self.rates = rates
        symbols = {symbol(index): {symbol(index)} for index in symbolic.named}
        self.symbols = dependencies(self.root, symbols)
        self.environment = _key(self.behind([*self.root.params, *self.root.let]))
        self.stages = [self.stage(node) for node in self.root.nodes if node.stage]
        self.nodes = list(self.in_order())

    def behind(self, names: Iterable[str]) -> set[str]:
        """The varied numbers that some names depend on."""
        return set[str]().union(*(self.symbols.get(name, ()) for name in names))

    def stage(self, node: BlockNode) -> SweepStage:
        """A stage, with its rates if they vary."""
        count = names_read([node.repeat] if node.repeat else [])
        names = sorted(self.rates.of(node.target) & node.arguments.keys())
        rates = tuple(node.arguments[name] for name in names)
        read = names_read(rates)
        varied = self.behind(read).union(_positions(node, read))
        return SweepStage(
            node=node,
            count_key=_key(self.behind(count)),
            position=f"<position of {node.key}>",
            rates=rates if varied else (),
            pattern_key=_key(varied | self.behind(count)),
            pattern=f"<rates of {node.key}>",
        )

    def in_order(self) -> Iterator[BodyNode]:
        """The nodes in order of execution."""
        patterns = {stage.node.key: stage.pattern for stage in self.stages if stage.rates}
        outputs = (*self.network.outputs, *self.network.train_outputs)
        read = {name for node in self.root.nodes for name in _reads(node)}
        read |= {output.key for output in outputs}
        defined = set(self.root.inputs)
        for index in self.root.schedule:
            node = self.root.nodes[index]
            reads = tuple(name for name in _reads(node) if name in defined)
            names = names_read_by(node, self.rates.of(node.target) if node.stage else ())
            key = self.behind(names).union(reads, _positions(node, names))
            key |= {patterns[node.key]} if node.key in patterns else set()
            key |= {DILATION} if self.network.output_stride is not None else set()
            defines = tuple(name for name in readable_keys(node) if name in read)
            defined |= set(defines)
            yield BodyNode(index, _key(key), reads, defines)


def _key(names: Iterable[str]) -> Key:
    """Picks some entries out of a state."""
    return itemgetter(*(sorted(names) or [NOTHING]))


def _positions(node: BlockNode, names: set[str]) -> list[str]:
    """The entries for the position of a stage, if it is among some names."""
    read = node.stage and names & {"position", "total"}
    return [f"<position of {node.key}>", TOTAL] if read else []


def _reads(node: BlockNode) -> tuple[str, ...]:
    """The names that a node may read: its inputs, and the value that replaces it if it is absent."""
    otherwise = (node.otherwise,) if node.otherwise else ()
    return tuple(dict.fromkeys((*node.inputs, *otherwise)))


# --- the evaluator


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """A walk over the body in which some nodes are known to be live: what is known of each node."""

    known_live: int
    instantiator: SharedInstantiator
    tables: list[tuple[BodyNode, dict[Any, NodeCost]]]


class Evaluator:
    """The costs of the variants of one symbolic network."""

    def __init__(self, symbolic: SymbolicNetwork, space: Space) -> None:
        self.symbolic = symbolic
        self.network = symbolic.network
        self.space = space
        self.rates = RateParameters()
        self.keys = BodyKeys(symbolic, self.rates)
        self.varied = [(index, symbol(index)) for index in symbolic.named]
        self.ctx = EvalContext(self.network)
        self.evaluations = 0
        self.verdicts: dict[Hashable, str] = {}  # what the compiler reported, by reason
        # A state refers to values and to patterns of rates by their numbers.
        self.values: list[BodyValue] = [BROKEN, ABSENT]
        self.value_numbers: dict[BodyValue, int] = {BROKEN: 0, ABSENT: 1}
        self.pattern_numbers: dict[Hashable, int] = {}
        # What is known, by key.
        self.environments: dict[Any, dict[str, Value] | None] = {}
        self.counts: list[dict[Any, int | None]] = [{} for _ in self.keys.stages]
        self.patterns: list[dict[Any, int]] = [{} for _ in self.keys.stages]
        self.rate_patterns = RatePatterns()
        self.connections: list[Connections] = []
        self.connection_numbers: dict[Hashable, int] = {}
        self.bodies: dict[tuple[int, ...], NetworkBody] = {}
        declared = sorted(range(len(self.keys.nodes)), key=lambda at: self.keys.nodes[at].index)
        self.declared = declared  # the positions of the nodes, in the order of declaration
        self.bits = UsageBits()
        self.passes: dict[int, _Pass] = {}
        self.last = 0  # the pass of the last variant
        start, type = self.network.root.inputs[0], self.network.input
        self.start = {
            start: self.number(BodyValue(start, ChannelInfo(type.channels), 1, type)),
            DILATION: 1,
            NOTHING: 0,
        }

    @property
    def is_full(self) -> bool:
        """Whether to replace this evaluator by an empty one, which bounds its memory."""
        others = len(self.environments) + len(self.bodies) + len(self.pattern_numbers)
        return self.evaluations + others > MAX_REMEMBERED

    def number(self, value: BodyValue) -> int:
        """The number of a value in a state."""
        return _numbered(self.values, self.value_numbers, value, value)

    def pass_with(self, known_live: int) -> _Pass:
        """The pass in which some nodes are known to be live."""
        if known_live not in self.passes:
            instantiator = SharedInstantiator(self.network, self.bits, known_live, self.rates)
            instantiator.ctx.ambient = self.ctx.ambient
            tables = [(node, dict[Any, NodeCost]()) for node in self.keys.nodes]
            self.passes[known_live] = _Pass(known_live, instantiator, tables)
        return self.passes[known_live]

    # --- one variant

    def figures(self, choice: Sequence[int]) -> Figures | NeedsCompile:
        """The cost of a variant, given the index of each factor's value."""
        state = self.start.copy()
        for factor, name in self.varied:
            state[name] = choice[factor]
        unsure = self.initialize(state)
        if unsure:
            return unsure
        known_live = self.last
        for _ in range(MAX_ROUNDS):
            costs = self.walk(self.pass_with(known_live), state.copy())
            failed = _with_error(costs, ErrorKind.INSTANTIATION)
            if failed:
                return NeedsCompile((ErrorKind.INSTANTIATION, failed))
            usage = 0
            for cost in costs:
                usage |= cost.usage
            before, known_live = known_live, self.bits.dead_and_live(usage)
            if before == known_live:
                self.last = known_live
                return self.total(costs)
        return NeedsCompile()

    def initialize(self, state: State) -> NeedsCompile | None:
        """Fills in the state before the first node; a reason if there is an error already."""
        key = self.keys.environment(state)
        if key not in self.environments:
            self.environments[key] = self.environment(state)
        if self.environments[key] is None:
            return NeedsCompile(("environment", key))
        total = 0
        for index, (stage, counts) in enumerate(zip(self.keys.stages, self.counts, strict=True)):
            key = stage.count_key(state)
            if key not in counts:
                counts[key] = self.count(stage, state)
            count = counts[key]
            if count is None:
                return NeedsCompile(("blocks", index, key))
            state[stage.position] = total
            total += count
        state[TOTAL] = total
        for stage, patterns in zip(self.keys.stages, self.patterns, strict=True):
            if stage.rates:
                key = stage.pattern_key(state)
                if key not in patterns:
                    if len(patterns) > MAX_REMEMBERED:
                        patterns.clear()
                    patterns[key] = self.pattern(stage, key, state)
                state[stage.pattern] = patterns[key]
        return None

    def walk(self, pass_: _Pass, state: State) -> list[NodeCost]:
        """The costs of all nodes, in order of execution; the state is updated after each."""
        costs = []
        for node, table in pass_.tables:
            key = node.key(state)
            cost = table.get(key)
            if cost is None:
                cost = table[key] = self.evaluate(pass_, node, state)
            state |= cost.defines
            costs.append(cost)
        return costs

    def total(self, costs: list[NodeCost]) -> Figures | NeedsCompile:
        """The sum over the nodes, once the body has decided what they leave open."""
        size = instances = 0
        sound = True
        for cost in costs:
            size += cost.size
            instances += cost.instances
            sound = sound and cost.error is None
        deepest = self.passes[self.last].instantiator.max_depth
        if size > MAX_OPS or instances >= MAX_INSTANCE_SIZE or deepest > MAX_DEPTH // 2:
            return NeedsCompile()
        body = self.body(tuple([cost.connections for cost in costs]))
        if body.may_overlap:
            body = self.body(tuple([cost.modules for cost in costs]))
        if not sound or not body.is_sound:
            if not body.is_sound or _with_error(costs, ErrorKind.CHECK):
                # The message says where a node is unread, and whether other calls read it.
                return NeedsCompile((ErrorKind.CHECK, tuple([cost.id for cost in costs])))
            return NeedsCompile((ErrorKind.SHAPES, _with_error(costs, ErrorKind.SHAPES)))
        params = buffers = macs = activations = 0
        for cost in costs:
            totals = cost.totals.get(body.id)
            if totals is None:
                totals = cost.totals[body.id] = _totals(cost, body)
            params += totals[0]
            buffers += totals[1]
            macs += totals[2]
            activations += totals[3]
        if params > MAX_PARAMS or activations > MAX_ACTIVATIONS:
            return NeedsCompile()
        return Figures(params, buffers, macs, 2 * macs, activations)

    # --- what is not known yet

    def varied_values(self, state: State) -> dict[str, Value]:
        """The varied numbers by name."""
        factors = self.space.factors
        return {name: factors[at].values[state[name]].value for at, name in self.varied}  # type: ignore[misc]

    def names(self, state: State) -> dict[str, Value]:
        """What expressions of the body may read: parameters, `let`, and the varied numbers."""
        own = self.environments[self.keys.environment(state)]
        return {**(own or {}), **self.varied_values(state)}

    def environment(self, state: State) -> dict[str, Value] | None:
        """The parameters and `let` of the network; None after an error.

        Ambient slots read no varied number: they are bound in the first environment.
        """
        try:
            own = self.ctx.network_values(self.varied_values(state))
            if not self.ctx.ambient:
                self.ctx.bind_ambient(own)
        except ErrorReported:
            self.ctx.forget_errors()
            self.ctx.ambient.clear()
            return None
        return own

    def count(self, stage: SweepStage, state: State) -> int | None:
        """The number of blocks of a stage; None after an error."""
        try:
            return block_count(self.ctx, stage.node, self.names(state))
        except ErrorReported:
            self.ctx.forget_errors()
            return None

    def pattern(self, stage: SweepStage, key: Hashable, state: State) -> int:
        """The number of a stage's rates, block by block, or of the key if one cannot be computed."""
        values = self.names(state)
        count = block_count(self.ctx, stage.node, values)  # `initialize` has checked it
        places = count, state[stage.position], state[TOTAL]
        pattern: Hashable = (stage.node.key, key)
        with suppress(ExpressionError):
            of = self.rate_patterns.of
            pattern = tuple([of(each, values, *places) for each in stage.rates])
        return self.pattern_numbers.setdefault(pattern, len(self.pattern_numbers))

    def evaluate(self, pass_: _Pass, node: BodyNode, state: State) -> NodeCost:
        """The cost of a node in a new state, by the compiler's passes."""
        inputs = {name: self.values[state[name]] for name in node.reads}
        result = evaluate_node(
            pass_.instantiator, node.index, self.names(state), inputs, state[DILATION], node.defines
        )
        self.evaluations += 1
        cost = result.cost
        cost.id = self.evaluations
        cost.defines = dict(zip(node.defines, map(self.number, result.values), strict=True))
        cost.defines[DILATION] = result.dilation
        cost.connections, cost.modules = self.connect(node, result)
        return cost

    def connect(self, node: BodyNode, result: Evaluated) -> Iterator[int]:
        """The numbers of the connections of a node, without and with those of its modules."""
        names = zip(node.defines, result.values, strict=True)
        sources = {name: value.source for name, value in names}
        connections = Connections(result.nodes, sources, result.reads)
        for key in connections.keys(node.index):
            yield _numbered(self.connections, self.connection_numbers, key, connections)

    def body(self, numbers: tuple[int, ...]) -> NetworkBody:
        """What a body with these connections decides."""
        body = self.bodies.get(numbers)
        if body is None:
            connections = [self.connections[numbers[at]] for at in self.declared]
            body = self.bodies[numbers] = decide_body(self.network, connections, len(self.bodies))
        return body


def _numbered(things: list[Any], numbers: dict[Any, int], key: Hashable, thing: object) -> int:
    """The index of a thing in a list, to which it is added if its key is new."""
    number = numbers.setdefault(key, len(things))
    if number == len(things):
        things.append(thing)
    return number


def _with_error(costs: Sequence[NodeCost], kind: ErrorKind) -> tuple[int, ...]:
    return tuple([cost.id for cost in costs if cost.error is kind])


def _totals(cost: NodeCost, body: NetworkBody) -> tuple[int, ...]:
    """What the parts of a node cost in a body: params, buffers, macs, activations."""
    params = buffers = macs = activations = 0
    for part in cost.parts:
        params += part.cost.params + (part.bias if part.key in body.biased else 0)
        buffers += part.cost.buffers
        if part.key not in body.training_only:
            macs += part.cost.macs
            activations += part.cost.activations
    return params, buffers, macs, activations
