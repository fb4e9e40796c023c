"""diff(a, b): what differs between two networks, from their specs to their state_dicts.

    diff(compile_spec("resnet50"), compile_spec("resnet101")).verdict
    ->  17 more blocks in layer3; 25.56 M -> 44.55 M parameters (+74.3 %), ...

Both are compared as they are compiled. Non-goals: what they compute with given weights, and how
either is printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnetgen.compiler import Compiled
from resnetgen.graph.expand import expand
from resnetgen.graph.ir import Network
from resnetgen.graph.measure import Cost
from resnetgen.graph.rows import Row, rows_by_stage
from resnetgen.variants.diff_graph import (
    KeyChanges,
    NodeChanges,
    Pair,
    View,
    key_changes,
    node_changes,
    view,
)
from resnetgen.variants.diff_spec import SpecChange, spec_changes


@dataclass(frozen=True, slots=True)
class Stage:
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
    interface: dict[str, Pair]  # what goes in and comes out, by what it is
    stages: dict[str, tuple[Stage | None, Stage | None]]
    costs: tuple[Cost, Cost]
    nodes: NodeChanges
    keys: KeyChanges
    views: tuple[View, View]

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
    views = (view(before), view(after))
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


def _interface(before: Compiled, after: Compiled, views: tuple[View, View]) -> dict[str, Pair]:
    old, new = _ends(before.network, views[0]), _ends(after.network, views[1])
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def _ends(network: Network, seen: View) -> dict[str, str]:
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


def _stages(before: Compiled, after: Compiled) -> dict[str, tuple[Stage | None, Stage | None]]:
    """Those that differ, in the order of the first network; new ones after those they follow."""
    old = {row.name: _stage(row) for row in rows_by_stage(before.measured)}
    new = {row.name: _stage(row) for row in rows_by_stage(after.measured)}
    pairs = {name: (old.get(name), new.get(name)) for name in _joined([*old], [*new])}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _stage(row: Row) -> Stage:
    counts = [
        sum(times for _, times in step.blocks)
        for step, _ in row.steps
        if step.placed.node.repeat is not None
    ]
    return Stage(
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
