"""What of a value is read, position by position: input that is lost, taps that see padding only.

    1x1 convolution, stride 2, of 56 x 56    ->  a quarter of the positions is read
    pool 2, stride 2, of 7 x 7               ->  the last row and the last column are not read
    3x3 convolution of 1 x 1                 ->  8 of its 9 taps see padding only

A value is lost only where no reader takes it: a 1x1 shortcut of stride 2 is usual, for the main path
reads what it leaves out. Axes are judged one by one: a position is read if its row and its column are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from resnetgen.compiler.analysis.lint.context import LintContext, block_name
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span
from resnetgen.compiler.ir.nodes import OpCall, PassThrough
from resnetgen.compiler.ir.op_def import same_position
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import TensorType, Window, per_axis
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode

Rows = int  # a set of rows along one axis: byte `i` is 1 where row `i` is in it
Read = tuple[Rows, ...] | None  # what of a value is read, axis by axis; None: all of it


# --- input that is lost


def lost_input(facts: LintContext) -> Iterator[Diagnostic]:
    """Positions of a value that nothing reads: one warning for each node that leaves them out."""
    told = set[Span]()
    for loss in _losses(facts):
        node = loss.reader.node.block_node.span
        if node not in told:
            told.add(node)
            yield _truncated(facts, loss) if loss.is_at_the_end else _skipped(facts, loss)


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


def _truncated(facts: LintContext, loss: Loss) -> Diagnostic:
    sizes = zip(loss.type.size, loss.rows, strict=True)
    left = dict.fromkeys((size - rows.bit_count(), size) for size, rows in sizes)
    ends = " and ".join(f"the last {rest} of {size}" for rest, size in left if rest)
    message = f"nothing reads {ends} positions along an axis of {loss.value}, {loss.type}"
    node = loss.reader.node.block_node.span
    span = facts.nearest([facts.network.input_span, node])
    hint = "take a size that divides, or pad or round up there (`padding: 1`, `ceil: true`)"
    notes = (Note(f"the windows of `{loss.path}` end before it", node),)
    return Diagnostic("truncated-input", message, span, notes, hint, "warning")


def _skipped(facts: LintContext, loss: Loss) -> Diagnostic:
    call, node = loss.reader.node.callee, loss.reader.node.block_node.span
    assert isinstance(call, OpCall)
    kept = math.prod(rows.bit_count() for rows in loss.rows) / math.prod(loss.type.size)
    message = f"`{loss.path}` skips {1 - kept:.0%} of {loss.value}, and nothing else reads it"
    term = call.terms.get("stride")
    span = facts.nearest([term.span, node] if term else [node])
    hint = "stride where the kernel is at least as large as the stride, or pool first"
    notes = (Note(f"`{loss.path}`", node),) if span != node else ()
    return Diagnostic("stride-skips-input", message, span, notes, hint, "warning")


def _losses(facts: LintContext) -> Iterator[Loss]:
    """Every value that is read in part, in the blocks that a network holds at their sizes."""
    readings = Readings()
    for prefix, measured in facts.blocks:
        names = measured.instance.block.inputs
        types = {step.node.key: step.result for step in measured.nodes}
        if not prefix:  # the input of a block is judged where the block is called
            types[names[0]] = measured.source
        for name, rows in readings.of_values(measured).items():
            if rows is not None and name in types:
                value = "the input" if name in names else f"`{prefix}{name}`"
                path, reader = next(readings.readers(measured, name, prefix))
                yield Loss(value, types[name], rows, path, reader)
        for step in measured.nodes:
            yield from _lost_between(readings, prefix, step)


def _lost_between(readings: Readings, prefix: str, step: TypedNode) -> Iterator[Loss]:
    """Blocks of a stage of which the next reads a part."""
    for at, block, following in _neighbours(step):
        rows = readings.of_inputs(following)[0]
        if rows is not None:
            value = f"`{prefix}{block_name(step.node, at)}`"
            below = f"{prefix}{block_name(step.node, at + 1)}."
            source = following.instance.block.inputs[0]
            path, reader = next(readings.readers(following, source, below))
            yield Loss(value, block.outputs[0], rows, path, reader)


def _neighbours(step: TypedNode) -> Iterator[tuple[int, TypedInstance, TypedInstance]]:
    """The distinct pairs of blocks of a stage of which one reads the other, with the number of that."""
    at, before = 0, None
    for block, times in step.blocks:
        if before:
            yield at - 1, before, block
        if times > 1:
            yield at, block, block
        at, before = at + times, block


class Readings:
    """What is read of values; each distinct block is walked once."""

    def __init__(self) -> None:
        self.known: dict[int, Mapping[str, Read]] = {}

    def of_values(self, measured: TypedInstance) -> Mapping[str, Read]:
        """What is read of the inputs and results of a block. What it gives is read outside: all of it."""
        if id(measured) not in self.known:
            found: dict[str, Read] = {}
            aliases = _aliases(measured)
            for step, names in _operands(measured, aliases):
                for name, read in zip(names, self.of_operands(step), strict=True):
                    found[name] = _both(found[name], read) if name in found else read
            found |= {aliases.get(name, name): None for name in measured.instance.outputs}
            self.known[id(measured)] = found
        return self.known[id(measured)]

    def of_operands(self, step: TypedNode) -> Sequence[Read]:
        """What a step reads of each of its inputs."""
        if step.node.op:
            view = seen(step.node.op, step.source, step.result)
            return [view.rows if view else None] * len(step.sources)
        (first, _), *rest = step.blocks
        reads = list(self.of_inputs(first))
        for block, _ in rest:  # all of them read the inputs behind the first
            reads[1:] = map(_both, reads[1:], self.of_inputs(block)[1:])
        return reads

    def of_inputs(self, measured: TypedInstance) -> Sequence[Read]:
        """What a block reads of its inputs; of one that it does not read, nothing is lost there."""
        values = self.of_values(measured)
        return [values.get(name) for name in measured.instance.block.inputs]

    def readers(
        self, measured: TypedInstance, value: str, prefix: str
    ) -> Iterator[tuple[str, TypedNode]]:
        """The ops that read a value, also those in blocks, with their names."""
        for step, names in _operands(measured, _aliases(measured)):
            for operand, name in enumerate(names):
                if name == value and not step.blocks:
                    yield f"{prefix}{step.node.key}", step
                elif name == value:
                    block = step.blocks[0][0]
                    below = f"{prefix}{block_name(step.node, 0)}."
                    yield from self.readers(block, block.instance.block.inputs[operand], below)


def _operands(
    measured: TypedInstance, aliases: Mapping[str, str]
) -> Iterator[tuple[TypedNode, list[str]]]:
    """The steps that compute, each with what it reads, whatever passes that on."""
    for step in measured.nodes:
        if not isinstance(step.node.callee, PassThrough):
            yield step, [aliases.get(name, name) for name in step.node.inputs]


def _aliases(measured: TypedInstance) -> Mapping[str, str]:
    """For each call that does nothing, the value that it passes."""
    aliases: dict[str, str] = {}
    for index in measured.instance.schedule:
        placed = measured.instance.nodes[index]
        if isinstance(placed.callee, PassThrough):
            aliases[placed.key] = aliases.get(placed.inputs[0], placed.inputs[0])
    return aliases


def _both(one: Read, other: Read) -> Read:
    if one is None or other is None:
        return None
    return tuple(a | b for a, b in zip(one, other, strict=True))


MOST_ROWS = 100_000  # of an axis that is looked at row by row


@dataclass(frozen=True, slots=True)
class InputCoverage:
    """What an op sees of its input along each axis."""

    rows: Read
    taps: int  # of its kernel, over all axes
    seeing: int  # those that lie on a value of the input anywhere


def seen(call: OpCall, source: TensorType, result: TensorType) -> InputCoverage | None:
    """What the windows of an op see of its input; None for one that reads each position."""
    if call.definition.window is same_position or not result.size:
        return None
    return _view(call.name, tuple(call.attributes.items()), source, result)


@cache
def _view(
    op: str, attributes: tuple[tuple[str, Any], ...], source: TensorType, result: TensorType
) -> InputCoverage:
    given = dict(attributes)
    gaps = per_axis(given.get("dilation", 1), len(source.size))
    taps = OPS[op].window(given, source)
    if max(*source.size, *result.size, *(each.last - each.first for each in taps)) > MOST_ROWS:
        return InputCoverage(
            None, 1, 1
        )  # nobody has such images; to look at every row would take them
    columns = zip(source.size, result.size, taps, gaps, strict=True)
    views = [_slide(*column) for column in columns]
    rows = tuple(view.rows for view in views)
    whole = all(map(int.__eq__, rows, map(_first, source.size)))
    seeing = math.prod(view.seeing for view in views)
    return InputCoverage(None if whole else rows, math.prod(view.taps for view in views), seeing)


class _Axis(NamedTuple):
    rows: Rows
    taps: int
    seeing: int


def _slide(size: int, windows: int, taps: Window, gap: int) -> _Axis:
    """The rows that windows read along an axis; of their taps, how many read one anywhere."""
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


def blind_taps(facts: LintContext) -> Iterator[Diagnostic]:
    """Kernels of which some taps lie in the padding wherever they slide: one warning a cause."""
    told = set[Span]()
    for prefix, measured in facts.blocks:
        for step in measured.nodes:
            call = step.node.callee
            if not isinstance(call, OpCall) or not call.definition.is_weighted:
                continue
            view = seen(call, step.source, step.result)
            if view is None or view.seeing == view.taps:
                continue
            path, node = f"{prefix}{step.node.key}", step.node.block_node.span
            dilation = call.terms.get("dilation")
            span = facts.nearest([*([dilation.span] if dilation else []), facts.network.input_span])
            if span in told:
                continue
            told.add(span)
            share = f"{view.taps - view.seeing} of its {view.taps} taps see padding only"
            message = f"`{path}` reads {step.source}: {share}"
            hint = "take a larger input, or reduce or dilate it less"
            notes = (Note(f"`{path}`", node),)
            yield Diagnostic("blind-taps", message, span, notes, hint, "warning")
