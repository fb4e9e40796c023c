"""Blocks of a document: names found, parameters, nodes and calls parsed, nothing expanded.

    conv2: {op: conv, out: inner, kernel: 3}  ->  BlockNode("conv2", Slot("conv"), inputs=("act1",),
                                                  arguments={"out": Name("inner"), "kernel": 3})

Faults are collected in `Blocks.faults`; what follows from one stays silent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from resnetgen.graph.ir import (
    IDENTITY,
    NONE,
    Binding,
    Block,
    BlockNode,
    Op,
    Param,
    Slot,
    Target,
    Term,
)
from resnetgen.graph.ops import AMBIENT, OPS
from resnetgen.graph.order import find_cycle, stable_order
from resnetgen.language import library
from resnetgen.language.diagnostics import (
    MOST_FAULTS,
    Diagnostic,
    Note,
    Span,
    SpecError,
    did_you_mean,
)
from resnetgen.language.expressions import Apply, Const, Expr, ExpressionError, parse
from resnetgen.language.library import Document
from resnetgen.language.names import wrong_class, wrong_identifier, wrong_key
from resnetgen.language.reader import ListTree, MapTree, Scalar, Tree
from resnetgen.language.spec import RESERVED, BlockForm, check_form
from resnetgen.language.trees import entries, items, key_of, key_spans, keys, text_of

KINDS = ("int", "float", "bool")  # of the parameters that a caller must give
DEEPEST = 64  # calls inside of what is called, from the network down
MOST_NODES = 4_000  # written in one block


class Blocks:
    """The names of one document: the blocks that it defines or finds, and the faults so far."""

    def __init__(self, document: Document) -> None:
        self.tree = document.tree
        self.folders = document.folders
        self.found: dict[tuple[str, str, int, int], Diagnostic] = {}
        self.blocks: dict[str, Block | None] = {}
        self.trees: dict[str, Tree] = {"network": library.without(document.tree, "family", "allow")}
        self.inlines: dict[int, Block | None] = {}
        self.open: list[str] = []  # names of the blocks being elaborated, to find recursion
        self.depth = 0  # of calls inside of what is called
        self.define = entries(document.tree, "define")

    def fault(
        self, code: str, message: str, span: Span, help: str | None = None, *notes: Note
    ) -> None:
        """Records a fault; the same place and code is the same cause.

        Raises SpecError where there are more than are told.
        """
        place = (code, span.file, span.line, span.column)
        self.found.setdefault(place, Diagnostic(code, message, span, notes, help))
        if len(self.found) > MOST_FAULTS:
            raise SpecError(self.faults)

    def limit(self, message: str, span: Span) -> NoReturn:
        """A limit is exceeded: raises SpecError, for reading on would take long or never end."""
        raise SpecError([*self.faults, Diagnostic("limit", message, span)])

    def limit_nodes(self, written: Tree | None) -> None:
        """Raises SpecError where a block has more nodes than one may write."""
        if isinstance(written, MapTree) and len(written.entries) > MOST_NODES:
            first_beyond = list(written.keys.values())[MOST_NODES]
            self.limit(
                f"{len(written.entries)} nodes; a block has at most {MOST_NODES}", first_beyond
            )

    def add(self, faults: Iterable[Diagnostic]) -> None:
        """Records faults that another pass found."""
        for each in faults:
            assert each.span
            self.fault(each.code, each.message, each.span, each.help, *each.notes)

    @property
    def faults(self) -> list[Diagnostic]:
        """The faults so far."""
        return list(self.found.values())

    # --- blocks

    def find(self, name: str) -> Block | None:
        """The block of a name: `define`, then files. None if there is none, or it is at fault."""
        if name in self.blocks:
            return self.blocks[name]
        tree = next(self.candidates(name), None)
        if not isinstance(tree, MapTree):
            return None
        self.blocks[name] = None
        self.open.append(name)
        named = key_of(self.tree, "define", name) if name in self.define else None
        self.blocks[name] = self.block_of(name, tree, named)
        self.open.pop()
        return self.blocks[name]

    def block_of(self, name: str, written: MapTree, named: Span | None = None) -> Block | None:
        """The block of a tree, with what it extends; None after a fault of its form.

        `named` is where it has its name: a key of `define`, or the node that it is written in.
        """
        self.trees[f"{len(self.trees)} {name}"] = written
        tree = self.extended(written, [written])
        if tree is None:
            return None
        faults = check_form(tree, BlockForm)
        if faults:
            self.add(faults)
            return None
        nodes_tree = tree.entries["nodes"]
        assert isinstance(nodes_tree, MapTree)
        self.limit_nodes(nodes_tree)
        if not nodes_tree.entries:
            hint = "`identity` passes its input on, and `none` leaves out what reads it"
            self.fault("no-value", f"`{name}` has no nodes", nodes_tree.span, hint)
            return None
        inputs = tuple(each.text for each in items(tree.entries.get("inputs"))) or ("x",)
        params = self.params(tree)
        let = self.terms(entries(tree, "let"), key_spans(tree, "let"))
        slots = {
            slot: self.binding(each, (), None, slot, key_of(tree, "slots", slot))
            for slot, each in entries(tree, "slots").items()
        }
        self.check_own_names(tree, "block")
        for each_input in items(tree.entries.get("inputs")):
            self.check_name(each_input.text, each_input.span)
        nodes: list[BlockNode] = []
        for key, node in nodes_tree.entries.items():
            nodes.append(
                self.node(key, node, nodes_tree.keys[key], tuple(slots), nodes, first=inputs[0])
            )
        output = text_of(tree, "output")
        return self.block(
            name, nodes, inputs=inputs, params=params, slots=slots, let=let, tree=tree, named=named,
            output=output if output is not None else "", when=self.optional_term(tree, "when"),
        )  # fmt: skip

    def extended(self, tree: MapTree, chain: list[MapTree]) -> MapTree | None:
        """A block over the block that it extends; None after a fault."""
        base_name = tree.entries.get("extends")
        if not isinstance(base_name, Scalar):
            return tree
        if len(chain) >= library.DEEPEST:
            self.limit(f"a chain of more than {library.DEEPEST} blocks", base_name.span)
        base = self.base(base_name, chain)
        inherited = self.extended(base, [*chain, base]) if base else None
        if base is None or inherited is None:
            return None
        self.trees[f"{len(self.trees)} {base_name.text}"] = base
        dropped = ("class", "doc") if "doc" in tree.entries else ("class",)
        merged = library.merge(library.without(inherited, *dropped), tree)
        return library.without(merged, "extends")

    def base(self, name: Scalar, chain: list[MapTree]) -> MapTree | None:
        """The tree of the block that a block extends: the nearest of that name that is not itself."""
        found = [tree for tree in self.candidates(name.text) if isinstance(tree, MapTree)]
        seen = {str(tree.span) for tree in chain}
        fresh = [tree for tree in found if str(tree.span) not in seen]
        if fresh:
            return fresh[0]
        if found:
            start = next(at for at, tree in enumerate(chain) if tree in found)
            spans = [tree.entries["extends"].span for tree in chain[start:]]
            first = min(spans, key=lambda span: (span.file, span.line))  # one circle, one fault
            self.fault("extends-cycle", f"the block `{name.text}` extends itself", first)
        else:
            hint = did_you_mean(name.text, [*self.define, *library.block_names(self.folders)])
            notes = library.leaving(name.text, self.folders)
            message = f"there is no block `{name.text}`"
            self.fault("unknown-name", message, name.span, hint, *notes)
        return None

    def candidates(self, name: str) -> Iterator[Tree]:
        """The trees of a block's name: of `define`, of the files beside the spec, of the library."""
        if name in self.define:
            yield self.define[name]
        for path in library.find_blocks(name, self.folders):
            yield library.read_shipped(path)

    def params(self, tree: MapTree) -> dict[str, Param]:
        params = {}
        for name, each in entries(tree, "params").items():
            span = key_of(tree, "params", name)
            word = each.value if isinstance(each, Scalar) and not each.quoted else None
            if isinstance(word, str) and word in KINDS:
                params[name] = Param(name, word, None)
                continue
            if isinstance(word, str) and word.isidentifier() and word not in params:
                self.check_kind(word, each.span)
            params[name] = Param(name, None, self.term(each, span))
        return params

    def check_kind(self, word: str, span: Span) -> None:
        """A default that is one unknown word, and nearly `int`: the other reasons are misleading."""
        if not word.endswith("_channels") and (hint := did_you_mean(word, KINDS)):
            self.fault("expression", f"there is no `{word}` here", span, hint)

    def block(
        self,
        name: str,
        nodes: list[BlockNode],
        *,
        inputs: tuple[str, ...],
        params: Mapping[str, Param],
        let: Mapping[str, Term],
        tree: MapTree,
        output: str | None,
        slots: Mapping[str, Binding] | None = None,
        when: Term | None = None,
        named: Span | None = None,
    ) -> Block:
        """The block of its parts, once its names are known to be sound."""
        known = {*inputs, *(key for node in nodes for key in keys_of(node))}
        keys_seen: dict[str, BlockNode] = {}
        for node in nodes:
            self.check_reads(node, nodes, known)
            for key in keys_of(node):
                if key in keys_seen or key in inputs:
                    self.fault("duplicate-key", f"there are two nodes `{key}`", node.span)
                keys_seen[key] = node
        if output == "":
            output = nodes[-1].key if nodes else inputs[0]
        elif output is not None and output not in known:
            span = tree.entries["output"].span
            self.fault(
                "unknown-value", f"nothing computes `{output}`", span, did_you_mean(output, known)
            )
        return Block(
            name=name,
            class_name=self.class_name(tree),
            doc=text_of(tree, "doc") or "",
            inputs=inputs,
            params=params,
            slots=slots or {},
            let=let,
            when=when,
            nodes=tuple(nodes),
            output=output,
            schedule=self.schedule(nodes),
            span=named or tree.keys.get("block") or tree.keys.get("network") or tree.span,
        )

    def class_name(self, tree: MapTree) -> str | None:
        name = tree.entries.get("class")
        if not isinstance(name, Scalar):
            return None
        self.check(wrong_class(name.text), name.text, tree, "class")
        return name.text

    def schedule(self, nodes: list[BlockNode]) -> tuple[int, ...]:
        """A stable topological order; a cycle is a fault, told as the path that closes it."""
        producers = {key: index for index, node in enumerate(nodes) for key in keys_of(node)}
        reads = [
            [producers[name] for name in (*node.inputs, node.otherwise) if name in producers]
            for node in nodes
        ]
        order = stable_order(reads)
        if order is None:
            self.cycle([nodes[index] for index in find_cycle(reads)])
            return tuple(range(len(nodes)))
        return tuple(order)

    def cycle(self, nodes: list[BlockNode]) -> None:
        """Tells a circle of nodes, each of which reads the one behind it."""
        first = nodes[0]
        after = [*nodes[1:], first]
        spans = [
            next(
                (node.read_spans[key] for key in keys_of(read) if key in node.read_spans), node.span
            )
            for node, read in zip(nodes, after, strict=True)
        ]
        if len(nodes) == 1:
            self.fault("cycle", f"`{first.key}` reads itself", spans[0])
            return
        path = " -> ".join(node.key for node in [*nodes, first])
        notes = [
            Note(f"`{node.key}` reads `{read.key}`", span)
            for node, read, span in zip(nodes[1:], after[1:], spans[1:], strict=True)
        ]
        message = f"the nodes read each other in a circle: {path}"
        self.fault("cycle", message, spans[0], None, *notes)

    def check_reads(self, node: BlockNode, nodes: Sequence[BlockNode], known: set[str]) -> None:
        """What a node reads must be computed."""
        for name in (*node.inputs, node.otherwise):
            if name is None or name == "none" or name in known:
                continue
            span = node.read_spans.get(name, node.span)
            stage = next((n.key for n in nodes if n.repeat and name.startswith(f"{n.key}.")), None)
            if stage:
                message = f"`{name}` is inside the repeated `{stage}`; only its output can be read"
                self.fault("unknown-value", message, span, f"read `{stage}`")
                continue
            message = f"`{node.key}` reads `{name}`, which nothing computes"
            self.fault("unknown-value", message, span, did_you_mean(name, known))

    # --- nodes

    def node(
        self,
        key: str,
        tree: Tree,
        span: Span,
        slots: tuple[str, ...],
        before: list[BlockNode],
        *,
        stage: bool = False,
        first: str = "x",
    ) -> BlockNode:
        """One node of a block; `before` gives what it reads unless it says otherwise."""
        assert isinstance(tree, MapTree)
        self.check_name(key, span, wrong_key)
        binding = self.binding(tree, slots, None, key, span, node=True)
        inputs_tree = tree.entries.get("inputs")
        inputs = tuple(each.text for each in items(inputs_tree)) or (
            before[-1].key if before else first,
        )
        otherwise = tree.entries.get("else")
        path = tree.entries.get("as")
        repeat = self.optional_term(tree, "blocks")
        read_spans = {each.text: each.span for each in [*items(inputs_tree), *items(otherwise)]}
        if "after" in tree.entries:
            message = f"`after` has no effect on `{key}`: nothing is extended here"
            hint = "write the node where it belongs; `after` is for nodes added under `extends`"
            self.fault("no-effect", message, tree.keys["after"], hint)
        node = BlockNode(
            key=key,
            target=binding.target,
            inputs=inputs,
            arguments=binding.arguments,
            slots=binding.slots,
            when=self.optional_term(tree, "when"),
            otherwise=otherwise.text if isinstance(otherwise, Scalar) else None,
            path=self.path(path, key, repeat is not None),
            role=text_of(tree, "role"),
            repeat=repeat,
            stage=stage,
            span=span,
            op_span=binding.span,
            path_span=path.span if path else span,
            inputs_span=inputs_tree.span if inputs_tree else span,
            read_spans=read_spans,
        )
        return node

    def path(self, tree: Tree | None, key: str, repeated: bool) -> str:
        if not isinstance(tree, Scalar):
            return f"{key}.<index>" if repeated else key
        text = tree.text
        plain = _without_expressions(text)
        if text != ".":
            parts = ("a" if part in ("*", "0*") else part for part in plain.split("."))
            reason = wrong_key(".".join(parts))
            if reason:
                self.fault("wrong-name", f"the path `{text}` {reason}", tree.span)
        return text

    def binding(
        self,
        tree: Tree,
        slots: tuple[str, ...],
        default: str | None,
        key: str,
        key_span: Span,
        *,
        node: bool = False,
    ) -> Binding:
        """A slot's value, or the call of a node: a target with arguments."""
        if self.depth >= DEEPEST:
            self.limit(f"what blocks call nests at most {DEEPEST} deep", key_span)
        self.depth += 1
        found = self.bound(tree, slots, default, key, key_span, node)
        self.depth -= 1
        return found

    def bound(
        self,
        tree: Tree,
        slots: tuple[str, ...],
        default: str | None,
        key: str,
        key_span: Span,
        node: bool,
    ) -> Binding:
        if isinstance(tree, Scalar):
            return Binding(self.target(tree.text, slots, tree.span), {}, {}, tree.span)
        if isinstance(tree, ListTree):
            message = f"`{key}` must be a name or a map, not a list"
            self.fault("wrong-value", message, tree.span)
            return Binding(NONE, {}, {}, tree.span)
        op = tree.entries.get("op")
        if "nodes" in tree.entries:
            target: Target = self.inline(key, tree, key_span, node) or NONE
            span = key_span
        elif isinstance(op, Scalar):
            target, span = self.target(op.text, slots, op.span), op.span
        elif default:
            target, span = self.target(default, slots, key_span), key_span
        else:
            self.fault(
                "missing-key",
                f"`{key}` needs an `op`: the op, block or slot that it calls",
                key_span,
            )
            target, span = NONE, key_span
        reserved = RESERVED if node else ("op",)
        implied = None if isinstance(op, Scalar) else key
        given = {
            k: (v, tree.keys[k])
            for k, v in tree.entries.items()
            if k not in reserved and not (k in _INLINE_KEYS and "nodes" in tree.entries)
        }
        return self.call(target, given, slots, span, implied)

    def inline(self, key: str, tree: MapTree, span: Span, node: bool) -> Block | None:
        """A block written in place: one block for one place, however often it is called.

        `inputs` of a node say what it reads; several keep their names inside, one is `x`.
        """
        place = id(tree.entries["nodes"])
        if place not in self.inlines:
            written = {name: each for name, each in tree.entries.items() if name in _INLINE_KEYS}
            reads = items(tree.entries.get("inputs"))
            if node:
                written.pop("inputs", None)
            if node and len(reads) > 1:
                inner = (replace(each, text=each.text.replace(".", "_")) for each in reads)
                written["inputs"] = ListTree(tuple(inner), span)
            self.inlines[place] = self.block_of(key, MapTree(written, tree.keys, span), span)
        return self.inlines[place]

    def call(
        self,
        target: Target,
        given: Mapping[str, tuple[Tree, Span]],
        slots: tuple[str, ...],
        span: Span,
        implied: str | None,
    ) -> Binding:
        """The arguments of a call, apart from those that are slots of what is called.

        `implied` is the key whose default is called: the person has not named what is called.
        """
        arguments: dict[str, Term] = {}
        bindings: dict[str, Binding] = {}
        for name, (tree, key_span) in given.items():
            if isinstance(target, Block) and name in target.slots:
                bindings[name] = self.binding(
                    tree, slots, _default_op(target.slots[name]), name, key_span
                )
                continue
            self.check_argument(target, name, key_span, implied)
            arguments[name] = self.term(tree, key_span)
        return Binding(target, arguments, bindings, span)

    def check_argument(self, target: Target, name: str, span: Span, implied: str | None) -> None:
        """A direct call matches exactly; a slot takes what it knows."""
        if isinstance(target, Op):
            known, what = list(OPS[target.name].attributes), f"`{target.name}` has no attribute"
        elif isinstance(target, Block):
            known = [*target.params, *target.slots]
            what = f"{f'`{implied}`' if implied else f'the block `{target.name}`'} has no parameter"
        elif (
            isinstance(target, Slot)
            and target.name in AMBIENT
            and (interface := offers(target.name))
        ):
            known, what = interface, f"a call of `{target.name}` has no"
            if target.name in self.tree.entries:
                return
        else:
            return
        if name not in known:
            near = known if name in RESERVED else [*known, *RESERVED]
            hint = did_you_mean(name, near) or (f"it has {', '.join(known)}" if known else None)
            self.fault("unknown-argument", f"{what} `{name}`", span, hint)

    def target(self, name: str, slots: tuple[str, ...], span: Span) -> Target:
        """Slot, ambient slot, op, `define`, library: the first that has the name."""
        if name == "identity":
            return IDENTITY
        if name == "none":
            return NONE
        if name in slots or name in AMBIENT:
            return Slot(name)
        if name in OPS:
            return Op(name)
        if name in self.open:
            path = " -> ".join([*self.open[self.open.index(name) :], name])
            self.fault("recursive-block", f"the block `{name}` contains itself: {path}", span)
            return NONE
        known_fault = (
            name in self.blocks or name in self.define or library.find_block(name, self.folders)
        )
        block = self.find(name)
        if block is None and not known_fault:
            known = [
                *slots,
                *AMBIENT,
                *OPS,
                *PASSING,
                *self.define,
                *library.block_names(self.folders),
            ]
            hint = (
                did_you_mean(name, known)
                or "`resnetgen list blocks` and `resnetgen list ops` show what there is"
            )
            notes = library.leaving(name, self.folders)
            message = f"there is no op, block or slot `{name}`"
            self.fault("unknown-name", message, span, hint, *notes)
        return block or NONE

    # --- terms and names

    def optional_term(self, tree: MapTree, key: str) -> Term | None:
        return self.term(tree.entries[key], tree.keys[key]) if key in tree.entries else None

    def terms(self, entries: Mapping[str, Tree], keys: Mapping[str, Span]) -> dict[str, Term]:
        return {name: self.term(tree, keys[name]) for name, tree in entries.items()}

    def term(self, tree: Tree, key_span: Span) -> Term:
        return Term(self.expression(tree), tree.span, key_span)

    def expression(self, tree: Tree) -> Expr:
        if isinstance(tree, ListTree):
            return Apply("tuple", tuple(self.expression(item) for item in tree.items))
        if isinstance(tree, MapTree):
            self.fault("wrong-value", "a map cannot be a value here", tree.span)
            return Const(0)
        if isinstance(tree.value, str):
            try:
                return parse(tree.value)
            except ExpressionError as error:
                self.fault("expression", str(error), tree.span)
                return Const(0)
        if tree.value is None:
            self.fault("wrong-value", "a value is missing here", tree.span)
            return Const(0)
        return Const(tree.value)

    def check_name(self, name: str, span: Span, rule: object = wrong_identifier) -> None:
        reason = rule(name)  # type: ignore[operator]
        if reason:
            self.fault("wrong-name", f"`{name}` {reason}", span)

    def check_own_names(self, tree: MapTree, what: str) -> None:
        """The parameters, slots and `let` of a block: each a name, without another meaning, once."""
        parts = [entries(tree, part) for part in ("params", "slots", "let")]
        for each, span in [*keys(tree, "params"), *keys(tree, "slots"), *keys(tree, "let")]:
            self.check_name(each, span)
            if each in RESERVED or each.endswith("in_channels"):
                self.fault("wrong-name", f"`{each}` has a meaning of its own in the language", span)
        for each, span in keys(tree, "slots"):
            self.check_shadow(each, span)
        for each, span in [*keys(tree, "slots"), *keys(tree, "let")]:
            if sum(each in part for part in parts) > 1:
                self.fault("duplicate-key", f"the {what} has two names `{each}`", span)

    def check_shadow(self, name: str, span: Span) -> None:
        """Names of what can be called are looked up in one order, and none may hide another."""
        if name in OPS or name in AMBIENT or name in PASSING:
            self.fault("shadowed-name", f"`{name}` is the name of an op or an ambient slot", span)

    def check(self, reason: str | None, name: str, tree: MapTree, key: str) -> None:
        if reason:
            self.fault("wrong-name", f"`{name}` {reason}", tree.entries[key].span)


PASSING = ("identity", "none")  # what can be called and does nothing
_INLINE_KEYS = ("nodes", "params", "slots", "let", "inputs", "output", "doc", "class", "extends")


def offers(slot: str) -> list[str]:
    """What a call of an ambient slot may offer to whatever the network binds to it."""
    if slot == "shortcut":
        return ["out", "stride", "dilation", "first_dilation"]
    default = AMBIENT[slot]
    return list(OPS[default].attributes) if default else []


def _default_op(binding: Binding) -> str | None:
    """What a map without `op` refines; a default with arguments must be named anew."""
    if binding.arguments or not isinstance(binding.target, Op | Block | Slot):
        return None
    return binding.target.name


def keys_of(node: BlockNode) -> list[str]:
    """The names under which a node's values can be read: its own, and those of a block spliced in."""
    if node.path == "." and node.repeat is None and isinstance(node.target, Block):
        inner = [key for each in node.target.nodes for key in keys_of(each)]
        return [*inner, node.key]
    return [node.key]


def names_in(block: Block) -> set[str]:
    return {key for node in block.nodes for key in keys_of(node)}


def _without_expressions(path: str) -> str:
    """`stages.<index>` with every `<EXPR>` as a letter, so that the rest can be checked."""
    return re.sub(r"<[^<>]*>", "a", path)
