"""Faults that the compiler once had, to be put back: the generator has to find each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from unittest.mock import patch

from resnetgen import pipeline
from resnetgen.compiler.codegen import forward, scope
from resnetgen.compiler.frontend import identifiers
from resnetgen.compiler.frontend.expressions import Expr, Value, evaluate
from resnetgen.compiler.ir.nodes import InstanceNode
from resnetgen.compiler.ir.op_def import OpDef
from resnetgen.compiler.passes import (
    elaborate_blocks,
    flatten,
    init_rules,
    instantiate,
    instantiate_block,
    module_paths,
)
from resnetgen.compiler.passes.unread import Reads

Fault = Callable[[], AbstractContextManager[object]]


def _every_node(instance: object) -> list[tuple[str, InstanceNode, int]]:
    """`registered_modules` as if expressions were modules."""
    with patch.object(OpDef, "module_at", lambda op, path: True):
        return module_paths.registered_modules(instance)  # type: ignore[arg-type]


def _dropped(body: object, index: int, node: object, live: object = None) -> None:
    """`leave_out` without regard to numbers."""
    self, left = body, body.dead_nodes.drops(body.block, node)  # type: ignore[attr-defined]
    if live and not left:
        self.emit(index, live)  # type: ignore[attr-defined]
    else:
        self.bypass(node, node.inputs[0])  # type: ignore[attr-defined]


def _any_value(expr: Expr, env: Mapping[str, Value]) -> Value | str:
    """The value of an expression in a path, whatever its kind."""
    value = evaluate(expr, env)
    return value if isinstance(value, int) else str(value)


FAULTS: dict[str, Fault] = {
    "a module that is passed in has the name of a parameter": lambda: patch.object(
        scope.Scope, "module_argument", lambda self, key: scope.argument_name(key)
    ),
    "expressions are registered": lambda: patch.object(flatten, "registered_modules", _every_node),
    "unread in some instances only": lambda: patch.object(Reads, "add", _only_never_read),
    "values of rules are not checked": lambda: patch.object(
        init_rules, "value_error", lambda *_, **__: None
    ),
    "shapes under rules are not checked": lambda: patch.object(
        instantiate, "check_init", lambda *_: None
    ),
    "variables may hide classes and Python's names": lambda: patch.object(
        forward, "unique", lambda name, taken: name
    ),
    "names of torch and Python are keys": lambda: patch.object(
        elaborate_blocks, "node_key_error", lambda key: None
    ),
    "names of Python are parameters": lambda: patch.object(
        identifiers, "PRINTED_NAMES", frozenset()
    ),
    "containers are judged by the printer only": lambda: patch.object(
        pipeline, "_has_own_containers", lambda network: False
    ),
    "dead nodes give up their numbers": lambda: patch.object(
        instantiate_block.BlockInstantiator, "leave_out", _dropped
    ),
    "fractions in paths": lambda: patch.object(module_paths, "evaluate", _any_value),
}


def _only_never_read(self: Reads, instance: object) -> list[object]:
    """`Reads.add` without its verdict."""
    values = {*instance.outputs, *self.values_read(instance.nodes)}  # type: ignore[attr-defined]
    self.inputs_of[instance] = frozenset(values)  # type: ignore[index]
    return []
