"""The numbers of one printed class: which are literals, which expressions, which arguments.

    width * base_width // 64 * groups     with base_width=64, groups=1 everywhere    ->  width

The rule: an expression is a guess until it is exact. The compiler knows each number in every instance
of the class. `choose` prints the number itself if it never varies; else the guess, if evaluating it
yields the compiler's number in every instance (`is_exact`); else a new argument (`add_argument`). So a
guess may come from anywhere and be simplified at will: a wrong one is not printed, and the printed
class cannot disagree with the compiler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnetgen.compiler.codegen.classes import ClassGroup, unique
from resnetgen.compiler.frontend.expressions import (
    Apply,
    Const,
    Expr,
    ExpressionError,
    Name,
    Value,
    count_occurrences,
    evaluate,
    free_names,
    lift,
    replace_parts,
    substitute,
    to_python,
)
from resnetgen.compiler.frontend.identifiers import PRINTED_NAMES
from resnetgen.compiler.ir.nodes import Instance, InstanceNode, OpCall, PassThrough
from resnetgen.compiler.ir.shape_rules import ChannelInfo, ShapeError

LONGEST_PRINTED = 56  # characters of one expression


class Scope:
    """The names of a class and their expressions.

    `added_arguments`: those that the block does not declare, with their value in each instance.
    """

    def __init__(
        self,
        group: ClassGroup,
        kept_arguments: frozenset[str],
        axes: int,
        scopes: Mapping[Instance, Scope],
    ) -> None:
        self.group = group
        self.instances = group.instances
        self.block = group.block
        self.axes = axes
        self.scopes = scopes  # those of the classes that it calls
        self.kept_arguments = kept_arguments  # names that stay arguments though they never vary
        self.added_arguments: dict[str, tuple[Value, ...]] = {}
        # Names of the constructor: of the block, of modules that are passed in, and of Python.
        self.taken = {
            *PRINTED_NAMES,
            *self.block.params,
            *self.block.let,
            *group.instances[0].values,
        }
        self.nodes = {each.key: each for each in group.instances[0].nodes}
        self._expanded: dict[str, Expr | None] = {}
        self._channels: dict[str, Expr | None] = {}
        self.index_of = {id(each): index for index, each in enumerate(group.instances)}
        self.nodes_by_key = [
            {each.key: each for each in instance.nodes} for instance in group.instances
        ]

    def nodes_and_instances(self) -> Iterator[tuple[Mapping[str, InstanceNode], Instance]]:
        """The nodes by key of each instance, and the instance."""
        return zip(self.nodes_by_key, self.instances, strict=True)

    # --- names

    def expand(self, name: str) -> Expr | None:
        """A name of the block as the class prints it; None for any other name."""
        if name not in self._expanded:
            # The names before it first, which it may read: a long chain must not recurse deeply.
            declared = (*self.block.params, *self.block.let)
            before = declared[: declared.index(name)] if name in declared else ()
            for each in (*before, name):
                if each not in self._expanded:
                    self._expanded[each] = self._expand(each)
        return self._expanded[name]

    def _expand(self, name: str) -> Expr | None:
        if any(name not in instance.values for instance in self.instances):
            return None
        values = self._values(name)
        if name in self.kept_arguments:
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
        return self._equal_param(name, values) or Name(name)

    def _equal_param(self, name: str, values: Sequence[Value]) -> Expr | None:
        """A parameter that always equals these channels: one argument is enough."""
        if name in self.block.params:
            return None
        required = (key for key, param in self.block.params.items() if param.default is None)
        return next((Name(key) for key in required if self._values(key) == values), None)

    def _values(self, name: str) -> list[Value]:
        return [instance.values[name] for instance in self.instances]

    def inline(self, expr: Expr, extra: Mapping[str, Expr] | None = None) -> Expr:
        """An expression of the block with its names expanded; unknown names stay."""
        bindings = {name: self.inline(each) for name, each in (extra or {}).items()}
        for name in free_names(expr):
            if name not in bindings and (expanded := self.expand(name)) is not None:
                bindings[name] = expanded
        return substitute(expr, bindings)

    def values_of(self, name: str, instances: Sequence[Instance]) -> list[Value]:
        """The value of an argument in some of the instances."""
        if name in self.added_arguments:
            return [self.added_arguments[name][self.index_of[id(each)]] for each in instances]
        return [each.values[name] for each in instances]

    # --- the choice of an expression

    def choose(
        self,
        hint: str,
        guess: Expr | None,
        values: Sequence[Value],
        env: Mapping[str, Value] | None = None,
    ) -> Expr:
        """What to print for a number that has these values, one for each instance.

        The guess if it reads names and is exact; else a literal if the number never varies; else an
        argument, named after `hint`. `env` are further names with their values.
        """
        constant = _all_equal(values)
        if constant and (guess is None or not any(free_names(guess))):
            return Const(values[0])
        if guess is not None and self.is_exact(guess, values, env or {}):
            return guess
        return Const(values[0]) if constant else self.add_argument(hint, values)

    def is_exact(self, guess: Expr, values: Sequence[Value], env: Mapping[str, Value]) -> bool:
        """Whether an expression can be printed, and evaluates to the value of each instance."""
        if not self._is_short(guess):
            return False
        for index, (instance, value) in enumerate(zip(self.instances, values, strict=True)):
            added_arguments = {name: each[index] for name, each in self.added_arguments.items()}
            try:
                result = evaluate(guess, {**instance.values, **added_arguments, **env})
            except ExpressionError:
                return False
            if not _same(result, value):
                return False
        return True

    def _is_short(self, guess: Expr) -> bool:
        """Whether an expression is short enough to be printed, with the locals that it repeats."""
        text = to_python(guess)
        if text is None or len(text) > 4 * LONGEST_PRINTED:
            return False
        if len(text) > LONGEST_PRINTED:
            text = to_python(replace_parts(guess, self._repeated_in(guess))) or text
        return len(text) <= LONGEST_PRINTED

    def _repeated_in(self, guess: Expr) -> dict[Expr, Name]:
        """The derived names that a guess contains more than once: the constructor has locals for them."""
        derived = ((self.expand(name), Name(name)) for name in self.block.let)
        return {
            expr: name
            for expr, name in derived
            if isinstance(expr, Apply) and count_occurrences(guess, expr) > 1
        }

    def add_argument(self, hint: str, values: Sequence[Value]) -> Expr:
        """A new argument, for what the class cannot compute."""
        base, number = argument_name(hint), 2
        name = base
        while name in self.taken or (
            name in self.added_arguments and list(self.added_arguments[name]) != list(values)
        ):
            name, number = f"{base}{number}", number + 1
        self.added_arguments[name] = tuple(values)
        return Name(name)

    def module_argument(self, key: str) -> str:
        """The argument for a module that is passed in: called as its node, if no number is."""
        name = argument_name(key)
        return unique(f"{name}_module" if name in self.taken else name, self.taken)

    # --- attributes and channels

    def attributes(self, key: str) -> dict[str, Expr]:
        """The attributes of an op as the class prints them; a default may depend on those before it."""
        callee = self.nodes[key].callee
        assert isinstance(callee, OpCall)
        chosen: dict[str, Expr] = {}
        for name, concrete in callee.attributes.items():
            if isinstance(concrete, str) or concrete is None:
                chosen[name] = Const(str(concrete))
                continue
            values = [nodes[key].op.attributes[name] for nodes in self.nodes_by_key]  # type: ignore[union-attr]
            hint = name if name not in self.added_arguments else f"{key}_{name}"
            chosen[name] = self.choose(
                hint, self.attribute_guess(self.nodes[key], name, chosen), values
            )
        return chosen

    def attribute_guess(
        self, node: InstanceNode, name: str, chosen: Mapping[str, Expr]
    ) -> Expr | None:
        """The expression of an attribute in the spec, or else the op's default."""
        assert node.op
        term = node.block_node.arguments.get(name)
        if term:
            return self.inline(term.expr, node.scope)
        default = node.op.definition.attributes[name].default
        if not callable(default):
            return Const(node.op.attributes[name])
        try:
            return lift(default(_plain(chosen)))
        except (TypeError, ShapeError):
            return None

    def attribute_guesses(self, node: InstanceNode) -> dict[str, Expr]:
        """The guesses for all attributes of an op."""
        assert node.op
        guesses: dict[str, Expr] = {}
        for name in node.op.attributes:
            guess = self.attribute_guess(node, name, guesses)
            if guess is not None:
                guesses[name] = guess
        return guesses

    def channels(self, name: str) -> Expr | None:
        """The channels of a value in terms of the arguments; None where no expression is known."""
        waiting = [] if name in self._channels else [name]  # no recursion: bodies may be long
        while waiting:
            read = self.nodes[waiting[-1]].inputs if waiting[-1] in self.nodes else ()
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
        node = self.nodes[name]
        values = [nodes[name].result.channels for nodes in self.nodes_by_key]
        if _all_equal(values) and not self.kept_arguments:
            return Const(values[0])
        guess = self._propagated(node)
        if guess is not None and self.is_exact(guess, values, {}):
            return guess
        return Const(values[0]) if _all_equal(values) else None

    def _propagated(self, node: InstanceNode) -> Expr | None:
        if isinstance(node.callee, PassThrough):
            return self.channels(node.inputs[0])
        if not node.op:
            return self._result_channels(node)
        definition, guesses = node.op.definition, self.attribute_guesses(node)
        if definition.makes_channels and "out" in guesses:
            return guesses["out"]
        sources = [self.channels(name) for name in node.inputs]
        infos = [
            ChannelInfo(source, self._channel_info(name).positions)
            for name, source in zip(node.inputs, sources, strict=True)
            if source is not None
        ]
        if len(infos) != len(sources):
            return None
        attributes = {**node.op.attributes, **guesses}
        return lift(definition.channels(_plain(attributes), infos, self.axes).channels)

    def _result_channels(self, node: InstanceNode) -> Expr | None:
        """The channels of the last block that a node runs, from its class, in our names."""
        instance = node.runs[-1].instance
        result = self.scopes[instance].channels(instance.outputs[0])
        names = self.callee_names(node, instance)
        if result is None or not names.keys() >= set(free_names(result)):
            return None
        return substitute(result, names)

    def _channel_info(self, name: str) -> ChannelInfo:
        if name in self.nodes:
            return self.nodes[name].result
        info = self.instances[0].inputs[name]
        assert info is not None
        return info

    # --- calls

    def callee_names(
        self, node: InstanceNode, instance: Instance, stage: Mapping[str, Expr] | None = None
    ) -> dict[str, Expr]:
        """The names of a called block in terms of ours, where the spec has an expression for them."""
        names: dict[str, Expr] = {}
        block = instance.block
        for index, (inner, outer) in enumerate(zip(block.inputs, node.inputs, strict=True)):
            channels = self.channels(outer) if outer != "none" else None
            if channels is not None:
                names["in_channels" if index == 0 else f"{inner}_channels"] = channels
        for name, param in block.params.items():
            term = node.block_node.arguments.get(name)
            if term and name in instance.given:
                names[name] = self.inline(term.expr, {**(node.scope or {}), **(stage or {})})
            elif param.default and name not in instance.given:
                names[name] = substitute(param.default.expr, names)
        for name, term in block.let.items():
            names[name] = substitute(term.expr, names)
        return names


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.value if isinstance(v, Const) else v for k, v in attributes.items()}


def argument_name(key: str) -> str:
    """A name for what a class is given, from the key of a node: `body.0` -> `body_0`."""
    name = key.replace(".", "_").replace("#", "_")
    return name if name[0].isalpha() else f"node_{name}"


def _all_equal(values: Sequence[Value]) -> bool:
    return all(_same(value, values[0]) for value in values)


def _same(one: Value, other: Value) -> bool:
    return one == other and (type(one) is bool) == (type(other) is bool)
