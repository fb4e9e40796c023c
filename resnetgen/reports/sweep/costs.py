"""The cost of any variant of a spec, or the error that the compiler reports for it.

    costs = Costs(read_base("resnet50", {}), parse_space(["layer3.blocks=1..40"]))
    costs.of((10,))   ->   Figures(params=31_142_952, ...)

Variants that differ only in numbers share one symbolic network; each choice of words, blocks or
sizes has a network of its own. Within a network, the cost of a variant is a sum over the nodes of
its body, and each node is looked up:

    layer3.blocks=1..40, layer4.width=256,384,512   ->   120 variants, but layer1 is evaluated once

The figures come from the compiler's own passes, one node at a time (`node_cost.py`); this file only
remembers them. As in the compiler there are two passes: the first finds the nodes that do nothing in
every instance of their block, the second leaves them out. Then the body as a whole decides what its
nodes leave open (`body.py`). A variant that may have an error is compiled on its own, so that the
error is the compiler's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend.expressions import ExpressionError, Value
from resnetgen.compiler.ir.shape_rules import ChannelInfo
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.evaluate import ErrorReported, EvalContext
from resnetgen.compiler.passes.infer_types import MAX_PARAMS, Cost, infer_types
from resnetgen.compiler.passes.instantiate import MAX_DEPTH, MAX_INSTANCES, instantiate
from resnetgen.compiler.passes.stages import MAX_OPS, block_count
from resnetgen.reports.sweep.body import (
    Connections,
    NetworkBody,
    connections_key,
    connections_of,
    decide_body,
)
from resnetgen.reports.sweep.node_cost import (
    ABSENT,
    BROKEN,
    BlockNodes,
    BodyValue,
    Counts,
    ErrorKind,
    MemoizingInstantiator,
    NodeBits,
    NodeCost,
    PartCost,
    evaluate_node,
)
from resnetgen.reports.sweep.space import Space
from resnetgen.reports.sweep.state import BodyNode, RatedStage, State, SweepStage, state_layout
from resnetgen.reports.sweep.symbols import (
    BaseSpec,
    RateParameters,
    RatePatterns,
    SymbolicNetwork,
    symbolic_network,
    variant_document,
)

MAX_NETWORKS = 128  # that are remembered at a time
MAX_VERDICTS = 10_000  # that are remembered of one network
MAX_REMEMBERED = 30_000  # node costs, environments, bodies and patterns of one network

Choice = tuple[int, ...]  # of some factors: the index of each one's value


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


# --- all variants of a spec


class Costs:
    """The costs of the variants of one spec; what they share is computed once."""

    def __init__(self, base: BaseSpec, space: Space) -> None:
        self.base = base
        self.space = space
        numeric = [factor.is_numeric for factor in space.factors]
        self.words = tuple(index for index, each in enumerate(numeric) if not each)
        self.numbers = tuple(index for index, each in enumerate(numeric) if each)
        # By the choice of words: the numbers that are names in its networks, and the other numbers.
        self.split: dict[Choice, tuple[Choice, Choice]] = {}
        # By the choice of words and of the other numbers.
        self.networks: dict[tuple[Choice, Choice], Evaluator | None] = {}

    def of(self, choice: Sequence[int]) -> Figures | str:
        """The figures of a variant, or the code and the message of its first error."""
        evaluator = self.evaluator(choice)
        if evaluator is None:
            return self.compiled(choice)
        result = evaluator.figures(choice)
        if isinstance(result, Figures):
            return result
        known = evaluator.verdicts.get(result.reason)
        if known is not None:
            return known
        verdict = self.compiled(choice)
        if isinstance(verdict, str) and result.reason is not None:
            if len(evaluator.verdicts) > MAX_VERDICTS:
                evaluator.verdicts.clear()
            evaluator.verdicts[result.reason] = verdict
        return verdict

    def compile(self, choice: Sequence[int]) -> Figures:
        """The figures of a variant, compiled as by every other command. Raises SpecError."""
        network = elaborate(variant_document(self.base, self.space, choice))
        return figures_of(infer_types(network, instantiate(network)).cost)

    def compiled(self, choice: Sequence[int]) -> Figures | str:
        """The same, with the first error as text."""
        try:
            return self.compile(choice)
        except SpecError as error:
            first = error.diagnostics[0]
            return f"{first.code}: {first.message}"

    def evaluator(self, choice: Sequence[int]) -> Evaluator | None:
        """The evaluator of a variant's network; None if none of its numbers can be a name."""
        words = tuple([choice[index] for index in self.words])
        if words not in self.split:
            self.make_room()
            named = self.names_in(choice)
            self.split[words] = named, tuple(each for each in self.numbers if each not in named)
        named, others = self.split[words]
        if not named:
            return None
        key = words, tuple([choice[index] for index in others])
        if key not in self.networks:
            self.make_room()
            self.networks[key] = self.network(choice, named)
        evaluator = self.networks[key]
        if evaluator and evaluator.is_full:
            evaluator = self.networks[key] = Evaluator(evaluator.symbolic, self.space)
        return evaluator

    def names_in(self, choice: Sequence[int]) -> Choice:
        """The numbers that are names in the networks of a choice of words."""
        try:
            return symbolic_network(self.base, self.space, choice, self.numbers).named
        except SpecError:
            return ()

    def network(self, choice: Sequence[int], named: Choice) -> Evaluator | None:
        """The evaluator of a new network; None if not all of these numbers can be names in it."""
        try:
            symbolic = symbolic_network(self.base, self.space, choice, named)
        except SpecError:
            return None
        return Evaluator(symbolic, self.space) if symbolic.named == named else None

    def make_room(self) -> None:
        """Forgets all networks if there are many."""
        if max(len(self.networks), len(self.split)) > MAX_NETWORKS:
            self.networks.clear()
            self.split.clear()


# --- the variants of one symbolic network


@dataclass(frozen=True, slots=True)
class NeedsCompile:
    """A variant that the compiler has to judge: it has an error, or may have one.

    Variants of a network with the same reason have the same errors. None: each may differ.
    """

    reason: Hashable = None


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """One pass over the body, which leaves out some nodes: what is known of each node."""

    instantiator: MemoizingInstantiator
    input: int  # the number of the network's input value
    tables: list[tuple[BodyNode, dict[Any, NodeCost]]]


class Evaluator:
    """The costs of the variants of one symbolic network.

    A variant is a state (`state.py`): a flat list of integers. What is known is stored in tables
    under a key, which is a part of the state.
    """

    def __init__(self, symbolic: SymbolicNetwork, space: Space) -> None:
        self.symbolic = symbolic
        self.network = symbolic.network
        self.space = space
        self.rates = RateParameters()
        self.layout = state_layout(symbolic, self.rates)
        self.ctx = EvalContext(self.network)
        self.evaluations = 0
        self.verdicts: dict[Hashable, str] = {}  # what the compiler reported, by reason
        # A state refers to values and to patterns of rates by their numbers.
        self.body_values: list[BodyValue] = [BROKEN, ABSENT]
        self.value_numbers: dict[BodyValue, int] = {BROKEN: 0, ABSENT: 1}
        self.pattern_numbers: dict[Hashable, int] = {}
        # What is known, by key.
        self.environments: dict[Any, dict[str, Value] | None] = {}
        self.stages: list[tuple[SweepStage, dict[Any, int | None]]] = [
            (stage, {}) for stage in self.layout.stages
        ]
        self.rated_stages: list[tuple[RatedStage, dict[Any, int]]] = [
            (each, {}) for each in self.layout.rated_stages
        ]
        self.patterns = RatePatterns()
        self.connections: list[Connections] = []
        self.connection_numbers: dict[Hashable, int] = {}
        self.bodies: dict[tuple[int, ...], NetworkBody] = {}
        self.bits = NodeBits()
        self.instantiators: dict[BlockNodes, MemoizingInstantiator] = {}
        self.first = self.new_pass(0, sized=False)
        self.second: dict[int, _Pass] = {}  # by the bits of dead nodes

    @property
    def is_full(self) -> bool:
        """Whether to replace this evaluator by an empty one, which bounds its memory."""
        others = len(self.environments) + len(self.bodies) + len(self.pattern_numbers)
        return self.evaluations + others > MAX_REMEMBERED

    def new_pass(self, dead: int, sized: bool) -> _Pass:
        """A pass that leaves out the nodes `dead`; one that is not `sized` infers no types."""
        nodes = self.bits.nodes(dead)
        instantiator = self.instantiators.setdefault(
            nodes, MemoizingInstantiator(self.network, nodes, self.bits, self.rates)
        )
        instantiator.ctx.ambient = self.ctx.ambient
        name, type = self.network.root.inputs[0], self.network.input
        value = BodyValue(name, ChannelInfo(type.channels), 1, type if sized else None)
        return _Pass(instantiator, self.number(value), [(each, {}) for each in self.layout.nodes])

    def number(self, value: BodyValue) -> int:
        """The number of a value in a state."""
        return _numbered(self.body_values, self.value_numbers, value, value)

    # --- one variant

    def figures(self, choice: Sequence[int]) -> Figures | NeedsCompile:
        """The cost of a variant, given the index of each factor's value."""
        state = [0] * self.layout.size
        for factor, slot, _ in self.layout.varied:
            state[slot] = choice[factor]
        unsure = self.initialize(state)
        if unsure:
            return unsure
        first = self.evaluate_nodes(self.first, state)
        dead = live = instances = 0
        for cost in first:
            dead |= cost.dead
            live |= cost.live
            instances += cost.instances
        failed = _with_error(first, ErrorKind.INSTANTIATION)
        if failed:
            return NeedsCompile((ErrorKind.INSTANTIATION, failed))
        if instances >= MAX_INSTANCES or self.first.instantiator.max_depth > MAX_DEPTH // 2:
            return NeedsCompile()
        dead &= ~live
        second = self.second.get(dead)
        if second is None:
            second = self.second[dead] = self.new_pass(dead, sized=True)
        return self.total(self.evaluate_nodes(second, state))

    def initialize(self, state: State) -> NeedsCompile | None:
        """Fills in the state before the first node; a reason if there is an error already."""
        key = self.layout.environment(state)
        if key not in self.environments:
            self.environments[key] = self.environment(state)
        if self.environments[key] is None:
            return NeedsCompile(("environment", key))
        total = 0
        for index, (stage, counts) in enumerate(self.stages):
            key = stage.key(state)
            if key not in counts:
                counts[key] = self.count(stage, state)
            count = counts[key]
            if count is None:
                return NeedsCompile(("blocks", index, key))
            state[stage.position] = total
            total += count
        state[self.layout.total] = total
        state[self.layout.dilation] = 1
        for rated, patterns in self.rated_stages:
            key = rated.key(state)
            if key not in patterns:
                if len(patterns) > MAX_REMEMBERED:
                    patterns.clear()
                patterns[key] = self.pattern(rated, key, state)
            state[rated.pattern] = patterns[key]
        return None

    def evaluate_nodes(self, pass_: _Pass, state: State) -> list[NodeCost]:
        """The costs of all nodes, in order of execution; the state is updated after each."""
        state[self.layout.input] = pass_.input
        costs = []
        for node, table in pass_.tables:
            key = node.key(state)
            cost = table.get(key)
            if cost is None:
                cost = table[key] = self.evaluate(pass_, node, state)
            state[node.writes] = cost.writes
            costs.append(cost)
        return costs

    def total(self, costs: list[NodeCost]) -> Figures | NeedsCompile:
        """The sum over the nodes, once the body has decided what they leave open."""
        unread = read = size = instances = 0
        sound = True
        for cost in costs:
            unread |= cost.unread
            read |= cost.read
            size += cost.size
            instances += cost.instances
            sound = sound and cost.error is None
        unread &= ~read
        if size > MAX_OPS or instances >= MAX_INSTANCES:
            return NeedsCompile()
        failed = () if sound else _with_error(costs, ErrorKind.INSTANTIATION)
        if failed:
            return NeedsCompile((ErrorKind.INSTANTIATION, failed))
        numbers = tuple([cost.connections for cost in costs])
        body = self.bodies.get(numbers)
        if body is None:
            body = self.bodies[numbers] = self.body(numbers)
        if not sound or not body.is_sound or unread:
            return _reason(costs, body, unread)
        params = buffers = macs = activations = 0
        for cost in costs:
            counts = cost.counts.get(body.id)
            if counts is None:
                counts = cost.counts[body.id] = _counts(cost.parts, body)
            params += counts[0]
            buffers += counts[1]
            macs += counts[2]
            activations += counts[3]
        if params > MAX_PARAMS:
            return NeedsCompile()
        return Figures(params, buffers, macs, 2 * macs, activations)

    # --- what is not known yet

    def varied_values(self, state: State) -> dict[str, Value]:
        """The varied numbers by name."""
        factors = self.space.factors
        return {
            name: factors[factor].values[state[slot]].value  # type: ignore[misc]
            for factor, slot, name in self.layout.varied
        }

    def values(self, state: State) -> dict[str, Value]:
        """What expressions of the body may read: parameters, `let`, and the varied numbers."""
        own = self.environments[self.layout.environment(state)]
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
            return block_count(self.ctx, stage.node, self.values(state))
        except ErrorReported:
            self.ctx.forget_errors()
            return None

    def pattern(self, rated: RatedStage, key: Hashable, state: State) -> int:
        """The number of a stage's rates, block by block, or of the key if one cannot be computed."""
        values = self.values(state)
        count = block_count(self.ctx, rated.node, values)  # `initialize` has checked it
        places = (count, state[rated.position], state[self.layout.total])
        pattern: Hashable = (rated.node.key, key)
        with suppress(ExpressionError):
            pattern = tuple([self.patterns.of(each, values, *places) for each in rated.expressions])
        return self.pattern_numbers.setdefault(pattern, len(self.pattern_numbers))

    def evaluate(self, pass_: _Pass, node: BodyNode, state: State) -> NodeCost:
        """The cost of a node in a new state, by the compiler's passes."""
        inputs = [self.body_values[state[slot]] for _, slot in node.reads]
        dilation = state[node.dilation]
        result = evaluate_node(pass_.instantiator, node, self.values(state), inputs, dilation)
        self.evaluations += 1
        cost, connections = result.cost, connections_of(result)
        cost.id = self.evaluations
        key = connections_key(node, connections)
        cost.connections = _numbered(self.connections, self.connection_numbers, key, connections)
        cost.writes = [*map(self.number, result.values), result.dilation]
        return cost

    def body(self, numbers: tuple[int, ...]) -> NetworkBody:
        """What a body with these connections decides."""
        connections = [self.connections[number] for number in numbers]
        return decide_body(self.network, self.layout.nodes, connections, len(self.bodies))


def _numbered(things: list[Any], numbers: dict[Any, int], key: Hashable, thing: object) -> int:
    """The index of a thing in a list, to which it is added if its key is new."""
    number = numbers.setdefault(key, len(things))
    if number == len(things):
        things.append(thing)
    return number


def _with_error(costs: Sequence[NodeCost], kind: ErrorKind) -> tuple[int, ...]:
    return tuple([cost.id for cost in costs if cost.error is kind])


def _reason(costs: Sequence[NodeCost], body: NetworkBody, unread: int) -> NeedsCompile:
    """Why a variant needs compiling after instantiation; errors in the order of the compiler."""
    conflicts = _with_error(costs, ErrorKind.MODULE_PATHS)
    if conflicts or unread or not body.is_sound:
        return NeedsCompile((ErrorKind.MODULE_PATHS, conflicts, body.id, unread))
    return NeedsCompile((ErrorKind.SHAPES, _with_error(costs, ErrorKind.SHAPES)))


def _counts(parts: Sequence[PartCost], body: NetworkBody) -> Counts:
    """What the parts of a node cost in a body."""
    params = buffers = macs = activations = 0
    for part in parts:
        params += part.cost.params + (part.bias if part.key in body.biased else 0)
        buffers += part.cost.buffers
        if part.key not in body.training_only:
            macs += part.cost.macs
            activations += part.cost.activations
    return params, buffers, macs, activations
