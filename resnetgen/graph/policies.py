"""What a join and a shortcut policy have to do with each other: which of the two is at fault.

    downsample: {op: shortcut, inputs: x, out: 256, stride: 2}   asks for 256 channels, half the size

A policy is at fault where the main path of its block gives what the block asks for, and it does not.
"""

from __future__ import annotations

from resnetgen.graph.ir import SHORTCUT, Block, Instance, Network, OpCall, Passes, Placed, Term
from resnetgen.graph.origins import is_own
from resnetgen.graph.rules import TensorType
from resnetgen.graph.ways import Types
from resnetgen.language.diagnostics import Note
from resnetgen.language.expressions import ExpressionError, Value, evaluate


def is_at_fault(instance: Instance, join: Placed, types: Types) -> bool:
    """Whether the main path gives what the block asks of its shortcut, and the shortcut does not."""
    asked = _asked(instance, join, types)
    if asked is None:
        return False
    shortcut, channels, size = asked
    others = [kind for name in join.inputs if name != shortcut and (kind := types.get(name))]
    return all((other.channels, other.size) == (channels, size) for other in others)


def _asked(
    instance: Instance, join: Placed, types: Types
) -> tuple[str, int, tuple[int, ...]] | None:
    """The operand that is a shortcut, and the channels and size that its call asks for."""
    node = next((each for each in instance.block.nodes if each.target == SHORTCUT), None)
    present = {each.key: each for each in instance.placed}
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


def _offered(term: Term | None, instance: Instance, default: int) -> Value:
    try:
        return evaluate(term.expr, instance.values) if term else default
    except ExpressionError:  # it reads what only a stage knows
        return default


def is_missing(instance: Instance, join: Placed) -> bool:
    """Whether a join of a block that calls no shortcut reads the input of the block as it is."""
    calls = any(node.target == SHORTCUT for node in instance.block.nodes)
    return not calls and not set(join.inputs).isdisjoint(instance.block.inputs)


def passes(instance: Instance, join: Placed) -> bool:
    """Whether an operand of a join is the block's own input, by a shortcut that does nothing."""
    passes = {each.key for each in instance.placed if isinstance(each.what, Passes)}
    through = {each.key for each in instance.placed if each.node.target == SHORTCUT}
    names = set(join.inputs)
    declared = any(node.target == SHORTCUT for node in instance.block.nodes)
    return declared and bool(
        names & (passes | set(instance.block.inputs)) or names & passes & through
    )


def heedless(network: Network, instance: Instance, placed: Placed, types: Types) -> Note | None:
    """A shortcut policy that does not do what its call asks for, and where to mend it."""
    operands = [each for each in instance.placed if each.key in placed.inputs]
    shortcut = next((each for each in operands if each.node.target == SHORTCUT), None)
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


def _unheeded(shortcut: Placed, types: Types, wanted: TensorType) -> str | None:
    """The argument of a shortcut's call that its result does not show."""
    source, result = types.get(shortcut.inputs[0]), types.get(shortcut.key)
    assert source
    assert result
    if isinstance(shortcut.what, OpCall):
        values = shortcut.what.attributes
    else:
        assert isinstance(shortcut.what, tuple)
        values = shortcut.what[0].instance.values
    offered = shortcut.node.arguments
    if "out" in offered and result.channels not in (wanted.channels, values.get("out")):
        return "out"
    strided = values.get("stride", 1) != 1 and result.size != source.size
    if "stride" in offered and result.size != wanted.size and not strided:
        return "stride"
    return None


def _called(placed: Placed) -> Block | None:
    return placed.what[0].instance.block if isinstance(placed.what, tuple) else None
