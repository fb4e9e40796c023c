"""Which positions of a value are read: input that is lost, kernel taps that see only padding.

    1x1 convolution, stride 2, of 56 x 56    ->  a quarter of the positions is read
    pool 2, stride 2, of 7 x 7               ->  the last row and the last column are not read
    3x3 convolution of 1 x 1                 ->  8 of its 9 taps see padding only

A position is lost only if no reader reads it: a 1x1 shortcut of stride 2 is usual, because the main
path reads what it skips. Axes are independent: a position is read if its row and its column are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from resnetgen.compiler.analysis.lint.context import LintContext, block_name
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span
from resnetgen.compiler.ir.nodes import OpCall, PassThrough
from resnetgen.compiler.ir.op_def import same_position
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import TensorType, Window, per_axis
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode

Rows = int  # a set of rows along one axis: byte `i` is 1 if row `i` is in it
Read = tuple[Rows, ...] | None  # what of a value is read, axis by axis; None: all of it


# --- input that is lost


def lost_input(context: LintContext) -> Iterator[Diagnostic]:
    """Positions of a value that nothing reads: one warning for each node that skips them."""
    reported = set[Span]()
    for loss in _losses(context):
        node_span = loss.reader.node.block_node.span
        if node_span not in reported:
            reported.add(node_span)
            yield _truncated(context, loss) if loss.is_at_the_end else _skipped(context, loss)


@dataclass(frozen=True, slots=True)
class Loss:
    """A value of which some rows are read by nothing, and the first op that reads the others."""

    value: str
    type: TensorType
    rows: Sequence[Rows]
    path: str  # of the reader
    reader: TypedNode

    @property
    def taps(self) -> tuple[Window, ...]:
        """What a position of the reader's result reads."""
        assert self.reader.node.op
        return self.reader.node.op.definition.window(self.reader.node.op.attributes, self.type)

    @property
    def is_at_the_end(self) -> bool:
        """Whether the windows leave no gaps, and end before the value does."""
        axes = zip(self.rows, self.taps, strict=True)
        return all(
            rows == _first(rows.bit_count()) and taps.step <= taps.last - taps.first + 1
            for rows, taps in axes
        )


def _truncated(context: LintContext, loss: Loss) -> Diagnostic:
    sizes = zip(loss.type.size, loss.rows, strict=True)
    left = dict.fromkeys((size - rows.bit_count(), size) for size, rows in sizes)
    ends = " and ".join(f"the last {rest} of {size}" for rest, size in left if rest)
    message = f"nothing reads {ends} positions along an axis of {loss.value}, {loss.type}"
    node_span = loss.reader.node.block_node.span
    span = context.nearest([context.network.input_span, node_span])
    hint = "take a size that divides, or pad or round up there (`padding: 1`, `ceil: true`)"
    notes = (Note(f"the windows of `{loss.path}` end before it", node_span),)
    return Diagnostic("truncated-input", message, span, notes, hint, "warning")


def _skipped(context: LintContext, loss: Loss) -> Diagnostic:
    call, node_span = loss.reader.node.callee, loss.reader.node.block_node.span
    assert isinstance(call, OpCall)
    kept = math.prod(rows.bit_count() for rows in loss.rows) / math.prod(loss.type.size)
    message = f"`{loss.path}` skips {1 - kept:.0%} of {loss.value}, and nothing else reads it"
    term = call.terms.get("stride")
    span = context.nearest([term.span, node_span] if term else [node_span])
    hint = "stride where the kernel is at least as large as the stride, or pool first"
    notes = (Note(f"`{loss.path}`", node_span),) if span != node_span else ()
    return Diagnostic("stride-skips-input", message, span, notes, hint, "warning")


def _losses(context: LintContext) -> Iterator[Loss]:
    """Every value that is read in part, in all typed blocks of a network."""
    readings = Readings()
    for prefix, typed in context.blocks:
        names = typed.instance.block.inputs
        types = {node.node.key: node.result for node in typed.nodes}
        if not prefix:  # the input of a block belongs to its caller
            types[names[0]] = typed.source
        for name, rows in readings.of_values(typed).items():
            if rows is not None and name in types:
                value = "the input" if name in names else f"`{prefix}{name}`"
                path, reader = next(readings.readers(typed, name, prefix))
                yield Loss(value, types[name], rows, path, reader)
        for node in typed.nodes:
            yield from _lost_between(readings, prefix, node)


def _lost_between(readings: Readings, prefix: str, node: TypedNode) -> Iterator[Loss]:
    """Blocks of a stage of which the next reads a part."""
    for at, block, following in _neighbours(node):
        rows = readings.of_inputs(following)[0]
        if rows is not None:
            value = f"`{prefix}{block_name(node.node, at)}`"
            below = f"{prefix}{block_name(node.node, at + 1)}."
            source = following.instance.block.inputs[0]
            path, reader = next(readings.readers(following, source, below))
            yield Loss(value, block.outputs[0], rows, path, reader)


def _neighbours(node: TypedNode) -> Iterator[tuple[int, TypedInstance, TypedInstance]]:
    """The distinct pairs of blocks of a stage of which one reads the other, with the number of that."""
    at, before = 0, None
    for block, times in node.blocks:
        if before:
            yield at - 1, before, block
        if times > 1:
            yield at, block, block
        at, before = at + times, block


class Readings:
    """Which parts of values are read; each distinct block is walked once."""

    def __init__(self) -> None:
        self.memo: dict[int, Mapping[str, Read]] = {}

    def of_values(self, typed: TypedInstance) -> Mapping[str, Read]:
        """What is read of the inputs and results of a block; of its outputs, all of them."""
        if id(typed) not in self.memo:
            reads: dict[str, Read] = {}
            aliases = _aliases(typed)
            for node, names in _operands(typed, aliases):
                for name, read in zip(names, self.of_operands(node), strict=True):
                    reads[name] = _both(reads[name], read) if name in reads else read
            reads |= {aliases.get(name, name): None for name in typed.instance.outputs}
            self.memo[id(typed)] = reads
        return self.memo[id(typed)]

    def of_operands(self, node: TypedNode) -> Sequence[Read]:
        """What a step reads of each of its inputs."""
        if node.node.op:
            coverage = input_coverage(node.node.op, node.source, node.result)
            return [coverage.rows if coverage else None] * len(node.sources)
        (first, _), *rest = node.blocks
        reads = list(self.of_inputs(first))
        for block, _ in rest:  # all of them read the inputs behind the first
            reads[1:] = map(_both, reads[1:], self.of_inputs(block)[1:])
        return reads

    def of_inputs(self, typed: TypedInstance) -> Sequence[Read]:
        """What a block reads of its inputs; None, all of it, also for one that it does not read."""
        values = self.of_values(typed)
        return [values.get(name) for name in typed.instance.block.inputs]

    def readers(
        self, typed: TypedInstance, value: str, prefix: str
    ) -> Iterator[tuple[str, TypedNode]]:
        """The ops that read a value, also those in blocks, with their names."""
        for node, names in _operands(typed, _aliases(typed)):
            for operand, name in enumerate(names):
                if name == value and not node.blocks:
                    yield f"{prefix}{node.node.key}", node
                elif name == value:
                    block = node.blocks[0][0]
                    below = f"{prefix}{block_name(node.node, 0)}."
                    yield from self.readers(block, block.instance.block.inputs[operand], below)


def _operands(
    typed: TypedInstance, aliases: Mapping[str, str]
) -> Iterator[tuple[TypedNode, list[str]]]:
    """The nodes that compute something, each with what it reads, past calls that do nothing."""
    for node in typed.nodes:
        if not isinstance(node.node.callee, PassThrough):
            yield node, [aliases.get(name, name) for name in node.node.inputs]


def _aliases(typed: TypedInstance) -> Mapping[str, str]:
    """For each call that does nothing, the value that it passes on."""
    aliases: dict[str, str] = {}
    for index in typed.instance.schedule:
        node = typed.instance.nodes[index]
        if isinstance(node.callee, PassThrough):
            aliases[node.key] = aliases.get(node.inputs[0], node.inputs[0])
    return aliases


def _both(one: Read, other: Read) -> Read:
    if one is None or other is None:
        return None
    return tuple(a | b for a, b in zip(one, other, strict=True))


MOST_ROWS = 100_000  # of an axis that is simulated row by row
MOST_READS = 10_000_000  # rows times taps


@dataclass(frozen=True, slots=True)
class InputCoverage:
    """What an op reads of its input along each axis."""

    rows: Read
    taps: int  # of its kernel, over all axes
    seeing: int  # those that are on a value of the input at some position


def input_coverage(call: OpCall, source: TensorType, result: TensorType) -> InputCoverage | None:
    """What the windows of an op read of its input; None for one that reads each position."""
    if call.definition.window is same_position or not result.size:
        return None
    return _cached_coverage(call.name, tuple(call.attributes.items()), source, result)


@lru_cache(maxsize=256)  # the rows of 256 large axes are 25 MB
def _cached_coverage(
    op: str, attributes: tuple[tuple[str, Any], ...], source: TensorType, result: TensorType
) -> InputCoverage:
    given = dict(attributes)
    gaps = per_axis(given.get("dilation", 1), len(source.size))
    taps = OPS[op].window(given, source)
    spans = [each.last - each.first for each in taps]
    reads = max(size * span / gap for size, span, gap in zip(source.size, spans, gaps, strict=True))
    if max(*source.size, *result.size, *spans) > MOST_ROWS or MOST_READS < reads < math.inf:
        return InputCoverage(None, 1, 1)  # no image is that large
    columns = zip(source.size, result.size, taps, gaps, strict=True)
    axes = [_slide(*column) for column in columns]
    rows = tuple(axis.rows for axis in axes)
    whole = all(map(int.__eq__, rows, map(_first, source.size)))
    seeing = math.prod(axis.seeing for axis in axes)
    return InputCoverage(None if whole else rows, math.prod(axis.taps for axis in axes), seeing)


class _Axis(NamedTuple):
    rows: Rows
    taps: int
    seeing: int


def _slide(size: int, windows: int, taps: Window, gap: int) -> _Axis:
    """The rows that windows read along an axis, and how many of their taps read a row anywhere."""
    if math.isinf(taps.first) or taps.step != int(taps.step):  # all, or an adaptive pool
        return _Axis(_first(size), 1, 1)
    step = int(taps.step)
    offsets = range(int(taps.first), int(taps.last) + 1, gap)
    rows, seeing = bytearray(size), 0
    for offset in offsets:
        least = offset if offset >= 0 else offset % step
        read = range(size)[least : max(0, offset + windows * step) : step]
        rows[read.start : read.stop : step] = b"\1" * len(read)
        seeing += bool(read)
    return _Axis(int.from_bytes(rows, "little"), len(offsets), seeing)


def _first(count: int) -> Rows:
    return int.from_bytes(b"\1" * count, "little")


# --- taps that see padding only


def blind_taps(context: LintContext) -> Iterator[Diagnostic]:
    """Kernels some of whose taps are always in the padding: one warning for each cause."""
    reported = set[Span]()
    for prefix, typed in context.blocks:
        for node in typed.nodes:
            call = node.node.callee
            if not isinstance(call, OpCall) or not call.definition.is_weighted:
                continue
            coverage = input_coverage(call, node.source, node.result)
            if coverage is None or coverage.seeing == coverage.taps:
                continue
            path, node_span = f"{prefix}{node.node.key}", node.node.block_node.span
            dilation = call.terms.get("dilation")
            span = context.nearest(
                [*([dilation.span] if dilation else []), context.network.input_span]
            )
            if span in reported:
                continue
            reported.add(span)
            share = (
                f"{coverage.taps - coverage.seeing} of its {coverage.taps} taps see padding only"
            )
            message = f"`{path}` reads {node.source}: {share}"
            hint = "take a larger input, or reduce or dilate it less"
            notes = (Note(f"`{path}`", node_span),)
            yield Diagnostic("blind-taps", message, span, notes, hint, "warning")
