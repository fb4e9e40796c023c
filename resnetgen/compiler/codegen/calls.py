"""The constructor calls that a class makes: modules of ops, other classes, whole stages.

nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
Bottleneck(256, 128, Projection(256, 512, stride=2), stride=2)
*(Bottleneck(512, 128, nn.Identity()) for _ in range(3))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnetgen.compiler.codegen.class_plan import FilePlanner
from resnetgen.compiler.codegen.classes import ClassGroup
from resnetgen.compiler.codegen.pretty import Doc, ExprDoc, Repeated, call, keyword, names
from resnetgen.compiler.codegen.scope import Scope
from resnetgen.compiler.frontend.expressions import (
    Apply,
    Const,
    Expr,
    Name,
    Value,
    free_names,
    simplify,
    substitute,
)
from resnetgen.compiler.ir.nodes import Instance, InstanceNode, OpCall, PassThrough
from resnetgen.compiler.ir.op_def import ModuleArgument as OpArgument
from resnetgen.compiler.ir.op_def import TorchModule
from resnetgen.compiler.passes.stages import depends_on_index, stage_values

INDEX = Name("index")
IDENTITY = "nn.Identity()"
MOST_POSITIONAL = 2  # numbers without a keyword; 1 where a class takes many


class Calls:
    """The calls of one class, in terms of its own names."""

    def __init__(
        self, registry: FilePlanner, structure: ClassGroup, inplace: frozenset[str]
    ) -> None:
        self.registry = registry
        self.structure = structure
        self.scope = registry.scope(structure)
        self.inplace = inplace
        self.axes = registry.network.axes

    # --- ops

    def op(self, placed: InstanceNode, form: TorchModule) -> Doc:
        """The module of an op; arguments that equal torch's default are left out."""
        attributes = self.scope.attributes(placed.key)

        def value(name: str | int) -> Expr:
            if isinstance(name, int):
                return Const(name)
            if name == "in":
                return self.input_channels(placed)
            return Const(placed.key in self.inplace) if name == "inplace" else attributes[name]

        return self.module(form, {each.attribute: value(each.attribute) for each in form.arguments})

    def module(self, form: TorchModule, values: Mapping[str | int, Expr]) -> Doc:
        if form.support:
            self.registry.support.add(form.support)
        return module_call(form, values, self.axes)

    def input_channels(self, placed: InstanceNode) -> Expr:
        source = placed.inputs[0]
        values = [_channels(row, source, instance) for row, instance in self.scope.pairs()]
        return self.scope.choose(f"{source}_channels", self.scope.channels(source), values)

    # --- blocks

    def child(self, placed: InstanceNode, number: int, stage: Mapping[str, Expr]) -> Doc:
        """The call of the class of one block."""
        rows = [instance_at(row[placed.key], number) for row in self.scope.rows]
        guesses = self.scope.callee_names(placed, rows[0], stage)
        return self.block(placed.key, rows, guesses, {})

    def block(
        self,
        hint: str,
        rows: Sequence[Instance],
        guesses: Mapping[str, Expr],
        env: Mapping[str, Value],
    ) -> Doc:
        """`Bottleneck(64, 64, ...)`; `guesses` says the callee's names in ours."""
        structure = self.registry.structure(rows[0])
        callee, scope = self.registry.plan(structure), self.registry.scope(structure)
        required = sum(each.default is None and not each.module for each in callee.arguments)
        handed = sum(each.module is not None for each in callee.arguments)
        most = MOST_POSITIONAL if required <= MOST_POSITIONAL + 1 else 1
        positional: list[Doc] = []
        named: list[Doc] = []
        modules: list[Doc] = []
        for argument in callee.arguments:
            if argument.module:
                doc = self.handed(argument.module, rows, scope, guesses, env)
                if named or handed > 1:
                    modules.append(keyword(argument.name, doc))
                else:
                    positional.append(doc)
                    most = 0
                continue
            values = scope.values_of(argument.name, rows)
            expr = self.scope.choose(
                f"{hint}_{argument.name}", guesses.get(argument.name), values, env
            )
            if argument.default is not None and _equals(expr, argument.default):
                continue
            if argument.default is None and len(positional) < most:
                positional.append(ExprDoc(expr))
            else:
                named.append(keyword(argument.name, ExprDoc(expr)))
        return call(callee.name, [*positional, *named, *modules])

    def handed(
        self,
        key: str,
        rows: Sequence[Instance],
        scope: Scope,
        guesses: Mapping[str, Expr],
        env: Mapping[str, Value],
    ) -> Doc:
        """The module that a class is handed: the shortcut, or the content of a slot."""
        placed = [next(each for each in row.nodes if each.key == key) for row in rows]
        what = placed[0].callee
        if isinstance(what, PassThrough):
            return IDENTITY
        if isinstance(what, OpCall):
            return self.handed_op(
                placed, rows, what, _through(scope.attribute_guesses(placed[0]), guesses)
            )
        inner = [instance_at(each, 0) for each in placed]
        return self.block(
            key, inner, _through(scope.callee_names(placed[0], inner[0]), guesses), env
        )

    def handed_op(
        self,
        placed: Sequence[InstanceNode],
        rows: Sequence[Instance],
        what: OpCall,
        guesses: Mapping[str, Expr],
    ) -> Doc:
        """An op that a slot holds, as the module that is handed in."""
        form = what.definition.container_module or what.definition.torch
        assert isinstance(form, TorchModule), "an op without a module form is not handed in"
        settled: dict[str | int, Expr] = {}
        for argument in form.arguments:
            name = argument.attribute
            values = [_op_argument(each, name, row) for each, row in zip(placed, rows, strict=True)]
            settled[name] = self.scope.choose(
                f"{placed[0].key}_{name}", guesses.get(str(name)), values
            )
        return self.module(form, settled)

    # --- stages

    def stage(self, placed: InstanceNode, count: int) -> Doc:
        """`nn.Sequential` of the blocks, equal ones as a comprehension."""
        plain = self.plain_calls(placed, count)
        items: list[Doc] = []
        at = 0
        while at < count:
            same = _run_length(plain, at)
            indexed = self.indexed_run(placed, at, count) if same == 1 else 0
            if same > 1:
                items.append(Repeated(plain[at], f"for _ in range({same})"))
            elif indexed > 1:
                span = f"range({indexed})" if at == 0 else f"range({at}, {at + indexed})"
                doc = self.stage_block(placed, at, symbolic=True)
                items.append(Repeated(doc, f"for index in {span}"))
            else:
                items.append(plain[at])
            at += max(same, indexed)
        return call("nn.Sequential", items)

    def plain_calls(self, placed: InstanceNode, count: int) -> list[Doc]:
        """The call of each block; equal blocks have the same unless `index` and its like are read."""
        if depends_on_index(placed.block_node):
            return [self.stage_block(placed, number, symbolic=False) for number in range(count)]
        made: dict[tuple[int, ...], Doc] = {}
        calls = []
        for number in range(count):
            key = tuple(id(instance_at(row[placed.key], number)) for row in self.scope.rows)
            if key not in made:
                made[key] = self.stage_block(placed, number, symbolic=False)
            calls.append(made[key])
        return calls

    def indexed_run(self, placed: InstanceNode, at: int, count: int) -> int:
        """How many calls from `at` on are the same text once `index` is left in it."""
        if not depends_on_index(placed.block_node):
            return 0
        first = self.stage_block(placed, at, symbolic=True)
        if INDEX.id not in names(first):
            return 0
        stop = at + 1
        while stop < count and self.stage_block(placed, stop, symbolic=True) == first:
            stop += 1
        return stop - at

    def stage_block(self, placed: InstanceNode, number: int, *, symbolic: bool) -> Doc:
        rows = [instance_at(row[placed.key], number) for row in self.scope.rows]
        values = values_at(self.structure.instances[0], placed, number)
        written: dict[str, Expr] = {name: Const(value) for name, value in values.items()}
        env: dict[str, Value] = {}
        if symbolic:
            before = int(values["position"]) - number
            written |= {"index": INDEX, "position": simplify(Apply("+", (INDEX, Const(before))))}
            env = {INDEX.id: number}
        return self.block(placed.key, rows, self.scope.callee_names(placed, rows[0], written), env)


def module_call(form: TorchModule, values: Mapping[str | int, Expr], axes: int) -> Doc:
    """The constructor call of an op's module."""
    items = [
        _item(argument, values[argument.attribute])
        for argument in form.arguments
        if not _is_default(argument, values)
    ]
    return call(form.callee.format(n=axes), items)


def values_at(instance: Instance, placed: InstanceNode, number: int) -> dict[str, Any]:
    """What the expressions of one block of a stage may read."""
    counts = {each.key: len(each.paths) for each in instance.nodes if each.block_node.stage}
    if placed.key not in counts:
        counts = {placed.key: len(placed.paths)}
    before = sum(counts[key] for key in list(counts)[: list(counts).index(placed.key)])
    return stage_values(number, len(placed.paths), before, sum(counts.values()))


def instance_at(placed: InstanceNode, number: int) -> Instance:
    """The instance of one block of a node."""
    for run in placed.runs:
        if number < run.count:
            return run.instance
        number -= run.count
    raise IndexError(number)


def _item(argument: OpArgument, expr: Expr) -> Doc:
    return keyword(argument.keyword, ExprDoc(expr)) if argument.keyword else ExprDoc(expr)


def _is_default(argument: OpArgument, values: Mapping[str | int, Expr]) -> bool:
    default = argument.default
    if callable(default):
        return bool(values[argument.attribute] == default(values))
    return _equals(values[argument.attribute], default)


def _equals(expr: Expr, default: Any) -> bool:
    """Whether an expression is a literal that equals a default; True is not 1."""
    if not isinstance(expr, Const):
        return False
    if isinstance(expr.value, tuple) and not isinstance(default, tuple):
        return all(each == default for each in expr.value)
    return (type(expr.value) is bool) == (type(default) is bool) and expr.value == default


def _channels(row: Mapping[str, InstanceNode], name: str, instance: Instance) -> int:
    flow = row[name].result if name in row else instance.inputs[name]
    assert flow is not None
    channels: int = flow.channels
    return channels


def _op_argument(placed: InstanceNode, name: str | int, instance: Instance) -> Value:
    assert placed.op
    if isinstance(name, int):
        return name
    if name == "in":
        row = {each.key: each for each in instance.nodes}
        return _channels(row, placed.inputs[0], instance)
    value: Value = False if name == "inplace" else placed.op.attributes[name]
    return value


def _through(guesses: Mapping[str, Expr], known: Mapping[str, Expr]) -> dict[str, Expr]:
    """Expressions in a callee's names, in ours; those that say more than we know are dropped."""
    return {
        name: substitute(expr, known)
        for name, expr in guesses.items()
        if all(each in known for each in free_names(expr))
    }


def _run_length(docs: Sequence[Doc], at: int) -> int:
    length = 1
    while at + length < len(docs) and docs[at + length] == docs[at]:
        length += 1
    return length
