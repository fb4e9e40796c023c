"""Terms: the values of a document as expressions, with the places where they were written.

{kernel: [3, width // 2]}  ->  Apply("tuple", (Const(3), Apply("//", (Name("width"), Const(2)))))
"""

from __future__ import annotations

from resnetgen.graph.faults import Faults
from resnetgen.graph.ir import Term
from resnetgen.language.diagnostics import Span
from resnetgen.language.expressions import Apply, Const, Expr, ExpressionError, parse
from resnetgen.language.reader import ListTree, MapTree, Tree
from resnetgen.language.trees import entries, key_of


def term(faults: Faults, tree: Tree, key_span: Span) -> Term:
    """The value of a key as an expression; 0 after a fault."""
    return Term(_expression(faults, tree), tree.span, key_span)


def optional_term(faults: Faults, tree: MapTree, key: str) -> Term | None:
    """The value at a key of a map, where there is one."""
    return term(faults, tree.entries[key], tree.keys[key]) if key in tree.entries else None


def terms(faults: Faults, tree: MapTree, key: str) -> dict[str, Term]:
    """The values of the map at a key, by their own keys."""
    return {
        name: term(faults, each, key_of(tree, key, name))
        for name, each in entries(tree, key).items()
    }


def _expression(faults: Faults, tree: Tree) -> Expr:
    if isinstance(tree, ListTree):
        return Apply("tuple", tuple(_expression(faults, item) for item in tree.items))
    if isinstance(tree, MapTree):
        faults.record("wrong-value", "a map cannot be a value here", tree.span)
        return Const(0)
    if isinstance(tree.value, str):
        try:
            return parse(tree.value)
        except ExpressionError as error:
            faults.record("expression", str(error), tree.span)
            return Const(0)
    if tree.value is None:
        faults.record("wrong-value", "a value is missing here", tree.span)
        return Const(0)
    return Const(tree.value)
