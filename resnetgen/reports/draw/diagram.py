"""TypedInstance -> Diagram: what is drawn of a network, or of one of its blocks.

    x -> conv1 -> bn1 -> act1 -> conv2 -> bn2 -> add -> act2      (and x -> add)
    [x] -> [conv1 bn1 act1 conv2 bn2] -> (add) -> [act2] -> [out]

A diagram has nodes and what each reads, but no places. Ops in a line are one node, a stack of cells.
A small block within a block is drawn in its place; blocks that repeat are a node of their own, and
the inside of each distinct one is another diagram. Blocks in a row with the same structure are drawn
once: their labels, which are words and ranges of numbers, show what varies.

    ("conv 3×3, ", (64, 64), ", /2") and ("conv 3×3, ", (256, 256), ", /2")  ->  conv 3×3, 64–256, /2
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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

MOST_INLINED = 16  # ops of a block within a block that are drawn in its place, not in a panel
MOST_UNROLLED = 16  # ops of the simple blocks of a stage that are drawn in the network itself

Range = tuple[float, float]  # from, to
Label = tuple[str | Range, ...]


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
    changed: Label | None = None  # the shape of its result if its input has another


@dataclass(frozen=True, slots=True, eq=False)
class FoldedBlocks:
    """Blocks in a row with one structure, and what is inside each of them."""

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
        """What they are and cost, shown where the pointer rests on them."""
        times = f"{self.count} x " if self.count > 1 else ""
        return f"{self.name}: {times}{self.block}\n{cost_summary(self.cost)}"


@dataclass(frozen=True, slots=True, eq=False)
class DiagramNode:
    """One thing of a diagram. `sources` are the indices of the nodes that it reads."""

    form: DrawnAs
    sources: tuple[int, ...]
    shape: Label  # of the result
    cells: tuple[Cell, ...] = ()
    blocks: tuple[FoldedBlocks, ...] = ()
    name: str = ""  # of an input or output
    group: str = ""  # `stem`, `head` or a stage; "" for other ops of a network, which have
    keys: tuple[str, ...] = ()  # keys of their own
    cost: Cost = field(default_factory=Cost)
    training: bool = False  # of a network: computed in training only


@dataclass(frozen=True, slots=True, eq=False)
class Diagram:
    """Nodes in an order of execution, inputs first, outputs last."""

    nodes: tuple[DiagramNode, ...]


def network_diagram(network: Network, typed: TypedInstance) -> Diagram:
    """The body of a network, with its stages folded."""
    builder = _Builder(at_root=True)
    name = typed.instance.block.inputs[0]
    first = builder.input(network.input, "input")
    ends = builder.body(typed, {name: first}, "", "")
    results = [*network.outputs, *network.train_outputs]
    several = len(results) > 1
    for number, (result, end) in enumerate(zip(results, ends, strict=True)):
        training = number >= len(network.outputs)
        builder.output(end, result.name if several else "output", training)
    return _with_chains(builder.nodes)


def block_diagram(
    block: TypedInstance, inputs: Sequence[TensorType | None], prefix: str
) -> Diagram:
    """The inside of a block that reads values of these types, None where an input is `none`."""
    builder = _Builder(at_root=False)
    names = block.instance.block.inputs
    several = len([each for each in inputs if each]) > 1
    known = {
        name: builder.input(type, name if several else "")
        for name, type in zip(names, inputs, strict=True)
        if type
    }
    for end in builder.body(block, known, prefix, ""):
        builder.output(end, "", training=False)
    return _with_chains(builder.nodes)


# --- one node an op


class _Builder:
    """Collects the nodes of a diagram, one an op."""

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
        self, typed: TypedInstance, inputs: Mapping[str, int], prefix: str, group: str
    ) -> list[int]:
        """Adds the nodes of a block, whose inputs are at some indices; the indices of its outputs."""
        known = dict(inputs)
        paths = numbered_paths(typed.instance.nodes)
        for index in typed.instance.schedule:
            step = typed.nodes[index]
            node = step.node
            stage = node.key if self.at_root and step.blocks else ""
            inner = group or node.group or stage
            sources = tuple(known.get(name) for name in node.inputs)
            present = tuple(source for source in sources if source is not None)
            if isinstance(node.callee, PassThrough):
                known[node.key] = present[0]
            elif node.op:
                block = typed.instance.block.name
                known[node.key] = self.op(step, prefix + paths[index][0], block, present, inner)
            else:
                own = [prefix + path for path in paths[index]]
                known[node.key] = self.blocks(step, own, sources, present, inner)
        return [known[name] for name in typed.instance.outputs]

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
        """The blocks of a node: in place if they are small and few, else folded."""
        if not step.blocks:
            return present[0]
        if _in_place(step, self.at_root):
            return self.unrolled(step, paths, sources, present, group)
        node = DiagramNode(
            DrawnAs.BLOCKS,
            present,
            shape_label(step.result),
            blocks=tuple(_folded(step, paths)),
            group=group,
            cost=step.cost,
            training=self.at_root and step.training,
        )
        return self.add(node)

    def unrolled(
        self,
        step: TypedNode,
        paths: Sequence[str],
        sources: Sequence[int | None],
        present: tuple[int, ...],
        group: str,
    ) -> int:
        """The ops of the blocks, one block after the other."""
        here, at = present[0], 0
        for block, times in step.blocks:
            names = block.instance.block.inputs
            for path in paths[at : at + times]:
                given = zip(names, (here, *sources[1:]), strict=True)
                inputs = {name: source for name, source in given if source is not None}
                here = self.body(block, inputs, f"{path}.", group)[0]
            at += times
        return here


def _in_place(step: TypedNode, at_root: bool) -> bool:
    """Whether the blocks of a node are drawn op by op in its place."""
    if at_root:
        ops = sum(block.instance.size * times for block, times in step.blocks)
        return all(_is_line(block) for block, _ in step.blocks) and ops <= MOST_UNROLLED
    ((first, times), *others) = step.blocks
    if others or times > 1:
        return False
    return first.instance.size <= MOST_INLINED and not _repeats_blocks(first)


def _is_line(block: TypedInstance) -> bool:
    """Whether the ops of a block run one after the other."""
    nodes = block.instance.nodes
    reads = [*(name for node in nodes for name in node.inputs), *block.instance.outputs]
    return (
        len(block.instance.inputs) == 1
        and all(isinstance(node.callee, OpCall | PassThrough) for node in nodes)
        and all(len(node.inputs) == 1 for node in nodes)
        and len(set(reads)) == len(reads)
    )


def _repeats_blocks(block: TypedInstance) -> bool:
    """Whether a block has blocks in a row inside, at any depth."""
    return any(
        sum(times for _, times in step.blocks) > 1
        or any(_repeats_blocks(each) for each, _ in step.blocks)
        for step in block.nodes
    )


# --- blocks of one structure as one


def _folded(step: TypedNode, paths: Sequence[str]) -> list[FoldedBlocks]:
    """The blocks of a node; those in a row with one structure as one."""
    at, source = 0, step.source
    folded: list[FoldedBlocks] = []
    for block, times in step.blocks:
        inside = block_diagram(block, (source, *step.sources[1:]), f"{paths[at]}.")
        first, at, source = paths[at], at + times, block.outputs[0]
        name, cost = block.instance.block.name, block.cost * times
        blocks = FoldedBlocks(first, paths[at - 1], name, times, cost, inside)
        if folded and folded[-1].block == name and _alike(folded[-1].inside, inside):
            blocks = _together(folded.pop(), blocks)
        folded.append(blocks)
    return folded


def _alike(one: Diagram, other: Diagram) -> bool:
    return structure(one) == structure(other)


def structure(diagram: Diagram) -> object:
    """What is the same of all blocks that are drawn as one."""
    return tuple(
        (
            node.form,
            node.sources,
            words(node.shape),
            tuple((words(cell.label), cell.kind) for cell in node.cells),
            tuple((each.block, each.count, structure(each.inside)) for each in node.blocks),
        )
        for node in diagram.nodes
    )


def _together(one: FoldedBlocks, other: FoldedBlocks) -> FoldedBlocks:
    return replace(
        one,
        last=other.last,
        count=one.count + other.count,
        cost=one.cost + other.cost,
        inside=_merged(one.inside, other.inside),
    )


def _merged(one: Diagram, other: Diagram) -> Diagram:
    pairs = zip(one.nodes, other.nodes, strict=True)
    return Diagram(tuple(_merged_node(a, b) for a, b in pairs))


def _merged_node(one: DiagramNode, other: DiagramNode) -> DiagramNode:
    cells = tuple(
        replace(a, label=merge_labels(a.label, b.label), changed=_either(a.changed, b.changed))
        for a, b in zip(one.cells, other.cells, strict=True)
    )
    blocks = tuple(
        replace(a, inside=_merged(a.inside, b.inside))
        for a, b in zip(one.blocks, other.blocks, strict=True)
    )
    return replace(one, shape=merge_labels(one.shape, other.shape), cells=cells, blocks=blocks)


def _either(one: Label | None, other: Label | None) -> Label | None:
    return merge_labels(one, other) if one and other else one or other


# --- ops in a line as one node


def _with_chains(nodes: Sequence[DiagramNode]) -> Diagram:
    """The diagram, with ops in a line joined to one node."""
    reads = Counter(source for node in nodes for source in node.sources)
    index_of: dict[int, int] = {}  # of each node in the diagram
    joined: list[DiagramNode] = []
    for index, node in enumerate(nodes):
        sources = tuple(index_of[source] for source in node.sources)
        last = joined[sources[0]] if len(sources) == 1 else None
        if last and reads[node.sources[0]] == 1 and _continues(last, node):
            joined[sources[0]] = _joined(last, node)
            index_of[index] = sources[0]
        else:
            joined.append(replace(node, sources=sources))
            index_of[index] = len(joined) - 1
    return Diagram(tuple(joined))


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


# --- labels

# How an attribute is written behind the name of its op, in this order; the others are in the tip.
# What changes the structure is a word; blocks that are drawn as one may differ in the numbers.
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


def op_label(step: TypedNode) -> Label:
    """`conv 3×3, 64, /2`: the op and the attributes that do not have their defaults."""
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


def shape_label(type: TensorType) -> Label:
    """`64 × 56 × 56`; the channels may vary."""
    size = "".join(f" × {axis}" for axis in type.size)
    return ((type.channels, type.channels), size)


def op_tip(path: str, step: TypedNode) -> str:
    """Path, attributes, shapes and cost of an op, shown where the pointer rests on it."""
    call = step.node.callee
    assert isinstance(call, OpCall)
    attributes = ", ".join([call.name, *nondefault_attributes(call)])
    sources = ", ".join(str(each) for each in step.sources if each)
    lines = [path, attributes, f"{sources} -> {step.result}"]
    return "\n".join(lines + ([cost_summary(step.cost)] if step.cost.params else []))


def label_text(label: Label) -> str:
    """The label as text."""
    return "".join(part if isinstance(part, str) else _range_text(part) for part in label)


def _range_text(part: Range) -> str:
    low, high = (f"{end:.0f}" if float(end).is_integer() else f"{end:.2g}" for end in part)
    return low if low == high else f"{low}–{high}"


def words(label: Label) -> tuple[str | None, ...]:
    """The words, and None for each range: labels with equal words can be merged."""
    return tuple(part if isinstance(part, str) else None for part in label)


def merge_labels(one: Label, other: Label) -> Label:
    """A label for both, which have equal words."""
    return tuple(
        a if isinstance(a, str) or isinstance(b, str) else (min(a[0], b[0]), max(a[1], b[1]))
        for a, b in zip(one, other, strict=True)
    )
