"""What a block declares: parameters, slots, `let`; each name checked, for it may be printed.

params: {width: int, stride: 1}  ->  Param("width", "int", None), Param("stride", None, Const(1))

Terms: the values of a document as expressions, with the places where they were written.

{kernel: [3, width // 2]}  ->  Apply("tuple", (Const(3), Apply("//", (Name("width"), Const(2)))))

Signatures: the arguments that a call of an op, a block or a slot may give.

{op: convolution, out: 64, kernl: 3}  ->  `convolution` has no attribute `kernl`; did you mean `kernel`?

What the nodes of a block read of one another: every value is computed, and none by itself.

nodes: {a: {inputs: b}, b: {inputs: a}}  ->  the nodes read each other in a circle: a -> b -> a
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from resnetgen.compiler.diagnostics.model import DiagnosticCollector, Note, Span, did_you_mean
from resnetgen.compiler.frontend.expressions import Apply, Const, Expr, ExpressionError, parse
from resnetgen.compiler.frontend.identifiers import (
    class_name_error,
    identifier_error,
    node_key_error,
)
from resnetgen.compiler.frontend.schema import NODE_KEYS
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Scalar, Tree, entries, key_span, keys
from resnetgen.compiler.ir.nodes import (
    SHORTCUT,
    Block,
    BlockNode,
    Op,
    Param,
    Slot,
    SourcedExpr,
    Target,
)
from resnetgen.compiler.ir.ops import AMBIENT, OPS
from resnetgen.compiler.ir.schedule import find_cycle, stable_order


def parse_term(faults: DiagnosticCollector, tree: Tree, key_span: Span) -> SourcedExpr:
    """The value of a key as an expression; 0 after a fault."""
    return SourcedExpr(_expression(faults, tree), tree.span, key_span)


def parse_optional_term(faults: DiagnosticCollector, tree: MapTree, key: str) -> SourcedExpr | None:
    """The value at a key of a map, where there is one."""
    return parse_term(faults, tree.entries[key], tree.keys[key]) if key in tree.entries else None


def parse_terms(faults: DiagnosticCollector, tree: MapTree, key: str) -> dict[str, SourcedExpr]:
    """The values of the map at a key, by their own keys."""
    return {
        name: parse_term(faults, each, key_span(tree, (key, name)))
        for name, each in entries(tree, key).items()
    }


def _expression(faults: DiagnosticCollector, tree: Tree) -> Expr:
    if isinstance(tree, ListTree):
        return Apply("tuple", tuple(_expression(faults, item) for item in tree.items))
    if isinstance(tree, MapTree):
        faults.report("wrong-value", "a map cannot be a value here", tree.span)
        return Const(0)
    if isinstance(tree.value, str):
        try:
            return parse(tree.value)
        except ExpressionError as error:
            faults.report("expression", str(error), tree.span)
            return Const(0)
    if tree.value is None:
        faults.report("wrong-value", "a value is missing here", tree.span)
        return Const(0)
    return Const(tree.value)


PARAM_KINDS = ("int", "float", "bool")  # of the parameters that a caller must give
PASS_NAMES = ("identity", "none")  # what can be called and does nothing


def params_of(faults: DiagnosticCollector, tree: MapTree) -> dict[str, Param]:
    """The parameters of a block or network."""
    params: dict[str, Param] = {}
    for name, each in entries(tree, "params").items():
        word = each.value if isinstance(each, Scalar) and not each.quoted else None
        if isinstance(word, str) and word in PARAM_KINDS:
            params[name] = Param(name, word, None)
            continue
        if isinstance(word, str) and word.isidentifier() and word not in params:
            _check_kind(faults, word, each.span)
        params[name] = Param(name, None, parse_term(faults, each, key_span(tree, ("params", name))))
    return params


def _check_kind(faults: DiagnosticCollector, word: str, span: Span) -> None:
    """A default that is one unknown word, and nearly `int`: the other reasons are misleading."""
    if not word.endswith("_channels") and (hint := did_you_mean(word, PARAM_KINDS)):
        faults.report("expression", f"there is no `{word}` here", span, hint)


def class_name(faults: DiagnosticCollector, tree: MapTree) -> str | None:
    """The name of the printed class, where `class:` gives one."""
    name = tree.entries.get("class")
    if not isinstance(name, Scalar):
        return None
    check_name(faults, name.text, name.span, class_name_error)
    return name.text


def module_path(faults: DiagnosticCollector, tree: Tree | None, key: str, repeated: bool) -> str:
    """The module path of a node: `as:`, else its key, with a number for each block of a stage."""
    if not isinstance(tree, Scalar):
        return f"{key}.<index>" if repeated else key
    if tree.text != ".":
        plain = re.sub(r"<[^<>]*>", "a", tree.text)  # `stages.<index>`: the rest can be checked
        parts = ("a" if part in ("*", "0*") else part for part in plain.split("."))
        if reason := node_key_error(".".join(parts)):
            faults.report("wrong-name", f"the path `{tree.text}` {reason}", tree.span)
    return tree.text


def check_name(
    faults: DiagnosticCollector,
    name: str,
    span: Span,
    rule: Callable[[str], str | None] = identifier_error,
) -> None:
    """A name that a rule of `compiler/frontend/identifiers.py` refuses is a fault."""
    if reason := rule(name):
        faults.report("wrong-name", f"`{name}` {reason}", span)


def check_own_names(faults: DiagnosticCollector, tree: MapTree, what: str) -> None:
    """The parameters, slots and `let` of a block: each a name, without another meaning, once."""
    parts = [entries(tree, part) for part in ("params", "slots", "let")]
    for each, span in [*keys(tree, "params"), *keys(tree, "slots"), *keys(tree, "let")]:
        check_name(faults, each, span)
        if each in NODE_KEYS or each.endswith("in_channels"):
            message = f"`{each}` has a meaning of its own in the language"
            faults.report("wrong-name", message, span)
    for each, span in keys(tree, "slots"):
        check_shadow(faults, each, span)
    for each, span in [*keys(tree, "slots"), *keys(tree, "let")]:
        if sum(each in part for part in parts) > 1:
            faults.report("duplicate-key", f"the {what} has two names `{each}`", span)


def check_shadow(faults: DiagnosticCollector, name: str, span: Span) -> None:
    """Names of what can be called are looked up in one order, and none may hide another."""
    if name in OPS or name in AMBIENT or name in PASS_NAMES:
        message = f"`{name}` is the name of an op or an ambient slot"
        faults.report("shadowed-name", message, span)


def declared_arguments(target: Target) -> Sequence[str]:
    """The arguments that an op or a block declares."""
    if isinstance(target, Op):
        return list(OPS[target.name].attributes)
    return list(target.params) if isinstance(target, Block) else []


def offered_arguments(slot: str) -> list[str]:
    """What a call of an ambient slot may offer to whatever the network binds to it."""
    if slot == SHORTCUT.name:
        return ["out", "stride", "dilation", "first_dilation"]
    default = AMBIENT[slot]
    return list(OPS[default].attributes) if default else []


def check_argument(
    faults: DiagnosticCollector, target: Target, name: str, span: Span, implied: str | None
) -> None:
    """A direct call matches exactly; a slot takes what it knows, and one of the block's own all.

    `implied` is the key whose default is called: the person has not named what is called.
    """
    if isinstance(target, Op):
        known, what = declared_arguments(target), f"`{target.name}` has no attribute"
    elif isinstance(target, Block):
        known = [*target.params, *target.slots]
        what = f"{f'`{implied}`' if implied else f'the block `{target.name}`'} has no parameter"
    elif isinstance(target, Slot) and target.name in AMBIENT:
        known, what = offered_arguments(target.name), f"a call of `{target.name}` has no"
        if not known:
            return
    else:
        return
    if name not in known:
        near = known if name in NODE_KEYS else [*known, *NODE_KEYS]
        hint = did_you_mean(name, near) or (f"it has {', '.join(known)}" if known else None)
        faults.report("unknown-argument", f"{what} `{name}`", span, hint)


def keys_of(node: BlockNode) -> list[str]:
    """The names under which a node's values can be read: its own, and those of a block spliced in."""
    if node.path == "." and node.repeat is None and isinstance(node.target, Block):
        return [*keys_in(node.target.nodes), node.key]
    return [node.key]


def keys_in(nodes: Sequence[BlockNode]) -> list[str]:
    """The names under which the values of some nodes can be read."""
    return [key for node in nodes for key in keys_of(node)]


def check_reads(
    faults: DiagnosticCollector, nodes: Sequence[BlockNode], inputs: Sequence[str]
) -> None:
    """What a node reads must be computed, and each value by one node."""
    known = {*inputs, *keys_in(nodes)}
    seen = set(inputs)
    for node in nodes:
        for name in (*node.inputs, node.otherwise):
            if name is not None and name != "none" and name not in known:
                _tell_unknown(faults, node, name, nodes, known)
        for key in keys_of(node):
            if key in seen:
                faults.report("duplicate-key", f"there are two nodes `{key}`", node.span)
            seen.add(key)


def _tell_unknown(
    faults: DiagnosticCollector,
    node: BlockNode,
    name: str,
    nodes: Sequence[BlockNode],
    known: Collection[str],
) -> None:
    """A node reads what nothing computes, or what is inside a stage."""
    span = node.read_spans.get(name, node.span)
    stage = next((n.key for n in nodes if n.repeat and name.startswith(f"{n.key}.")), None)
    if stage:
        message = f"`{name}` is inside the repeated `{stage}`; only its output can be read"
        faults.report("unknown-value", message, span, f"read `{stage}`")
        return
    message = f"`{node.key}` reads `{name}`, which nothing computes"
    faults.report("unknown-value", message, span, did_you_mean(name, known))


def execution_order(faults: DiagnosticCollector, nodes: Sequence[BlockNode]) -> tuple[int, ...]:
    """A stable topological order; a cycle is a fault, told as the path that closes it."""
    producers = {key: index for index, node in enumerate(nodes) for key in keys_of(node)}
    reads = [
        [producers[name] for name in (*node.inputs, node.otherwise) if name in producers]
        for node in nodes
    ]
    order = stable_order(reads)
    if order is None:
        _tell_cycle(faults, [nodes[index] for index in find_cycle(reads)])
        return tuple(range(len(nodes)))
    return tuple(order)


def _tell_cycle(faults: DiagnosticCollector, nodes: Sequence[BlockNode]) -> None:
    """A circle of nodes, each of which reads the one behind it."""
    first = nodes[0]
    after = [*nodes[1:], first]
    spans = [
        next((node.read_spans[key] for key in keys_of(read) if key in node.read_spans), node.span)
        for node, read in zip(nodes, after, strict=True)
    ]
    if len(nodes) == 1:
        faults.report("cycle", f"`{first.key}` reads itself", spans[0])
        return
    path = " -> ".join(node.key for node in [*nodes, first])
    notes = [
        Note(f"`{node.key}` reads `{read.key}`", span)
        for node, read, span in zip(nodes[1:], after[1:], spans[1:], strict=True)
    ]
    message = f"the nodes read each other in a circle: {path}"
    faults.report("cycle", message, spans[0], None, *notes)
