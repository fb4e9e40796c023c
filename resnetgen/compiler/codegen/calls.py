"""The constructor calls of one class: modules of ops, other classes, whole stages.

    op       nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
    child    Bottleneck(256, 128, Projection(256, 512, stride=2), stride=2)
    stage    nn.Sequential(..., *(Bottleneck(512, 128, nn.Identity()) for _ in range(3)))

The class that is called was planned before, so its arguments are known; its `Scope` says what values
they have, and ours what to print for them.
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
MOST_POSITIONAL = 2  # numbers without a keyword; 1 where a class has many required arguments


class Calls:
    """The calls of one class, in terms of its own names."""

    def __init__(self, planner: FilePlanner, group: ClassGroup, inplace: frozenset[str]) -> None:
        self.planner = planner
        self.group = group
        self.scope = planner.scopes[group]
        self.inplace = inplace
        self.axes = planner.network.axes

    # --- ops

    def op(self, node: InstanceNode, form: TorchModule) -> Doc:
        """The module of an op; arguments that equal torch's default are left out."""
        attributes = self.scope.attributes(node.key)

        def value(name: str | int) -> Expr:
            if isinstance(name, int):
                return Const(name)
            if name == "in":
                return self.input_channels(node)
            return Const(node.key in self.inplace) if name == "inplace" else attributes[name]

        return self.module(form, {each.attribute: value(each.attribute) for each in form.arguments})

    def module(self, form: TorchModule, values: Mapping[str | int, Expr]) -> Doc:
        """The constructor call of an op's module, whose support class the file then needs."""
        if form.support:
            self.planner.support.add(form.callee.format(n=self.axes))
        return module_call(form, values, self.axes)

    def input_channels(self, node: InstanceNode) -> Expr:
        """The channels of a node's first input."""
        source = node.inputs[0]
        values = [
            _channels(nodes, source, instance)
            for nodes, instance in self.scope.nodes_and_instances()
        ]
        return self.scope.choose(f"{source}_channels", self.scope.channels(source), values)

    # --- blocks

    def child(self, node: InstanceNode, number: int, stage: Mapping[str, Expr]) -> Doc:
        """The call of the class of one block; `stage` are the values of `index` and its like."""
        instances = [instance_at(nodes[node.key], number) for nodes in self.scope.nodes_by_key]
        guesses = self.scope.callee_names(node, instances[0], stage)
        return self.block(node.key, instances, guesses, {})

    def block(
        self,
        hint: str,
        instances: Sequence[Instance],
        guesses: Mapping[str, Expr],
        env: Mapping[str, Value],
    ) -> Doc:
        """`Bottleneck(64, 64, ...)`; `guesses` are the callee's names in terms of ours."""
        group = self.planner.groups.of[instances[0]]
        callee, scope = self.planner.plans[group], self.planner.scopes[group]
        required = sum(each.default is None and not each.module for each in callee.arguments)
        passed_in = sum(each.module is not None for each in callee.arguments)
        most = MOST_POSITIONAL if required <= MOST_POSITIONAL + 1 else 1
        positional: list[Doc] = []
        named: list[Doc] = []
        modules: list[Doc] = []
        for argument in callee.arguments:
            if argument.module:
                doc = self.passed_in(argument.module, instances, scope, guesses, env)
                if named or passed_in > 1:
                    modules.append(keyword(argument.name, doc))
                else:
                    positional.append(doc)
                    most = 0
                continue
            values = scope.values_of(argument.name, instances)
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

    def passed_in(
        self,
        key: str,
        instances: Sequence[Instance],
        scope: Scope,
        guesses: Mapping[str, Expr],
        env: Mapping[str, Value],
    ) -> Doc:
        """The module to pass in for a node of the callee: the shortcut, or the content of a slot."""
        nodes = [next(node for node in instance.nodes if node.key == key) for instance in instances]
        first = nodes[0].callee
        if isinstance(first, PassThrough):
            return IDENTITY
        if isinstance(first, OpCall):
            inner_guesses = _in_our_names(scope.attribute_guesses(nodes[0]), guesses)
            return self.passed_in_op(nodes, instances, first, inner_guesses)
        inner = [instance_at(node, 0) for node in nodes]
        inner_guesses = _in_our_names(scope.callee_names(nodes[0], inner[0]), guesses)
        return self.block(key, inner, inner_guesses, env)

    def passed_in_op(
        self,
        nodes: Sequence[InstanceNode],
        instances: Sequence[Instance],
        first: OpCall,
        guesses: Mapping[str, Expr],
    ) -> Doc:
        """An op in a slot of the callee, as a module."""
        form = first.definition.module_form
        assert form, "an op without a module form is not passed in"
        chosen: dict[str | int, Expr] = {}
        for argument in form.arguments:
            name = argument.attribute
            pairs = zip(nodes, instances, strict=True)
            values = [_op_argument(node, name, instance) for node, instance in pairs]
            chosen[name] = self.scope.choose(
                f"{nodes[0].key}_{name}", guesses.get(str(name)), values
            )
        return self.module(form, chosen)

    # --- stages

    def stage(self, node: InstanceNode, count: int) -> Doc:
        """`nn.Sequential` of the blocks, equal ones as a comprehension."""
        plain = self.plain_calls(node, count)
        items: list[Doc] = []
        at = 0
        while at < count:
            same = _run_length(plain, at)
            indexed = self.indexed_run(node, at, count) if same == 1 else 0
            if same > 1:
                items.append(Repeated(plain[at], f"for _ in range({same})"))
            elif indexed > 1:
                span = f"range({indexed})" if at == 0 else f"range({at}, {at + indexed})"
                doc = self.stage_block(node, at, symbolic=True)
                items.append(Repeated(doc, f"for index in {span}"))
            else:
                items.append(plain[at])
            at += max(same, indexed)
        return call("nn.Sequential", items)

    def plain_calls(self, node: InstanceNode, count: int) -> list[Doc]:
        """The call of each block; equal blocks share one unless `index` and its like are read."""
        if depends_on_index(node.block_node):
            return [self.stage_block(node, number, symbolic=False) for number in range(count)]
        made: dict[tuple[int, ...], Doc] = {}
        calls = []
        for number in range(count):
            key = tuple(
                id(instance_at(nodes[node.key], number)) for nodes in self.scope.nodes_by_key
            )
            if key not in made:
                made[key] = self.stage_block(node, number, symbolic=False)
            calls.append(made[key])
        return calls

    def indexed_run(self, node: InstanceNode, at: int, count: int) -> int:
        """How many calls from `at` on are the same if `index` stays a name in them."""
        if not depends_on_index(node.block_node):
            return 0
        first = self.stage_block(node, at, symbolic=True)
        if INDEX.id not in names(first):
            return 0
        stop = at + 1
        while stop < count and self.stage_block(node, stop, symbolic=True) == first:
            stop += 1
        return stop - at

    def stage_block(self, node: InstanceNode, number: int, *, symbolic: bool) -> Doc:
        """The call of one block of a stage; if `symbolic`, in terms of `index`."""
        instances = [instance_at(nodes[node.key], number) for nodes in self.scope.nodes_by_key]
        values = values_at(self.group.instances[0], node, number)
        stage: dict[str, Expr] = {name: Const(value) for name, value in values.items()}
        env: dict[str, Value] = {}
        if symbolic:
            before = int(values["position"]) - number
            stage |= {"index": INDEX, "position": simplify(Apply("+", (INDEX, Const(before))))}
            env = {INDEX.id: number}
        return self.block(
            node.key, instances, self.scope.callee_names(node, instances[0], stage), env
        )


def module_call(form: TorchModule, values: Mapping[str | int, Expr], axes: int) -> Doc:
    """The constructor call of an op's module."""
    items = [
        _item(argument, values[argument.attribute])
        for argument in form.arguments
        if not _is_default(argument, values)
    ]
    return call(form.callee.format(n=axes), items)


def values_at(instance: Instance, node: InstanceNode, number: int) -> dict[str, Any]:
    """The values of `index` and its like for one block of a stage."""
    counts = {each.key: len(each.paths) for each in instance.nodes if each.block_node.stage}
    if node.key not in counts:
        counts = {node.key: len(node.paths)}
    before = sum(counts[key] for key in list(counts)[: list(counts).index(node.key)])
    return stage_values(number, len(node.paths), before, sum(counts.values()))


def instance_at(node: InstanceNode, number: int) -> Instance:
    """The instance of one block of a node."""
    for run in node.runs:
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


def _channels(nodes: Mapping[str, InstanceNode], name: str, instance: Instance) -> int:
    info = nodes[name].result if name in nodes else instance.inputs[name]
    assert info is not None
    channels: int = info.channels
    return channels


def _op_argument(node: InstanceNode, name: str | int, instance: Instance) -> Value:
    assert node.op
    if isinstance(name, int):
        return name
    if name == "in":
        nodes = {each.key: each for each in instance.nodes}
        return _channels(nodes, node.inputs[0], instance)
    value: Value = False if name == "inplace" else node.op.attributes[name]
    return value


def _in_our_names(guesses: Mapping[str, Expr], known: Mapping[str, Expr]) -> dict[str, Expr]:
    """Expressions in a callee's names, in ours; those with a name that we do not know are dropped."""
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
