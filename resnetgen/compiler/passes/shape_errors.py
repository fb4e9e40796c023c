"""How a fault of shape is told: at the number that a person can change, with both sides of it.

    layer2.0.add: cannot add 128 x 28 x 28 to 128 x 56 x 56
        at `stride: 2` of a stage: `conv1` turns 56 into 28
        note: `downsample.0` keeps 56, where the person's policy says `stride: 1`

Both operands are followed back to where their ways part (`ways.py`); what made the difference there
(`causes.py`) is told at the argument that was written for it (`origins.py`). A place of the library
is told where there is no other.

What a join and a shortcut policy have to do with each other: which of the two is at fault.

    downsample: {op: shortcut, inputs: x, out: 256, stride: 2}   asks for 256 channels, half the size

A policy is at fault where the main path of its block gives what the block asks for, and it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span
from resnetgen.compiler.frontend.expressions import ExpressionError, Value, evaluate
from resnetgen.compiler.ir.nodes import (
    SHORTCUT,
    Block,
    Instance,
    InstanceNode,
    Network,
    OpCall,
    PassThrough,
    SourcedExpr,
)
from resnetgen.compiler.ir.shape_rules import ShapeError, TensorType
from resnetgen.compiler.passes.provenance import (
    CallSite,
    Types,
    full_trace,
    is_own,
    bypassed_steps,
    names_at,
    diverge,
    attribute_terms,
)
from resnetgen.compiler.passes.shape_error_causes import (
    Cause,
    Operand,
    ranked_blames,
    channel_causes,
    size_causes,
    window_causes,
)

CODE = "shape-mismatch"
WITHOUT_SHORTCUT = "join a shortcut instead: `{op: shortcut, inputs: x, out: ..., stride: ...}`"
MOST_NOTES = 4  # a wall of notes teaches nothing
CHOICES = (
    "use `shortcut: projection` (option B) or `shortcut: {op: zero_pad, centred: false}` (option A)"
)


def shape_error(
    network: Network,
    instance: Instance,
    placed: InstanceNode,
    types: Types,
    frames: tuple[CallSite, ...],
    error: ShapeError,
) -> Diagnostic:
    """The diagnostic for an op that cannot take its inputs."""
    assert placed.op
    path = ".".join([*(frame.path for frame in frames), placed.key])
    message = f"{path}: {error}"
    known = [kind for name in placed.inputs if (kind := types.get(name))]
    if placed.op.definition.arity is not None:
        causes = _causes_of_one(network, instance, placed, types, frames, error)
        return _told(network, placed, frames, message, causes, error.help)
    if swap_operands(placed.op, known):
        hint = f"write `inputs: [{', '.join(reversed(placed.block_node.inputs))}]`"
        notes = [_origin(instance, name, types) for name in placed.inputs] + _calls(frames)
        return Diagnostic(CODE, message, placed.block_node.span, tuple(notes), hint)
    causes = _causes_of_join(network, instance, placed, types, frames)
    if is_at_fault(instance, placed, types):
        if passes(instance, placed):
            strides = len({kind.size for kind in known}) > 1
            return _shortcut_fault(network, placed, frames, message, causes, strides)
        policy = ignores_argument(network, instance, placed, types)
        if policy and not _own_policy(causes, network):
            hint = "a call of `shortcut` offers `out` and `stride`: a policy declares and uses both"
            return _at(policy, network, placed, message, causes, hint)
    if is_missing(instance, placed) and is_own(placed.block_node.span, network):
        span = placed.block_node.span
        return _told(network, placed, frames, message, causes, WITHOUT_SHORTCUT, span)
    return _told(network, placed, frames, message, causes, error.help)


def swap_operands(join: OpCall, sources: Sequence[TensorType]) -> TensorType | None:
    """The result of a join with its operands the other way round, where they fit so."""
    try:
        return join.definition.shape(join.attributes, list(reversed(sources)))
    except ShapeError:
        return None


# --- causes


def _causes_of_one(
    network: Network,
    instance: Instance,
    placed: InstanceNode,
    types: Types,
    frames: tuple[CallSite, ...],
    error: ShapeError,
) -> list[Cause]:
    """Why an op cannot take its input: its own attributes, then what made the input so."""
    terms = attribute_terms(placed, names_at(frames, instance))
    causes = [
        Cause(f"`{name}` of `{placed.key}`", (terms[name],), placed.block_node.span)
        for name in error.at
        if name in terms
    ]
    legs = full_trace(instance, types, placed.inputs[0], frames)
    if error.too_small:
        causes += window_causes(legs, network.input_span)
    elif "groups" in error.at:
        source = types.get(placed.inputs[0])
        assert source
        causes += channel_causes([Operand(placed.inputs[0], source, legs)], ())
    return causes


def _causes_of_join(
    network: Network,
    instance: Instance,
    placed: InstanceNode,
    types: Types,
    frames: tuple[CallSite, ...],
) -> list[Cause]:
    """Why two operands of a join differ: sizes first, then channels."""
    assert placed.op
    first, second = _unequal(placed.op, placed.inputs, types)
    legs = [
        [
            *bypassed_steps(instance, placed, name, types, names_at(frames, instance)),
            *full_trace(instance, types, name, frames),
        ]
        for name in (first, second)
    ]
    one, other, shared = diverge(*legs)
    pair = [(first, one), (second, other)]
    ways = [Operand(name, kind, legs) for name, legs in pair if (kind := types.get(name))]
    causes: list[Cause] = []
    if ways[0].type.size != ways[1].type.size:
        causes += size_causes(ways, shared, network.input_span)
    alike = replace(ways[1].type, size=ways[0].type.size)
    if not _fits(placed.op, [ways[0].type, alike]):
        causes += channel_causes(ways, shared)
    return causes


def _unequal(join: OpCall, inputs: Sequence[str], types: Types) -> tuple[str, str]:
    """The first operand of a join, and the one that does not suit it."""
    first = inputs[0]
    for other in inputs[1:]:
        if not _fits(join, [kind for name in (first, other) if (kind := types.get(name))]):
            return first, other
    return first, inputs[1]


def _fits(join: OpCall, sources: Sequence[TensorType]) -> bool:
    try:
        join.definition.shape(join.attributes, sources)
    except ShapeError:
        return False
    return True


# --- the telling


def _told(
    network: Network,
    placed: InstanceNode,
    frames: tuple[CallSite, ...],
    message: str,
    causes: Sequence[Cause],
    help: str | None,
    span: Span | None = None,
) -> Diagnostic:
    """At the first cause that is the person's own, or a given place; the causes are notes.

    Where nothing of the person's own makes the difference, at the nearest call that is theirs.
    """
    outside = [term.span for frame in frames for term in frame.node.block_node.arguments.values()]
    node, blames = placed.block_node.span, ranked_blames(causes, network, outside)
    spans = [span] if span else [blame.span for blame in blames if blame.own]
    calls = [frame.node.block_node.span for frame in reversed(frames)]
    spans += [each for each in (node, *calls) if is_own(each, network)]
    at = next(iter(spans), node)
    notes = [blame.note for blame in blames][: MOST_NOTES - 1]
    notes += [each for each in (_here(placed), *_calls(frames)) if not _on_line(each, at)]
    helps = [blame.cause.help for blame in blames if blame.span == at]
    return Diagnostic(CODE, message, at, tuple(notes[:MOST_NOTES]), next(filter(None, helps), help))


def _on_line(note: Note, span: Span) -> bool:
    """Whether the line that is shown shows what a note says."""
    assert note.span
    return (note.span.source, note.span.line) == (span.source, span.line)


def _here(placed: InstanceNode) -> Note:
    joins = placed.op and placed.op.definition.arity is None
    text = f"joined here, by `{placed.key}`" if joins else f"`{placed.key}` is this node"
    return Note(text, placed.block_node.span)


def _calls(frames: Sequence[CallSite]) -> list[Note]:
    return [
        Note(f"in the block at `{frame.path}`", frame.node.block_node.span) for frame in frames[-1:]
    ]


def _at(
    lead: Note,
    network: Network,
    placed: InstanceNode,
    message: str,
    causes: Sequence[Cause],
    hint: str,
) -> Diagnostic:
    """At one note; the causes and the join are told beside it."""
    others = [each.note for each in ranked_blames(causes, network, ()) if each.span != lead.span]
    notes = [lead, *others][: MOST_NOTES - 1]
    return Diagnostic(CODE, message, lead.span, (*notes, _here(placed)), hint)


# --- joins of a shortcut


def _own_policy(causes: Sequence[Cause], network: Network) -> bool:
    """Whether a number of the person's own policy made the difference."""
    return any(blame.precise and blame.cause.policy for blame in ranked_blames(causes, network, ()))


def _shortcut_fault(
    network: Network,
    placed: InstanceNode,
    frames: tuple[CallSite, ...],
    message: str,
    causes: Sequence[Cause],
    strides: bool,
) -> Diagnostic:
    """An identity beside a path that changes the shape: the stride or the policy is at fault."""
    policy = network.ambient.get("shortcut")
    if policy is None:
        return _told(network, placed, frames, message, causes, CHOICES)
    keeps = Note("the shortcut policy, which keeps the shape of its input", policy.span)
    own = [blame for blame in ranked_blames(causes, network, ()) if blame.precise]
    near = [blame for blame in own if blame.span.source is network.span.source]
    lead = near[:1] if strides else []
    if not is_own(policy.span, network):
        lead = own[:1]
    if lead:
        told = _at(lead[0].note, network, placed, message, causes, CHOICES)
        return replace(told, notes=(told.notes[0], keeps, *told.notes[1:])[:MOST_NOTES])
    return _at(keeps, network, placed, message, causes, CHOICES)


# --- operands the wrong way round


def _origin(instance: Instance, name: str, types: Types) -> Note:
    """Where the shape of an operand was decided: norms and activations only pass it on."""
    by_key = {each.key: each for each in instance.nodes}
    start, shown = name, types.get(name)
    while name in by_key and _keeps_shape(by_key[name], types):
        name = by_key[name].inputs[0]
    if name not in by_key:
        return Note(f"`{start}` is {shown}: the input of the block `{instance.block.name}`")
    origin = by_key[name]
    term = origin.block_node.arguments.get("out")
    via = "" if name == start else f", made by `{name}`"
    return Note(f"`{start}` is {shown}{via}", term.span if term else origin.block_node.span)


def _keeps_shape(placed: InstanceNode, types: Types) -> bool:
    if isinstance(placed.callee, PassThrough):
        return True
    return (
        placed.op is not None
        and "out" not in placed.op.attributes
        and len(placed.inputs) == 1
        and types.get(placed.key) == types.get(placed.inputs[0])
    )


def is_at_fault(instance: Instance, join: InstanceNode, types: Types) -> bool:
    """Whether the main path gives what the block asks of its shortcut, and the shortcut does not."""
    asked = _asked(instance, join, types)
    if asked is None:
        return False
    shortcut, channels, size = asked
    others = [kind for name in join.inputs if name != shortcut and (kind := types.get(name))]
    return all((other.channels, other.size) == (channels, size) for other in others)


def _asked(
    instance: Instance, join: InstanceNode, types: Types
) -> tuple[str, int, tuple[int, ...]] | None:
    """The operand that is a shortcut, and the channels and size that its call asks for."""
    node = next((each for each in instance.block.nodes if each.target == SHORTCUT), None)
    present = {each.key: each for each in instance.nodes}
    if node is None:
        return None
    if node.key in present:
        operand, source = node.key, types.get(present[node.key].inputs[0])
    else:
        operand = next((name for name in join.inputs if name in instance.block.inputs), "")
        source = types.get(operand)
    if source is None or operand not in join.inputs:
        return None
    out = _offered(node.arguments.get("out"), instance, source.channels)
    stride = _offered(node.arguments.get("stride"), instance, 1)
    if type(out) is not int or type(stride) is not int or stride < 1:
        return None
    return operand, out, tuple(-(-axis // stride) for axis in source.size)


def _offered(term: SourcedExpr | None, instance: Instance, default: int) -> Value:
    try:
        return evaluate(term.expr, instance.values) if term else default
    except ExpressionError:  # it reads what only a stage knows
        return default


def is_missing(instance: Instance, join: InstanceNode) -> bool:
    """Whether a join of a block that calls no shortcut reads the input of the block as it is."""
    calls = any(node.target == SHORTCUT for node in instance.block.nodes)
    return not calls and not set(join.inputs).isdisjoint(instance.block.inputs)


def passes(instance: Instance, join: InstanceNode) -> bool:
    """Whether an operand of a join is the block's own input, by a shortcut that does nothing."""
    passes = {each.key for each in instance.nodes if isinstance(each.callee, PassThrough)}
    through = {each.key for each in instance.nodes if each.block_node.target == SHORTCUT}
    names = set(join.inputs)
    declared = any(node.target == SHORTCUT for node in instance.block.nodes)
    return declared and bool(
        names & (passes | set(instance.block.inputs)) or names & passes & through
    )


def ignores_argument(
    network: Network, instance: Instance, placed: InstanceNode, types: Types
) -> Note | None:
    """A shortcut policy that does not do what its call asks for, and where to mend it."""
    operands = [each for each in instance.nodes if each.key in placed.inputs]
    shortcut = next((each for each in operands if each.block_node.target == SHORTCUT), None)
    others = [kind for each in operands if each is not shortcut and (kind := types.get(each.key))]
    if shortcut is None or not others:
        return None
    argument = _unheeded(shortcut, types, others[0])
    binding, block = network.ambient.get("shortcut"), _called(shortcut)
    places = [each.span for each in (block, binding) if each]
    own = [span for span in places if is_own(span, network)]
    if argument is None or not own:
        return None
    return Note(f"the shortcut policy, which does not heed the `{argument}` of its call", own[0])


def _unheeded(shortcut: InstanceNode, types: Types, wanted: TensorType) -> str | None:
    """The argument of a shortcut's call that its result does not show."""
    source, result = types.get(shortcut.inputs[0]), types.get(shortcut.key)
    assert source
    assert result
    if shortcut.op:
        values = shortcut.op.attributes
    else:
        values = shortcut.runs[0].instance.values
    offered = shortcut.block_node.arguments
    if "out" in offered and result.channels not in (wanted.channels, values.get("out")):
        return "out"
    strided = values.get("stride", 1) != 1 and result.size != source.size
    if "stride" in offered and result.size != wanted.size and not strided:
        return "stride"
    return None


def _called(placed: InstanceNode) -> Block | None:
    return placed.runs[0].instance.block if placed.runs else None
