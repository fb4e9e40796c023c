"""Receptive fields: which pixels of the network's input a value sees, and behind how many layers.

    conv 7, stride 2, padding 3   ->  field 7,  stride 2, offset 0
    max_pool 3, stride 2          ->  field 11, stride 4, offset 0

The arithmetic is that of Araujo, Norris and Sim (Distill 2019, "Computing Receptive Fields of
Convolutional Neural Networks"), done on the two edges of the field, since the branches of a join may
lie apart. Fields are not clipped to the input: they say what an input without end would give.
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
    """What the positions of a value see of the network's input; one entry for each axis of the input.

    Position `i` sees the pixels around `offset + i * stride`, `field` of them, or every pixel where
    `whole` (behind a global pool, or a gate that was computed from one).
    """

    edges: tuple[tuple[float, float], ...]  # the first and the last pixel that position 0 sees
    stride: tuple[float, ...]  # pixels between neighbouring positions
    depth: int  # weighted layers on the longest path: convolutions and linear layers
    input: tuple[int, ...]  # the size of the network's input

    @property
    def field(self) -> tuple[float, ...]:
        """Pixels along each axis: not clipped, but the size of the input where all of it is seen.

        Behind a `resize` positions differ; this is the least that holds for each of them.
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


def input_reach(size: tuple[int, ...]) -> ReceptiveField:
    """The reach of the network's input: a pixel sees itself."""
    return ReceptiveField(((0, 0),) * len(size), (1,) * len(size), 0, size)


def op_reach(
    call: OpCall, reaches: Sequence[ReceptiveField], types: Sequence[TensorType], result: TensorType
) -> ReceptiveField:
    """The reach of an op's result, from those of its inputs and their types."""
    definition = call.definition
    reach = joined(reaches, types, result) if len(reaches) > 1 else reaches[0]
    if definition.is_weighted:
        reach = replace(reach, depth=reach.depth + 1)
    if definition.window is same_position or not types[0].size:
        return reach
    taps = definition.window(call.attributes, types[0])
    edges = tuple(
        (first + stride * tap.first, last + stride * tap.last)
        for (first, last), stride, tap in zip(reach.edges, reach.stride, taps, strict=True)
    )
    strides = tuple(s * tap.step for s, tap in zip(reach.stride, taps, strict=True))
    return ReceptiveField(edges, strides, reach.depth, reach.input)


def joined(
    reaches: Sequence[ReceptiveField], types: Sequence[TensorType], result: TensorType
) -> ReceptiveField:
    """The union over the operands of a join. One that stretches is the same for every position."""
    edges, strides = [], []
    for axis in range(len(reaches[0].edges)):
        own = [reach.edges[axis] for reach in reaches]
        if result.size and any(of.size[axis] < result.size[axis] for of in types):
            own = [WHOLE]
        edges.append((min(first for first, _ in own), max(last for _, last in own)))
        strides.append(min(reach.stride[axis] for reach in reaches))
    depth = max(reach.depth for reach in reaches)
    return ReceptiveField(tuple(edges), tuple(strides), depth, reaches[0].input)


def behind(reach: ReceptiveField, block: ReceptiveField) -> ReceptiveField:
    """The reach of a block's result: `block` is as seen from its input, which itself has `reach`."""
    columns = zip(reach.edges, reach.stride, block.edges, strict=True)
    return ReceptiveField(
        tuple((first + s * inner[0], last + s * inner[1]) for (first, last), s, inner in columns),
        tuple(s * inner for s, inner in zip(reach.stride, block.stride, strict=True)),
        reach.depth + block.depth,
        reach.input,
    )


def repeated(block: ReceptiveField, times: int) -> ReceptiveField:
    """The reach of equal blocks in a row, as seen from the first one's input."""
    if times == 1:
        return block
    half = repeated(block, times // 2)
    return behind(behind(half, half), block) if times % 2 else behind(half, half)


class ReceptiveFields:
    """The reaches within one network; each distinct block is walked once."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self.start = input_reach(size)
        self.known: dict[int, tuple[ReceptiveField | None, ...]] = {}

    def steps(
        self, measured: TypedInstance, inputs: Sequence[ReceptiveField | None]
    ) -> Iterator[tuple[int, tuple[ReceptiveField | None, ...], ReceptiveField | None]]:
        """The index of each step in order of execution, the reaches of its inputs and of its result.

        There is none where the step depends on no input that has one.
        """
        values = dict(zip(measured.instance.inputs, inputs, strict=True))
        for index in measured.instance.schedule:
            step = measured.nodes[index]
            sources = tuple(values.get(name) for name in step.node.inputs)
            values[step.node.key] = self.step(step, sources) if any(sources) else None
            yield index, sources, values[step.node.key]

    def step(
        self, step: TypedNode, sources: Sequence[ReceptiveField | None]
    ) -> ReceptiveField | None:
        """The reach of a step's result."""
        if step.node.op:
            pairs = zip(sources, step.sources, strict=True)
            given = [(reach, of) for reach, of in pairs if reach and of]
            reaches, types = [reach for reach, _ in given], [of for _, of in given]
            return op_reach(step.node.op, reaches, types, step.result)
        for block, times in step.blocks:
            sources = (self.blocks(block, times, sources), *sources[1:])
        return sources[0]

    def blocks(
        self, block: TypedInstance, times: int, sources: Sequence[ReceptiveField | None]
    ) -> ReceptiveField | None:
        """The reach of the last of equal blocks in a row; their inputs but the first are the same."""
        if not times:
            return sources[0]
        seen = self.seen(block)
        (main, inner), *more = zip(sources, seen, strict=True)
        if main and inner and not any(reach and each for reach, each in more):
            return behind(main, repeated(inner, times))
        for _ in range(times):
            columns = zip((main, *sources[1:]), seen, strict=True)
            found = [behind(reach, each) for reach, each in columns if reach and each]
            result = block.outputs[0]
            main = joined(found, [result] * len(found), result) if found else None
        return main

    def seen(self, block: TypedInstance) -> tuple[ReceptiveField | None, ...]:
        """The reach of a block's first output as seen from each of its inputs; None where unread."""
        if id(block) not in self.known:
            names = list(block.instance.inputs)
            self.known[id(block)] = tuple(self._seen_from(block, name, names) for name in names)
        return self.known[id(block)]

    def _seen_from(
        self, block: TypedInstance, name: str, names: Sequence[str]
    ) -> ReceptiveField | None:
        output = block.instance.outputs[0]
        if output == name:
            return self.start
        alone = [self.start if each == name else None for each in names]
        reaches = {
            block.instance.nodes[index].key: result for index, _, result in self.steps(block, alone)
        }
        return reaches.get(output)
