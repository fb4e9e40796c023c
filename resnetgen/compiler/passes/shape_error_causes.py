"""What may have made two shapes differ, or a window too large: ops of their ways, and why.

    ways of 28 and 56, the second without a stride  ->  `conv1` turns 56 into 28, `0` keeps 56

A cause names the arguments to blame; which of them is told is for `stories.py` to say.
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
    is_own,
    names_of_call,
    own_terms,
    ancestors,
    attribute_terms,
)

STRIDES = (
    "stride",
    "scale",
    "size",
    "kernel",
)  # what changes a size; the stride of a pool is its kernel
ODD_KERNEL = "an odd kernel keeps the size; an even one does not, and has no padding by default"
EVEN = "choose an input size and strides so that each size divides by the next stride"


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand of a join: what it is called there, its type, and the ops that only it has passed."""

    name: str
    type: TensorType
    steps: Sequence[TraceStep]


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that was written, and what it does here."""

    text: str
    terms: tuple[SourcedExpr, ...]
    fallback: Span  # the node, where nothing was written for the attribute
    policy: bool = False  # part of what the network means by `shortcut`
    help: str | None = None

    def blames(self, network: Network) -> list[Blame]:
        """The places to point at: the person's own, where there are some."""
        own = [each for term in self.terms for each in own_terms(term, network)]
        if not own:
            span = self.terms[0].span if self.terms else self.fallback
            return [Blame(Note(self.text, span), self, not self.terms and is_own(span, network))]
        texts = [self.text, *(f"that follows from `{each.key_span.text}` too" for each in own[1:])]
        return [
            Blame(Note(text, term.span), self, True, not isinstance(term.expr, Name))
            for text, term in zip(texts, own, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Blame:
    """A cause at a place: is it the person's own, and is it more than a name that is passed on?"""

    note: Note
    cause: Cause
    own: bool
    precise: bool = False

    @property
    def span(self) -> Span:
        """The place."""
        assert self.note.span
        return self.note.span


def size_causes(
    ways: Sequence[Operand], shared: Sequence[TraceStep], input_span: Span
) -> list[Cause]:
    """Why two values differ in size: strides, else kernels that do not keep it, and odd sizes.

    `shared`: what both have passed before.
    """
    first, second = (way.type.size for way in ways)
    if len(first) != len(second):
        return []
    axis = next(at for at, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    totals = [math.prod(_reduction(leg, axis) for leg in way.steps) for way in ways]
    if totals[0] != totals[1]:
        slow = ways[totals.index(min(totals))]
        return _stride_causes(ways, slow, axis)
    causes = [_kernel(leg, axis) for way in ways for leg in way.steps if _rounds(leg, axis)]
    source = next((way.steps[-1].source.size[axis] for way in ways if way.steps), 0)
    if source % totals[0]:
        causes += _odd(shared, axis, source, input_span)
    return causes


def _stride_causes(ways: Sequence[Operand], slow: Operand, axis: int) -> list[Cause]:
    """What strides on either way, and on the slower what was told to keep the size."""
    strides = [leg for way in ways for leg in way.steps if _reduction(leg, axis) != 1]
    kept = [leg for leg in slow.steps if _reduction(leg, axis) == 1 and _could_stride(leg)]
    keeps = [_cause(f"`{leg.key}` keeps {leg.source.size[axis]}", leg, *STRIDES) for leg in kept]
    return [*(_strides(leg, axis) for leg in strides), *keeps]


def _reduction(leg: TraceStep, axis: int) -> Fraction:
    """How far an op reduces an axis, rounding aside."""
    if leg.call is None or not _keeps_axis(leg, axis):
        return Fraction(1)
    attributes = leg.call.attributes
    if "scale" in attributes:
        return Fraction(1, attributes["scale"])
    if "stride" in attributes:
        return Fraction(per_axis(attributes["stride"], len(leg.source.size))[axis])
    if "kernel" in attributes:
        return Fraction(1)
    return Fraction(leg.source.size[axis], leg.result.size[axis])


def _could_stride(leg: TraceStep) -> bool:
    """Whether a stride of 1 was written for an op, or follows from the kernel of a pool."""
    if "stride" in leg.terms:
        return leg.call is None or "stride" in leg.call.attributes
    by_kernel = leg.call and callable(OPS[leg.call.name].attributes.get("stride", STRIDE).default)
    return bool(by_kernel) and "kernel" in leg.terms


def _rounds(leg: TraceStep, axis: int) -> bool:
    """Whether a size is not that of its input by the stride, rounded up."""
    if not _keeps_axis(leg, axis):
        return False
    return leg.result.size[axis] != math.ceil(leg.source.size[axis] / _reduction(leg, axis))


def _keeps_axis(leg: TraceStep, axis: int) -> bool:
    """False for what is flattened."""
    return axis < len(leg.source.size) == len(leg.result.size)


def _strides(leg: TraceStep, axis: int) -> Cause:
    return _cause(_turns(leg, axis), leg, *STRIDES)


def _turns(leg: TraceStep, axis: int) -> str:
    return f"`{leg.key}` turns {leg.source.size[axis]} into {leg.result.size[axis]}"


def _kernel(leg: TraceStep, axis: int) -> Cause:
    assert leg.call
    attributes = leg.call.attributes
    if "kernel" not in attributes:
        return _cause(_turns(leg, axis), leg, "stride")
    text = f"{_turns(leg, axis)}: a kernel of {format_value(attributes['kernel'])}"
    padding = attributes.get("padding", 0)
    text += f", padding {format_value(padding)}" if padding else " without padding"
    terms = [leg.terms[name] for name in ("padding", "kernel") if name in leg.terms]
    return Cause(text, tuple(terms), leg.block_node.span, leg.policy, None if padding else ODD_KERNEL)


def _odd(shared: Sequence[TraceStep], axis: int, size: int, input_span: Span) -> list[Cause]:
    """Where a size came from that does not divide: the first op that divides unevenly, if any.

    Else the strides before it, and the input.
    """
    striding = [leg for leg in shared if _reduction(leg, axis) > 1]
    uneven = [leg for leg in striding if not _divides(leg, axis)]
    causes = [
        _cause(f"{_turns(leg, axis)}, which leaves {size} here", leg, *STRIDES)
        for leg in uneven[-1:] or striding
    ]
    given = [] if uneven else [Cause(f"this input leaves {size} here", (), input_span)]
    return [replace(cause, help=EVEN) for cause in (*causes, *given)]


def _divides(leg: TraceStep, axis: int) -> bool:
    return _reduction(leg, axis) * leg.result.size[axis] == leg.source.size[axis]


def channel_causes(ways: Sequence[Operand], shared: Sequence[TraceStep]) -> list[Cause]:
    """Why two values differ in channels: on each way, the last op that decides them."""
    causes = [_channels(leg) for way in ways if (leg := _decides(way.steps))]
    common = _decides(shared)
    return [*causes, _channels(common)] if common and len(causes) < len(ways) else causes


def _decides(legs: Sequence[TraceStep]) -> TraceStep | None:
    return next((leg for leg in legs if leg.call and _gives_channels(leg)), None)


def _gives_channels(leg: TraceStep) -> bool:
    assert leg.call
    return "out" in leg.call.attributes or leg.result.channels != leg.source.channels


def _channels(leg: TraceStep) -> Cause:
    return _cause(f"`{leg.key}` gives {leg.result.channels} channels", leg, "out", "back", "front")


def window_causes(legs: Sequence[TraceStep], input_span: Span) -> list[Cause]:
    """What made a value too small for a window: strides, the largest first, and the input."""
    axes = range(max((len(leg.source.size) for leg in legs), default=0))
    reduced = [(leg, axis) for leg in legs for axis in axes if _reduction(leg, axis) > 1]
    reduced.sort(key=lambda each: -_reduction(*each))
    causes = [_strides(leg, axis) for leg, axis in reduced]
    return [*causes, Cause("the input of the network", (), input_span)]


def size_dependent_op(
    placed: Iterable[InstanceNode], flows: Mapping[str, ChannelInfo | None], key: str, names: Names
) -> Cause | None:
    """The op after which the number of positions of a value depends on the input of the network."""
    by_key = {each.key: each for each in placed}
    while key in by_key:
        here = by_key[key]
        above = by_key.get(here.inputs[0])
        source = above.result if above else flows.get(here.inputs[0])
        if source and source.positions is not None and here.result.positions is None:
            return _opens(here, names)
        key = here.inputs[0]
    return None


def _opens(placed: InstanceNode, names: Names) -> Cause | None:
    if placed.runs:
        called = placed.runs[-1].instance
        below = names_of_call(placed, called, names)
        return size_dependent_op(called.nodes, called.inputs, called.outputs[0], below)
    text = f"`{placed.key}` makes the number of values depend on the input size"
    changes = {"kernel": 1, "stride": 1, "padding": 0}
    attributes = placed.op.attributes if placed.op else {}
    terms = attribute_terms(placed, names)
    guilty = [name for name, kept in changes.items() if attributes.get(name, kept) != kept]
    blamed = tuple(terms[name] for name in guilty if name in terms)
    return Cause(text, blamed, placed.block_node.span)


def _cause(text: str, leg: TraceStep, *names: str) -> Cause:
    """A cause that blames the first of some attributes for which something was written."""
    terms = next(((leg.terms[name],) for name in names if name in leg.terms), ())
    return Cause(text, terms, leg.block_node.span, leg.policy)


def ranked_blames(causes: Sequence[Cause], network: Network, outside: Container[Span]) -> list[Blame]:
    """The places of some causes, each once: the person's own first, of these what says most.

    What was written `outside` the block, or is behind another cause too, comes later: it says
    little of a difference within the block.
    """
    found: dict[Span, Blame] = {}
    behind = {id(cause): set(_behind(cause)) for cause in causes}
    for cause in causes:
        for blame in cause.blames(network):
            found.setdefault(blame.span, blame)

    def rank(blame: Blame) -> tuple[bool, bool, bool]:
        others = (spans for cause, spans in behind.items() if cause != id(blame.cause))
        common = blame.span in outside or any(blame.span in spans for spans in others)
        return not blame.own, not blame.precise, common

    return sorted(found.values(), key=rank)


def _behind(cause: Cause) -> Iterator[Span]:
    return (each.span for term in cause.terms for each in ancestors(term))
