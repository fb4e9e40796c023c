"""diff(before, after) -> Difference: what differs between two networks.

    difference = diff(compile_spec("resnet50"), compile_spec("resnet101"))
    difference.spec        ->  stages.layer3.blocks: 6 -> 23
    difference.stages      ->  {"layer3": (6 blocks, 23 blocks, ...)}
    difference.keys.added  ->  ("layer3.6.conv1.weight", ...)

Both networks are compared as compiled: their specs after inheritance (`diff_specs`), nodes and keys
of the state_dict (`diff_graphs`), stages, costs, inputs and outputs. `diff_text` and `diff_data`
present the result. Non-goals: what the networks compute with given weights, and how they are printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnetgen.compiler.analysis.rows import Row, rows_by_stage
from resnetgen.compiler.ir.nodes import Network
from resnetgen.compiler.passes.expand import expand
from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.pipeline import Compiled
from resnetgen.variants.diff_graphs import (
    BeforeAfter,
    KeyChanges,
    NetworkSummary,
    NodeChanges,
    key_changes,
    node_changes,
    summarize,
)
from resnetgen.variants.diff_specs import SpecChange, spec_changes
from resnetgen.weights.match import Shape

# The metrics of a Cost that are compared, and what they are called.
METRIC_NAMES = {
    "params": "parameters",
    "macs": "multiply-adds",
    "flops": "FLOPs",
    "activations": "activations",
}


@dataclass(frozen=True, slots=True)
class StageSummary:
    """A stage, the stem, the head or another node of a network's body."""

    block: str
    blocks: int | None  # None: it does not repeat
    out: Shape
    params: int
    macs: int


StagePair = tuple[StageSummary | None, StageSummary | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs; each field is empty where nothing does."""

    spec: tuple[SpecChange, ...]
    interface: dict[str, BeforeAfter]  # `input`, `outputs`, `outputs in training`
    stages: dict[str, StagePair]
    costs: tuple[Cost, Cost]
    nodes: NodeChanges
    keys: KeyChanges
    networks: tuple[NetworkSummary, NetworkSummary]

    @property
    def networks_equal(self) -> bool:
        """Whether both compile to the same nodes, tensors, initial weights, inputs and outputs."""
        return not (self.nodes or self.keys or self.interface)

    @property
    def identical(self) -> bool:
        """Whether nothing differs, not even the specs."""
        return self.networks_equal and not self.spec


def diff(before: Compiled, after: Compiled) -> Difference:
    """What differs between two networks."""
    networks = (summarize(before), summarize(after))
    specs = (expand(each.document, each.network) for each in (before, after))
    return Difference(
        spec_changes(*specs),
        _interface(before, after, networks),
        _stages(before, after),
        (before.cost, after.cost),
        node_changes(*networks),
        key_changes(*networks),
        networks,
    )


# --- inputs and outputs


def _interface(
    before: Compiled, after: Compiled, networks: tuple[NetworkSummary, NetworkSummary]
) -> dict[str, BeforeAfter]:
    old = _inputs_and_outputs(before.network, networks[0])
    new = _inputs_and_outputs(after.network, networks[1])
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def _inputs_and_outputs(network: Network, summary: NetworkSummary) -> dict[str, str]:
    """Inputs and outputs as text; outputs have names only if the network returns a dict."""
    graph = summary.graph
    types = {node.name: node.type for node in graph.nodes}
    names = [f"{each.name}: " if network.named_outputs else "" for each in network.outputs]
    outputs = [
        f"{name}{source} {types[source]}" for name, source in zip(names, graph.outputs, strict=True)
    ]
    training = [f"{source} {types[source]}" for source in graph.train_outputs]
    return {
        "input": str(network.input),
        "outputs": ", ".join(outputs),
        "outputs in training": ", ".join(training),
    }


# --- stages


def _stages(before: Compiled, after: Compiled) -> dict[str, StagePair]:
    """Those that differ, in the order of the first network; new ones after those they follow."""
    old = {row.name: _stage(row) for row in rows_by_stage(before.typed)}
    new = {row.name: _stage(row) for row in rows_by_stage(after.typed)}
    pairs = {name: (old.get(name), new.get(name)) for name in _merged([*old], [*new])}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _stage(row: Row) -> StageSummary:
    counts = [
        sum(times for _, times in step.blocks)
        for step, _ in row.nodes
        if step.node.block_node.repeat is not None
    ]
    return StageSummary(
        row.op if row.op != row.name else "",
        sum(counts) if counts else None,
        row.result.shape,
        row.cost.params,
        row.cost.macs,
    )


def _merged(old: list[str], new: list[str]) -> list[str]:
    """Both in one order: `[a, b]` and `[a, x, b]` give `[a, x, b]`."""
    merged = list(old)
    place = 0
    for name in new:
        if name in old:
            place = merged.index(name) + 1
        else:
            merged.insert(place, name)
            place += 1
    return merged
