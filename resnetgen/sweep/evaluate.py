"""What the variants of one symbolic network cost: every node of its body looked up, and a sum.

    layer3.blocks=1..40, layer4.width=256,384,512   ->   120 variants, for which layer1 is placed once

Figures come from the compiler's own passes, one node of the body at a time (`outcome.py`); what is
added here is a memory. As in the compiler there are two walks: the first finds the nodes that are
idle in every instance of their block, the second leaves them out. Then the body as a whole decides
what its nodes leave open. A variant that is not plainly sound is left to the compiler, which can
tell what is wrong.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resnetgen.graph.bias import with_bias
from resnetgen.graph.instantiate import DEEPEST, MOST_INSTANCES
from resnetgen.graph.ir import Bound, Network, OpCall, Passes, Placed
from resnetgen.graph.measure import MOST_PARAMS, Cost
from resnetgen.graph.ops import OPS
from resnetgen.graph.paths import numbered_paths
from resnetgen.graph.rules import Flow
from resnetgen.graph.stages import MOST_NODES, block_count
from resnetgen.graph.values import Broken, Values
from resnetgen.language.expressions import ExpressionError, Value
from resnetgen.sweep.inert import Patterns, Rates
from resnetgen.sweep.layout import Rated, Site, Stage, State, layout
from resnetgen.sweep.outcome import (
    ABSENT,
    BROKEN,
    Bits,
    Evaluated,
    Idle,
    KeepingWalk,
    Part,
    Reading,
    body_of,
    evaluate,
    has_conflict,
)
from resnetgen.sweep.space import Space
from resnetgen.sweep.symbols import Symbolic

MOST_KEPT = 30_000  # outcomes, environments and bodies of one network, each

Counts = tuple[int, int, int, int]  # params, buffers, macs, activations


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


@dataclass(slots=True, eq=False)
class Outcome:
    """What is remembered of a node of the body under one key: no instance, they are large."""

    number: int
    writes: list[int]  # into the state: its readings, and the dilation after it
    wiring: int
    parts: tuple[Part, ...]
    size: int
    instances: int
    refused: bool
    misshapen: bool
    conflict: bool
    sound: bool  # none of these three
    idle: int
    busy: int
    unread: int
    read: int
    costs: dict[int, Counts] = field(default_factory=dict)  # by the number of the body


@dataclass(frozen=True, slots=True, eq=False)
class Wiring:
    """How what is placed for a node stands to other nodes; one serves all outcomes that are alike."""

    placed: tuple[Placed, ...]
    sources: tuple[str | None, ...]  # of the names that the node gives


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """What the body as a whole decides."""

    number: int
    sound: bool
    biased: frozenset[str]  # convolutions whose bias no norm makes needless
    held: frozenset[str]  # what only training computes


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """One walk over the body: what is left out in it, and what it knows of each node."""

    walk: KeepingWalk
    start: int  # the reading of the network's input
    tables: list[tuple[Site, dict[Any, Outcome]]]


class Evaluator:
    """The costs of the variants of one symbolic network."""

    def __init__(self, symbolic: Symbolic, space: Space) -> None:
        self.network: Network = symbolic.network
        self.space = space
        self.rates = Rates()
        self.layout = layout(symbolic, self.rates)
        self.facts = Values(self.network)
        self.ambient: dict[str, Bound] | None = None
        self.learned = 0
        self.forget()

    def forget(self) -> None:
        """Begins anew, so that memory stays flat."""
        self.readings: dict[Reading, int] = {BROKEN: 0, ABSENT: 1}
        self.known_readings: list[Reading] = [BROKEN, ABSENT]
        self.wirings: dict[Any, int] = {}
        self.known_wirings: list[Wiring] = []
        self.bodies: dict[tuple[int, ...], Body] = {}
        self.bits = Bits()
        self.walks: dict[Idle, KeepingWalk] = {}
        self.second: dict[int, _Pass] = {}
        self.first = self.walk_over(0, sized=False)
        self.stages: list[tuple[Stage, dict[Any, int | None]]] = [
            (stage, {}) for stage in self.layout.stages
        ]
        self.rated: list[tuple[Rated, dict[Any, int]]] = [(each, {}) for each in self.layout.rated]
        self.patterns = Patterns()
        self.known_patterns: dict[Hashable, int] = {}
        self.environments: dict[Any, dict[str, Value] | None] = {}
        self.judged: dict[Hashable, str] = {}  # what the compiler said, by reason

    def walk_over(self, idle: int, sized: bool) -> _Pass:
        """A walk that leaves some nodes out; one that knows no sizes measures nothing."""
        nodes = self.bits.nodes(idle)
        walk = self.walks.setdefault(nodes, KeepingWalk(self.network, nodes, self.bits, self.rates))
        walk.facts.ambient = self.ambient or {}
        source = self.network.root.inputs[0]
        given = self.network.input
        reading = Reading(source, Flow(given.channels), 1, given if sized else None)
        return _Pass(walk, self.number(reading), [(site, {}) for site in self.layout.sites])

    def number(self, reading: Reading) -> int:
        """The number that stands for a reading in a state."""
        found = self.readings.setdefault(reading, len(self.known_readings))
        if found == len(self.known_readings):
            self.known_readings.append(reading)
        return found

    # --- one variant

    def figures(self, choice: Sequence[int]) -> Figures | Unsound:
        """The cost of a variant, by the index of each factor's value."""
        kept = (self.learned, len(self.environments), len(self.bodies), len(self.known_patterns))
        if max(kept) > MOST_KEPT:
            self.forget()
            self.learned = 0
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
        refused = tuple(outcome.number for outcome in first if outcome.refused)
        if refused:
            return Unsound(("placing", refused))
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
        if self.ambient is None and not self.bind_ambient(self.environments[key] or {}):
            return Unsound(("ambient",))
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

    def run(self, walking: _Pass, state: State) -> list[Outcome]:
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

    def total(self, outcomes: list[Outcome]) -> Figures | Unsound:
        """The sum over the nodes, once the body has decided what they leave open."""
        unread = read = size = instances = 0
        sound = True
        for outcome in outcomes:
            unread |= outcome.unread
            read |= outcome.read
            size += outcome.size
            instances += outcome.instances
            sound = sound and outcome.sound
        if size > MOST_NODES or instances >= MOST_INSTANCES:
            return Unsound()
        refused = () if sound else tuple(each.number for each in outcomes if each.refused)
        if refused:
            return Unsound(("placing", refused))
        wirings = tuple([outcome.wiring for outcome in outcomes])
        body = self.bodies.get(wirings)
        if body is None:
            body = self.bodies[wirings] = self.decide(wirings)
        if not sound or not body.sound or unread & ~read:
            return _reason(outcomes, body, unread & ~read)
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
        """The parameters and `let` of the network, as `Walk.environment`; None after a fault."""
        root = self.network.root
        values: dict[str, Value] = {"in_channels": self.network.input.channels}
        values |= self.values(state)
        defaults = {name: param.default for name, param in root.params.items() if param.default}
        try:
            for name, term in (*defaults.items(), *root.let.items()):
                values[name] = self.facts.value(term, values)
        except Broken:
            self.facts.faults.clear()
            return None
        return values

    def bind_ambient(self, values: dict[str, Value]) -> bool:
        """Binds the ambient slots, which read no varied number; false after a fault."""
        root = self.network.root
        let = {name: values[name] for name in root.let}
        ambient: dict[str, Bound] = {}
        try:
            for name, binding in self.network.ambient.items():
                self.facts.ambient = ambient
                ambient[name] = self.facts.bind(binding, let, {}, {})
        except Broken:
            self.facts.faults.clear()
            return False
        self.ambient = ambient
        for walk in self.walks.values():
            walk.facts.ambient = ambient
        return True

    def count(self, stage: Stage, state: State) -> int | None:
        """The number of blocks of a stage; None after a fault."""
        try:
            return block_count(self.facts, stage.node, self.names(state))
        except Broken:
            self.facts.faults.clear()
            return None

    def pattern(self, rated: Rated, key: Hashable, state: State) -> int:
        """The number of a stage's rates, block by block; where they have no value, of the key."""
        values = self.names(state)
        before, total = state[rated.position], state[self.layout.total]
        found: Hashable = (rated.node.key, key)
        with suppress(Broken, ExpressionError):
            count = block_count(self.facts, rated.node, values)
            places = (count, before, total)
            found = tuple([self.patterns.of(term, values, *places) for term in rated.terms])
        return self.known_patterns.setdefault(found, len(self.known_patterns))

    def learn(self, walking: _Pass, site: Site, state: State) -> Outcome:
        """What the compiler's passes find out about a node in a state that is new."""
        readings = [self.known_readings[state[slot]] for _, slot in site.reads]
        found = evaluate(walking.walk, site, self.names(state), readings, state[site.dilation])
        self.learned += 1
        traits = found.traits
        return Outcome(
            number=self.learned,
            writes=[*map(self.number, found.readings), found.dilation],
            wiring=self.wiring(site, found),
            parts=found.parts,
            size=found.size,
            instances=found.instances,
            refused=found.refused,
            misshapen=found.misshapen,
            conflict=traits.conflict,
            sound=not (found.refused or found.misshapen or traits.conflict),
            idle=traits.idle,
            busy=traits.busy,
            unread=traits.unread,
            read=traits.read,
        )

    def wiring(self, site: Site, found: Evaluated) -> int:
        """The number of the wiring of an outcome."""
        sources = tuple(reading.source for reading in found.readings)
        joints = tuple(_joint(placed, site.alone) for placed in found.placed)
        number = self.wirings.setdefault((site.at, sources, joints), len(self.known_wirings))
        if number == len(self.known_wirings):
            self.known_wirings.append(Wiring(found.placed, sources))
        return number

    def decide(self, numbers: tuple[int, ...]) -> Body:
        """What a body of these wirings decides, by the compiler's own rules."""
        wirings = [self.known_wirings[number] for number in numbers]
        pairs = list(zip(self.layout.sites, wirings, strict=True))
        root = self.network.root
        sources: dict[str, str | None] = {name: name for name in root.inputs}
        for site, wiring in pairs:
            sources |= zip(site.gives, wiring.sources, strict=True)
        pairs.sort(key=lambda pair: pair[0].at)
        placed = [each for _, wiring in pairs for each in wiring.placed]
        undecided = {each.key for each in placed if _is_open(each)}
        biased = {
            each.key for each in with_bias(placed) if each.key in undecided and _has_bias(each)
        }
        outputs = [sources[each.key] for each in self.network.outputs]
        all_outputs = [*outputs, *(sources[each.key] for each in self.network.train_outputs)]
        held = _unreached(placed, outputs) if self.network.train_outputs else frozenset()
        sound = None not in all_outputs and self.holds(placed, all_outputs)
        return Body(len(self.bodies), sound, frozenset(biased), held)

    def holds(self, placed: Sequence[Placed], outputs: Sequence[str | None]) -> bool:
        """Whether every node is read and has a path of its own, as `Walk.check` asks."""
        given = [each for each in outputs if each]
        read = {name for each in placed for name in each.inputs} | set(given)
        return (
            all(each.key in read for each in placed)
            and not _shares_a_number(placed)
            and not has_conflict(body_of(self.network.root, placed, given))
        )


def _reason(outcomes: Sequence[Outcome], body: Body, unread: int) -> Unsound:
    """Why a variant whose nodes could be placed is unsound; what is asked first comes first."""
    conflicts = tuple(each.number for each in outcomes if each.conflict)
    if conflicts or unread or not body.sound:
        return Unsound(("body", body.number, conflicts, unread))
    return Unsound(("shapes", tuple(each.number for each in outcomes if each.misshapen)))


def _priced(parts: Sequence[Part], body: Body) -> Counts:
    """What the parts of a node cost in a body."""
    params = buffers = macs = activations = 0
    for part in parts:
        params += part.cost.params + (part.bias if part.key in body.biased else 0)
        buffers += part.cost.buffers
        if part.key not in body.held:
            macs += part.cost.macs
            activations += part.cost.activations
    return params, buffers, macs, activations


def _is_open(placed: Placed) -> bool:
    """Whether a convolution's bias depends on its readers."""
    call = placed.what
    return isinstance(call, OpCall) and call.attributes.get("bias", True) is None


def _has_bias(placed: Placed) -> bool:
    return isinstance(placed.what, OpCall) and bool(placed.what.attributes["bias"])


def _joint(placed: Placed, alone: bool) -> Hashable:
    """All of a placed node that matters to other nodes of the body."""
    what = placed.what
    kind = what is not None and isinstance(what, Passes)
    is_norm = isinstance(what, OpCall) and OPS[what.op].is_norm
    joint = (placed.key, placed.inputs, kind, is_norm, _is_open(placed))
    return joint if alone else (joint, placed.paths, _module(placed))


def _module(placed: Placed) -> Hashable:
    """What decides whether a module may share its path; numbered ones never do."""
    what = placed.what
    if "*" in placed.paths[0]:
        return None
    if isinstance(what, OpCall):
        return what.op, tuple(what.attributes.items())
    # The wiring keeps the instances alive, so that their `id` names them.
    return tuple(id(run.instance) for run in what) if isinstance(what, tuple) else None


def _shares_a_number(placed: Sequence[Placed]) -> bool:
    """Whether a number that `*` has chosen is also written out: the compiler judges those."""
    owners: dict[str, bool] = {}
    for each, paths in zip(placed, numbered_paths(placed), strict=True):
        for written, path in zip(each.paths, paths, strict=True):
            starred = "*" in written
            if path in owners and (starred or owners[path]):
                return True
            owners[path] = starred
    return False


def _unreached(placed: Sequence[Placed], outputs: Sequence[str | None]) -> frozenset[str]:
    """The nodes that no output in evaluation needs."""
    by_key = {each.key: each for each in placed}
    todo, needed = [each for each in outputs if each], set[str]()
    while todo:
        key = todo.pop()
        if key in by_key and key not in needed:
            needed.add(key)
            todo += by_key[key].inputs
    return frozenset(by_key.keys() - needed)
