"""The arithmetic of one printed class: what is a literal, a local, an argument.

    width * base_width // 64 * groups     with base_width=64, groups=1 everywhere    ->  width

Every expression is a guess until it gives the compiler's number in each instance that the class
serves; one that does not, or that Python cannot say without an import, becomes a literal where the
number never varies, and an argument of the class where it does. So a printed class cannot disagree
with the compiler, however it was simplified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnetgen.compiler.codegen.classes import ClassGroup
from resnetgen.compiler.frontend.expressions import (
    Const,
    Expr,
    ExpressionError,
    Name,
    Value,
    evaluate,
    free_names,
    lift,
    substitute,
    to_python,
)
from resnetgen.compiler.ir.nodes import Instance, InstanceNode, OpCall, PassThrough
from resnetgen.compiler.ir.shape_rules import ChannelInfo, ShapeError

LONGEST_PRINTED = 56  # characters of one expression


class Scope:
    """The names of a class and their expressions; `promoted` are arguments that the class must add."""

    def __init__(self, structure: ClassGroup, kept: frozenset[str], axes: int) -> None:
        self.structure = structure
        self.instances = structure.instances
        self.block = structure.block
        self.axes = axes
        self.kept = kept  # names that stay arguments though they never vary: of the network's class
        self.promoted: dict[str, tuple[Value, ...]] = {}
        self.placed = {each.key: each for each in structure.instances[0].nodes}
        self._expanded: dict[str, Expr | None] = {}
        self._channels: dict[str, Expr | None] = {}
        self.row_of = {id(each): row for row, each in enumerate(structure.instances)}
        self.rows = [
            {each.key: each for each in instance.nodes} for instance in structure.instances
        ]

    def pairs(self) -> Iterator[tuple[Mapping[str, InstanceNode], Instance]]:
        """The placed nodes by key, and the instance, of each instance."""
        return zip(self.rows, self.instances, strict=True)

    # --- names

    def expand(self, name: str) -> Expr | None:
        """A name of the block as the class prints it; None for a name that is not the block's."""
        if name not in self._expanded:
            # Those before it first: it may read them, and a long chain is no deep recursion so.
            own = (*self.block.params, *self.block.let)
            before = own[: own.index(name)] if name in own else ()
            for each in (*before, name):
                if each not in self._expanded:
                    self._expanded[each] = self._expand(each)
        return self._expanded[name]

    def _expand(self, name: str) -> Expr | None:
        if any(name not in instance.values for instance in self.instances):
            return None
        values = [instance.values[name] for instance in self.instances]
        if name in self.kept:
            return Name(name)
        if _all_equal(values):
            return Const(values[0])
        if name in self.block.let:
            return self.inline(self.block.let[name].expr)
        param = self.block.params.get(name)
        if (
            param
            and param.default
            and not any(name in instance.given for instance in self.instances)
        ):
            return self.inline(param.default.expr)
        return Name(name)

    def inline(self, expr: Expr, extra: Mapping[str, Expr] | None = None) -> Expr:
        """An expression of the block with its names expanded; unknown names stay."""
        bindings = dict(extra or {})
        for name in free_names(expr):
            if name not in bindings and (found := self.expand(name)) is not None:
                bindings[name] = found
        return substitute(expr, bindings)

    def values_of(self, name: str, instances: Sequence[Instance]) -> list[Value]:
        """The value of an argument in some of the instances."""
        if name in self.promoted:
            return [self.promoted[name][self.row_of[id(each)]] for each in instances]
        return [each.values[name] for each in instances]

    # --- settling on an expression

    def choose(
        self,
        hint: str,
        guess: Expr | None,
        values: Sequence[Value],
        env: Mapping[str, Value] | None = None,
    ) -> Expr:
        """The guess if it is right in every instance, else a literal, else an argument."""
        steady = _all_equal(values)
        kept = self.kept.union(env or ())
        if steady and (guess is None or not kept.intersection(free_names(guess))):
            return Const(values[0])
        if guess is not None and self.is_exact(guess, values, env or {}):
            return guess
        return Const(values[0]) if steady else self.add_argument(hint, values)

    def is_exact(self, guess: Expr, values: Sequence[Value], env: Mapping[str, Value]) -> bool:
        """Whether an expression can be printed and gives the value of each instance."""
        text = to_python(guess)
        if text is None or len(text) > LONGEST_PRINTED:
            return False
        for row, (instance, value) in enumerate(zip(self.instances, values, strict=True)):
            promoted = {name: each[row] for name, each in self.promoted.items()}
            try:
                found = evaluate(guess, {**instance.values, **promoted, **env})
            except ExpressionError:
                return False
            if not _same(found, value):
                return False
        return True

    def add_argument(self, hint: str, values: Sequence[Value]) -> Expr:
        """An argument of its own for what the class cannot compute."""
        base = hint.replace(".", "_").replace("#", "_")
        base = base if base[0].isalpha() else f"node_{base}"
        name, number = base, 2
        taken = {*self.block.params, *self.block.let, *self.instances[0].values}
        while name in taken or (
            name in self.promoted and list(self.promoted[name]) != list(values)
        ):
            name, number = f"{base}{number}", number + 1
        self.promoted[name] = tuple(values)
        return Name(name)

    # --- attributes and channels

    def attributes(self, key: str) -> dict[str, Expr]:
        """The attributes of an op as the class prints them; defaults follow from those before."""
        what = self.placed[key].callee
        assert isinstance(what, OpCall)
        settled: dict[str, Expr] = {}
        for name, concrete in what.attributes.items():
            if isinstance(concrete, str) or concrete is None:
                settled[name] = Const(str(concrete))
                continue
            values = [row[key].op.attributes[name] for row in self.rows]  # type: ignore[union-attr]
            hint = name if name not in self.promoted else f"{key}_{name}"
            settled[name] = self.choose(
                hint, self.attribute_guess(self.placed[key], name, settled), values
            )
        return settled

    def attribute_guess(
        self, placed: InstanceNode, name: str, settled: Mapping[str, Expr]
    ) -> Expr | None:
        """What the block's text, or else the op's default, says of an attribute."""
        assert placed.op
        term = placed.block_node.arguments.get(name)
        if term:
            return self.inline(term.expr, placed.scope)
        default = placed.op.definition.attributes[name].default
        if not callable(default):
            return Const(placed.op.attributes[name])
        try:
            return lift(default(_plain(settled)))
        except (TypeError, ShapeError):
            return None

    def attribute_guesses(self, placed: InstanceNode) -> dict[str, Expr]:
        """The guesses for all attributes of an op."""
        assert placed.op
        guesses: dict[str, Expr] = {}
        for name in placed.op.attributes:
            guess = self.attribute_guess(placed, name, guesses)
            if guess is not None:
                guesses[name] = guess
        return guesses

    def channels(self, name: str) -> Expr | None:
        """The channels of a value in terms of the arguments; None where no expression is known."""
        waiting = [] if name in self._channels else [name]  # no recursion: bodies may be long
        while waiting:
            read = self.placed[waiting[-1]].inputs if waiting[-1] in self.placed else ()
            unknown = [each for each in read if each != "none" and each not in self._channels]
            if unknown:
                waiting += unknown
            else:
                key = waiting.pop()
                self._channels[key] = self._guess_channels(key)
        return self._channels[name]

    def _guess_channels(self, name: str) -> Expr | None:
        if name in self.block.inputs:
            first = name == self.block.inputs[0]
            return self.expand("in_channels" if first else f"{name}_channels")
        placed = self.placed[name]
        values = [row[name].result.channels for row in self.rows]
        if _all_equal(values) and not self.kept:
            return Const(values[0])
        guess = self._propagated(placed)
        if guess is not None and self.is_exact(guess, values, {}):
            return guess
        return Const(values[0]) if _all_equal(values) else None

    def _propagated(self, placed: InstanceNode) -> Expr | None:
        if isinstance(placed.callee, PassThrough):
            return self.channels(placed.inputs[0])
        if not placed.op:
            out = placed.block_node.arguments.get("out")
            return self.inline(out.expr, placed.scope) if out else self._last_channels(placed)
        definition = placed.op.definition
        sources = [self.channels(name) for name in placed.inputs]
        flows = [
            ChannelInfo(source, self._flow(name).positions)
            for name, source in zip(placed.inputs, sources, strict=True)
            if source is not None
        ]
        if len(flows) != len(sources):
            return None
        attributes = {**placed.op.attributes, **self.attribute_guesses(placed)}
        return lift(definition.channels(_plain(attributes), flows, self.axes).channels)

    def _last_channels(self, placed: InstanceNode) -> Expr | None:
        """The output of a block in terms of our names, where its own channels say so."""
        if len(placed.runs) > 1 or placed.runs[0].count > 1:
            return None
        instance = placed.runs[0].instance
        by_key = {each.key: each for each in instance.nodes}
        name = instance.outputs[0]
        while name in by_key and by_key[name].op:
            term = by_key[name].block_node.arguments.get("out")
            if term:
                return substitute(term.expr, self.callee_names(placed, instance))
            name = by_key[name].inputs[0]
        return None

    def _flow(self, name: str) -> ChannelInfo:
        if name in self.placed:
            return self.placed[name].result
        found = self.instances[0].inputs[name]
        assert found is not None
        return found

    # --- calls

    def callee_names(
        self, placed: InstanceNode, instance: Instance, stage: Mapping[str, Expr] | None = None
    ) -> dict[str, Expr]:
        """The names of a called block in terms of ours, as far as the text says."""
        names: dict[str, Expr] = {}
        block = instance.block
        for index, (inner, outer) in enumerate(zip(block.inputs, placed.inputs, strict=True)):
            found = self.channels(outer) if outer != "none" else None
            if found is not None:
                names["in_channels" if index == 0 else f"{inner}_channels"] = found
        for name, param in block.params.items():
            term = placed.block_node.arguments.get(name)
            if term and name in instance.given:
                names[name] = self.inline(term.expr, {**(placed.scope or {}), **(stage or {})})
            elif param.default and name not in instance.given:
                names[name] = substitute(param.default.expr, names)
        for name, term in block.let.items():
            names[name] = substitute(term.expr, names)
        return names


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.value if isinstance(v, Const) else v for k, v in attributes.items()}


def _all_equal(values: Sequence[Value]) -> bool:
    return all(_same(value, values[0]) for value in values)


def _same(one: Value, other: Value) -> bool:
    return one == other and (type(one) is bool) == (type(other) is bool)
