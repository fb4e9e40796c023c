"""Measured -> Diagram: what is drawn of a network, or of one of its blocks.

    x -> conv1 -> bn1 -> act1 -> conv2 -> bn2 -> add -> act2      (and x -> add)
    [x] -> [conv1 bn1 act1 conv2 bn2] -> (add) -> [act2] -> [out]

Ops in a line are one node, a stack of cells. A small block within a block is drawn in its place;
blocks that repeat are a node of their own, and the inside of each distinct one is a further
diagram. Blocks in a row with the same structure are one: what varies is a range in the labels.

What a drawing says of ops and shapes: labels that several equal blocks can share.

    ("conv 3×3, ", (64, 64), ", /2")   reads   conv 3×3, 64, /2
    ("conv 3×3, ", (64, 256), ", /2")  reads   conv 3×3, 64–256, /2

A label is made of words and ranges of numbers. Blocks in a row that differ in these numbers alone
are drawn as one; what changes the structure (a kernel, a stride, groups) is in the words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from resnetgen.compiler.analysis.name_ranges import name_range
from resnetgen.compiler.ir.nodes import Network, OpCall, PassThrough
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import Cost, TypedInstance, TypedNode
from resnetgen.compiler.passes.module_paths import numbered_paths
from resnetgen.reports.numbers import cost_summary
from resnetgen.reports.show import is_default, nondefault_attributes

INLINED = 16  # ops of a block within a block that are drawn in its place, not in a panel
UNROLLED = 16  # ops of the simple blocks of a stage that are drawn in the network itself


class DrawnAs(Enum):
    """How a node is drawn."""

    INPUT = "input"
    CHAIN = "chain"  # ops in a line
    JOIN = "join"
    BLOCKS = "blocks"  # blocks in a row, folded
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Cell:
    """An op."""

    label: Label
    kind: str
    tip: str
    block: str  # the block that it is written in
    changed: Label | None = None  # the shape of its result where its input has another


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """Blocks in a row with one structure, and what is inside of each."""

    first: str  # `layer3.1`
    last: str  # `layer3.35`
    block: str
    count: int
    cost: Cost  # of all of them
    inside: Diagram

    @property
    def name(self) -> str:
        """`layer3.1-35`."""
        return name_range(self.first, self.last)

    @property
    def tip(self) -> str:
        """What they are and cost, for the pointer that rests on them."""
        times = f"{self.count} x " if self.count > 1 else ""
        return f"{self.name}: {times}{self.block}\n{cost_summary(self.cost)}"


@dataclass(frozen=True, slots=True, eq=False)
class DiagramNode:
    """One thing of a diagram. `sources` are the indices of the nodes that it reads."""

    form: DrawnAs
    sources: tuple[int, ...]
    shape: Label  # of the result
    cells: tuple[Cell, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    name: str = ""  # of an input or output
    group: str = ""  # `stem`, `head` or a stage; a network's other ops have none, but
    keys: tuple[str, ...] = ()  # their own
    cost: Cost = field(default_factory=Cost)
    training: bool = False  # of a network: only results of training need it


@dataclass(frozen=True, slots=True, eq=False)
class Diagram:
    """Nodes in an order of execution, inputs first, outputs last."""

    nodes: tuple[DiagramNode, ...]

    def panels(self) -> Iterator[Repeat]:
        """The distinct blocks inside, outer before inner."""
        for node in self.nodes:
            for repeat in node.repeats:
                yield repeat
                yield from repeat.inside.panels()


def network_diagram(network: Network, measured: TypedInstance) -> Diagram:
    """The body of a network, with its stages folded."""
    builder = _Builder(at_root=True)
    name = measured.instance.block.inputs[0]
    first = builder.input(network.input, "input")
    ends = builder.body(measured, {name: first}, "", "")
    results = [*network.outputs, *network.train_outputs]
    several = len(results) > 1
    for number, (result, end) in enumerate(zip(results, ends, strict=True)):
        training = number >= len(network.outputs)
        builder.output(end, result.name if several else "output", training)
    return _chained(builder.nodes)


def block_diagram(
    block: TypedInstance, sources: Sequence[TensorType | None], prefix: str
) -> Diagram:
    """The inside of a block that reads values of these types, `None` where an input is `none`."""
    builder = _Builder(at_root=False)
    names = block.instance.block.inputs
    several = len([each for each in sources if each]) > 1
    environment = {
        name: builder.input(source, name if several else "")
        for name, source in zip(names, sources, strict=True)
        if source
    }
    for end in builder.body(block, environment, prefix, ""):
        builder.output(end, "", training=False)
    return _chained(builder.nodes)


class _Builder:
    """Collects one node an op; chains are joined afterwards."""

    def __init__(self, at_root: bool) -> None:
        self.at_root = at_root
        self.nodes: list[DiagramNode] = []

    def add(self, node: DiagramNode) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def input(self, type: TensorType, name: str) -> int:
        return self.add(DiagramNode(DrawnAs.INPUT, (), shape_label(type), name=name))

    def output(self, end: int, name: str, training: bool) -> None:
        shape = self.nodes[end].shape
        self.add(DiagramNode(DrawnAs.OUTPUT, (end,), shape, name=name, training=training))

    def body(
        self, measured: TypedInstance, environment: Mapping[str, int], prefix: str, group: str
    ) -> list[int]:
        """Adds the nodes of a block; the indices of its outputs."""
        known = dict(environment)
        paths = numbered_paths(measured.instance.nodes)
        for index in measured.instance.schedule:
            step = measured.nodes[index]
            placed = step.node
            stage = placed.key if self.at_root and step.blocks else ""
            inner = group or placed.group or stage
            sources = tuple(known.get(name) for name in placed.inputs)
            present = tuple(source for source in sources if source is not None)
            if isinstance(placed.callee, PassThrough):
                known[placed.key] = present[0]
            elif placed.op:
                block = measured.instance.block.name
                known[placed.key] = self.op(step, prefix + paths[index][0], block, present, inner)
            else:
                own = [prefix + path for path in paths[index]]
                known[placed.key] = self.blocks(step, own, sources, present, inner)
        return [known[name] for name in measured.instance.outputs]

    def op(
        self, step: TypedNode, path: str, block: str, sources: tuple[int, ...], group: str
    ) -> int:
        assert step.node.op
        definition = step.node.op.definition
        shape = shape_label(step.result)
        changed = shape if step.result.shape != step.source.shape else None
        cell = Cell(op_label(step), definition.kind, op_tip(path, step), block, changed)
        node = DiagramNode(
            DrawnAs.CHAIN if definition.arity else DrawnAs.JOIN,
            sources,
            shape,
            (cell,),
            group=group,
            keys=(step.node.key,),
            cost=step.cost,
            training=self.at_root and step.training,
        )
        return self.add(node)

    def blocks(
        self,
        step: TypedNode,
        paths: Sequence[str],
        sources: Sequence[int | None],
        present: tuple[int, ...],
        group: str,
    ) -> int:
        """Blocks of a stage: in place where they are small and few, else folded."""
        if not step.blocks:
            return present[0]
        if _in_place(step, self.at_root):
            here, at = present[0], 0
            for block, times in step.blocks:
                names = block.instance.block.inputs
                for path in paths[at : at + times]:
                    given = zip(names, (here, *sources[1:]), strict=True)
                    environment = {name: source for name, source in given if source is not None}
                    here = self.body(block, environment, f"{path}.", group)[0]
                at += times
            return here
        node = DiagramNode(
            DrawnAs.BLOCKS,
            present,
            shape_label(step.result),
            repeats=tuple(_repeats(step, paths)),
            group=group,
            cost=step.cost,
            training=self.at_root and step.training,
        )
        return self.add(node)


def _in_place(step: TypedNode, at_root: bool) -> bool:
    """Whether the blocks of a step are drawn op by op where they stand."""
    if at_root:
        plain = all(_is_line(block) for block, _ in step.blocks)
        return (
            plain and sum(block.instance.size * times for block, times in step.blocks) <= UNROLLED
        )
    ((first, times), *others) = step.blocks
    return not others and times == 1 and first.instance.size <= INLINED and not _repeating(first)


def _is_line(block: TypedInstance) -> bool:
    """Whether the ops of a block stand one after the other."""
    placed = block.instance.nodes
    reads = [*(name for each in placed for name in each.inputs), *block.instance.outputs]
    return (
        len(block.instance.inputs) == 1
        and all(isinstance(each.callee, OpCall | PassThrough) for each in placed)
        and all(len(each.inputs) == 1 for each in placed)
        and len(set(reads)) == len(reads)
    )


def _repeating(block: TypedInstance) -> bool:
    """Whether a block holds blocks in a row."""
    return any(
        sum(times for _, times in step.blocks) > 1
        or any(_repeating(each) for each, _ in step.blocks)
        for step in block.nodes
    )


# --- folding


def _repeats(step: TypedNode, paths: Sequence[str]) -> list[Repeat]:
    """The blocks of a stage; those in a row with one structure as one."""
    at, source = 0, step.source
    found: list[Repeat] = []
    for block, times in step.blocks:
        inside = block_diagram(block, (source, *step.sources[1:]), f"{paths[at]}.")
        first, at, source = paths[at], at + times, block.outputs[0]
        name, cost = block.instance.block.name, block.cost * times
        repeat = Repeat(first, paths[at - 1], name, times, cost, inside)
        if found and found[-1].block == name and structure(found[-1].inside) == structure(inside):
            repeat = _together(found.pop(), repeat)
        found.append(repeat)
    return found


def _together(one: Repeat, other: Repeat) -> Repeat:
    return replace(
        one,
        last=other.last,
        count=one.count + other.count,
        cost=one.cost + other.cost,
        inside=_merged(one.inside, other.inside),
    )


def structure(diagram: Diagram) -> object:
    """What blocks have in common that are drawn as one."""
    return tuple(
        (
            node.form,
            node.sources,
            words(node.shape),
            tuple((words(cell.label), cell.kind) for cell in node.cells),
            tuple((each.block, each.count, structure(each.inside)) for each in node.repeats),
        )
        for node in diagram.nodes
    )


def _merged(one: Diagram, other: Diagram) -> Diagram:
    pairs = zip(one.nodes, other.nodes, strict=True)
    return Diagram(tuple(_merged_node(a, b) for a, b in pairs))


def _merged_node(one: DiagramNode, other: DiagramNode) -> DiagramNode:
    cells = tuple(
        replace(a, label=merged(a.label, b.label), changed=_either(a.changed, b.changed))
        for a, b in zip(one.cells, other.cells, strict=True)
    )
    repeats = tuple(
        replace(a, inside=_merged(a.inside, b.inside))
        for a, b in zip(one.repeats, other.repeats, strict=True)
    )
    return replace(one, shape=merged(one.shape, other.shape), cells=cells, repeats=repeats)


def _either(one: Label | None, other: Label | None) -> Label | None:
    return merged(one, other) if one and other else one or other


# --- chains


def _chained(nodes: Sequence[DiagramNode]) -> Diagram:
    """Ops in a line joined to one node."""
    reads = Counter(source for node in nodes for source in node.sources)
    place: dict[int, int] = {}
    made: list[DiagramNode] = []
    for index, node in enumerate(nodes):
        sources = tuple(place[source] for source in node.sources)
        last = made[sources[0]] if len(sources) == 1 else None
        if last and reads[node.sources[0]] == 1 and _continues(last, node):
            made[sources[0]] = _joined(last, node)
            place[index] = sources[0]
        else:
            made.append(replace(node, sources=sources))
            place[index] = len(made) - 1
    return Diagram(tuple(made))


def _continues(last: DiagramNode, node: DiagramNode) -> bool:
    chains = last.form is DrawnAs.CHAIN and node.form is DrawnAs.CHAIN
    return chains and last.group == node.group and last.training == node.training


def _joined(last: DiagramNode, node: DiagramNode) -> DiagramNode:
    return replace(
        last,
        shape=node.shape,
        cells=last.cells + node.cells,
        keys=last.keys + node.keys,
        cost=last.cost + node.cost,
    )


Range = tuple[float, float]  # from, to
Label = tuple[str | Range, ...]

# How an attribute is written behind the name of its op, in this order; the others are in the tip.
_WORDS: Mapping[str, str] = {
    "kernel": " {}",
    "size": " to {}",
    "scale": " ×{}",
    "stride": ", /{}",
    "groups": ", {} groups",
    "dilation": ", dilation {}",
}
_NUMBERS: Mapping[str, tuple[str, str]] = {
    "rate": (" ", ""),
    "out": (", ", ""),
    "front": (", ", " before"),
    "back": (", ", " after"),
}
_ORDER = ("kernel", "size", "scale", "rate", "out", "front", "back", "stride", "groups", "dilation")


def read(label: Label) -> str:
    """The label as text."""
    return "".join(part if isinstance(part, str) else _range(part) for part in label)


def _range(part: Range) -> str:
    low, high = (f"{end:.0f}" if float(end).is_integer() else f"{end:.2g}" for end in part)
    return low if low == high else f"{low}–{high}"


def words(label: Label) -> tuple[str | None, ...]:
    """What does not vary: labels with equal words can be merged."""
    return tuple(part if isinstance(part, str) else None for part in label)


def merged(one: Label, other: Label) -> Label:
    """The label of both, which have equal words."""
    return tuple(
        a if isinstance(a, str) or isinstance(b, str) else (min(a[0], b[0]), max(a[1], b[1]))
        for a, b in zip(one, other, strict=True)
    )


def shape_label(type: TensorType) -> Label:
    """`64 × 56 × 56`; the channels may vary."""
    size = "".join(f" × {axis}" for axis in type.size)
    return ((type.channels, type.channels), size)


def op_label(step: TypedNode) -> Label:
    """`conv 3×3, 64, /2`: the op and the attributes that are not what they would be anyway."""
    call = step.node.callee
    assert isinstance(call, OpCall)
    definition, axes = call.definition, len(step.source.size)
    parts: list[str | Range] = [definition.abbreviation or call.name.replace("_", " ")]
    for key in _ORDER:
        if key not in call.attributes or is_default(key, definition.attributes[key], call):
            continue
        value = call.attributes[key]
        if key in _NUMBERS:
            before, after = _NUMBERS[key]
            parts += [before, (value, value), after]
        else:
            kind = definition.attributes[key].kind
            parts.append(_WORDS[key].format(_extent(value, axes if kind == "axes" else 1, key)))
    return tuple(parts)


def _extent(value: Any, axes: int, key: str) -> str:
    """`3×3` for a kernel, `2` for a stride that is the same along every axis."""
    if isinstance(value, tuple):
        alike = len(set(value)) == 1 and key not in ("kernel", "size")
        return str(value[0]) if alike else "×".join(map(str, value))
    return "×".join([str(value)] * axes) if key in ("kernel", "size") else str(value)


def op_tip(path: str, step: TypedNode) -> str:
    """All that is known of an op, for the pointer that rests on it."""
    call = step.node.callee
    assert isinstance(call, OpCall)
    said = ", ".join([call.name, *nondefault_attributes(call)])
    sources = ", ".join(str(each) for each in step.sources if each)
    lines = [path, said, f"{sources} -> {step.result}"]
    return "\n".join(lines + ([cost_summary(step.cost)] if step.cost.params else []))
