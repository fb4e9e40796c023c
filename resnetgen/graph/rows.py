"""Rows of a report: by node, by block or by stage, in the order of execution.

layer3: {blocks: 36}  ->  layer3.0, layer3.1, ..., layer3.35; folded: layer3.0, layer3.1-35
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnetgen.graph.ir import OpCall
from resnetgen.graph.measure import Cost, Measured, Step
from resnetgen.graph.paths import numbered_paths, shared_paths
from resnetgen.graph.rules import TensorType


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One line of a report: a node, a block, a stage, or several equal ones in a row."""

    name: str
    op: str  # what it is: an op, or the name of a block
    source: TensorType
    result: TensorType
    cost: Cost  # of all of them
    group: str  # the stage, or `stem`, `head`, ...
    steps: tuple[tuple[Step, int], ...]  # what it is made of, and how often
    count: int = 1  # equal ones that are folded here


def rows_by_node(measured: Measured, folded: bool = False) -> Iterator[Row]:
    """Every op of the network."""
    yield from _nodes(measured, "", "", 1, folded)


def _nodes(measured: Measured, prefix: str, group: str, times: int, folded: bool) -> Iterator[Row]:
    paths = numbered_paths(measured.instance.placed)
    shared = shared_paths(paths)
    for index in measured.instance.schedule:
        step, own = measured.steps[index], paths[index]
        inner = group or step.placed.group or step.placed.key
        told = [step.placed.key if path in shared else path for path in own]
        if isinstance(step.placed.what, OpCall):
            cost, steps = step.cost * times, ((step, times),)
            op, name = step.placed.what.op, prefix + told[0]
            yield Row(name, op, step.source, step.result, cost, inner, steps, times)
        for block, name, count in _runs(step, told, folded):
            yield from _nodes(block, f"{prefix}{name}.", inner, times * count, folded)


def rows_by_block(measured: Measured, folded: bool = False) -> Iterator[Row]:
    """Every block of every stage, and every other node of the network's own body."""
    paths = numbered_paths(measured.instance.placed)
    for index in measured.instance.schedule:
        step, own = measured.steps[index], paths[index]
        group = step.placed.group or step.placed.key
        if isinstance(step.placed.what, OpCall):
            op = step.placed.what.op
            yield Row(own[0], op, step.source, step.result, step.cost, group, ((step, 1),))
        source = step.source
        for block, name, count in _runs(step, own, folded):
            op, steps = block.instance.block.name, tuple((each, count) for each in block.steps)
            cost, result = block.cost * count, block.outputs[0]
            yield Row(name, op, source, result, cost, group, steps, count)
            source = result


def _runs(step: Step, names: Sequence[str], folded: bool) -> Iterator[tuple[Measured, str, int]]:
    """The blocks of a stage, equal ones in a row as one where they are folded."""
    at = 0
    for block, count in step.blocks:
        if folded:
            yield block, _folded(names[at], names[at + count - 1]), count
        else:
            for each in range(count):
                yield block, names[at + each], 1
        at += count


def _folded(first: str, last: str) -> str:
    """`layer3.1`, `layer3.35` -> `layer3.1-35`."""
    parent, dot, number = last.rpartition(".")
    if first == last:
        return first
    alike = first.rpartition(".")[0] == parent
    return f"{first}-{number}" if dot and alike else f"{first} - {last}"


def rows_by_stage(measured: Measured) -> list[Row]:
    """The stem, each stage, each other node, the head."""
    rows: dict[str, Row] = {}
    for index in measured.instance.schedule:
        step = measured.steps[index]
        group = step.placed.group or step.placed.key
        before = rows.get(group)
        cost = before.cost + step.cost if before else step.cost
        source = before.source if before else step.source
        steps = (*(before.steps if before else ()), (step, 1))
        rows[group] = Row(group, _kind(step), source, step.result, cost, group, steps)
    return list(rows.values())


def _kind(step: Step) -> str:
    if step.placed.group:
        return step.placed.group
    if step.blocks:
        return step.blocks[-1][0].instance.block.name
    return step.placed.what.op if isinstance(step.placed.what, OpCall) else ""
