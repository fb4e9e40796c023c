"""What `elaborate` parses and checks in a block, part by part.

    terms         kernel: [3, width // 2]        ->  Apply("tuple", (Const(3), width // 2))
    declarations  params: {width: int}           ->  Param("width", kind="int", default=None)
    signatures    {op: convolution, kernl: 3}    ->  `convolution` has no attribute `kernl`
    reads         {a: {inputs: b}, b: {inputs: a}}  ->  the nodes read each other in a circle

Every name that may be printed is checked here. Errors go to the collector that is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from resnetgen.compiler.diagnostics.model import DiagnosticCollector, Note, Span, did_you_mean
from resnetgen.compiler.frontend.expressions import Apply, Const, Expr, ExpressionError, parse
from resnetgen.compiler.frontend.identifiers import (
    NO_VALUE,
    class_name_error,
    identifier_error,
    node_key_error,
)
from resnetgen.compiler.frontend.schema import NODE_KEYS
from resnetgen.compiler.frontend.tree import (
    ListTree,
    MapTree,
    Scalar,
    Tree,
    entries_at,
    key_span,
    keys,
    scalars,
)
from resnetgen.compiler.ir.nodes import (
    SHORTCUT,
    STAGE_NAMES,
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

# --- terms: values as expressions, with their positions


def parse_term(errors: DiagnosticCollector, tree: Tree, key_span: Span) -> SourcedExpr:
    """The value of a key as an expression; 0 after an error."""
    return SourcedExpr(_expression(errors, tree), tree.span, key_span)


def parse_optional_term(errors: DiagnosticCollector, tree: MapTree, key: str) -> SourcedExpr | None:
    """The value at a key of a map, if there is one."""
    return (
        parse_term(errors, tree.entries[key], tree.key_spans[key]) if key in tree.entries else None
    )


def parse_terms(errors: DiagnosticCollector, tree: MapTree, key: str) -> dict[str, SourcedExpr]:
    """The values of the map at a key, by their own keys."""
    return {
        name: parse_term(errors, each, key_span(tree, (key, name)))
        for name, each in entries_at(tree, key).items()
    }


def _expression(errors: DiagnosticCollector, tree: Tree) -> Expr:
    if isinstance(tree, ListTree):
        return Apply("tuple", tuple(_expression(errors, item) for item in tree.items))
    if isinstance(tree, MapTree):
        errors.report("wrong-value", "a map cannot be a value here", tree.span)
        return Const(0)
    if isinstance(tree.value, str):
        try:
            return parse(tree.value)
        except ExpressionError as error:
            errors.report("expression", str(error), tree.span)
            return Const(0)
    if tree.value is None:
        errors.report("wrong-value", "a value is missing here", tree.span)
        return Const(0)
    return Const(tree.value)


# --- declarations: parameters, slots, `let`, names and paths

MAX_NAMES = 256  # that a block or a network declares
PARAM_KINDS = ("int", "float", "bool")  # of the parameters that a caller must set
SPECIAL_NAMES = ("identity", "none")  # the targets that are neither ops, blocks nor slots


def params_of(errors: DiagnosticCollector, tree: MapTree) -> dict[str, Param]:
    """The parameters of a block or network."""
    params: dict[str, Param] = {}
    for name, each in entries_at(tree, "params").items():
        word = each.value if isinstance(each, Scalar) and not each.quoted else None
        if isinstance(word, str) and word in PARAM_KINDS:
            params[name] = Param(name, word, None)
            continue
        if isinstance(word, str) and word.isidentifier() and word not in params:
            _check_kind(errors, word, each.span)
        params[name] = Param(name, None, parse_term(errors, each, key_span(tree, ("params", name))))
    return params


def _check_kind(errors: DiagnosticCollector, word: str, span: Span) -> None:
    """A default that is one unknown word and close to `int`: other messages would be misleading."""
    if not word.endswith("_channels") and (hint := did_you_mean(word, PARAM_KINDS)):
        errors.report("expression", f"there is no `{word}` here", span, hint)


def class_name(errors: DiagnosticCollector, tree: MapTree) -> str | None:
    """The name of the printed class, if `class:` sets one."""
    name = tree.entries.get("class")
    if not isinstance(name, Scalar):
        return None
    check_name(errors, name.text, name.span, class_name_error)
    return name.text


def node_path(errors: DiagnosticCollector, tree: Tree | None, key: str, repeated: bool) -> str:
    """The module path of a node: `as:`, or its key, with a number for each block of a stage."""
    if not isinstance(tree, Scalar):
        return f"{key}.<index>" if repeated else key
    if tree.text != ".":
        plain = re.sub(r"<[^<>]*>", "a", tree.text)  # `stages.<index>`: the rest can be checked
        parts = ("a" if part in ("*", "0*") else part for part in plain.split("."))
        if reason := node_key_error(".".join(parts)):
            errors.report("wrong-name", f"the path `{tree.text}` {reason}", tree.span)
    return tree.text


def check_name(
    errors: DiagnosticCollector,
    name: str,
    span: Span,
    rule: Callable[[str], str | None] = identifier_error,
) -> None:
    """Reports a name that a rule of `compiler/frontend/identifiers.py` rejects."""
    if reason := rule(name):
        errors.report("wrong-name", f"`{name}` {reason}", span)


def check_inputs(errors: DiagnosticCollector, tree: MapTree) -> None:
    """Each input of a block has a name of its own."""
    seen: set[str] = set()
    for each in scalars(tree.entries.get("inputs")):
        if each.text == NO_VALUE:
            message = f"`{NO_VALUE}` means that there is no value; call the input something else"
            errors.report("wrong-name", message, each.span)
        elif each.text in seen:
            errors.report("duplicate-key", f"there are two inputs `{each.text}`", each.span)
        seen.add(each.text)


def check_stage_names(
    errors: DiagnosticCollector, tree: MapTree, nodes: Sequence[BlockNode]
) -> None:
    """Where blocks are repeated, `index` and the like say which of them it is."""
    if any(node.repeat is not None or node.stage for node in nodes):
        for each, span in [*keys(tree, "params"), *keys(tree, "let")]:
            if each in STAGE_NAMES:
                message = f"`{each}` has a meaning of its own in a stage"
                errors.report("wrong-name", message, span)


def check_own_names(errors: DiagnosticCollector, tree: MapTree, what: str) -> None:
    """Each parameter, slot and `let` is a valid name, not reserved, and declared once."""
    parts = [entries_at(tree, part) for part in ("params", "slots", "let")]
    if sum(map(len, parts)) > MAX_NAMES:
        *_, (_, last) = [*keys(tree, "params"), *keys(tree, "slots"), *keys(tree, "let")]
        message = f"a {what} has at most {MAX_NAMES} parameters, slots and `let`"
        errors.raise_limit(message, last)
    for each, span in [*keys(tree, "params"), *keys(tree, "slots"), *keys(tree, "let")]:
        check_name(errors, each, span)
        if each in NODE_KEYS or each.endswith("in_channels"):
            message = f"`{each}` has a meaning of its own in the language"
            errors.report("wrong-name", message, span)
    for each, span in keys(tree, "slots"):
        check_shadow(errors, each, span)
    for each, span in [*keys(tree, "slots"), *keys(tree, "let")]:
        if sum(each in part for part in parts) > 1:
            errors.report("duplicate-key", f"the {what} has two names `{each}`", span)


def check_shadow(errors: DiagnosticCollector, name: str, span: Span) -> None:
    """Names of what can be called are looked up in one order, and none may hide another."""
    if name in OPS or name in AMBIENT or name in SPECIAL_NAMES:
        message = f"`{name}` is the name of an op or an ambient slot"
        errors.report("shadowed-name", message, span)


# --- signatures: the arguments of a call


def declared_arguments(target: Target) -> Sequence[str]:
    """The arguments that an op or a block declares."""
    if isinstance(target, Op):
        return list(OPS[target.name].attributes)
    return list(target.params) if isinstance(target, Block) else []


def offered_arguments(slot: str) -> list[str]:
    """The arguments that a call of an ambient slot may offer to what the network binds to it."""
    if slot == SHORTCUT.name:
        return ["out", "stride", "dilation", "first_dilation"]
    default = AMBIENT[slot]
    return list(OPS[default].attributes) if default else []


def check_argument(
    errors: DiagnosticCollector, target: Target, name: str, span: Span, implied: str | None
) -> None:
    """A direct call has only arguments that are declared; one through a block's own slot has any.

    `implied`: the key that implies the target, its default, where the spec does not name the target.
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
        errors.report("unknown-argument", f"{what} `{name}`", span, hint)


# --- reads: what nodes read of one another


def readable_keys(node: BlockNode) -> list[str]:
    """The names by which a node's values can be read: its key, and the keys of a spliced block."""
    if node.spliced:
        return list(dict.fromkeys([*readable_keys_in(node.spliced.nodes), node.key]))
    return [node.key]


def readable_keys_in(nodes: Sequence[BlockNode]) -> list[str]:
    """The names by which the values of some nodes can be read."""
    return [key for node in nodes for key in readable_keys(node)]


def check_reads(
    errors: DiagnosticCollector, nodes: Sequence[BlockNode], inputs: Sequence[str]
) -> None:
    """Every name that a node reads is computed."""
    known = {*inputs, *readable_keys_in(nodes)}
    for node in nodes:
        for name in (*node.inputs, node.otherwise):
            if name is not None and name != NO_VALUE and name not in known:
                _report_unknown_read(errors, node, name, nodes, known)


def check_keys(
    errors: DiagnosticCollector, nodes: Sequence[BlockNode], inputs: Sequence[str]
) -> bool:
    """Whether no two nodes have the same key. A node of a spliced block may have that of the block."""
    owners: dict[str, BlockNode | None] = dict.fromkeys(inputs)
    owners |= {node.key: node for node in nodes if node.spliced}
    unique = True
    for index, own in _placed(nodes):
        key = own.key
        if key not in owners or (owners[key] is nodes[index] and nodes[index] is not own):
            owners[key] = own
            continue
        unique = False
        other = owners[key]
        where = [Note(f"the other `{key}`", other.span)] if other and other.span != own.span else []
        message = f"there are two nodes `{key}`" if other else f"`{key}` is the name of an input"
        path = f"{key}.<index>" if own.repeat else key
        hint = f"give one of them another key; with `as: {path}` its module keeps this name"
        errors.report("duplicate-key", message, own.span, hint, *where)
    return unique


def _placed(nodes: Sequence[BlockNode]) -> Iterator[tuple[int, BlockNode]]:
    """The nodes, those of spliced blocks in place of their callers; each with an index into `nodes`."""
    for index, node in enumerate(nodes):
        if node.spliced:
            yield from ((index, inner) for _, inner in _placed(node.spliced.nodes))
        else:
            yield index, node


def _report_unknown_read(
    errors: DiagnosticCollector,
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
        errors.report("unknown-value", message, span, f"read `{stage}`")
        return
    message = f"`{node.key}` reads `{name}`, which nothing computes"
    errors.report("unknown-value", message, span, did_you_mean(name, known))


def execution_order(errors: DiagnosticCollector, nodes: Sequence[BlockNode]) -> tuple[int, ...]:
    """The indices of the nodes in a stable topological order; reports a cycle."""
    producers = {node.key: index for index, node in enumerate(nodes) if node.spliced}
    producers |= {own.key: index for index, own in _placed(nodes)}
    reads = [
        [producers[name] for name in (*node.inputs, node.otherwise) if name in producers]
        for node in nodes
    ]
    order = stable_order(reads)
    if order is None:
        _report_cycle(errors, [nodes[index] for index in find_cycle(reads)])
        return tuple(range(len(nodes)))
    return tuple(order)


def _report_cycle(errors: DiagnosticCollector, nodes: Sequence[BlockNode]) -> None:
    """`nodes`: each reads the next one, and the last one the first."""
    first = nodes[0]
    read_by = [*nodes[1:], first]
    spans = [
        next((n.read_spans[key] for key in readable_keys(read) if key in n.read_spans), n.span)
        for n, read in zip(nodes, read_by, strict=True)
    ]
    if len(nodes) == 1:
        errors.report("cycle", f"`{first.key}` reads itself", spans[0])
        return
    path = " -> ".join(node.key for node in [*nodes, first])
    notes = [
        Note(f"`{node.key}` reads `{read.key}`", span)
        for node, read, span in zip(nodes[1:], read_by[1:], spans[1:], strict=True)
    ]
    message = f"the nodes read each other in a circle: {path}"
    errors.report("cycle", message, spans[0], None, *notes)
