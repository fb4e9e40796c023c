"""Evaluating expressions, binding slots and completing op calls, with the errors of one pass.

    width * expansion, with width=64, expansion=4  ->  256
    norm: {op: group_norm, groups: 32}             ->  BoundSlot(Op("group_norm"), groups=32)
    {op: dropout, rate: 0.1}                       ->  OpCall("dropout", {"rate": 0.1})

Each cause is reported once. What cannot go on after an error raises `ErrorReported`, which callers
catch without reporting anything more.
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
from resnetgen.compiler.passes.elaborate_checks import declared_arguments, offered_arguments
from resnetgen.compiler.passes.provenance import mistyped_term, resolve, term_to_blame

# The value of each argument of a call, and the term that it was computed from.
Arguments = Mapping[str, tuple[Value, SourcedExpr | None]]


class ErrorReported(Exception):
    """An error has been reported; whatever follows from it is not."""


class EvalContext:
    """The network, the values of its ambient slots, and the errors reported so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.errors = DiagnosticCollector()
        self.ambient: dict[str, BoundSlot] = {}

    # --- errors

    def error(
        self, code: str, message: str, span: Span, help: str | None = None, *notes: Note
    ) -> ErrorReported:
        """Reports an error, and returns what to raise where nothing can go on."""
        self.errors.report(code, message, span, help, *notes)
        return ErrorReported()

    def forget_errors(self) -> None:
        """Drops the errors reported so far, for a caller that tries several variants."""
        self.errors = DiagnosticCollector()

    def suggest(self, word: str, candidates: Iterable[str]) -> str | None:
        """`did you mean ...?`; skipped once there are more errors than are shown."""
        return None if len(self.errors) > MAX_REPORTED else did_you_mean(word, candidates)

    # --- values

    def value(self, term: SourcedExpr, values: Mapping[str, Value]) -> Value:
        """The value of an expression. Raises ErrorReported."""
        try:
            return evaluate(term.expr, values)
        except UnknownName as error:
            raise self._unknown_name(error, term, values) from None
        except ExpressionError as error:
            read = [name for name in dict.fromkeys(free_names(term.expr)) if name in values]
            known = ", ".join(f"`{name}` is {format_value(values[name])}" for name in read)
            notes = [Note(known)] if known else []
            span = mistyped_term(term, self.network).span
            if span != term.span:
                notes = [Note("computed from this", span), Note("here", term.span), *notes]
            raise self.error("expression", str(error), span, None, *notes) from None

    def _unknown_name(
        self, error: UnknownName, term: SourcedExpr, values: Mapping[str, Value]
    ) -> ErrorReported:
        name = error.name
        hint = self.suggest(name, values)
        if name in STAGE_NAMES:
            hint = f"only a stage knows `{name}`; give the block a parameter that it passes on"
        elif not hint and values:
            hint = f"there are {listed(values)}"
        return self.error("expression", str(error), term.span, hint)

    def argument(
        self, target: Target, name: str, term: SourcedExpr, values: Mapping[str, Value]
    ) -> Value:
        """The value of an argument; for an attribute of kind `word`, the word itself."""
        if isinstance(target, Op) and isinstance(term.expr, Name):
            attribute = OPS[target.name].attributes.get(name)
            if attribute and attribute.kind == "word":
                return term.expr.id
        return self.value(term, values)

    def network_values(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """The parameters and `let` of the network, given some names. Raises ErrorReported."""
        values: dict[str, Value] = {"in_channels": self.network.input.channels, **given}
        for name, param in self.network.root.params.items():
            if param.default:
                values[name] = self.value(param.default, values)
        for name, term in self.network.root.let.items():
            values[name] = self.value(term, values)
        return values

    # --- slots

    def bind_ambient(self, own: Mapping[str, Value]) -> None:
        """Binds the ambient slots, which read the `let` of the network. Raises ErrorReported.

        `own`: the values of the network's names.
        """
        values = {name: own[name] for name in self.network.root.let}
        for name, binding in self.network.ambient.items():
            self.ambient[name] = self.bind(binding, values, {}, {})

    def bind(
        self,
        binding: Binding,
        values: Mapping[str, Value],
        slots: Mapping[str, BoundSlot],
        origins: Mapping[str, SourcedExpr],
    ) -> BoundSlot:
        """The content of a slot, with the values of its arguments. Raises ErrorReported."""
        if isinstance(binding.target, Slot):
            base = self.slot(binding.target.name, slots, binding.span)
        else:
            base = BoundSlot(binding.target)
        arguments, inner, terms = dict(base.arguments), dict(base.slots), dict(base.terms)
        for name, term in binding.arguments.items():
            arguments[name] = self.argument(base.target, name, term, values)
            terms[name] = resolve(term, origins)
        for name, each in binding.slots.items():
            inner[name] = self.bind(each, values, slots, origins)
        return BoundSlot(
            base.target, tuple(arguments.items()), tuple(inner.items()), terms, binding.span
        )

    def slot(self, name: str, slots: Mapping[str, BoundSlot], span: Span) -> BoundSlot:
        """The content of a slot of the block, or of the network. Raises ErrorReported."""
        bound = slots.get(name) or self.ambient.get(name)
        if bound is None:  # only the shortcut has no default
            message = f"a block calls `{name}`, and the network does not bind it"
            hint = (
                "write `shortcut: projection` (option B), `shortcut: {op: zero_pad, centred: false}` "
                "(option A), or `shortcut: none` (a plain network)"
            )
            note = Note("called here", span)
            raise self.error("missing-shortcut", message, self.network.span, hint, note)
        return bound


# --- calls of ops


def op_call(ctx: EvalContext, node: BlockNode, name: str, arguments: Arguments) -> OpCall:
    """An op with its attributes checked and completed. Raises ErrorReported."""
    definition = OPS[name]
    for key, (value, term) in arguments.items():
        attribute = definition.attributes.get(key)
        reason = value_error(attribute, value, ctx.network.axes) if attribute else None
        if reason:
            raise _wrong_attribute(ctx, node, f"`{key}` of `{name}`", reason, value, term)
    for key, attribute in definition.attributes.items():
        if attribute.required and key not in arguments:
            message = f"`{name}` needs `{key}`: {attribute.doc}"
            hint = f"write `{key}: ...` here"
            raise ctx.error("missing-argument", message, node.op_span, hint)
    known = {key: value for key, (value, _) in arguments.items() if key in definition.attributes}
    terms = {key: term for key, (_, term) in arguments.items() if term}
    return OpCall(name, complete_attributes(definition, known), terms)


def _wrong_attribute(
    ctx: EvalContext,
    node: BlockNode,
    what: str,
    reason: str,
    value: Value,
    term: SourcedExpr | None,
) -> ErrorReported:
    """An attribute cannot have a value: reported where the value was written."""
    if term is None:
        return ctx.error("wrong-value", f"{what} {reason}", node.span)
    find = term_to_blame if type(value) is int else mistyped_term
    origin = find(term, ctx.network)
    if origin is not term:
        notes = [Note("computed from this", origin.span), Note(f"it is {what}", term.span)]
        return ctx.error("wrong-value", f"{what} {reason}", origin.span, None, *notes)
    if term.span.source is node.span.source:
        return ctx.error("wrong-value", f"{what} {reason}", term.span)
    message = f"`{term.key_span.text}` {reason}"
    return ctx.error("wrong-value", message, term.span, None, Note(f"it is {what}", node.span))


# --- what a call may say


def check_arity(ctx: EvalContext, node: BlockNode, bound: BoundSlot) -> None:
    """A node has as many inputs as what it calls. Raises ErrorReported."""
    count, span = len(node.inputs), node.inputs_span
    if isinstance(bound.target, Block):
        expected = bound.target.inputs
        if count != len(expected):
            names = ", ".join(expected)
            message = f"`{bound.target.name}` takes {len(expected)} inputs ({names}), not {count}"
            raise ctx.error("wrong-inputs", message, span)
        return
    assert isinstance(bound.target, Op)
    arity = OPS[bound.target.name].arity
    if arity is None and count < 2:
        hint = "write `inputs: [a, b]`"
        raise ctx.error("wrong-inputs", f"`{node.key}` joins two values or more", span, hint)
    if arity is not None and count != arity:
        hint = f"join them first: {{op: concat, inputs: [{', '.join(node.inputs)}]}}"
        raise ctx.error("wrong-inputs", f"`{node.key}` takes one input, not {count}", span, hint)


def check_offer(
    ctx: EvalContext, slot: Slot, bound: BoundSlot, name: str, term: SourcedExpr
) -> None:
    """Reports an argument that neither an ambient slot nor its content knows: a misspelling."""
    if slot.name not in AMBIENT or name in offered_arguments(slot.name):
        return
    known = list(dict.fromkeys([*offered_arguments(slot.name), *declared_arguments(bound.target)]))
    message = f"neither `{slot.name}` nor what it is bound to has `{name}`"
    hint = ctx.suggest(name, known) or f"there are {listed(known)}"
    ctx.error("unknown-argument", message, term.key_span, hint)
