"""Values: expressions evaluated and slots bound, with the faults of one walk.

    width * expansion, with width=64, expansion=4   ->  256
    norm: {op: group_norm, groups: 32}              ->  Bound(Op("group_norm"), groups=32)

One cause gives one fault: what cannot go on after a fault raises `Broken`, and stays silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from resnetgen.graph.faults import Faults
from resnetgen.graph.ir import STAGE_NAMES, Binding, Bound, Network, Op, Slot, Target, Term
from resnetgen.graph.opdef import shown
from resnetgen.graph.ops import OPS
from resnetgen.graph.origins import follow, mistyped
from resnetgen.language.diagnostics import MOST_FAULTS, Note, Span, did_you_mean, listed
from resnetgen.language.expressions import (
    ExpressionError,
    Name,
    UnknownName,
    Value,
    evaluate,
    free_names,
)


class Broken(Exception):
    """A fault has been recorded; what follows from it stays silent."""


class Values:
    """What expressions and slots stand for in one network, and the faults found so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.faults = Faults()
        self.ambient: dict[str, Bound] = {}

    def bind_ambient(self) -> None:
        """Binds the ambient slots of the network. Raises Broken."""
        self.bind_ambient_in(self.own({}))

    def bind_ambient_in(self, own: Mapping[str, Value]) -> None:
        """Binds them where the network's names have these values: they read its `let`."""
        values = {name: own[name] for name in self.network.root.let}
        for name, binding in self.network.ambient.items():
            self.ambient[name] = self.bind(binding, values, {}, {})

    def fault(
        self, code: str, message: str, span: Span, help: str | None = None, *notes: Note
    ) -> Broken:
        """Records a fault, to be raised where nothing can go on; one place has one of a code."""
        self.faults.record(code, message, span, help, *notes)
        return Broken()

    def near(self, word: str, candidates: Iterable[str]) -> str | None:
        """`did you mean ...?`; not looked for once there are more faults than are told."""
        return None if len(self.faults) > MOST_FAULTS else did_you_mean(word, candidates)

    def own(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """The network's parameters and `let`, which may read some names that are given. Raises Broken."""
        values: dict[str, Value] = {"in_channels": self.network.input.channels, **given}
        for name, param in self.network.root.params.items():
            if param.default:
                values[name] = self.value(param.default, values)
        for name, term in self.network.root.let.items():
            values[name] = self.value(term, values)
        return values

    def value(self, term: Term, values: Mapping[str, Value]) -> Value:
        """The value of an expression. Raises Broken."""
        try:
            return evaluate(term.expr, values)
        except UnknownName as error:
            name = error.name
            hint = self.near(name, values)
            if name in STAGE_NAMES:
                hint = f"only a stage knows `{name}`; give the block a parameter that it passes on"
            elif not hint and values:
                hint = f"there are {listed(values)}"
            raise self.fault("expression", str(error), term.span, hint) from None
        except ExpressionError as error:
            read = [name for name in dict.fromkeys(free_names(term.expr)) if name in values]
            told = ", ".join(f"`{name}` is {shown(values[name])}" for name in read)
            notes = [Note(told)] if told else []
            place = mistyped(term, self.network).span
            if place != term.span:
                notes = [Note("computed from this", place), Note("here", term.span), *notes]
            raise self.fault("expression", str(error), place, None, *notes) from None

    def bind(
        self,
        binding: Binding,
        values: Mapping[str, Value],
        slots: Mapping[str, Bound],
        origins: Mapping[str, Term],
    ) -> Bound:
        """A slot's content with the values of its arguments. Raises Broken."""
        base = Bound(binding.target) if not isinstance(binding.target, Slot) else None
        if base is None:
            assert isinstance(binding.target, Slot)
            name = binding.target.name
            base = slots.get(name) or self.ambient.get(name)
            if base is None:
                raise self.unbound(name, binding.span)
        given, below, terms = dict(base.arguments), dict(base.slots), dict(base.terms)
        for name, term in binding.arguments.items():
            given[name] = self.argument(base.target, name, term, values)
            terms[name] = follow(term, origins)
        for name, each in binding.slots.items():
            below[name] = self.bind(each, values, slots, origins)
        return Bound(base.target, tuple(given.items()), tuple(below.items()), terms, binding.span)

    def unbound(self, slot: str, span: Span) -> Broken:
        """A block calls an ambient slot that the network does not bind: the shortcut."""
        message = f"a block calls `{slot}`, and the network does not bind it"
        hint = (
            "say `shortcut: projection` (option B), `shortcut: {op: zero_pad, centred: false}` "
            "(option A), or `shortcut: none` (a plain network)"
        )
        note = Note("called here", span)
        return self.fault("missing-shortcut", message, self.network.span, hint, note)

    def argument(self, target: Target, name: str, term: Term, values: Mapping[str, Value]) -> Value:
        """An argument's value; of an attribute that takes a word, the word."""
        if isinstance(target, Op) and isinstance(term.expr, Name):
            attribute = OPS[target.name].attributes.get(name)
            if attribute and attribute.kind == "word":
                return term.expr.id
        return self.value(term, values)
