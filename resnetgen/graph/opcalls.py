"""Calls of ops: attributes checked and completed, arity, what a slot may be offered."""

from __future__ import annotations

from collections.abc import Mapping

from resnetgen.graph.ir import Block, BlockNode, Bound, Op, OpCall, Slot, Term
from resnetgen.graph.opdef import complete, wrong_value
from resnetgen.graph.ops import AMBIENT, OPS
from resnetgen.graph.origins import culprit, mistyped
from resnetgen.graph.signatures import offers, parameters
from resnetgen.graph.values import Broken, Values
from resnetgen.language.diagnostics import Note, listed
from resnetgen.language.expressions import Value

Arguments = Mapping[str, tuple[Value, Term | None]]


def op_call(facts: Values, node: BlockNode, name: str, arguments: Arguments) -> OpCall:
    """An op with its attributes checked and completed."""
    definition = OPS[name]
    for key, (value, term) in arguments.items():
        attribute = definition.attributes.get(key)
        wrong = wrong_value(attribute, value, facts.network.axes) if attribute else None
        if wrong:
            place = term and (culprit if type(value) is int else mistyped)(term, facts.network)
            raise _wrong_attribute(facts, node, f"`{key}` of `{name}`", wrong, term, place)
    for key, attribute in definition.attributes.items():
        if attribute.required and key not in arguments:
            message = f"`{name}` needs `{key}`: {attribute.doc}"
            hint = f"say `{key}: ...` here"
            raise facts.fault("missing-argument", message, node.op_span, hint)
    known = {key: value for key, (value, _) in arguments.items() if key in definition.attributes}
    terms = {key: term for key, (_, term) in arguments.items() if term}
    return OpCall(name, complete(definition, known), terms)


def _wrong_attribute(
    facts: Values, node: BlockNode, what: str, wrong: str, term: Term | None, place: Term | None
) -> Broken:
    """A value that does not suit an attribute, told where it was written."""
    if term is not None and place is not None and place is not term:
        notes = [Note("computed from this", place.span), Note(f"it is {what}", term.span)]
        return facts.fault("wrong-value", f"{what} {wrong}", place.span, None, *notes)
    if term is None or term.span.source is node.span.source:
        span = term.span if term else node.span
        return facts.fault("wrong-value", f"{what} {wrong}", span)
    message = f"`{term.key_span.text}` {wrong}"
    return facts.fault("wrong-value", message, term.span, None, Note(f"it is {what}", node.span))


def check_arity(facts: Values, node: BlockNode, bound: Bound) -> None:
    """The number of inputs that a node reads is that of what it calls."""
    count, span = len(node.inputs), node.inputs_span
    if isinstance(bound.target, Block):
        wanted = bound.target.inputs
        if count != len(wanted):
            names = ", ".join(wanted)
            message = f"`{bound.target.name}` takes {len(wanted)} inputs ({names}), not {count}"
            raise facts.fault("wrong-inputs", message, span)
        return
    assert isinstance(bound.target, Op)
    arity = OPS[bound.target.name].arity
    if arity is None and count < 2:
        hint = "say `inputs: [a, b]`"
        message = f"`{node.key}` joins two values or more"
        raise facts.fault("wrong-inputs", message, span, hint)
    if arity is not None and count != arity:
        hint = f"join them first: {{op: concat, inputs: [{', '.join(node.inputs)}]}}"
        message = f"`{node.key}` takes one input, not {count}"
        raise facts.fault("wrong-inputs", message, span, hint)


def check_offer(facts: Values, slot: Slot, bound: Bound, name: str, term: Term) -> None:
    """What neither an ambient slot nor what it holds knows is a misspelling."""
    if slot.name not in AMBIENT or name in offers(slot.name):
        return
    known = list(dict.fromkeys([*offers(slot.name), *parameters(bound.target)]))
    message = f"neither `{slot.name}` nor what it is bound to has `{name}`"
    hint = facts.near(name, known) or f"there are {listed(known)}"
    facts.fault("unknown-argument", message, term.key_span, hint)
