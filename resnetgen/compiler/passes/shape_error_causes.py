"""What may have made two shapes differ, or an input too small for a window.

    operands of size 28 and 56, the second without a stride
        ->  Cause("`conv1` turns 56 into 28"), Cause("`0` keeps 56")

A cause refers to the terms to blame, found along the traces of the operands (`provenance.py`).
Non-goal: which of them the diagnostic points at (`shape_errors.py`).
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from resnetgen.compiler.diagnostics.model import Note, Span
from resnetgen.compiler.frontend.expressions import Name
from resnetgen.compiler.ir.nodes import InstanceNode, Network, SourcedExpr
from resnetgen.compiler.ir.op_def import format_value
from resnetgen.compiler.ir.ops import OPS, STRIDE
from resnetgen.compiler.ir.shape_rules import ChannelInfo, TensorType, per_axis
from resnetgen.compiler.passes.provenance import (
    Names,
    TraceStep,
    ancestors,
    attribute_terms,
    is_own,
    names_of_call,
    own_terms,
)

# The attributes that change a size; by default, the stride of a pool is its kernel.
SIZE_ATTRIBUTES = ("stride", "scale", "size", "kernel")
ODD_KERNEL = "an odd kernel keeps the size; an even one does not, and has no padding by default"
EVEN_SIZES = "choose an input size and strides so that each size divides by the next stride"


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand of a join: its name, its type, and the steps of its trace that only it has."""

    name: str
    type: TensorType
    steps: Sequence[TraceStep]


@dataclass(frozen=True, slots=True)
class Cause:
    """What an op does here, and the terms that make it do so."""

    text: str
    terms: tuple[SourcedExpr, ...]
    fallback: Span  # the node, if nothing was written for the attribute
    policy: bool = False  # part of what the network binds to `shortcut`
    help: str | None = None

    def blames(self, network: Network) -> list[Blame]:
        """The positions to point at: the user's own terms, if there are any."""
        own = [each for term in self.terms for each in own_terms(term, network)]
        if not own:
            span = self.terms[0].span if self.terms else self.fallback
            return [Blame(Note(self.text, span), self, not self.terms and is_own(span, network))]
        texts = [self.text, *(f"this also depends on `{each.key_span.text}`" for each in own[1:])]
        return [
            Blame(Note(text, term.span), self, True, not isinstance(term.expr, Name))
            for text, term in zip(texts, own, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Blame:
    """A cause at one position."""

    note: Note
    cause: Cause
    own: bool  # the user can change it
    precise: bool = False  # it is more than a name that is passed on

    @property
    def span(self) -> Span:
        """The position."""
        assert self.note.span
        return self.note.span


def ranked_blames(
    causes: Sequence[Cause], network: Network, outside: Container[Span]
) -> list[Blame]:
    """The positions of some causes, each once: the user's own first, and of these the most precise.

    Terms `outside` the block, and terms behind several causes, come last: they explain little of a
    difference within the block.
    """
    blames: dict[Span, Blame] = {}
    behind = {id(cause): set(_spans_behind(cause)) for cause in causes}
    for cause in causes:
        for blame in cause.blames(network):
            blames.setdefault(blame.span, blame)

    def rank(blame: Blame) -> tuple[bool, bool, bool]:
        others = (spans for cause, spans in behind.items() if cause != id(blame.cause))
        common = blame.span in outside or any(blame.span in spans for spans in others)
        return not blame.own, not blame.precise, common

    return sorted(blames.values(), key=rank)


def _spans_behind(cause: Cause) -> Iterator[Span]:
    return (each.span for term in cause.terms for each in ancestors(term))


def _cause(text: str, step: TraceStep, *names: str) -> Cause:
    """A cause that blames the first of some attributes that was written."""
    terms = next(((step.terms[name],) for name in names if name in step.terms), ())
    return Cause(text, terms, step.block_node.span, step.policy)


# --- sizes


def size_causes(
    operands: Sequence[Operand], shared: Sequence[TraceStep], input_span: Span
) -> list[Cause]:
    """Why two values differ in size: strides, otherwise kernels that change it, and odd sizes.

    `shared`: the steps that both traces have.
    """
    first, second = (operand.type.size for operand in operands)
    if len(first) != len(second):
        return []
    axis = next(at for at, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    totals = [math.prod(_reduction(step, axis) for step in each.steps) for each in operands]
    if totals[0] != totals[1]:
        larger = operands[totals.index(min(totals))]
        return _stride_causes(operands, larger, axis)
    steps = [step for operand in operands for step in operand.steps]
    causes = [_kernel_cause(step, axis) for step in steps if _rounds(step, axis)]
    source = next((each.steps[-1].source.size[axis] for each in operands if each.steps), 0)
    if source % totals[0]:
        causes += _odd_size_causes(shared, axis, source, input_span)
    return causes


def _stride_causes(operands: Sequence[Operand], larger: Operand, axis: int) -> list[Cause]:
    """The strides of either operand, and whatever keeps the size of the larger one."""
    steps = [step for operand in operands for step in operand.steps]
    strides = [_stride_cause(step, axis) for step in steps if _reduction(step, axis) != 1]
    keeps = [
        _cause(f"`{step.key}` keeps {step.source.size[axis]}", step, *SIZE_ATTRIBUTES)
        for step in larger.steps
        if _reduction(step, axis) == 1 and _could_stride(step)
    ]
    return strides + keeps


def _reduction(step: TraceStep, axis: int) -> Fraction:
    """The factor by which an op shrinks an axis, without rounding."""
    if step.call is None or not _has_axis(step, axis):
        return Fraction(1)
    attributes = step.call.attributes
    if "scale" in attributes:
        return Fraction(1, attributes["scale"])
    if "stride" in attributes:
        return Fraction(per_axis(attributes["stride"], len(step.source.size))[axis])
    if "kernel" in attributes:
        return Fraction(1)
    return Fraction(step.source.size[axis], step.result.size[axis])


def _could_stride(step: TraceStep) -> bool:
    """Whether a stride of 1 was written for an op, or follows from the kernel of a pool."""
    if "stride" in step.terms:
        return step.call is None or "stride" in step.call.attributes
    attributes = OPS[step.call.name].attributes if step.call else {}
    return callable(attributes.get("stride", STRIDE).default) and "kernel" in step.terms


def _rounds(step: TraceStep, axis: int) -> bool:
    """Whether a size is not that of the input divided by the stride, rounded up."""
    if not _has_axis(step, axis):
        return False
    return step.result.size[axis] != math.ceil(step.source.size[axis] / _reduction(step, axis))


def _has_axis(step: TraceStep, axis: int) -> bool:
    """Whether an axis is one of both the input and the result; flattening removes it."""
    return axis < len(step.source.size) == len(step.result.size)


def _stride_cause(step: TraceStep, axis: int) -> Cause:
    return _cause(_turns(step, axis), step, *SIZE_ATTRIBUTES)


def _turns(step: TraceStep, axis: int) -> str:
    return f"`{step.key}` turns {step.source.size[axis]} into {step.result.size[axis]}"


def _kernel_cause(step: TraceStep, axis: int) -> Cause:
    assert step.call
    attributes = step.call.attributes
    if "kernel" not in attributes:
        return _cause(_turns(step, axis), step, "stride")
    text = f"{_turns(step, axis)}: a kernel of {format_value(attributes['kernel'])}"
    padding = attributes.get("padding", 0)
    text += f", padding {format_value(padding)}" if padding else " without padding"
    terms = tuple(step.terms[name] for name in ("padding", "kernel") if name in step.terms)
    return Cause(text, terms, step.block_node.span, step.policy, None if padding else ODD_KERNEL)


def _odd_size_causes(
    shared: Sequence[TraceStep], axis: int, size: int, input_span: Span
) -> list[Cause]:
    """Where a size comes from that does not divide: the first op that divides unevenly.

    If there is none, all strides before it, and the input.
    """
    strides = [step for step in shared if _reduction(step, axis) > 1]
    uneven = [step for step in strides if not _divides(step, axis)]
    causes = [
        _cause(f"{_turns(step, axis)}, which leaves {size} here", step, *SIZE_ATTRIBUTES)
        for step in uneven[-1:] or strides
    ]
    if not uneven:
        causes.append(Cause(f"this input leaves {size} here", (), input_span))
    return [replace(cause, help=EVEN_SIZES) for cause in causes]


def _divides(step: TraceStep, axis: int) -> bool:
    return _reduction(step, axis) * step.result.size[axis] == step.source.size[axis]


def window_causes(steps: Sequence[TraceStep], input_span: Span) -> list[Cause]:
    """What made a value too small for a window: strides, the largest first, and the input."""
    axes = range(max((len(step.source.size) for step in steps), default=0))
    strides = [(step, axis) for step in steps for axis in axes if _reduction(step, axis) > 1]
    strides.sort(key=lambda each: -_reduction(*each))
    causes = [_stride_cause(step, axis) for step, axis in strides]
    return [*causes, Cause("the input of the network", (), input_span)]


# --- channels


def channel_causes(operands: Sequence[Operand], shared: Sequence[TraceStep]) -> list[Cause]:
    """Why two values differ in channels: for each operand, the last op that decides them."""
    causes = [_channel_cause(step) for each in operands if (step := _last_to_decide(each.steps))]
    common = _last_to_decide(shared)
    return [*causes, _channel_cause(common)] if common and len(causes) < len(operands) else causes


def _last_to_decide(steps: Sequence[TraceStep]) -> TraceStep | None:
    """The nearest step that decides the number of channels."""
    for step in steps:
        changes = step.result.channels != step.source.channels
        if step.call and ("out" in step.call.attributes or changes):
            return step
    return None


def _channel_cause(step: TraceStep) -> Cause:
    text = f"`{step.key}` outputs {step.result.channels} channels"
    return _cause(text, step, "out", "back", "front")


# --- positions


def size_dependent_op(
    nodes: Iterable[InstanceNode],
    inputs: Mapping[str, ChannelInfo | None],
    key: str,
    names: Names,
) -> Cause | None:
    """The op after which the number of positions of a value depends on the size of the input."""
    by_key = {node.key: node for node in nodes}
    while key in by_key:
        node = by_key[key]
        before = by_key.get(node.inputs[0])
        source = before.result if before else inputs.get(node.inputs[0])
        if source and source.positions is not None and node.result.positions is None:
            return _size_dependence(node, names)
        key = node.inputs[0]
    return None


def _size_dependence(node: InstanceNode, names: Names) -> Cause | None:
    if node.runs:
        callee = node.runs[-1].instance
        inner = names_of_call(node, callee, names)
        return size_dependent_op(callee.nodes, callee.inputs, callee.outputs[0], inner)
    text = f"`{node.key}` makes the number of values depend on the input size"
    neutral = {"kernel": 1, "stride": 1, "padding": 0}
    attributes = node.op.attributes if node.op else {}
    terms = attribute_terms(node, names)
    guilty = [name for name, value in neutral.items() if attributes.get(name, value) != value]
    blamed = tuple(terms[name] for name in guilty if name in terms)
    return Cause(text, blamed, node.block_node.span)
