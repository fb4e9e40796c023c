"""Rows of a report: by node, by block or by stage, in the order of execution.

layer3: {blocks: 36}  ->  layer3.0, layer3.1, ..., layer3.35; folded: layer3.0, layer3.1-35

features(network, root) -> what each output is: its channels, and how far it is reduced.

outputs: [layer1, layer2]  ->  Feature("layer1", 256, 4), Feature("layer2", 512, 8)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from resnetgen.compiler.analysis.name_ranges import name_range
from resnetgen.compiler.analysis.receptive_field import ReceptiveField, ReceptiveFields
from resnetgen.compiler.ir.nodes import Instance, Network
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import Cost, TypedInstance, TypedNode
from resnetgen.compiler.passes.module_paths import numbered_paths, shared_paths
from resnetgen.compiler.passes.stages import reduction

Sources = Sequence[ReceptiveField | None]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One line of a report: a node, a block, a stage, or several equal ones in a row."""

    name: str
    op: str  # what it is: an op, or the name of a block
    source: TensorType
    result: TensorType
    cost: Cost  # of all of them
    group: str  # the stage, or `stem`, `head`, ...
    steps: tuple[tuple[TypedNode, int], ...]  # what it is made of, and how often
    reach: ReceptiveField  # of the result; where equal ones are folded, of the last
    count: int = 1  # equal ones that are folded here


def rows_by_node(measured: TypedInstance, folded: bool = False) -> Iterator[Row]:
    """Every op of the network."""
    reaches, start = _reaches(measured)
    yield from _nodes(measured, reaches, start, "", "", 1, folded)


def _nodes(
    measured: TypedInstance,
    reaches: ReceptiveFields,
    inputs: Sources,
    prefix: str,
    group: str,
    times: int,
    folded: bool,
) -> Iterator[Row]:
    paths = numbered_paths(measured.instance.nodes)
    shared = shared_paths(paths)
    for index, sources, reach in reaches.steps(measured, inputs):
        step, own = measured.nodes[index], paths[index]
        assert reach is not None
        inner = group or step.node.group or step.node.key
        told = [step.node.key if path in shared else path for path in own]
        if step.node.op:
            cost, steps = step.cost * times, ((step, times),)
            op, name = step.node.op.name, prefix + told[0]
            yield Row(name, op, step.source, step.result, cost, inner, steps, reach, times)
        for run in _runs(step, told, reaches, sources, folded):
            before = (reaches.blocks(run.block, run.count - 1, run.sources), *run.sources[1:])
            below, name = times * run.count, f"{prefix}{run.name}."
            yield from _nodes(run.block, reaches, before, name, inner, below, folded)


def rows_by_block(measured: TypedInstance, folded: bool = False) -> Iterator[Row]:
    """Every block of every stage, and every other node of the network's own body."""
    reaches, start = _reaches(measured)
    paths = numbered_paths(measured.instance.nodes)
    for index, sources, reach in reaches.steps(measured, start):
        step, own = measured.nodes[index], paths[index]
        assert reach is not None
        group = step.node.group or step.node.key
        if step.node.op:
            op, once = step.node.op.name, ((step, 1),)
            yield Row(own[0], op, step.source, step.result, step.cost, group, once, reach)
        source = step.source
        for run in _runs(step, own, reaches, sources, folded):
            block, result = run.block, run.block.outputs[0]
            op, steps = block.instance.block.name, tuple((each, run.count) for each in block.nodes)
            cost, last = block.cost * run.count, reaches.blocks(block, run.count, run.sources)
            assert last is not None
            yield Row(run.name, op, source, result, cost, group, steps, last, run.count)
            source = result


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One block, or equal ones in a row; `sources` are the reaches that the first one reads."""

    block: TypedInstance
    name: str
    count: int
    sources: Sources


def _runs(
    step: TypedNode, names: Sequence[str], reaches: ReceptiveFields, sources: Sources, folded: bool
) -> Iterator[_Run]:
    """The blocks of a stage, equal ones in a row as one where they are folded."""
    at = 0
    for block, times in step.blocks:
        for first in (at,) if folded else range(at, at + times):
            count = times if folded else 1
            yield _Run(block, name_range(names[first], names[first + count - 1]), count, sources)
            sources = (reaches.blocks(block, count, sources), *sources[1:])
        at += times


def stages(measured: TypedInstance) -> dict[str, list[TypedNode]]:
    """The steps of the stem, each stage, each other node and the head, in the order of execution."""
    found: dict[str, list[TypedNode]] = {}
    for index in measured.instance.schedule:
        step = measured.nodes[index]
        found.setdefault(step.node.group or step.node.key, []).append(step)
    return found


def rows_by_stage(measured: TypedInstance) -> list[Row]:
    """The stem, each stage, each other node, the head."""
    reaches, start = _reaches(measured)
    rows: dict[str, Row] = {}
    for index, _, reach in reaches.steps(measured, start):
        step = measured.nodes[index]
        assert reach is not None
        group = step.node.group or step.node.key
        before = rows.get(group)
        cost = before.cost + step.cost if before else step.cost
        source = before.source if before else step.source
        steps = (*(before.steps if before else ()), (step, 1))
        rows[group] = Row(group, _kind(step), source, step.result, cost, group, steps, reach)
    return list(rows.values())


def whole(measured: TypedInstance, name: str) -> Row:
    """The network as one row; what it sees is that of its first output."""
    reaches, start = _reaches(measured)
    first = measured.instance.outputs[0]
    ends = {measured.nodes[at].node.key: reach for at, _, reach in reaches.steps(measured, start)}
    reach = ends[first] or reaches.start
    steps = tuple((step, 1) for step in measured.nodes)
    result, cost = measured.outputs[0], measured.cost
    return Row(name, "", measured.source, result, cost, "", steps, reach)


def _reaches(measured: TypedInstance) -> tuple[ReceptiveFields, Sources]:
    """Those of a network, and what its body reads: the input."""
    reaches = ReceptiveFields(measured.source.size)
    return reaches, (reaches.start,)


def _kind(step: TypedNode) -> str:
    if step.node.group:
        return step.node.group
    if step.blocks:
        return step.blocks[-1][0].instance.block.name
    return step.node.op.name if step.node.op else ""


@dataclass(frozen=True, slots=True)
class Feature:
    """An output of a network. `reduction` is the stride of the whole path from the input."""

    name: str
    module: str
    channels: int
    reduction: int | float


def features(network: Network, root: Instance) -> tuple[Feature, ...]:
    """The outputs in evaluation, in order."""
    strides: dict[str, float] = dict.fromkeys(root.inputs, 1)
    for index in root.schedule:
        placed = root.nodes[index]
        strides[placed.key] = reduction(placed, strides)
    channels = {placed.key: placed.result.channels for placed in root.nodes}
    found = []
    for output, key in zip(network.outputs, root.outputs, strict=False):
        stride = Fraction(strides[key]).limit_denominator(1024)
        reduced = stride.numerator if stride.denominator == 1 else float(stride)
        width = channels.get(key, network.input.channels)
        found.append(Feature(output.name, output.key, width, reduced))
    return tuple(found)
