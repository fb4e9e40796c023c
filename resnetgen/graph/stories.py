"""How a fault of shape is told: both shapes, where each came from, which choice would make them meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnetgen.graph.ir import Block, Instance, Network, OpCall, Passes, Placed, Slot
from resnetgen.graph.ops import OPS
from resnetgen.graph.rules import ShapeError, TensorType
from resnetgen.language.diagnostics import Diagnostic, Note, Span


@dataclass(frozen=True, slots=True)
class Frame:
    """A call on the way to a fault: the node that called, in which instance, at which path."""

    instance: Instance
    placed: Placed
    path: str


def shape_fault(
    network: Network,
    instance: Instance,
    placed: Placed,
    types: Mapping[str, TensorType | None],
    frames: tuple[Frame, ...],
    error: ShapeError,
) -> Diagnostic:
    """The diagnostic for an op that cannot take its inputs."""
    path = ".".join([*(frame.path for frame in frames), placed.key])
    message = f"{path}: {error}"
    assert isinstance(placed.what, OpCall)
    if error.too_small and placed.node.span.source is not network.span.source:
        notes = [Note("too small an input for this network", network.input_span)]
        notes.append(Note("the kernel", placed.node.span))
        return Diagnostic("shape-mismatch", message, network.input_span, tuple(notes))
    if OPS[placed.what.op].arity is not None:
        span = _culprit(placed)
        notes = _calls(frames)
        if span.source is not placed.node.span.source:
            notes = [Note(f"`{placed.key}` is this node", placed.node.span), *notes]
        return Diagnostic("shape-mismatch", message, span, tuple(notes), error.help)
    notes = [_origin(instance, name, types) for name in placed.inputs]
    skipped = _skips(instance, placed)
    if not skipped:
        notes += _calls(frames)
        return Diagnostic("shape-mismatch", message, placed.node.span, tuple(notes), error.help)
    return _shortcut_fault(network, instance, placed, types, frames, message, notes)


def _shortcut_fault(
    network: Network,
    instance: Instance,
    placed: Placed,
    types: Mapping[str, TensorType | None],
    frames: tuple[Frame, ...],
    message: str,
    notes: list[Note],
) -> Diagnostic:
    """An identity that joins a path which changed the shape: the policy or the stride is at fault."""
    policy = network.ambient.get("shortcut")
    known = [kind for name in placed.inputs if (kind := types.get(name))]
    sizes = len({kind.size for kind in known}) > 1
    stride = frames[-1].placed.node.arguments.get("stride") if frames else None
    at_stride = stride.span if sizes and stride else None
    choices = [span for span in (at_stride, policy.span if policy else None) if span]
    own = [span for span in choices if span.source is network.span.source]
    span = [*own, *choices, placed.node.span][0]  # in the file that the person is writing
    told = {
        at_stride: "the main path reduces the size here",
        policy.span if policy else None: "the shortcut policy, which keeps the shape of its input",
        placed.node.span: "the shortcut keeps the shape of its input, the main path does not",
    }
    story = [Note(told[span], span), *notes]
    story += [Note(told[each], each) for each in choices if each is not span]
    hint = "use `shortcut: projection` (option B) or `shortcut: {op: zero_pad, centred: false}` (option A)"
    return Diagnostic("shape-mismatch", message, span, tuple(story), hint)


def _skips(instance: Instance, placed: Placed) -> bool:
    """Whether an operand of a join is the block's own input, by a shortcut that does nothing."""
    passes = {each.key for each in instance.placed if isinstance(each.what, Passes)}
    through = {each.key for each in instance.placed if each.node.target == Slot("shortcut")}
    names = set(placed.inputs)
    declared = any(node.target == Slot("shortcut") for node in instance.block.nodes)
    return declared and bool(
        names & (passes | set(instance.block.inputs)) or names & passes & through
    )


def _culprit(placed: Placed) -> Span:
    """The argument that does not suit, where one can be named."""
    for name in ("groups", "kernel", "padding"):
        assert isinstance(placed.what, OpCall)
        if name in placed.what.terms:
            return placed.what.terms[name].span
    return placed.node.span


def _calls(frames: tuple[Frame, ...]) -> list[Note]:
    return [
        Note(f"in the block at `{frame.path}`", frame.placed.node.span) for frame in frames[-1:]
    ]


def _origin(instance: Instance, name: str, types: Mapping[str, TensorType | None]) -> Note:
    """Where the shape of an operand was decided: norms and activations only pass it on."""
    by_key = {each.key: each for each in instance.placed}
    start, shown = name, types.get(name)
    while name in by_key and _keeps_shape(by_key[name]):
        name = by_key[name].inputs[0]
    if name not in by_key:
        return Note(f"`{start}` is {shown}: the input of the block `{instance.block.name}`")
    origin = by_key[name]
    term = origin.node.arguments.get("out")
    via = "" if name == start else f", made by `{name}`"
    block = _called(origin)
    what = f" (`{block.name}`)" if block else ""
    return Note(f"`{start}` is {shown}{via}{what}", term.span if term else origin.node.span)


def _called(placed: Placed) -> Block | None:
    return placed.what[0].instance.block if isinstance(placed.what, tuple) else None


def _keeps_shape(placed: Placed) -> bool:
    if isinstance(placed.what, Passes):
        return True
    return (
        isinstance(placed.what, OpCall)
        and "out" not in placed.what.attributes
        and len(placed.inputs) == 1
    )
