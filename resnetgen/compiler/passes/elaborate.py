"""elaborate(document) -> Network: names resolved, expressions parsed, nothing expanded.

    stages: {layer3: {blocks: 6, width: 256}}  ->  BlockNode("layer3", target=Block("bottleneck"),
                                                   repeat=6, arguments={"width": 256})

Invariant: every name refers to something that exists, and nodes read each other without a cycle.
Non-goals: values, shapes, leaving nodes out; a parameter remains a name.

check_block(document) -> Block: the same for a block that no network calls. Nothing is known of its
arguments and channels then, but the names in its expressions can be checked.

    conv: {op: conv, out: widht, kernel: 3}  ->  there is no `widht` here; did you mean `width`?

The network is put together here. Its blocks are elaborated in `elaborate_blocks.py`, and their
parts parsed and checked in `elaborate_checks.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from resnetgen.compiler.diagnostics.model import Diagnostic, Span, SpecError, did_you_mean, listed
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import (
    ExpressionError,
    Name,
    Value,
    evaluate,
    free_names,
    substitute,
)
from resnetgen.compiler.frontend.identifiers import file_name_error
from resnetgen.compiler.frontend.inheritance import merge_value, stage_call
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.schema import NetworkForm, check_form
from resnetgen.compiler.frontend.suppressions import check_allow
from resnetgen.compiler.frontend.tree import (
    MapTree,
    Scalar,
    Tree,
    entries_at,
    key_span,
    keys,
    scalars,
    text_at,
)
from resnetgen.compiler.frontend.yaml_reader import MAX_ITEMS
from resnetgen.compiler.ir.init_rules import InitCall, InitRule
from resnetgen.compiler.ir.nodes import (
    IDENTITY,
    NONE,
    STAGE_NAMES,
    Binding,
    Block,
    BlockNode,
    Network,
    Op,
    Output,
    Param,
    Slot,
    SourcedExpr,
    Target,
)
from resnetgen.compiler.ir.ops import AMBIENT, OPS
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.elaborate_blocks import BlockElaborator, CallContext
from resnetgen.compiler.passes.elaborate_checks import (
    check_name,
    check_own_names,
    check_shadow,
    params_of,
    parse_terms,
    readable_keys_in,
)
from resnetgen.compiler.passes.init_rules import parse_rule

DEFAULT_HEAD = "default"  # a file of the library, like any other
# Kaiming initialisation of every convolution (arXiv 1502.01852); the rest as torch does.
DEFAULT_INIT = {"convolution": InitRule({"weight": InitCall("kaiming_normal", {})}, None)}

# --- the network


def elaborate(document: Document) -> Network:
    """The symbolic network of a document. Raises SpecError with every error found."""
    if library.is_block(document.tree):
        raise SpecError([_not_a_network(document.tree)])
    if wrong := check_form(document.tree, NetworkForm):
        raise SpecError(wrong)
    elaborator = BlockElaborator(document)
    elaborator.errors.extend(check_allow(document.tree))
    network = _network(elaborator)
    if network is None or elaborator.errors:
        raise SpecError(elaborator.errors)
    return network


def _not_a_network(tree: MapTree) -> Diagnostic:
    name = text_at(tree, "block")
    hint = f"name it in a network, `block: {name}`; a network starts with `network: NAME`"
    return Diagnostic(
        "not-a-network", "this is a block, not a network", tree.key_spans["block"], (), hint
    )


def _network(elaborator: BlockElaborator) -> Network | None:
    tree, errors = elaborator.tree, elaborator.errors
    name = text_at(tree, "network") or ""
    check_name(errors, name, tree.entries["network"].span, file_name_error)
    for each, span in keys(tree, "define"):
        check_name(errors, each, span)
        check_shadow(errors, each, span)
    check_own_names(errors, tree, "network")
    root = _root(elaborator, name)
    outputs = _outputs(elaborator, root)
    train_outputs = _output_list(elaborator, root, "train_outputs")
    ambient = {slot: bound for slot in AMBIENT if (bound := _ambient(elaborator, slot))}
    unused_init: dict[str, Span] = {}
    init = _init(elaborator, root, unused_init)
    digest = library.digest(elaborator.lookup.trees)
    _check_uncalled(elaborator)
    if errors:
        return None
    limit = tree.entries.get("output_stride")
    if isinstance(limit, Scalar) and limit.value is None:  # as if it were not written
        limit = None
    return Network(
        name=name,
        doc=elaborator.document.title,
        is_changed=elaborator.document.title != (text_at(tree, "doc") or ""),
        command=elaborator.document.command,
        paper=text_at(tree, "paper"),
        family=text_at(tree, "family"),
        input=_input(tree),
        input_span=entries_at(tree, "input")["size"].span,
        root=root,
        ambient=ambient,
        outputs=outputs,
        named_outputs=isinstance(tree.entries.get("outputs"), MapTree),
        train_outputs=train_outputs,
        init=init,
        unused_init=unused_init,
        output_stride=_integer(limit) if limit else None,
        output_stride_span=limit.span if limit else None,
        digest=digest,
        span=tree.key_spans["network"],
    )


def _input(tree: MapTree) -> TensorType:
    channels, size = entries_at(tree, "input")["channels"], entries_at(tree, "input")["size"]
    return TensorType(_integer(channels), tuple(_integer(axis) for axis in scalars(size)))


def _integer(tree: Tree) -> int:
    assert isinstance(tree, Scalar)
    assert isinstance(tree.value, int)
    return tree.value


# --- its slots: the ambient ones, stem and head


def _ambient(elaborator: BlockElaborator, slot: str) -> Binding | None:
    """What the network binds to an ambient slot; None if a call of it is an error."""
    default = AMBIENT[slot]
    binding = _slot_value(elaborator, slot, default)
    if binding is None and default:
        return Binding(Op(default), {}, {}, elaborator.tree.key_spans["network"])
    return binding


def _slot_value(elaborator: BlockElaborator, key: str, default: str | None) -> Binding | None:
    tree = elaborator.tree.entries.get(key)
    if tree is None or (isinstance(tree, Scalar) and tree.value is None):
        return None
    context = CallContext(key, elaborator.tree.key_spans[key], default=default)
    return elaborator.parse_call(tree, context)


# --- its body


def _root(elaborator: BlockElaborator, name: str) -> Block:
    """The network's own block: stem, stages, nodes, head."""
    tree = elaborator.tree
    for part in ("stages", "nodes"):
        elaborator.limit_nodes(tree.entries.get(part))
    nodes: list[BlockNode] = []
    nodes += _spliced(elaborator, "stem", _slot_value(elaborator, "stem", None), nodes)
    for key, each in entries_at(tree, "stages").items():
        nodes.append(_stage(elaborator, key, each, nodes))
    for key, each in entries_at(tree, "nodes").items():
        nodes.append(elaborator.node(key, each, key_span(tree, ("nodes", key)), (), nodes))
    let = parse_terms(elaborator.errors, tree, "let")
    params = params_of(elaborator.errors, tree)
    for param, span in keys(tree, "params"):
        if params[param].default is None:
            message = f"the network's parameter `{param}` needs a value"
            elaborator.errors.report("wrong-value", message, span)
    head, classes = _with_classes(_slot_value(elaborator, "head", DEFAULT_HEAD), let)
    nodes += _spliced(elaborator, "head", head, nodes)
    root = elaborator.make_block(name, tree, nodes, params | classes, let, {})
    return replace(root, doc=elaborator.document.title)


def _with_classes(
    head: Binding | None, let: Mapping[str, SourcedExpr]
) -> tuple[Binding | None, dict[str, Param]]:
    """A head's `classes` becomes a parameter of the network, `num_classes`."""
    if head is None or not isinstance(head.target, Block) or "classes" not in head.target.params:
        return head, {}
    given = head.arguments.get("classes", head.target.params["classes"].default)
    span = given.span if given else head.span
    classes = SourcedExpr(Name("num_classes"), span, given.key_span if given else span)
    arguments = {**head.arguments, "classes": classes}
    if given:
        known = {name: term.expr for name, term in let.items()}
        given = SourcedExpr(substitute(given.expr, known), given.span, given.key_span)
    param = Param("num_classes", "int", given)
    return Binding(head.target, arguments, head.slots, head.span), {"num_classes": param}


def _spliced(
    elaborator: BlockElaborator, key: str, binding: Binding | None, before: Sequence[BlockNode]
) -> list[BlockNode]:
    """The stem or the head, whose nodes are the network's own."""
    if binding is None or binding.target in (IDENTITY, NONE):
        return []
    span = elaborator.tree.key_spans[key]
    node = BlockNode(
        key=key,
        target=binding.target,
        inputs=(before[-1].result_key if before else "x",),
        arguments=binding.arguments,
        slots=binding.slots,
        when=None,
        otherwise=None,
        path="." if isinstance(binding.target, Block) else key,
        role=None,
        repeat=None,
        stage=False,
        span=span,
        op_span=binding.span,
        path_span=span,
        inputs_span=span,
    )
    return [node]


def _stage(
    elaborator: BlockElaborator, key: str, tree: Tree, before: Sequence[BlockNode]
) -> BlockNode:
    """A stage: its own arguments over the network's `block:`."""
    span = key_span(elaborator.tree, ("stages", key))
    assert isinstance(tree, MapTree)
    call = stage_call(elaborator.tree, tree)
    if "block" not in elaborator.tree.entries and not tree.entries.keys() & {"op", "nodes"}:
        message = f"`{key}` has no `op`, and the network no `block`"
        elaborator.errors.report("missing-key", message, span)
        call = merge_value(Scalar("identity", "identity", span, False), call)
    return elaborator.node(key, call, span, (), before, stage=True)


# --- its outputs


def _outputs(elaborator: BlockElaborator, root: Block) -> tuple[Output, ...]:
    """What `outputs:` names, otherwise the last node."""
    if "outputs" in elaborator.tree.entries:
        return _output_list(elaborator, root, "outputs")
    if root.nodes:
        last = root.nodes[-1]
        return (Output(last.result_key, last.result_key, last.span),)
    if not elaborator.errors:
        elaborator.errors.report("missing-key", "the network has no nodes", root.span)
    return ()


def _output_list(elaborator: BlockElaborator, root: Block, key: str) -> tuple[Output, ...]:
    tree = elaborator.tree.entries.get(key)
    if isinstance(tree, MapTree):
        pairs = [(name, each) for name, each in tree.entries.items() if isinstance(each, Scalar)]
        for name, _ in pairs:  # it is printed between quotes
            check_name(elaborator.errors, name, tree.key_spans[name], file_name_error)
    else:
        pairs = [(each.text, each) for each in scalars(tree)]
    if len(pairs) > MAX_ITEMS:
        message = f"a network has at most {MAX_ITEMS} outputs"
        elaborator.errors.raise_limit(message, pairs[MAX_ITEMS][1].span)
    known = readable_keys_in(root.nodes)
    for _, each in pairs:
        if each.text not in known:
            message, hint = f"nothing computes `{each.text}`", did_you_mean(each.text, known)
            elaborator.errors.report("unknown-value", message, each.span, hint)
    return tuple(Output(name, each.text, each.span) for name, each in pairs)


# --- its initialisation


def _init(
    elaborator: BlockElaborator, root: Block, unused: dict[str, Span]
) -> Mapping[str, InitRule]:
    """The default rules, and over them those of `init:`, by op or role.

    An inherited rule for a role that no node has goes to `unused`.
    """
    tree, errors = elaborator.tree, elaborator.errors
    rules = dict(DEFAULT_INIT)
    called = (*elaborator.blocks.values(), *elaborator.inlines.values())
    blocks = [root, *filter(None, called)]
    roles = {node.role for block in blocks for node in block.nodes if node.role}
    values = _values_of_names(root, tree)
    for key, each in entries_at(tree, "init").items():
        span = key_span(tree, ("init", key))
        if key not in OPS and key not in roles:
            if span.source is not tree.key_spans["network"].source:
                unused[key] = span
                continue
            message = f"there is no op and no role `{key}` in this network"
            errors.report("unknown-name", message, span, did_you_mean(key, [*OPS, *roles]))
        if key in OPS and not OPS[key].has_weights:
            errors.report("wrong-value", f"`{key}` has no weights", span)
            continue
        assert isinstance(each, MapTree)
        parsed = {name: parse_rule(errors, rule, values) for name, rule in each.entries.items()}
        given = {name: rule for name, rule in parsed.items() if rule}
        default = rules[key].rules if key in rules else {}
        both = {**default, **given}  # the weight first, in whatever order files set them
        rules[key] = InitRule({name: both[name] for name in sorted(both, reverse=True)}, span)
    return rules


def _values_of_names(root: Block, tree: MapTree) -> dict[str, Value]:
    """The parameters and `let` of a network; without those that have an error, reported later."""
    values: dict[str, Value] = {"in_channels": _input(tree).channels}
    defaults = {name: param.default for name, param in root.params.items()}
    for name, term in {**defaults, **root.let}.items():
        with suppress(ExpressionError):
            if term:
                values[name] = evaluate(term.expr, values)
    return values


# --- blocks that no network calls


def check_block(document: Document) -> Block:
    """The symbolic block of a file that declares one. Raises SpecError with every error found."""
    elaborator = BlockElaborator(document)
    name = text_at(document.tree, "block") or ""
    elaborator.in_progress.append(name)
    block = elaborator.elaborate_block(name, document.tree)
    if block:
        check_names(elaborator, block)
    if block is None or elaborator.errors:
        raise SpecError(elaborator.errors)
    return block


def _check_uncalled(elaborator: BlockElaborator) -> None:
    """Checks the blocks of `define` that nothing calls: `instantiate` will not see them."""
    for name in entries_at(elaborator.tree, "define"):
        if name not in elaborator.blocks and (block := elaborator.find(name)):
            check_names(elaborator, block)


def check_names(elaborator: BlockElaborator, block: Block) -> None:
    """Reports each expression that reads a name which no call of the block can provide."""
    for term, known in _terms(block):
        for name in dict.fromkeys(free_names(term.expr)):
            if name not in known:
                hint = did_you_mean(name, known) or f"there are {listed(known)}"
                elaborator.errors.report(
                    "expression", f"there is no `{name}` here", term.span, hint
                )


def _terms(block: Block) -> Iterator[tuple[SourcedExpr, list[str]]]:
    """The expressions of a block, each with the names that it may read."""
    known = ["in_channels", *(f"{each}_channels" for each in block.inputs[1:])]
    for name, param in block.params.items():
        if param.default:
            yield param.default, list(known)
        known.append(name)
    for name, term in block.let.items():
        yield term, list(known)
        known.append(name)
    for binding in block.slots.values():
        yield from _in_scope(_arguments(binding), known)
    yield from _in_scope([block.when] if block.when else [], known)
    for node in block.nodes:
        own = [term for term in (node.when, node.repeat) if term]
        yield from _in_scope(own, known)
        scope = [*known, *STAGE_NAMES] if node.repeat else known
        call = Binding(node.target, node.arguments, node.slots, node.span)
        yield from _in_scope(_arguments(call), scope)


def _in_scope(
    terms: Iterable[SourcedExpr], known: list[str]
) -> Iterator[tuple[SourcedExpr, list[str]]]:
    return ((term, known) for term in terms)


def _arguments(binding: Binding) -> Iterator[SourcedExpr]:
    """The arguments of a call and of its slots, without those that may be a word."""
    for name, term in binding.arguments.items():
        if not (isinstance(term.expr, Name) and _may_be_a_word(binding.target, name)):
            yield term
    for each in binding.slots.values():
        yield from _arguments(each)


def _may_be_a_word(target: Target, name: str) -> bool:
    if isinstance(target, Op):
        attribute = OPS[target.name].attributes.get(name)
        return attribute is not None and attribute.kind == "word"
    return isinstance(target, Slot) and target.name not in AMBIENT
