"""Receptive fields: which pixels of the network's input a value depends on, and how deep it is.

    conv 7, stride 2, padding 3   ->  field 7,  stride 2, offset 0
    max_pool 3, stride 2          ->  field 11, stride 4, offset 0

The arithmetic is that of Araujo, Norris and Sim (Distill 2019, "Computing Receptive Fields of
Convolutional Neural Networks"), applied to both edges of a field, because the branches of a join
need not be centred on the same pixel. Fields are not clipped to the input: they are those of an
input without borders.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from resnetgen.compiler.ir.nodes import OpCall
from resnetgen.compiler.ir.op_def import same_position
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode

WHOLE = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The pixels of the network's input behind each position; one entry for each axis of the input.

    Position `i` sees the `field` pixels around `offset + i * stride`, or every pixel where `whole`
    (behind a global pool, or a gate that was computed from one).
    """

    edges: tuple[tuple[float, float], ...]  # the first and the last pixel that position 0 sees
    stride: tuple[float, ...]  # pixels between neighbouring positions
    depth: int  # weighted layers on the longest path: convolutions and linear layers
    input: tuple[int, ...]  # the size of the network's input

    @property
    def field(self) -> tuple[float, ...]:
        """Pixels along each axis: not clipped, but the size of the input where all of it is seen.

        Behind a `resize`, where positions differ, it is a lower bound for each of them.
        """
        return tuple(
            size if first == -math.inf else last - first + 1
            for (first, last), size in zip(self.edges, self.input, strict=True)
        )

    @property
    def offset(self) -> tuple[float, ...]:
        """The centre of the field of position 0; the first pixel has its centre at 0."""
        return tuple(
            (size - 1) / 2 if first == -math.inf else (first + last) / 2
            for (first, last), size in zip(self.edges, self.input, strict=True)
        )

    @property
    def whole(self) -> tuple[bool, ...]:
        """Whether every position sees the whole input, along each axis."""
        return tuple(edges == WHOLE for edges in self.edges)


# --- the arithmetic


def field_of_input(size: tuple[int, ...]) -> ReceptiveField:
    """The receptive field of the network's input: a pixel sees itself."""
    return ReceptiveField(((0, 0),) * len(size), (1,) * len(size), 0, size)


def field_of_op(
    call: OpCall, fields: Sequence[ReceptiveField], types: Sequence[TensorType], result: TensorType
) -> ReceptiveField:
    """The receptive field of an op's result, from those of its inputs and their types."""
    definition = call.definition
    field = joined(fields, types, result) if len(fields) > 1 else fields[0]
    if definition.is_weighted:
        field = replace(field, depth=field.depth + 1)
    if definition.window is same_position or not types[0].size:
        return field
    windows = definition.window(call.attributes, types[0])
    edges = tuple(
        (first + stride * window.first, last + stride * window.last)
        for (first, last), stride, window in zip(field.edges, field.stride, windows, strict=True)
    )
    strides = tuple(s * window.step for s, window in zip(field.stride, windows, strict=True))
    return ReceptiveField(edges, strides, field.depth, field.input)


def joined(
    fields: Sequence[ReceptiveField], types: Sequence[TensorType], result: TensorType
) -> ReceptiveField:
    """The union over the operands of a join; a broadcast operand makes it the whole input."""
    edges, strides = [], []
    for axis in range(len(fields[0].edges)):
        operands = [field.edges[axis] for field in fields]
        if result.size and any(of.size[axis] < result.size[axis] for of in types):
            operands = [WHOLE]
        edges.append((min(first for first, _ in operands), max(last for _, last in operands)))
        strides.append(min(field.stride[axis] for field in fields))
    depth = max(field.depth for field in fields)
    return ReceptiveField(tuple(edges), tuple(strides), depth, fields[0].input)


def behind(field: ReceptiveField, block: ReceptiveField) -> ReceptiveField:
    """The field of a block's result: `block` is relative to its input, whose own is `field`."""
    columns = zip(field.edges, field.stride, block.edges, strict=True)
    return ReceptiveField(
        tuple((first + s * inner[0], last + s * inner[1]) for (first, last), s, inner in columns),
        tuple(s * inner for s, inner in zip(field.stride, block.stride, strict=True)),
        field.depth + block.depth,
        field.input,
    )


def repeated(block: ReceptiveField, times: int) -> ReceptiveField:
    """The field of equal blocks in a row, relative to the first one's input."""
    if times == 1:
        return block
    half = repeated(block, times // 2)
    return behind(behind(half, half), block) if times % 2 else behind(half, half)


# --- the walk

Operands = Sequence[ReceptiveField | None]  # None: an input without one, such as `none`


class ReceptiveFields:
    """The receptive fields within one network; each distinct block is walked once."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self.start = field_of_input(size)
        self.memo: dict[int, tuple[ReceptiveField | None, ...]] = {}

    def of_nodes(
        self, typed: TypedInstance, inputs: Operands
    ) -> Iterator[tuple[int, tuple[ReceptiveField | None, ...], ReceptiveField | None]]:
        """For each node in order of execution: its index, the fields of its inputs and of its result.

        The latter is None where the node depends on no input that has one.
        """
        values = dict(zip(typed.instance.inputs, inputs, strict=True))
        for index in typed.instance.schedule:
            node = typed.nodes[index]
            sources = tuple(values.get(name) for name in node.node.inputs)
            values[node.node.key] = self.of_node(node, sources) if any(sources) else None
            yield index, sources, values[node.node.key]

    def of_node(self, node: TypedNode, sources: Operands) -> ReceptiveField | None:
        """The receptive field of a node's result."""
        if node.node.op:
            pairs = zip(sources, node.sources, strict=True)
            known = [(field, of) for field, of in pairs if field and of]
            fields, types = [field for field, _ in known], [of for _, of in known]
            return field_of_op(node.node.op, fields, types, node.result)
        for block, times in node.blocks:
            sources = (self.of_blocks(block, times, sources), *sources[1:])
        return sources[0]

    def of_blocks(
        self, block: TypedInstance, times: int, sources: Operands
    ) -> ReceptiveField | None:
        """The field of the last of equal blocks in a row; their inputs but the first are the same."""
        if not times:
            return sources[0]
        inner_fields = self.from_inputs(block)
        (main, inner), *more = zip(sources, inner_fields, strict=True)
        if main and inner and not any(field and each for field, each in more):
            return behind(main, repeated(inner, times))
        for _ in range(times):
            columns = zip((main, *sources[1:]), inner_fields, strict=True)
            fields = [behind(field, each) for field, each in columns if field and each]
            result = block.outputs[0]
            main = joined(fields, [result] * len(fields), result) if fields else None
        return main

    def from_inputs(self, block: TypedInstance) -> tuple[ReceptiveField | None, ...]:
        """The field of a block's first output relative to each of its inputs; None where unread."""
        if id(block) not in self.memo:
            names = list(block.instance.inputs)
            self.memo[id(block)] = tuple(self._from_input(block, name, names) for name in names)
        return self.memo[id(block)]

    def _from_input(
        self, block: TypedInstance, name: str, names: Sequence[str]
    ) -> ReceptiveField | None:
        output = block.instance.outputs[0]
        if output == name:
            return self.start
        inputs = [self.start if each == name else None for each in names]
        fields = {
            block.instance.nodes[index].key: field
            for index, _, field in self.of_nodes(block, inputs)
        }
        return fields.get(output)
