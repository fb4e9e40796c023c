"""Roofline: the least time of a network on a device, and whether memory or arithmetic limits it.

    Roofline(typed).bound(row.nodes, devices()["h200"], 256, "bfloat16")  ->  RooflineBound(...)

An op takes at least as long as its arithmetic at the peak rate, and at least as long as moving its
inputs, weights and result through memory (Williams et al., Communications of the ACM 52(4), 2009).
The sum over the ops bounds execution one op after the other (`eager_time`). Where a pointwise op (a norm,
an activation, a sum) is fused into the op before it, the value between the two need not be moved:
`fused_time` is the bound with all such values kept in registers. Both assume that other values go through
memory. At small batches a cache may keep a whole value between two ops, and beat the bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from resnetgen.compiler.ir.nodes import OpCall
from resnetgen.compiler.ir.shape_rules import DTYPE_BYTES
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode, op_counts
from resnetgen.reports.tables import read_table


@dataclass(frozen=True, slots=True)
class Device:
    """Peak rates of a device: operations a second by data type, bytes a second of its memory, and its size."""

    key: str
    name: str
    source: str
    rates: Mapping[str, float]
    bandwidth: float
    memory: float  # bytes


def devices() -> dict[str, Device]:
    """The devices of `tables/devices.yaml`."""
    return {key: Device(key, **entry) for key, entry in read_table("devices").items()}


class OpWork(NamedTuple):
    """What an op computes and moves: FLOPs and elements of one image, elements of weights."""

    flops: int = 0
    elements: int = 0  # read and written
    weights: int = 0
    saved_by_fusion: int = 0  # of the elements, if it is fused into the op before it

    def moved(self, batch: int, element_bytes: int) -> int:
        """Bytes through memory, op by op."""
        return (self.elements * batch + self.weights) * element_bytes

    def intensity(self, batch: int, element_bytes: int) -> float:
        """FLOPs a byte."""
        moved = self.moved(batch, element_bytes)
        return self.flops * batch / moved if moved else 0.0


class RooflineBound(NamedTuple):
    """Lower bounds in seconds; sums of bounds are bounds."""

    fused_time: float = 0.0  # with pointwise ops fused into the op before them
    eager_time: float = 0.0  # one op after the other
    memory_time: float = 0.0  # the part of `fused_time` that memory limits

    @property
    def by(self) -> str:
        """What most of the time goes to: `memory` or `arithmetic`."""
        return "memory" if self.memory_time * 2 > self.fused_time else "arithmetic"


class Roofline:
    """The work of every op of a network; the bound of any of its rows on a device."""

    def __init__(self, typed: TypedInstance) -> None:
        self.work: dict[int, OpWork] = {}
        self._visit(typed, set())

    def _visit(self, typed: TypedInstance, seen: set[int]) -> None:
        """Finds what fusion saves, block by block: a block's input has been written before."""
        if id(typed) in seen:
            return
        seen.add(id(typed))
        instance = typed.instance
        readers: dict[str, int] = dict.fromkeys(instance.outputs, 1)
        for node in instance.nodes:
            for name in node.inputs:
                readers[name] = readers.get(name, 0) + 1
        done: dict[str, TypedNode] = {}  # in order of execution
        for index in instance.schedule:
            typed_node = typed.nodes[index]
            if typed_node.node.op:
                latest = next(
                    (key for key in reversed(done) if key in typed_node.node.inputs), None
                )
                before = done[latest] if latest else None
                sole_reader = latest is not None and readers[latest] == 1
                self.work[id(typed_node)] = _op_work(
                    typed_node, typed_node.node.op, before, sole_reader
                )
            for block, _ in typed_node.blocks:
                self._visit(block, seen)
            done[typed_node.node.key] = typed_node

    def work_of(self, nodes: Iterable[tuple[TypedNode, int]]) -> OpWork:
        """The work of the ops of some nodes, and of the blocks below."""
        return _sum(OpWork, self._parts(nodes))

    def bound(
        self, nodes: Iterable[tuple[TypedNode, int]], device: Device, batch: int, dtype: str
    ) -> RooflineBound:
        """The least time that a batch takes on a device."""
        parts = self._parts(nodes)
        return _sum(
            RooflineBound, ((_bound(each, device, batch, dtype), times) for each, times in parts)
        )

    def _parts(self, nodes: Iterable[tuple[TypedNode, int]]) -> Iterator[tuple[OpWork, int]]:
        """The work of each op of some nodes and below, and how often it runs."""
        return ((self.work[id(step)], times) for step, times in op_counts(nodes))


Sum = TypeVar("Sum", OpWork, RooflineBound)


def _sum(kind: type[Sum], parts: Iterable[tuple[Sum, int]]) -> Sum:
    """The sum of some parts, field by field, each as often as it occurs."""
    total = list(kind())
    for part, times in parts:
        for field, amount in enumerate(part):
            total[field] += amount * times
    return kind._make(total)


def _bound(work: OpWork, device: Device, batch: int, dtype: str) -> RooflineBound:
    element_bytes = DTYPE_BYTES[dtype]
    arithmetic = work.flops * batch / device.rates[dtype]
    memory = work.moved(batch, element_bytes) / device.bandwidth
    fused = memory - work.saved_by_fusion * batch * element_bytes / device.bandwidth
    time = max(arithmetic, fused)
    return RooflineBound(time, max(arithmetic, memory), time if fused > arithmetic else 0.0)


def _op_work(
    typed_node: TypedNode, call: OpCall, before: TypedNode | None, sole_reader: bool
) -> OpWork:
    definition = call.definition
    if definition.training_only or (definition.aliases_input and not typed_node.cost.params):
        return OpWork()
    read = [source.elements for source in typed_node.sources if source]
    elements = sum(read) + typed_node.result.elements
    saved = 0
    if definition.pointwise and before and before.node.op:
        # The value computed last need not be read; nor written, if nothing else reads it.
        saved = before.result.elements * (2 if sole_reader else 1)
    return OpWork(2 * typed_node.cost.macs, elements, typed_node.cost.params, saved)
