"""elaborate(document) -> Network: names resolved, expressions parsed, nothing expanded.

    stages: {layer3: {blocks: 6, width: 256}}  ->  BlockNode("layer3", target=Block("bottleneck"),
                                                   repeat=6, arguments={"width": 256})

Blocks stay symbolic: a parameter remains a name. Non-goals: numbers, shapes, leaving out.

check_block(document): a block without a caller, checked as far as it can be without numbers.

    conv: {op: conv, out: widht, kernel: 3}  ->  there is no `widht` here; did you mean `width`?

Its form, what it calls, what its nodes read and the names in its expressions. Non-goals: whatever
depends on arguments and channels; a call finds that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError, did_you_mean, listed
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.expressions import Name, free_names, substitute
from resnetgen.compiler.frontend.identifiers import file_name_error
from resnetgen.compiler.frontend.inheritance import merge_value
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.schema import NetworkForm, check_form
from resnetgen.compiler.frontend.suppressions import check_allow
from resnetgen.compiler.frontend.tree import (
    MapTree,
    Scalar,
    Tree,
    entries,
    key_span,
    keys,
    scalars,
    text_at,
)
from resnetgen.compiler.ir.nodes import (
    IDENTITY,
    NONE,
    STAGE_NAMES,
    Binding,
    Block,
    BlockNode,
    InitRule,
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
    keys_in,
    params_of,
    parse_terms,
)


def check_block(document: Document) -> Block:
    """The symbolic block of a file that declares one. Raises SpecError with every fault found."""
    names = BlockElaborator(document)
    name = text_at(document.tree, "block") or ""
    names.open.append(name)
    block = names.block_of(name, document.tree)
    if block:
        check_names(names, block)
    if block is None or names.faults:
        raise SpecError(names.faults)
    return block


def check_names(names: BlockElaborator, block: Block) -> None:
    """Records a fault for each expression that reads a name which no call of the block can give."""
    for term, known in _terms(block):
        for name in dict.fromkeys(free_names(term.expr)):
            if name not in known:
                hint = did_you_mean(name, known) or f"there are {listed(known)}"
                names.faults.report("expression", f"there is no `{name}` here", term.span, hint)


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
    """The arguments of a call and of what its slots hold; not the words that some attributes take."""
    for name, term in binding.arguments.items():
        if not (isinstance(term.expr, Name) and _may_be_a_word(binding.target, name)):
            yield term
    yield from _nested(binding.slots)


def _nested(slots: Mapping[str, Binding]) -> Iterator[SourcedExpr]:
    for each in slots.values():
        yield from _arguments(each)


def _may_be_a_word(target: Target, name: str) -> bool:
    if isinstance(target, Op):
        attribute = OPS[target.name].attributes.get(name)
        return attribute is not None and attribute.kind == "word"
    return isinstance(target, Slot) and target.name not in AMBIENT


DEFAULT_HEAD = "default"  # a file of the library, like any other
# Kaiming initialisation of every convolution (arXiv 1502.01852); the rest as torch does.
DEFAULT_INIT = {"convolution": InitRule({"weight": ("kaiming_normal", None)}, None)}
INIT_RULES = ("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "default")
INIT_RULES_OF_A_NUMBER = ("normal", "uniform", "trunc_normal", "constant")


def elaborate(document: Document) -> Network:
    """The symbolic network of a document. Raises SpecError with every fault that was found."""
    if library.is_block(document.tree):
        raise SpecError([_is_a_block(document.tree)])
    faults = check_form(document.tree, NetworkForm)
    if faults:
        raise SpecError(faults)
    names = BlockElaborator(document)
    names.faults.extend(check_allow(document.tree))
    network = _network(names)
    if network is None or names.faults:
        raise SpecError(names.faults)
    return network


def _is_a_block(tree: MapTree) -> Diagnostic:
    name = text_at(tree, "block")
    hint = f"name it in a network, `block: {name}`; a network starts with `network: NAME`"
    return Diagnostic(
        "not-a-network", "this is a block, not a network", tree.keys["block"], (), hint
    )


def _network(names: BlockElaborator) -> Network | None:
    tree = names.tree
    name = text_at(tree, "network") or ""
    check_name(names.faults, name, tree.entries["network"].span, file_name_error)
    for each, span in keys(tree, "define"):
        check_name(names.faults, each, span)
        check_shadow(names.faults, each, span)
    check_own_names(names.faults, tree, "network")
    root = _root(names, name)
    outputs = _outputs(names, root)
    train_outputs = _output_list(names, root, "train_outputs")
    ambient = {slot: bound for slot in AMBIENT if (bound := _ambient(names, slot))}
    init = _init(names, root)
    digest = library.digest(names.lookup.trees)
    for each in entries(tree, "define"):
        if each not in names.blocks and (block := names.find(each)):
            check_names(names, block)  # of one that nothing calls, no walk will see the expressions
    if names.faults:
        return None
    limit = tree.entries.get("output_stride")
    return Network(
        name=name,
        doc=text_at(tree, "doc") or "",
        paper=text_at(tree, "paper"),
        family=text_at(tree, "family"),
        input=_input(tree),
        input_span=entries(tree, "input")["size"].span,
        root=root,
        ambient=ambient,
        outputs=outputs,
        named_outputs=isinstance(tree.entries.get("outputs"), MapTree),
        train_outputs=train_outputs,
        init=init,
        output_stride=_integer(limit) if limit else None,
        output_stride_span=limit.span if limit else None,
        digest=digest,
        span=tree.keys["network"],
    )


def _input(tree: MapTree) -> TensorType:
    channels, size = entries(tree, "input")["channels"], entries(tree, "input")["size"]
    return TensorType(_integer(channels), tuple(_integer(axis) for axis in scalars(size)))


def _integer(tree: Tree) -> int:
    assert isinstance(tree, Scalar)
    assert isinstance(tree.value, int)
    return tree.value


def _ambient(names: BlockElaborator, slot: str) -> Binding | None:
    """What the network binds to an ambient slot; None where a call of it is a fault."""
    default = AMBIENT[slot]
    found = _slot_value(names, slot, default)
    if found is None and default:
        return Binding(Op(default), {}, {}, names.tree.keys["network"])
    return found


def _slot_value(names: BlockElaborator, key: str, default: str | None) -> Binding | None:
    tree = names.tree.entries.get(key)
    if tree is None or (isinstance(tree, Scalar) and tree.value is None):
        return None
    return names.binding(tree, CallContext(key, names.tree.keys[key], default=default))


def _root(names: BlockElaborator, name: str) -> Block:
    """The network's own block: stem, stages, nodes, head."""
    tree = names.tree
    for part in ("stages", "nodes"):
        names.limit_nodes(tree.entries.get(part))
    nodes: list[BlockNode] = []
    nodes += _spliced(names, "stem", _slot_value(names, "stem", None), nodes)
    for key, each in entries(tree, "stages").items():
        nodes.append(_stage(names, key, each, nodes))
    for key, each in entries(tree, "nodes").items():
        nodes.append(names.node(key, each, key_span(tree, ("nodes", key)), (), nodes))
    let = parse_terms(names.faults, tree, "let")
    params = params_of(names.faults, tree)
    for param, span in keys(tree, "params"):
        if params[param].default is None:
            names.faults.report(
                "wrong-value", f"the network's parameter `{param}` needs a value", span
            )
    head, classes = _with_classes(_slot_value(names, "head", DEFAULT_HEAD), let)
    nodes += _spliced(names, "head", head, nodes)
    return names.block(name, tree, nodes, params | classes, let, {})


def _with_classes(
    head: Binding | None, let: Mapping[str, SourcedExpr]
) -> tuple[Binding | None, dict[str, Param]]:
    """A head's `classes` is a parameter of the network, `num_classes`."""
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
    names: BlockElaborator, key: str, binding: Binding | None, before: list[BlockNode]
) -> list[BlockNode]:
    """Stem and head stand in the network's own scope."""
    if binding is None or binding.target in (IDENTITY, NONE):
        return []
    previous = before[-1].key if before else "x"
    span = names.tree.keys[key]
    path = "." if isinstance(binding.target, Block) else key
    node = BlockNode(
        key=key,
        target=binding.target,
        inputs=(previous,),
        arguments=binding.arguments,
        slots=binding.slots,
        when=None,
        otherwise=None,
        path=path,
        role=None,
        repeat=None,
        stage=False,
        span=span,
        op_span=binding.span,
        path_span=span,
        inputs_span=span,
    )
    return [node]


def _stage(names: BlockElaborator, key: str, tree: Tree, before: list[BlockNode]) -> BlockNode:
    """A stage: its own arguments over the network's `block:`."""
    span = key_span(names.tree, ("stages", key))
    base = names.tree.entries.get("block")
    assert isinstance(tree, MapTree)
    if "op" not in tree.entries:
        if base is None and "nodes" not in tree.entries:
            names.faults.report(
                "missing-key", f"`{key}` has no `op`, and the network no `block`", span
            )
            base = Scalar("identity", "identity", span, False)
        merged = merge_value(base, tree) if base else tree
        assert isinstance(merged, MapTree)
        tree = MapTree(merged.entries, merged.keys, merged.span)
    return names.node(key, tree, span, (), before, stage=True)


def _outputs(names: BlockElaborator, root: Block) -> tuple[Output, ...]:
    """What the network gives: what `outputs:` says, else its last node."""
    if "outputs" in names.tree.entries:
        return _output_list(names, root, "outputs")
    if root.nodes:
        last = root.nodes[-1]
        return (Output(last.key, last.key, last.span),)
    if not names.faults:
        names.faults.report("missing-key", "the network has no nodes", root.span)
    return ()


def _output_list(names: BlockElaborator, root: Block, key: str) -> tuple[Output, ...]:
    tree = names.tree.entries.get(key)
    if isinstance(tree, MapTree):
        pairs = [(name, each) for name, each in tree.entries.items() if isinstance(each, Scalar)]
        for name, _ in pairs:  # it is printed between quotes
            if reason := file_name_error(name):
                names.faults.report("wrong-name", f"`{name}` {reason}", tree.keys[name])
    else:
        pairs = [(each.text, each) for each in scalars(tree)]
    known = keys_in(root.nodes)
    for _, each in pairs:
        if each.text not in known:
            hint = did_you_mean(each.text, known)
            names.faults.report("unknown-value", f"nothing computes `{each.text}`", each.span, hint)
    return tuple(Output(name, each.text, each.span) for name, each in pairs)


def _init(names: BlockElaborator, root: Block) -> Mapping[str, InitRule]:
    rules = dict(DEFAULT_INIT)
    blocks = [root, *filter(None, names.blocks.values()), *filter(None, names.inlines.values())]
    roles = {node.role for block in blocks for node in block.nodes if node.role}
    for key, tree in entries(names.tree, "init").items():
        span = key_span(names.tree, ("init", key))
        if key not in OPS and key not in roles:
            hint = did_you_mean(key, [*OPS, *roles])
            names.faults.report(
                "unknown-name", f"there is no op and no role `{key}` in this network", span, hint
            )
        assert isinstance(tree, MapTree)
        given = {part: _init_rule(names, rule) for part, rule in tree.entries.items()}
        base = rules[key].rules if key in rules else {}
        rules[key] = InitRule(
            {**base, **{part: rule for part, rule in given.items() if rule}}, span
        )
    return rules


def _init_rule(names: BlockElaborator, tree: Tree) -> tuple[str, float | None] | None:
    if isinstance(tree, Scalar) and isinstance(tree.value, int | float):
        return ("constant", float(tree.value))
    if isinstance(tree, Scalar) and tree.text in INIT_RULES:
        return (tree.text, None)
    if isinstance(tree, MapTree) and len(tree.entries) == 1:
        ((name, number),) = tree.entries.items()
        if (
            name in INIT_RULES_OF_A_NUMBER
            and isinstance(number, Scalar)
            and isinstance(number.value, int | float)
        ):
            return (name, float(number.value))
    if isinstance(tree, MapTree):
        hint = did_you_mean(next(iter(tree.entries), ""), INIT_RULES_OF_A_NUMBER)
    else:
        hint = did_you_mean(tree.text, INIT_RULES) if isinstance(tree, Scalar) else None
    known = ", ".join([*INIT_RULES, *(f"{{{rule}: NUMBER}}" for rule in INIT_RULES_OF_A_NUMBER)])
    message = "this is no rule of initialisation"
    names.faults.report("wrong-value", message, tree.span, hint or f"there are a number, {known}")
    return None
