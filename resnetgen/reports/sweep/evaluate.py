"""What the variants of one symbolic network cost: every node of its body looked up, and a sum.

    layer3.blocks=1..40, layer4.width=256,384,512   ->   120 variants, for which layer1 is placed once

Figures come from the compiler's own passes, one node of the body at a time (`outcome.py`); what is
added here is a memory. As in the compiler there are two walks: the first finds the nodes that are
idle in every instance of their block, the second leaves them out. Then the body as a whole decides
what its nodes leave open (`body.py`). A variant that is not plainly sound is left to the compiler,
which can tell what is wrong.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from resnetgen.compiler.frontend.expressions import ExpressionError, Value
from resnetgen.compiler.ir.shape_rules import ChannelInfo
from resnetgen.compiler.passes.evaluate import ErrorReported, EvalContext
from resnetgen.compiler.passes.infer_types import MOST_PARAMS, Cost
from resnetgen.compiler.passes.instantiate import DEEPEST, MOST_INSTANCES
from resnetgen.compiler.passes.stages import MOST_NODES, block_count
from resnetgen.reports.sweep.body import Connections, NetworkBody, alike, decide, wiring
from resnetgen.reports.sweep.node_cost import (
    ABSENT,
    BROKEN,
    Bits,
    Counts,
    Fault,
    Idle,
    MemoizingInstantiator,
    NodeCost,
    PartCost,
    ValueRead,
    evaluate,
)
from resnetgen.reports.sweep.space import Space
from resnetgen.reports.sweep.state import BodyNode, Rated, State, SweepStage, layout
from resnetgen.reports.sweep.symbols import Symbolic
from resnetgen.reports.sweep.terms import Patterns, Rates

MOST_KEPT = 30_000  # outcomes, environments, bodies and patterns of one network


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
class Unsound:
    """A variant that the compiler has to judge.

    Variants of one network with one reason have the same faults; None: each is judged on its own.
    """

    reason: Hashable = None


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """One walk over the body: what is left out in it, and what it knows of each node."""

    walk: MemoizingInstantiator
    start: int  # the reading of the network's input
    tables: list[tuple[BodyNode, dict[Any, NodeCost]]]


class Evaluator:
    """The costs of the variants of one symbolic network."""

    def __init__(self, symbolic: Symbolic, space: Space) -> None:
        self.symbolic = symbolic
        self.network = symbolic.network
        self.space = space
        self.rates = Rates()
        self.layout = layout(symbolic, self.rates)
        self.facts = EvalContext(self.network)
        self.learned = 0
        self.judged: dict[Hashable, str] = {}  # what the compiler said, by reason
        # What stands in a state by number, and how it is numbered.
        self.readings: list[ValueRead] = [BROKEN, ABSENT]
        self.reading_numbers: dict[ValueRead, int] = {BROKEN: 0, ABSENT: 1}
        self.pattern_numbers: dict[Hashable, int] = {}
        # What is known, by key.
        self.environments: dict[Any, dict[str, Value] | None] = {}
        self.stages: list[tuple[SweepStage, dict[Any, int | None]]] = [
            (stage, {}) for stage in self.layout.stages
        ]
        self.rated: list[tuple[Rated, dict[Any, int]]] = [(each, {}) for each in self.layout.rated]
        self.patterns = Patterns()
        self.wirings: list[Connections] = []
        self.wiring_numbers: dict[Hashable, int] = {}
        self.bodies: dict[tuple[int, ...], NetworkBody] = {}
        self.bits = Bits()
        self.walks: dict[Idle, MemoizingInstantiator] = {}
        self.first = self.walk_over(0, sized=False)
        self.second: dict[int, _Pass] = {}

    @property
    def is_full(self) -> bool:
        """Whether so much is known that it is better to begin anew: memory stays flat."""
        others = len(self.environments) + len(self.bodies) + len(self.pattern_numbers)
        return self.learned + others > MOST_KEPT

    def walk_over(self, idle: int, sized: bool) -> _Pass:
        """A walk that leaves some nodes out; one that knows no sizes measures nothing."""
        nodes = self.bits.nodes(idle)
        walk = self.walks.setdefault(
            nodes, MemoizingInstantiator(self.network, nodes, self.bits, self.rates)
        )
        walk.facts.ambient = self.facts.ambient
        source, given = self.network.root.inputs[0], self.network.input
        reading = ValueRead(source, ChannelInfo(given.channels), 1, given if sized else None)
        return _Pass(walk, self.number(reading), [(site, {}) for site in self.layout.sites])

    def number(self, reading: ValueRead) -> int:
        """The number that stands for a reading in a state."""
        return _numbered(self.readings, self.reading_numbers, reading, reading)

    # --- one variant

    def figures(self, choice: Sequence[int]) -> Figures | Unsound:
        """The cost of a variant, by the index of each factor's value."""
        state = [0] * self.layout.size
        for factor, slot, _ in self.layout.leaves:
            state[slot] = choice[factor]
        fault = self.start(state)
        if fault:
            return fault
        first = self.run(self.first, state)
        idle = busy = instances = 0
        for outcome in first:
            idle |= outcome.idle
            busy |= outcome.busy
            instances += outcome.instances
        refused = _with_fault(first, Fault.PLACING)
        if refused:
            return Unsound((Fault.PLACING, refused))
        if instances >= MOST_INSTANCES or self.first.walk.deepest > DEEPEST // 2:
            return Unsound()
        idle &= ~busy
        second = self.second.get(idle)
        if second is None:
            second = self.second[idle] = self.walk_over(idle, sized=True)
        return self.total(self.run(second, state))

    def start(self, state: State) -> Unsound | None:
        """Completes the state before the first node; a reason where there is a fault already."""
        key = self.layout.environment(state)
        if key not in self.environments:
            self.environments[key] = self.environment(state)
        if self.environments[key] is None:
            return Unsound(("environment", key))
        total = 0
        for at, (stage, table) in enumerate(self.stages):
            key = stage.key(state)
            if key not in table:
                table[key] = self.count(stage, state)
            count = table[key]
            if count is None:
                return Unsound(("blocks", at, key))
            state[stage.position] = total
            total += count
        state[self.layout.total] = total
        state[self.layout.dilation] = 1
        for rated, patterns in self.rated:
            key = rated.key(state)
            if key not in patterns:
                if len(patterns) > MOST_KEPT:
                    patterns.clear()
                patterns[key] = self.pattern(rated, key, state)
            state[rated.pattern] = patterns[key]
        return None

    def run(self, walking: _Pass, state: State) -> list[NodeCost]:
        """The outcomes of all nodes, in order of execution."""
        state[self.layout.input] = walking.start
        outcomes = []
        for site, table in walking.tables:
            key = site.key(state)
            outcome = table.get(key)
            if outcome is None:
                outcome = table[key] = self.learn(walking, site, state)
            state[site.writes] = outcome.writes
            outcomes.append(outcome)
        return outcomes

    def total(self, outcomes: list[NodeCost]) -> Figures | Unsound:
        """The sum over the nodes, once the body has decided what they leave open."""
        unread = read = size = instances = 0
        sound = True
        for outcome in outcomes:
            unread |= outcome.unread
            read |= outcome.read
            size += outcome.size
            instances += outcome.instances
            sound = sound and outcome.fault is None
        unread &= ~read
        if size > MOST_NODES or instances >= MOST_INSTANCES:
            return Unsound()
        refused = () if sound else _with_fault(outcomes, Fault.PLACING)
        if refused:
            return Unsound((Fault.PLACING, refused))
        wirings = tuple([outcome.wiring for outcome in outcomes])
        body = self.bodies.get(wirings)
        if body is None:
            body = self.bodies[wirings] = self.body(wirings)
        if not sound or not body.sound or unread:
            return _reason(outcomes, body, unread)
        params = buffers = macs = activations = 0
        for outcome in outcomes:
            counts = outcome.costs.get(body.number)
            if counts is None:
                counts = outcome.costs[body.number] = _priced(outcome.parts, body)
            params += counts[0]
            buffers += counts[1]
            macs += counts[2]
            activations += counts[3]
        if params > MOST_PARAMS:
            return Unsound()
        return Figures(params, buffers, macs, 2 * macs, activations)

    # --- what is learned on the way

    def values(self, state: State) -> dict[str, Value]:
        """The varied numbers by name."""
        factors = self.space.factors
        return {
            name: factors[factor].settings[state[slot]].value  # type: ignore[misc]
            for factor, slot, name in self.layout.leaves
        }

    def names(self, state: State) -> dict[str, Value]:
        """What the terms of the body may read: its parameters, its `let`, the varied numbers."""
        own = self.environments[self.layout.environment(state)]
        return {**(own or {}), **self.values(state)}

    def environment(self, state: State) -> dict[str, Value] | None:
        """The parameters and `let` of the network; None after a fault.

        Ambient slots read no varied number: the first environment binds them.
        """
        try:
            own = self.facts.own(self.values(state))
            if not self.facts.ambient:
                self.facts.bind_ambient_in(own)
        except ErrorReported:
            self.facts.faults.clear()
            self.facts.ambient.clear()
            return None
        return own

    def count(self, stage: SweepStage, state: State) -> int | None:
        """The number of blocks of a stage; None after a fault."""
        try:
            return block_count(self.facts, stage.node, self.names(state))
        except ErrorReported:
            self.facts.faults.clear()
            return None

    def pattern(self, rated: Rated, key: Hashable, state: State) -> int:
        """The number of a stage's rates, block by block; where they have no value, of the key."""
        values = self.names(state)
        count = block_count(self.facts, rated.node, values)  # `start` has found it sound
        places = (count, state[rated.position], state[self.layout.total])
        found: Hashable = (rated.node.key, key)
        with suppress(ExpressionError):
            found = tuple([self.patterns.of(term, values, *places) for term in rated.terms])
        return self.pattern_numbers.setdefault(found, len(self.pattern_numbers))

    def learn(self, walking: _Pass, site: BodyNode, state: State) -> NodeCost:
        """What the compiler's passes find out about a node in a state that is new."""
        readings = [self.readings[state[slot]] for _, slot in site.reads]
        found = evaluate(walking.walk, site, self.names(state), readings, state[site.dilation])
        self.learned += 1
        outcome, wired = found.outcome, wiring(found)
        outcome.number = self.learned
        outcome.wiring = _numbered(self.wirings, self.wiring_numbers, alike(site, wired), wired)
        outcome.writes = [*map(self.number, found.readings), found.dilation]
        return outcome

    def body(self, numbers: tuple[int, ...]) -> NetworkBody:
        """What a body of these wirings decides."""
        wirings = [self.wirings[number] for number in numbers]
        return decide(self.network, self.layout.sites, wirings, len(self.bodies))


def _numbered(things: list[Any], numbers: dict[Any, int], key: Hashable, thing: object) -> int:
    """The number of a thing among others; those of one key are the same."""
    number = numbers.setdefault(key, len(things))
    if number == len(things):
        things.append(thing)
    return number


def _with_fault(outcomes: Sequence[NodeCost], fault: Fault) -> tuple[int, ...]:
    return tuple([outcome.number for outcome in outcomes if outcome.fault is fault])


def _reason(outcomes: Sequence[NodeCost], body: NetworkBody, unread: int) -> Unsound:
    """Why a variant whose nodes could be placed is unsound; what is asked first comes first."""
    conflicts = _with_fault(outcomes, Fault.CONFLICT)
    if conflicts or unread or not body.sound:
        return Unsound((Fault.CONFLICT, conflicts, body.number, unread))
    return Unsound((Fault.SHAPES, _with_fault(outcomes, Fault.SHAPES)))


def _priced(parts: Sequence[PartCost], body: NetworkBody) -> Counts:
    """What the parts of a node cost in a body."""
    params = buffers = macs = activations = 0
    for part in parts:
        params += part.cost.params + (part.bias if part.key in body.biased else 0)
        buffers += part.cost.buffers
        if part.key not in body.held:
            macs += part.cost.macs
            activations += part.cost.activations
    return params, buffers, macs, activations
