"""The rows of a report: by node, block or stage; and the features that a network returns.

    rows_by_node(typed)            ->  conv1, bn1, ..., layer3.0.conv1, ..., layer3.35.conv3, ..., fc
    rows_by_block(typed, folded=True)    ->  conv1, ..., layer3.0, layer3.1-35, ..., fc
    rows_by_stage(typed)           ->  stem, layer1, layer2, layer3, layer4, head
    features(network, root)        ->  Feature("layer1", "layer1", 256, 4), ...

Rows are in order of execution. Folded, equal blocks in a row are one row, with the cost of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from resnetgen.compiler.analysis.name_ranges import name_range
from resnetgen.compiler.analysis.receptive_field import Operands, ReceptiveField, ReceptiveFields
from resnetgen.compiler.ir.nodes import Instance, Network
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import Cost, TypedInstance, TypedNode
from resnetgen.compiler.passes.module_paths import numbered_paths, shared_paths
from resnetgen.compiler.passes.stages import reduction


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One line of a report: a node, a block, a stage, or several equal ones in a row."""

    name: str
    op: str  # an op, or the name of a block
    source: TensorType
    result: TensorType
    cost: Cost  # of all of them
    group: str  # the stage, or `stem`, `head`, ...
    nodes: tuple[tuple[TypedNode, int], ...]  # what it consists of, each with its repeats
    receptive_field: ReceptiveField  # of the result; of folded ones, that of the last
    count: int = 1  # the equal ones that are folded here


def _whole_input(typed: TypedInstance) -> tuple[ReceptiveFields, Operands]:
    """The receptive fields of a network, and that of its input."""
    fields = ReceptiveFields(typed.source.size)
    return fields, (fields.start,)


# --- by node


def rows_by_node(typed: TypedInstance, folded: bool = False) -> Iterator[Row]:
    """Every op of the network."""
    fields, start = _whole_input(typed)
    yield from _op_rows(typed, fields, start, "", "", 1, folded)


def _op_rows(
    typed: TypedInstance,
    fields: ReceptiveFields,
    inputs: Operands,
    prefix: str,
    group: str,
    times: int,
    folded: bool,
) -> Iterator[Row]:
    paths = numbered_paths(typed.instance.nodes)
    shared = shared_paths(paths)
    for index, sources, field in fields.of_nodes(typed, inputs):
        node = typed.nodes[index]
        assert field is not None
        own_group = group or node.node.group or node.node.key
        names = [node.node.key if path in shared else path for path in paths[index]]
        if node.node.op:
            cost, nodes = node.cost * times, ((node, times),)
            op, name = node.node.op.name, prefix + names[0]
            yield Row(name, op, node.source, node.result, cost, own_group, nodes, field, times)
        for run in _runs(node, names, fields, sources, folded):
            before = (fields.of_blocks(run.block, run.count - 1, run.sources), *run.sources[1:])
            below, name = times * run.count, f"{prefix}{run.name}."
            yield from _op_rows(run.block, fields, before, name, own_group, below, folded)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One block, or equal ones in a row; `sources` are the fields of the first one's inputs."""

    block: TypedInstance
    name: str
    count: int
    sources: Operands


def _runs(
    node: TypedNode, names: Sequence[str], fields: ReceptiveFields, sources: Operands, folded: bool
) -> Iterator[_Run]:
    """The blocks of a stage; where they are folded, equal ones in a row as one."""
    at = 0
    for block, times in node.blocks:
        for first in (at,) if folded else range(at, at + times):
            count = times if folded else 1
            yield _Run(block, name_range(names[first], names[first + count - 1]), count, sources)
            sources = (fields.of_blocks(block, count, sources), *sources[1:])
        at += times


# --- by block


def rows_by_block(typed: TypedInstance, folded: bool = False) -> Iterator[Row]:
    """Every block of every stage, and every other node of the network's own body."""
    fields, start = _whole_input(typed)
    paths = numbered_paths(typed.instance.nodes)
    for index, sources, field in fields.of_nodes(typed, start):
        node, names = typed.nodes[index], paths[index]
        assert field is not None
        group = node.node.group or node.node.key
        if node.node.op:
            op, nodes = node.node.op.name, ((node, 1),)
            yield Row(names[0], op, node.source, node.result, node.cost, group, nodes, field)
        source = node.source
        for run in _runs(node, names, fields, sources, folded):
            block, result = run.block, run.block.outputs[0]
            op, below = block.instance.block.name, tuple((each, run.count) for each in block.nodes)
            cost, last = block.cost * run.count, fields.of_blocks(block, run.count, run.sources)
            assert last is not None
            yield Row(run.name, op, source, result, cost, group, below, last, run.count)
            source = result


# --- by stage


def rows_by_stage(typed: TypedInstance) -> list[Row]:
    """The stem, each stage, each other node, the head."""
    fields, start = _whole_input(typed)
    rows: dict[str, Row] = {}
    for index, _, field in fields.of_nodes(typed, start):
        node = typed.nodes[index]
        assert field is not None
        group = node.node.group or node.node.key
        before = rows.get(group)
        cost = before.cost + node.cost if before else node.cost
        source = before.source if before else node.source
        nodes = (*(before.nodes if before else ()), (node, 1))
        rows[group] = Row(group, _kind(node), source, node.result, cost, group, nodes, field)
    return list(rows.values())


def stages(typed: TypedInstance) -> dict[str, list[TypedNode]]:
    """The nodes of the stem, each stage, each other node and the head, in order of execution."""
    groups: dict[str, list[TypedNode]] = {}
    for index in typed.instance.schedule:
        node = typed.nodes[index]
        groups.setdefault(node.node.group or node.node.key, []).append(node)
    return groups


def whole_network(typed: TypedInstance, name: str) -> Row:
    """The network as one row; its receptive field is that of its first output."""
    fields, start = _whole_input(typed)
    output = typed.instance.outputs[0]
    results = {typed.nodes[at].node.key: field for at, _, field in fields.of_nodes(typed, start)}
    field = results[output] or fields.start
    nodes = tuple((node, 1) for node in typed.nodes)
    result, cost = typed.outputs[0], typed.cost
    return Row(name, "", typed.source, result, cost, "", nodes, field)


def _kind(node: TypedNode) -> str:
    if node.node.group:
        return node.node.group
    if node.blocks:
        return node.blocks[-1][0].instance.block.name
    return node.node.op.name if node.node.op else ""


# --- features


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
        node = root.nodes[index]
        strides[node.key] = reduction(node, strides)
    channels = {node.key: node.result.channels for node in root.nodes}
    rows = []
    for output, key in zip(network.outputs, root.outputs, strict=False):
        stride = Fraction(strides[key]).limit_denominator(1024)
        reduced = stride.numerator if stride.denominator == 1 else float(stride)
        width = channels.get(key, network.input.channels)
        rows.append(Feature(output.name, output.key, width, reduced))
    return tuple(rows)
