"""diff(a, b): what differs between two networks, from their specs to their state_dicts.

    diff(compile_spec("resnet50"), compile_spec("resnet101")).verdict
    ->  17 more blocks in layer3; 25.56 M -> 44.55 M parameters (+74.3 %), ...

Both are compared as they are compiled. Non-goals: what they compute with given weights, and how
either is printed.

What differs between two flat graphs: nodes, and the keys of the state_dict.

    node_changes(a, b).changed  ->  {layer1.0.conv2: {groups: (1, 32)}}
    key_changes(a, b).reshaped  ->  {layer1.0.conv2.weight: ((64, 64, 3, 3), (64, 2, 3, 3))}

Nodes are matched by name, keys by their text. Nothing is said of what is alike.

spec_changes(a, b): where two specs differ, as dotted paths of their trees after inheritance.

    stages.layer3.blocks: 6 -> 23        block.groups: 32 (added)        nodes: the order of its keys

A bare name is what it stands for: `bottleneck` and `{op: bottleneck, groups: 32}` differ in `groups`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnetgen.compiler.analysis.rows import Row, rows_by_node, rows_by_stage
from resnetgen.compiler.frontend.library import DESCRIPTIVE_KEYS, canonical_text
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Scalar, Tree, without
from resnetgen.compiler.ir.nodes import Graph, InitRule, Network, Node
from resnetgen.compiler.passes.expand import expand
from resnetgen.compiler.passes.flatten import state_dict, weights_of
from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.pipeline import Compiled


@dataclass(frozen=True, slots=True)
class StageSummary:
    """A stage, the stem, the head or another node of a network's body."""

    block: str
    blocks: int | None  # None: it does not repeat
    out: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs; parts are empty where nothing does."""

    spec: tuple[SpecChange, ...]
    interface: dict[str, BeforeAfter]  # what goes in and comes out, by what it is
    stages: dict[str, tuple[StageSummary | None, StageSummary | None]]
    costs: tuple[Cost, Cost]
    nodes: NodeChanges
    keys: KeyChanges
    networks: tuple[NetworkSummary, NetworkSummary]

    @property
    def networks_equal(self) -> bool:
        """Whether both compile to the same: nodes, tensors and how they start, inputs and outputs."""
        return not (self.nodes or self.keys or self.interface)

    @property
    def equal(self) -> bool:
        """Whether nothing differs, also not in what the specs say."""
        return self.networks_equal and not self.spec


def diff(before: Compiled, after: Compiled) -> Difference:
    """What differs between two networks."""
    views = (summarize(before), summarize(after))
    specs = (expand(each.document, each.network) for each in (before, after))
    return Difference(
        spec_changes(*specs),
        _interface(before, after, views),
        _stages(before, after),
        (before.cost, after.cost),
        node_changes(*views),
        key_changes(*views),
        views,
    )


def _interface(
    before: Compiled, after: Compiled, views: tuple[NetworkSummary, NetworkSummary]
) -> dict[str, BeforeAfter]:
    old, new = _ends(before.network, views[0]), _ends(after.network, views[1])
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def _ends(network: Network, seen: NetworkSummary) -> dict[str, str]:
    """What goes in and comes out, as text; the names of a dict are what callers ask for."""
    types = {node.name: node.type for node in seen.graph.nodes}
    names = [each.name for each in network.outputs]
    named = network.named_outputs
    outputs = [
        f"{name}: {source} {types[source]}" if named else f"{source} {types[source]}"
        for name, source in zip(names, seen.graph.outputs, strict=True)
    ]
    training = [f"{source} {types[source]}" for source in seen.graph.train_outputs]
    return {
        "input": str(network.input),
        "outputs": ", ".join(outputs),
        "outputs in training": ", ".join(training),
    }


def _stages(
    before: Compiled, after: Compiled
) -> dict[str, tuple[StageSummary | None, StageSummary | None]]:
    """Those that differ, in the order of the first network; new ones after those they follow."""
    old = {row.name: _stage(row) for row in rows_by_stage(before.typed)}
    new = {row.name: _stage(row) for row in rows_by_stage(after.typed)}
    pairs = {name: (old.get(name), new.get(name)) for name in _joined([*old], [*new])}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _stage(row: Row) -> StageSummary:
    counts = [
        sum(times for _, times in step.blocks)
        for step, _ in row.steps
        if step.node.block_node.repeat is not None
    ]
    return StageSummary(
        row.op if row.op != row.name else "",
        sum(counts) if counts else None,
        row.result.shape,
        row.cost.params,
        row.cost.macs,
    )


def _joined(old: list[str], new: list[str]) -> list[str]:
    """Both in one order: `[a, b]` and `[a, x, b]` give `[a, x, b]`."""
    joined = list(old)
    place = 0
    for name in new:
        if name in old:
            place = joined.index(name) + 1
        else:
            joined.insert(place, name)
            place += 1
    return joined


BeforeAfter = tuple[Any, Any]
Shape = tuple[int, ...]
RESULT_SHAPE = "shape of the result"
INIT_OF = "init of "  # a tensor; where a node lacks this, the tensor starts as torch has it


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """What a network's nodes are, by their names, and the tensors that they hold."""

    graph: Graph
    properties: Mapping[str, Mapping[str, Any]]
    keys: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class NodeChanges:
    """Nodes of one graph alone; of both, the facts that differ, and those whose shape alone does."""

    removed: tuple[str, ...]
    added: tuple[str, ...]
    changed: Mapping[str, Mapping[str, BeforeAfter]]
    resized: Mapping[str, BeforeAfter]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed or self.resized)


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """Keys of one state_dict alone, of other shapes, and those that stand elsewhere in the order."""

    removed: tuple[str, ...]
    added: tuple[str, ...]
    reshaped: Mapping[str, tuple[Shape, Shape]]
    moved: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.reshaped or self.moved)


def summarize(compiled: Compiled) -> NetworkSummary:
    """The flat graph of a network, as it is compared; networkx does not check it again."""
    graph = compiled.flat
    rows = rows_by_node(compiled.typed)
    roles = {row.name: row.steps[0][0].node.role for row in rows}
    init = compiled.network.init
    axes = len(graph.input.size)
    facts = {}
    for node in graph.nodes:
        starts = _starts(init, node.op, roles.get(node.name)) if weights_of(node, axes) else {}
        facts[node.name] = _facts(node) | starts
    return NetworkSummary(graph, facts, state_dict(graph))


def _facts(node: Node) -> dict[str, Any]:
    """By words that no attribute can have: reserved keys of nodes, or more than one word."""
    facts = {"op": node.op, "inputs": node.inputs, RESULT_SHAPE: node.type, **node.attributes}
    if node.module != node.name:
        facts["as"] = node.module
    if node.training:
        facts["in training only"] = True
    return facts


def _starts(init: Mapping[str, InitRule], op: str, role: str | None) -> dict[str, Any]:
    """How the tensors of a node start: by the rules of its op, and over those by its role's."""
    rules = [init[name].rules for name in (op, role) if name and name in init]
    return {f"{INIT_OF}{name}": rule for each in rules for name, rule in each.items()}


def node_changes(before: NetworkSummary, after: NetworkSummary) -> NodeChanges:
    """What differs between the nodes of two graphs."""
    changed, resized = {}, {}
    for name, old in before.properties.items():
        new = after.properties.get(name)
        if new is None or new == old:
            continue
        pairs = {
            fact: (old.get(fact), new.get(fact))
            for fact in dict.fromkeys((*old, *new))
            if old.get(fact) != new.get(fact)
        }
        if [*pairs] == [RESULT_SHAPE]:
            resized[name] = pairs[RESULT_SHAPE]
        else:
            changed[name] = pairs
    return NodeChanges(*_alone(before.properties, after.properties), changed, resized)


def key_changes(before: NetworkSummary, after: NetworkSummary) -> KeyChanges:
    """What differs between the keys of two state_dicts."""
    common = [key for key in before.keys if key in after.keys]
    reshaped = {
        key: (before.keys[key], after.keys[key])
        for key in common
        if before.keys[key] != after.keys[key]
    }
    places = {key: place for place, key in enumerate(after.keys)}
    kept = set(_longest_rising([places[key] for key in common]))
    moved = tuple(key for key in common if places[key] not in kept)
    return KeyChanges(*_alone(before.keys, after.keys), reshaped, moved)


def _alone(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return _without(before, after), _without(after, before)


def _without(names: Iterable[str], others: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def _longest_rising(numbers: Sequence[int]) -> list[int]:
    """The most of some distinct numbers that rise as they stand: all others have moved.

    Patience sorting: `ends[n]` is the least number that ends n + 1 rising ones.
    """
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        place = bisect_left(ends, number)
        before[number] = ends[place - 1] if place else None
        ends[place : place + 1] = [number]
    rising: list[int] = []
    last = ends[-1] if ends else None
    while last is not None:
        rising.append(last)
        last = before[last]
    return rising[::-1]


_ORDERED = ("stages", "nodes")  # whose order is that of execution and of the state_dict


@dataclass(frozen=True, slots=True)
class SpecChange:
    """A path, and what stands there in either spec; None: nothing does."""

    path: str
    before: Tree | None
    after: Tree | None

    @property
    def of_order(self) -> bool:
        """Whether both have the same keys in another order; the values are then lists of keys."""
        return self.path.endswith(ORDER)


ORDER = " (order)"


def spec_changes(before: MapTree, after: MapTree) -> tuple[SpecChange, ...]:
    """The differences of two trees, in the order of the first; what is new stands at the end."""
    return tuple(
        _changes("", without(before, *DESCRIPTIVE_KEYS), without(after, *DESCRIPTIVE_KEYS))
    )


def _changes(path: str, before: MapTree, after: MapTree) -> Iterator[SpecChange]:
    for key in dict.fromkeys((*before.entries, *after.entries)):
        here = f"{path}.{key}" if path else key
        old, new = before.entries.get(key), after.entries.get(key)
        if old is None or new is None:
            yield SpecChange(here, old, new)
            continue
        one, other = _as_maps(old, new)
        if isinstance(one, MapTree) and isinstance(other, MapTree):
            yield from _changes(here, one, other)
            if key in _ORDERED:
                yield from _order(here, one, other)
        elif canonical_text(old) != canonical_text(new):
            yield SpecChange(here, old, new)


def _as_maps(one: Tree, other: Tree) -> tuple[Tree, Tree]:
    """A name beside a call as a call without arguments."""
    if isinstance(one, MapTree) and isinstance(other, Scalar) and "op" in one.entries:
        return one, _call(other)
    if isinstance(other, MapTree) and isinstance(one, Scalar) and "op" in other.entries:
        return _call(one), other
    return one, other


def _call(name: Scalar) -> MapTree:
    return MapTree({"op": name}, {"op": name.span}, name.span)


def _order(path: str, before: MapTree, after: MapTree) -> Iterator[SpecChange]:
    old = _common(before, after.entries)
    new = _common(after, before.entries)
    if canonical_text(old) != canonical_text(new):
        yield SpecChange(path + ORDER, old, new)


def _common(tree: MapTree, other: Mapping[str, Tree]) -> ListTree:
    """The keys of a map that another has too."""
    keys = [Scalar(key, key, tree.keys[key], quoted=False) for key in tree.entries if key in other]
    return ListTree(tuple(keys), tree.span)
