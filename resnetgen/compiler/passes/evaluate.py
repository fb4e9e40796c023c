"""Values: expressions evaluated and slots bound, with the faults of one walk.

    width * expansion, with width=64, expansion=4   ->  256
    norm: {op: group_norm, groups: 32}              ->  Bound(Op("group_norm"), groups=32)

One cause gives one fault: what cannot go on after a fault raises `Broken`, and stays silent.

Calls of ops: attributes checked and completed, arity, what a slot may be offered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from resnetgen.compiler.diagnostics.model import (
    MAX_REPORTED,
    DiagnosticCollector,
    Note,
    Span,
    did_you_mean,
    listed,
)
from resnetgen.compiler.frontend.expressions import (
    ExpressionError,
    Name,
    UnknownName,
    Value,
    evaluate,
    free_names,
)
from resnetgen.compiler.ir.nodes import (
    STAGE_NAMES,
    Binding,
    Block,
    BlockNode,
    BoundSlot,
    Network,
    Op,
    OpCall,
    Slot,
    SourcedExpr,
    Target,
)
from resnetgen.compiler.ir.op_def import complete_attributes, format_value, value_error
from resnetgen.compiler.ir.ops import AMBIENT, OPS
from resnetgen.compiler.passes.elaborate_checks import offered_arguments, declared_arguments
from resnetgen.compiler.passes.provenance import term_to_blame, resolve, mistyped_term


class ErrorReported(Exception):
    """A fault has been recorded; what follows from it stays silent."""


class EvalContext:
    """What expressions and slots stand for in one network, and the faults found so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.diagnostics = DiagnosticCollector()
        self.ambient: dict[str, BoundSlot] = {}

    def bind_ambient(self) -> None:
        """Binds the ambient slots of the network. Raises Broken."""
        self.bind_ambient_in(self.network_values({}))

    def bind_ambient_in(self, own: Mapping[str, Value]) -> None:
        """Binds them where the network's names have these values: they read its `let`."""
        values = {name: own[name] for name in self.network.root.let}
        for name, binding in self.network.ambient.items():
            self.ambient[name] = self.bind(binding, values, {}, {})

    def error(
        self, code: str, message: str, span: Span, help: str | None = None, *notes: Note
    ) -> ErrorReported:
        """Records a fault, to be raised where nothing can go on; one place has one of a code."""
        self.diagnostics.report(code, message, span, help, *notes)
        return ErrorReported()

    def forget_errors(self) -> None:
        """Drops the errors reported so far, for a caller that tries several variants."""
        self.diagnostics = DiagnosticCollector()

    def suggest(self, word: str, candidates: Iterable[str]) -> str | None:
        """`did you mean ...?`; not looked for once there are more faults than are told."""
        return None if len(self.diagnostics) > MAX_REPORTED else did_you_mean(word, candidates)

    def network_values(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """The network's parameters and `let`, which may read some names that are given. Raises Broken."""
        values: dict[str, Value] = {"in_channels": self.network.input.channels, **given}
        for name, param in self.network.root.params.items():
            if param.default:
                values[name] = self.value(param.default, values)
        for name, term in self.network.root.let.items():
            values[name] = self.value(term, values)
        return values

    def value(self, term: SourcedExpr, values: Mapping[str, Value]) -> Value:
        """The value of an expression. Raises Broken."""
        try:
            return evaluate(term.expr, values)
        except UnknownName as error:
            name = error.name
            hint = self.suggest(name, values)
            if name in STAGE_NAMES:
                hint = f"only a stage knows `{name}`; give the block a parameter that it passes on"
            elif not hint and values:
                hint = f"there are {listed(values)}"
            raise self.error("expression", str(error), term.span, hint) from None
        except ExpressionError as error:
            read = [name for name in dict.fromkeys(free_names(term.expr)) if name in values]
            told = ", ".join(f"`{name}` is {format_value(values[name])}" for name in read)
            notes = [Note(told)] if told else []
            place = mistyped_term(term, self.network).span
            if place != term.span:
                notes = [Note("computed from this", place), Note("here", term.span), *notes]
            raise self.error("expression", str(error), place, None, *notes) from None

    def bind(
        self,
        binding: Binding,
        values: Mapping[str, Value],
        slots: Mapping[str, BoundSlot],
        origins: Mapping[str, SourcedExpr],
    ) -> BoundSlot:
        """A slot's content with the values of its arguments. Raises Broken."""
        base = BoundSlot(binding.target) if not isinstance(binding.target, Slot) else None
        if base is None:
            assert isinstance(binding.target, Slot)
            name = binding.target.name
            base = slots.get(name) or self.ambient.get(name)
            if base is None:
                raise self.unbound(name, binding.span)
        given, below, terms = dict(base.arguments), dict(base.slots), dict(base.terms)
        for name, term in binding.arguments.items():
            given[name] = self.argument(base.target, name, term, values)
            terms[name] = resolve(term, origins)
        for name, each in binding.slots.items():
            below[name] = self.bind(each, values, slots, origins)
        return BoundSlot(
            base.target, tuple(given.items()), tuple(below.items()), terms, binding.span
        )

    def unbound(self, slot: str, span: Span) -> ErrorReported:
        """A block calls an ambient slot that the network does not bind: the shortcut."""
        message = f"a block calls `{slot}`, and the network does not bind it"
        hint = (
            "say `shortcut: projection` (option B), `shortcut: {op: zero_pad, centred: false}` "
            "(option A), or `shortcut: none` (a plain network)"
        )
        note = Note("called here", span)
        return self.error("missing-shortcut", message, self.network.span, hint, note)

    def argument(
        self, target: Target, name: str, term: SourcedExpr, values: Mapping[str, Value]
    ) -> Value:
        """An argument's value; of an attribute that takes a word, the word."""
        if isinstance(target, Op) and isinstance(term.expr, Name):
            attribute = OPS[target.name].attributes.get(name)
            if attribute and attribute.kind == "word":
                return term.expr.id
        return self.value(term, values)


Arguments = Mapping[str, tuple[Value, SourcedExpr | None]]


def op_call(facts: EvalContext, node: BlockNode, name: str, arguments: Arguments) -> OpCall:
    """An op with its attributes checked and completed."""
    definition = OPS[name]
    for key, (value, term) in arguments.items():
        attribute = definition.attributes.get(key)
        wrong = value_error(attribute, value, facts.network.axes) if attribute else None
        if wrong:
            place = term and (term_to_blame if type(value) is int else mistyped_term)(term, facts.network)
            raise _wrong_attribute(facts, node, f"`{key}` of `{name}`", wrong, term, place)
    for key, attribute in definition.attributes.items():
        if attribute.required and key not in arguments:
            message = f"`{name}` needs `{key}`: {attribute.doc}"
            hint = f"say `{key}: ...` here"
            raise facts.error("missing-argument", message, node.op_span, hint)
    known = {key: value for key, (value, _) in arguments.items() if key in definition.attributes}
    terms = {key: term for key, (_, term) in arguments.items() if term}
    return OpCall(name, complete_attributes(definition, known), terms)


def _wrong_attribute(
    facts: EvalContext,
    node: BlockNode,
    what: str,
    wrong: str,
    term: SourcedExpr | None,
    place: SourcedExpr | None,
) -> ErrorReported:
    """A value that does not suit an attribute, told where it was written."""
    if term is not None and place is not None and place is not term:
        notes = [Note("computed from this", place.span), Note(f"it is {what}", term.span)]
        return facts.error("wrong-value", f"{what} {wrong}", place.span, None, *notes)
    if term is None or term.span.source is node.span.source:
        span = term.span if term else node.span
        return facts.error("wrong-value", f"{what} {wrong}", span)
    message = f"`{term.key_span.text}` {wrong}"
    return facts.error("wrong-value", message, term.span, None, Note(f"it is {what}", node.span))


def check_arity(facts: EvalContext, node: BlockNode, bound: BoundSlot) -> None:
    """The number of inputs that a node reads is that of what it calls."""
    count, span = len(node.inputs), node.inputs_span
    if isinstance(bound.target, Block):
        wanted = bound.target.inputs
        if count != len(wanted):
            names = ", ".join(wanted)
            message = f"`{bound.target.name}` takes {len(wanted)} inputs ({names}), not {count}"
            raise facts.error("wrong-inputs", message, span)
        return
    assert isinstance(bound.target, Op)
    arity = OPS[bound.target.name].arity
    if arity is None and count < 2:
        hint = "say `inputs: [a, b]`"
        message = f"`{node.key}` joins two values or more"
        raise facts.error("wrong-inputs", message, span, hint)
    if arity is not None and count != arity:
        hint = f"join them first: {{op: concat, inputs: [{', '.join(node.inputs)}]}}"
        message = f"`{node.key}` takes one input, not {count}"
        raise facts.error("wrong-inputs", message, span, hint)


def check_offer(
    facts: EvalContext, slot: Slot, bound: BoundSlot, name: str, term: SourcedExpr
) -> None:
    """What neither an ambient slot nor what it holds knows is a misspelling."""
    if slot.name not in AMBIENT or name in offered_arguments(slot.name):
        return
    known = list(dict.fromkeys([*offered_arguments(slot.name), *declared_arguments(bound.target)]))
    message = f"neither `{slot.name}` nor what it is bound to has `{name}`"
    hint = facts.suggest(name, known) or f"there are {listed(known)}"
    facts.error("unknown-argument", message, term.key_span, hint)
