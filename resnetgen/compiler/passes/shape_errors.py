"""How a shape error is explained: at the number that the user can change, with both sides of it.

    layer2.0.add: cannot add 128 x 28 x 28 to 128 x 56 x 56
        at `stride: 2` of a stage: `conv1` turns 56 into 28
        note: `downsample.0` keeps 56, where the user's policy says `stride: 1`

Both operands are traced back to where they diverge (`provenance.py`). What made the difference
there (`shape_error_causes.py`) is reported at the term that was written for it, preferably one of
the user's.

A join with a shortcut has a policy on one side and the block's own path on the other. The policy is
wrong if the path computes what the block asks of its shortcut, and the policy does not:

    downsample: {op: shortcut, inputs: x, out: 256, stride: 2}  asks for 256 channels, half the size
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span
from resnetgen.compiler.frontend.expressions import ExpressionError, Value, evaluate
from resnetgen.compiler.ir.nodes import (
    SHORTCUT,
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
    Names,
    TraceStep,
    Types,
    attribute_terms,
    bypassed_steps,
    diverge,
    full_trace,
    is_own,
    names_at,
)
from resnetgen.compiler.passes.shape_error_causes import (
    Blame,
    Cause,
    Operand,
    channel_causes,
    ranked_blames,
    size_causes,
    window_causes,
)

CODE = "shape-mismatch"
MAX_NOTES = 4  # more would not be read
ADD_SHORTCUT = "join a shortcut instead: `{op: shortcut, inputs: x, out: ..., stride: ...}`"
CHOOSE_POLICY = (
    "use `shortcut: projection` (option B) or `shortcut: {op: zero_pad, centred: false}` (option A)"
)
USE_ARGUMENTS = "a call of `shortcut` offers `out` and `stride`: a policy declares and uses both"


@dataclass(frozen=True, slots=True)
class Failure:
    """A node that does not accept its inputs, the types around it, and the calls that led to it."""

    network: Network
    instance: Instance
    node: InstanceNode
    types: Types
    call_sites: tuple[CallSite, ...]
    error: ShapeError

    @property
    def op(self) -> OpCall:
        """The op."""
        assert self.node.op
        return self.node.op

    @property
    def span(self) -> Span:
        """The position of the node."""
        return self.node.block_node.span

    @property
    def sources(self) -> list[TensorType]:
        """The types of its operands."""
        return [source for name in self.node.inputs if (source := self.types.get(name))]

    @property
    def names(self) -> Names:
        """What the names of its block refer to."""
        return names_at(self.call_sites, self.instance)

    @property
    def message(self) -> str:
        """The path of the node, and what is wrong."""
        path = ".".join([*(each.path for each in self.call_sites), self.node.key])
        return f"{path}: {self.error}"

    def blames(self, causes: Sequence[Cause]) -> list[Blame]:
        """The positions of some causes, ranked; what the callers wrote explains less."""
        nodes = (each.node.block_node for each in self.call_sites)
        outside = [term.span for node in nodes for term in node.arguments.values()]
        return ranked_blames(causes, self.network, outside)


def shape_error(
    network: Network,
    instance: Instance,
    node: InstanceNode,
    types: Types,
    call_sites: tuple[CallSite, ...],
    error: ShapeError,
) -> Diagnostic:
    """The diagnostic for an op that does not accept its inputs."""
    failure = Failure(network, instance, node, types, call_sites, error)
    if failure.op.definition.arity is not None:
        return _at_cause(failure, _causes_of_input(failure), error.help)
    if swap_operands(failure.op, failure.sources):
        return _swapped(failure)
    return _join_error(failure, _causes_of_join(failure))


def _join_error(failure: Failure, causes: Sequence[Cause]) -> Diagnostic:
    """Two operands differ: one of them may be a shortcut, or lack one."""
    if _policy_is_wrong(failure):
        if _has_identity(failure):
            return _identity_error(failure, causes)
        policy = _ignoring_policy(failure)
        if policy and not _blames_own_policy(failure, causes):
            return _at_note(failure, policy, causes, USE_ARGUMENTS)
    if _lacks_shortcut(failure) and is_own(failure.span, failure.network):
        return _at_cause(failure, causes, ADD_SHORTCUT, failure.span)
    return _at_cause(failure, causes, failure.error.help)


# --- causes


def _causes_of_input(failure: Failure) -> list[Cause]:
    """Why an op does not accept its input: its own attributes, then what made the input so."""
    node, error = failure.node, failure.error
    terms = attribute_terms(node, failure.names)
    causes = [
        Cause(f"`{name}` of `{node.key}`", (terms[name],), failure.span)
        for name in error.at
        if name in terms
    ]
    steps = full_trace(failure.instance, failure.types, node.inputs[0], failure.call_sites)
    if error.too_small:
        causes += window_causes(steps, failure.network.input_span)
    elif "groups" in error.at:
        causes += channel_causes([Operand(node.inputs[0], failure.sources[0], steps)], ())
    return causes


def _causes_of_join(failure: Failure) -> list[Cause]:
    """Why two operands of a join differ: sizes first, then channels."""
    pair = _unequal_operands(failure)
    first, second, shared = diverge(*(_trace_of_operand(failure, name) for name in pair))
    operands = [
        Operand(name, source, steps)
        for name, steps in zip(pair, (first, second), strict=True)
        if (source := failure.types.get(name))
    ]
    one, other = (operand.type for operand in operands)
    causes: list[Cause] = []
    if one.size != other.size:
        causes += size_causes(operands, shared, failure.network.input_span)
    if not _fits(failure.op, [one, replace(other, size=one.size)]):
        causes += channel_causes(operands, shared)
    return causes


def _trace_of_operand(failure: Failure, name: str) -> list[TraceStep]:
    instance, types = failure.instance, failure.types
    return [
        *bypassed_steps(instance, failure.node, name, types, failure.names),
        *full_trace(instance, types, name, failure.call_sites),
    ]


def _unequal_operands(failure: Failure) -> tuple[str, str]:
    """The first operand of a join, and the first one that does not fit it."""
    first, *others = failure.node.inputs
    for other in others:
        pair = [source for name in (first, other) if (source := failure.types.get(name))]
        if not _fits(failure.op, pair):
            return first, other
    return first, others[0]


def _fits(join: OpCall, sources: Sequence[TensorType]) -> bool:
    try:
        join.definition.shape(join.attributes, sources)
    except ShapeError:
        return False
    return True


# --- the diagnostic


def _at_cause(
    failure: Failure, causes: Sequence[Cause], help: str | None, span: Span | None = None
) -> Diagnostic:
    """At `span`, or at the first cause that the user can change; the causes are notes.

    If nothing of the user's makes the difference: at the node, or the nearest call that they wrote.
    """
    blames = failure.blames(causes)
    spans = [span] if span else [blame.span for blame in blames if blame.own]
    calls = [each.node.block_node.span for each in reversed(failure.call_sites)]
    spans += [each for each in (failure.span, *calls) if is_own(each, failure.network)]
    at = next(iter(spans), failure.span)
    notes = [blame.note for blame in blames][: MAX_NOTES - 1]
    notes += [
        each for each in (_node_note(failure), *_call_notes(failure)) if not _on_line(each, at)
    ]
    helps = [blame.cause.help for blame in blames if blame.span == at]
    help = next(filter(None, helps), help)
    return Diagnostic(CODE, failure.message, at, tuple(notes[:MAX_NOTES]), help)


def _at_note(failure: Failure, lead: Note, causes: Sequence[Cause], help: str) -> Diagnostic:
    """At one note; the causes and the join are further notes."""
    assert lead.span
    blames = ranked_blames(causes, failure.network, ())
    others = [each.note for each in blames if each.span != lead.span]
    notes = [lead, *others][: MAX_NOTES - 1]
    return Diagnostic(CODE, failure.message, lead.span, (*notes, _node_note(failure)), help)


def _node_note(failure: Failure) -> Note:
    if failure.op.definition.arity is None:
        return Note(f"joined here, by `{failure.node.key}`", failure.span)
    return Note(f"`{failure.node.key}` is this node", failure.span)


def _call_notes(failure: Failure) -> list[Note]:
    return [
        Note(f"in the block at `{each.path}`", each.node.block_node.span)
        for each in failure.call_sites[-1:]
    ]


def _on_line(note: Note, span: Span) -> bool:
    """Whether a note is about the line that is shown anyway."""
    assert note.span
    return (note.span.source, note.span.line) == (span.source, span.line)


# --- operands in the wrong order


def swap_operands(join: OpCall, sources: Sequence[TensorType]) -> TensorType | None:
    """The result of a join with its operands in reverse order; None if they do not fit either."""
    try:
        return join.definition.shape(join.attributes, list(reversed(sources)))
    except ShapeError:
        return None


def _swapped(failure: Failure) -> Diagnostic:
    inputs = failure.node.inputs
    hint = f"write `inputs: [{', '.join(reversed(failure.node.block_node.inputs))}]`"
    notes = [_shape_note(failure, name) for name in inputs] + _call_notes(failure)
    return Diagnostic(CODE, failure.message, failure.span, tuple(notes), hint)


def _shape_note(failure: Failure, name: str) -> Note:
    """Where the shape of an operand was decided: norms and activations only pass it on."""
    nodes = {node.key: node for node in failure.instance.nodes}
    origin = name
    while origin in nodes and _keeps_shape(nodes[origin], failure.types):
        origin = nodes[origin].inputs[0]
    text = f"`{name}` is {failure.types.get(name)}"
    if origin not in nodes:
        return Note(f"{text}: the input of the block `{failure.instance.block.name}`")
    block_node = nodes[origin].block_node
    term = block_node.arguments.get("out")
    made_by = "" if name == origin else f", made by `{origin}`"
    return Note(f"{text}{made_by}", term.span if term else block_node.span)


def _keeps_shape(node: InstanceNode, types: Types) -> bool:
    if isinstance(node.callee, PassThrough):
        return True
    return (
        node.op is not None
        and "out" not in node.op.attributes
        and len(node.inputs) == 1
        and types.get(node.key) == types.get(node.inputs[0])
    )


# --- joins with a shortcut


def _policy_is_wrong(failure: Failure) -> bool:
    """Whether the other operands are what the block asks of its shortcut, so that it is wrong."""
    requested = _requested(failure)
    if requested is None:
        return False
    shortcut, channels, size = requested
    others = [
        source
        for name in failure.node.inputs
        if name != shortcut and (source := failure.types.get(name))
    ]
    return all((other.channels, other.size) == (channels, size) for other in others)


def _requested(failure: Failure) -> tuple[str, int, tuple[int, ...]] | None:
    """The operand that is a shortcut, and the channels and the size that its call asks for."""
    instance, types = failure.instance, failure.types
    declared = next((each for each in instance.block.nodes if each.target == SHORTCUT), None)
    present = {node.key: node for node in instance.nodes}
    if declared is None:
        return None
    if declared.key in present:
        operand, source = declared.key, types.get(present[declared.key].inputs[0])
    else:
        inputs = (name for name in failure.node.inputs if name in instance.block.inputs)
        operand = next(inputs, "")
        source = types.get(operand)
    if source is None or operand not in failure.node.inputs:
        return None
    out = _argument(declared.arguments.get("out"), instance, source.channels)
    stride = _argument(declared.arguments.get("stride"), instance, 1)
    if type(out) is not int or type(stride) is not int or stride < 1:
        return None
    return operand, out, tuple(-(-axis // stride) for axis in source.size)


def _argument(term: SourcedExpr | None, instance: Instance, default: int) -> Value:
    try:
        return evaluate(term.expr, instance.values) if term else default
    except ExpressionError:  # it reads what only a stage knows
        return default


def _has_identity(failure: Failure) -> bool:
    """Whether an operand is the block's own input, through a shortcut that does nothing."""
    nodes, block = failure.instance.nodes, failure.instance.block
    if not any(node.target == SHORTCUT for node in block.nodes):
        return False
    passing = {node.key for node in nodes if isinstance(node.callee, PassThrough)}
    return not {*passing, *block.inputs}.isdisjoint(failure.node.inputs)


def _lacks_shortcut(failure: Failure) -> bool:
    """Whether a join of a block that calls no shortcut reads the input of the block as it is."""
    block = failure.instance.block
    calls = any(node.target == SHORTCUT for node in block.nodes)
    return not calls and not set(failure.node.inputs).isdisjoint(block.inputs)


def _identity_error(failure: Failure, causes: Sequence[Cause]) -> Diagnostic:
    """An identity beside a path that changes the shape: the stride or the policy is wrong."""
    network = failure.network
    policy = network.ambient.get("shortcut")
    if policy is None:
        return _at_cause(failure, causes, CHOOSE_POLICY)
    keeps = Note("the shortcut policy, which keeps the shape of its input", policy.span)
    own = [blame for blame in ranked_blames(causes, network, ()) if blame.precise]
    near = [blame for blame in own if blame.span.source is network.span.source]
    strides = len({source.size for source in failure.sources}) > 1
    lead = near[:1] if strides else []
    if not is_own(policy.span, network):
        lead = own[:1]
    if not lead:
        return _at_note(failure, keeps, causes, CHOOSE_POLICY)
    diagnostic = _at_note(failure, lead[0].note, causes, CHOOSE_POLICY)
    first, *others = diagnostic.notes
    return replace(diagnostic, notes=(first, keeps, *others)[:MAX_NOTES])


def _blames_own_policy(failure: Failure, causes: Sequence[Cause]) -> bool:
    """Whether a number in the user's own policy made the difference."""
    blames = ranked_blames(causes, failure.network, ())
    return any(blame.precise and blame.cause.policy for blame in blames)


def _ignoring_policy(failure: Failure) -> Note | None:
    """A policy of the user's that ignores an argument of its call."""
    operands = [node for node in failure.instance.nodes if node.key in failure.node.inputs]
    shortcut = next((node for node in operands if node.block_node.target == SHORTCUT), None)
    others = [
        source
        for node in operands
        if node is not shortcut and (source := failure.types.get(node.key))
    ]
    if shortcut is None or not others:
        return None
    argument = _ignored_argument(shortcut, failure.types, others[0])
    binding = failure.network.ambient.get("shortcut")
    block = shortcut.runs[0].instance.block if shortcut.runs else None
    spans = [each.span for each in (block, binding) if each]
    own = [span for span in spans if is_own(span, failure.network)]
    if argument is None or not own:
        return None
    return Note(f"the shortcut policy, which ignores the `{argument}` of its call", own[0])


def _ignored_argument(shortcut: InstanceNode, types: Types, wanted: TensorType) -> str | None:
    """The argument of a shortcut's call that has no effect on its result."""
    source, result = types.get(shortcut.inputs[0]), types.get(shortcut.key)
    assert source
    assert result
    values = shortcut.op.attributes if shortcut.op else shortcut.runs[0].instance.values
    offered = shortcut.block_node.arguments
    if "out" in offered and result.channels not in (wanted.channels, values.get("out")):
        return "out"
    strides = values.get("stride", 1) != 1 and result.size != source.size
    if "stride" in offered and result.size != wanted.size and not strides:
        return "stride"
    return None
