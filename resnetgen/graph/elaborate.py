"""elaborate(document) -> Network: names resolved, expressions parsed, nothing expanded.

    stages: {layer3: {blocks: 6, width: 256}}  ->  BlockNode("layer3", target=Block("bottleneck"),
                                                   repeat=6, arguments={"width": 256})

Blocks stay symbolic: a parameter remains a name. Non-goals: numbers, shapes, leaving out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from resnetgen.graph.blocks import (
    Blocks,
    entries,
    items,
    key_of,
    key_spans,
    keys,
    names_in,
    text_of,
)
from resnetgen.graph.ir import (
    IDENTITY,
    NONE,
    Binding,
    Block,
    BlockNode,
    InitRule,
    Network,
    Op,
    Param,
    Target,
    Term,
)
from resnetgen.graph.ops import AMBIENT, OPS, TensorType
from resnetgen.language import library
from resnetgen.language.diagnostics import Span, SpecError, did_you_mean
from resnetgen.language.expressions import Name
from resnetgen.language.library import Document
from resnetgen.language.names import wrong_file_name
from resnetgen.language.reader import MapTree, Scalar, Tree
from resnetgen.language.spec import NetworkForm, check_form

DEFAULT_HEAD = "classifier"
# Kaiming initialisation of every convolution (arXiv 1502.01852); the rest as torch does.
DEFAULT_INIT = {"convolution": InitRule({"weight": ("kaiming_normal", None)}, None)}
INIT_RULES = ("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "default")
INIT_RULES_OF_A_NUMBER = ("normal", "uniform", "trunc_normal", "constant")
_EMPTY: Mapping[str, Tree] = {}


def elaborate(document: Document) -> Network:
    """The symbolic network of a document. Raises SpecError with every fault that was found."""
    faults = check_form(document.tree, NetworkForm)
    if faults:
        raise SpecError(faults)
    names = Blocks(document)
    network = _network(names)
    if network is None or names.faults:
        raise SpecError(names.faults)
    return network


def _network(names: Blocks) -> Network | None:
    tree = names.tree
    name = text_of(tree, "network") or ""
    names.check(wrong_file_name(name), name, tree, "network")
    for each, span in keys(tree, "define"):
        names.check_name(each, span)
        names.check_shadow(each, span)
    ambient = {slot: _ambient(names, slot) for slot in AMBIENT}
    head = _slot_value(names, "head", DEFAULT_HEAD)
    root, head = _root(names, name, head)
    outputs, named = _outputs(names, root)
    if names.faults:
        return None
    return Network(
        name=name,
        doc=text_of(tree, "doc") or "",
        paper=text_of(tree, "paper"),
        input=_input(tree),
        root=root,
        ambient=ambient,
        outputs=outputs,
        named_outputs=named,
        train_outputs=_output_list(names, root, tree.entries.get("train_outputs"))[0],
        init=_init(names),
        output_stride=int(limit) if (limit := text_of(tree, "output_stride")) else None,
        digest=library.digest(names.trees),
        span=tree.keys.get("network", tree.span),
    )


def _input(tree: MapTree) -> TensorType:
    channels, size = entries(tree, "input")["channels"], entries(tree, "input")["size"]
    axes = tuple(int(axis.text) for axis in items(size))
    return TensorType(int(items(channels)[0].text), axes)


def _ambient(names: Blocks, slot: str) -> Binding:
    default = AMBIENT[slot]
    found = _slot_value(names, slot, default)
    if found is not None:
        return found
    target: Target = Op(default) if default else NONE
    return Binding(target, {}, {}, names.tree.span)


def _slot_value(names: Blocks, key: str, default: str | None) -> Binding | None:
    tree = names.tree.entries.get(key)
    if tree is None or (isinstance(tree, Scalar) and tree.value is None):
        return None
    return names.binding(tree, (), default, key, names.tree.keys[key])


def _root(names: Blocks, name: str, head: Binding | None) -> tuple[Block, Binding | None]:
    """The network's own block: stem, stages, nodes, head."""
    nodes: list[BlockNode] = []
    stem = _slot_value(names, "stem", None)
    nodes += _spliced(names, "stem", stem, nodes)
    for key, tree in entries(names.tree, "stages").items():
        nodes.append(_stage(names, key, tree, nodes))
    for key, tree in entries(names.tree, "nodes").items():
        nodes.append(names.node(key, tree, key_of(names.tree, "nodes", key), (), nodes))
    params = {}
    if head and isinstance(head.target, Block) and "classes" in head.target.params:
        default = head.arguments.get("classes", head.target.params["classes"].default)
        span = default.span if default else head.span
        params["num_classes"] = Param("num_classes", "int", default)
        classes = {"classes": Term(Name("num_classes"), span, span)}
        head = Binding(head.target, {**head.arguments, **classes}, head.slots, head.span)
    nodes += _spliced(names, "head", head, nodes)
    let = names.terms(entries(names.tree, "let"), key_spans(names.tree, "let"))
    several = "outputs" in names.tree.entries
    block = names.block(
        name,
        nodes,
        inputs=("x",),
        params=params,
        let=let,
        output=None if several else "",
        tree=names.tree,
    )
    return block, head


def _spliced(
    names: Blocks, key: str, binding: Binding | None, before: list[BlockNode]
) -> list[BlockNode]:
    """Stem and head stand in the network's own scope."""
    if binding is None or binding.target in (IDENTITY, NONE):
        return []
    previous = before[-1].key if before else "x"
    if isinstance(binding.target, Block) and not binding.target.nodes:
        return []
    span = names.tree.keys[key]
    path = "." if isinstance(binding.target, Block) else key
    node = BlockNode(
        key, binding.target, (previous,), binding.arguments, binding.slots,
        None, None, path, None, None, False, span, binding.span,
    )  # fmt: skip
    return [node]


def _stage(names: Blocks, key: str, tree: Tree, before: list[BlockNode]) -> BlockNode:
    """A stage: its own arguments over the network's `block:`."""
    span = key_of(names.tree, "stages", key)
    base = names.tree.entries.get("block")
    assert isinstance(tree, MapTree)
    if "op" not in tree.entries:
        if base is None:
            names.fault("missing-key", f"`{key}` has no `op`, and the network no `block`", span)
            base = Scalar("identity", "identity", span, False)
        merged = library.merge_value(base, tree)
        assert isinstance(merged, MapTree)
        tree = MapTree(merged.entries, merged.keys, merged.span)
    return names.node(key, tree, span, (), before, stage=True)


def _outputs(names: Blocks, root: Block) -> tuple[tuple[tuple[str | None, str, Span], ...], bool]:
    tree = names.tree.entries.get("outputs")
    if tree is None:
        if not root.nodes:
            names.fault("missing-key", "the network has no nodes", root.span)
            return (), False
        return ((None, root.nodes[-1].key, root.nodes[-1].span),), False
    return _output_list(names, root, tree)


def _output_list(
    names: Blocks, root: Block, tree: Tree | None
) -> tuple[tuple[tuple[str | None, str, Span], ...], bool]:
    if tree is None:
        return (), False
    named = isinstance(tree, MapTree)
    pairs = (
        list(tree.entries.items())
        if isinstance(tree, MapTree)
        else [(None, t) for t in items(tree)]
    )
    known = names_in(root)
    found: list[tuple[str | None, str, Span]] = []
    for name, each in pairs:
        if not isinstance(each, Scalar):
            continue
        if each.text not in known:
            hint = did_you_mean(each.text, known)
            names.fault("unknown-value", f"nothing computes `{each.text}`", each.span, hint)
        found.append((name, each.text, each.span))
    return tuple(found), named


def _init(names: Blocks) -> Mapping[str, InitRule]:
    rules = dict(DEFAULT_INIT)
    roles = {node.role for block in _all_blocks(names) for node in block.nodes if node.role}
    for key, tree in entries(names.tree, "init").items():
        span = key_of(names.tree, "init", key)
        if key not in OPS and key not in roles:
            hint = did_you_mean(key, [*OPS, *roles])
            names.fault(
                "unknown-name", f"there is no op and no role `{key}` in this network", span, hint
            )
        assert isinstance(tree, MapTree)
        given = {part: _init_rule(names, rule) for part, rule in tree.entries.items()}
        base = rules[key].rules if key in rules else {}
        rules[key] = InitRule(
            {**base, **{part: rule for part, rule in given.items() if rule}}, span
        )
    return rules


def _init_rule(names: Blocks, tree: Tree) -> tuple[str, float | None] | None:
    if isinstance(tree, Scalar) and isinstance(tree.value, int | float):
        return ("constant", float(tree.value))
    if isinstance(tree, Scalar) and tree.text in INIT_RULES:
        return (tree.text, None)
    if isinstance(tree, MapTree) and len(tree.entries) == 1:
        ((name, number),) = tree.entries.items()
        if name in INIT_RULES_OF_A_NUMBER and isinstance(number, Scalar):
            return (name, float(number.text))
    known = ", ".join([*INIT_RULES, *(f"{{{rule}: NUMBER}}" for rule in INIT_RULES_OF_A_NUMBER)])
    names.fault(
        "wrong-value",
        "this is no rule of initialisation",
        tree.span,
        f"there are a number, {known}",
    )
    return None


def _all_blocks(names: Blocks) -> Iterable[Block]:
    return [block for block in names.blocks.values() if block]
