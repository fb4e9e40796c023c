"""Blocks of a document: names found, parameters, nodes and calls parsed, nothing expanded.

    conv2: {op: conv, out: inner, kernel: 3}  ->  BlockNode("conv2", Slot("conv"), inputs=("act1",),
                                                  arguments={"out": Name("inner"), "kernel": 3})

Faults are collected in `Blocks.faults`; what follows from one stays silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from resnetgen.graph.declarations import (
    PASSING,
    check_name,
    check_own_names,
    class_name,
    module_path,
    params_of,
)
from resnetgen.graph.faults import Faults
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
from resnetgen.graph.lookup import Lookup
from resnetgen.graph.ops import AMBIENT, OPS
from resnetgen.graph.reads import check_reads, keys_in, schedule
from resnetgen.graph.signatures import check_argument
from resnetgen.graph.terms import optional_term, term, terms
from resnetgen.language import library
from resnetgen.language.diagnostics import MOST_FAULTS, Span, did_you_mean
from resnetgen.language.library import Document
from resnetgen.language.names import wrong_key
from resnetgen.language.reader import ListTree, MapTree, Scalar, Tree
from resnetgen.language.spec import RESERVED, BlockForm, check_form
from resnetgen.language.trees import entries, items, key_of, text_of

DEEPEST = 64  # calls inside of what is called, from the network down
MOST_NODES = 4_000  # written in one block
_INLINE_KEYS = ("nodes", "params", "slots", "let", "inputs", "output", "doc", "class", "extends")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call is written: its key, and the slots of the block around it."""

    key: str
    span: Span
    slots: tuple[str, ...] = ()
    default: str | None = None  # what a map without `op` refines
    is_node: bool = False  # else the value of a slot


class Blocks:
    """The blocks of one document by name, those that it defines and those that it finds."""

    def __init__(self, document: Document) -> None:
        self.tree = document.tree
        self.faults = Faults(most=MOST_FAULTS)
        self.lookup = Lookup(document, self.faults)
        self.blocks: dict[str, Block | None] = {}
        self.inlines: dict[int, Block | None] = {}
        self.open: list[str] = []  # names of the blocks being elaborated, to find recursion
        self.depth = 0  # of calls inside of what is called

    # --- blocks

    def find(self, name: str) -> Block | None:
        """The block of a name: `define`, then files. None if there is none, or it is at fault."""
        if name in self.blocks:
            return self.blocks[name]
        tree = next(self.lookup.candidates(name), None)
        if not isinstance(tree, MapTree):
            return None
        self.blocks[name] = None
        self.open.append(name)
        named = key_of(self.tree, "define", name) if name in self.lookup.define else None
        self.blocks[name] = self.block_of(name, tree, named)
        self.open.pop()
        return self.blocks[name]

    def block_of(self, name: str, written: MapTree, named: Span | None = None) -> Block | None:
        """The block of a tree, with what it extends; None after a fault of its form.

        `named` is where it has its name: a key of `define`, or the node that it is written in.
        """
        tree = self.whole(name, written)
        if tree is None:
            return None
        params = params_of(self.faults, tree)
        let = terms(self.faults, tree, "let")
        slots = {
            slot: self.binding(each, Place(slot, key_of(tree, "slots", slot)))
            for slot, each in entries(tree, "slots").items()
        }
        check_own_names(self.faults, tree, "block")
        inputs = items(tree.entries.get("inputs"))
        for each in inputs:
            check_name(self.faults, each.text, each.span)
        first = inputs[0].text if inputs else "x"
        nodes: list[BlockNode] = []
        for key, node in entries(tree, "nodes").items():
            span = key_of(tree, "nodes", key)
            nodes.append(self.node(key, node, span, tuple(slots), nodes, first=first))
        return self.block(name, tree, nodes, params, let, slots, named)

    def whole(self, name: str, written: MapTree) -> MapTree | None:
        """The tree of a block over what it extends; None after a fault of its form."""
        self.lookup.read(name, written)
        tree = self.lookup.extended(written, [written])
        if tree is None:
            return None
        faults = check_form(tree, BlockForm)
        if faults:
            self.faults.extend(faults)
            return None
        nodes = tree.entries["nodes"]
        self.limit_nodes(nodes)
        if not entries(tree, "nodes"):
            hint = "`identity` passes its input on, and `none` leaves out what reads it"
            self.faults.record("no-value", f"`{name}` has no nodes", nodes.span, hint)
            return None
        return tree

    def limit_nodes(self, written: Tree | None) -> None:
        """Raises SpecError where a block has more nodes than one may write."""
        if isinstance(written, MapTree) and len(written.entries) > MOST_NODES:
            first_beyond = list(written.keys.values())[MOST_NODES]
            message = f"{len(written.entries)} nodes; a block has at most {MOST_NODES}"
            self.faults.limit(message, first_beyond)

    def block(
        self,
        name: str,
        tree: MapTree,
        nodes: Sequence[BlockNode],
        params: Mapping[str, Param],
        let: Mapping[str, Term],
        slots: Mapping[str, Binding],
        named: Span | None = None,
    ) -> Block:
        """The block, or the network's own, of its parts: what its nodes read is checked."""
        when = optional_term(self.faults, tree, "when")
        inputs = tuple(each.text for each in items(tree.entries.get("inputs"))) or ("x",)
        check_reads(self.faults, nodes, inputs)
        return Block(
            name=name,
            class_name=class_name(self.faults, tree),
            doc=text_of(tree, "doc") or "",
            inputs=inputs,
            params=params,
            slots=slots,
            let=let,
            when=when,
            nodes=tuple(nodes),
            output=self.output(tree, nodes, inputs),
            schedule=schedule(self.faults, nodes),
            span=named or tree.keys.get("block") or tree.keys.get("network") or tree.span,
        )

    def output(
        self, tree: MapTree, nodes: Sequence[BlockNode], inputs: Sequence[str]
    ) -> str | None:
        """The node that is the result of a block, the last by default; None where there are several."""
        if "outputs" in tree.entries:
            return None
        output = text_of(tree, "output")
        if not output:
            return nodes[-1].key if nodes else inputs[0]
        known = {*inputs, *keys_in(nodes)}
        if output not in known:
            hint = did_you_mean(output, known)
            span = tree.entries["output"].span
            self.faults.record("unknown-value", f"nothing computes `{output}`", span, hint)
        return output

    # --- nodes

    def node(
        self,
        key: str,
        tree: Tree,
        span: Span,
        slots: tuple[str, ...],
        before: Sequence[BlockNode],
        *,
        stage: bool = False,
        first: str = "x",
    ) -> BlockNode:
        """One node of a block; `before` gives what it reads unless it says otherwise."""
        assert isinstance(tree, MapTree)
        check_name(self.faults, key, span, wrong_key)
        binding = self.binding(tree, Place(key, span, slots, is_node=True))
        inputs, otherwise, path = map(tree.entries.get, ("inputs", "else", "as"))
        repeat = optional_term(self.faults, tree, "blocks")
        self.check_after(tree, key)
        return BlockNode(
            key=key,
            target=binding.target,
            inputs=tuple(each.text for each in items(inputs))
            or (before[-1].key if before else first,),
            arguments=binding.arguments,
            slots=binding.slots,
            when=optional_term(self.faults, tree, "when"),
            otherwise=otherwise.text if isinstance(otherwise, Scalar) else None,
            path=module_path(self.faults, path, key, repeat is not None),
            role=text_of(tree, "role"),
            repeat=repeat,
            stage=stage,
            span=span,
            op_span=binding.span,
            path_span=path.span if path else span,
            inputs_span=inputs.span if inputs else span,
            read_spans={each.text: each.span for each in [*items(inputs), *items(otherwise)]},
        )

    def check_after(self, tree: MapTree, key: str) -> None:
        """`after` that is still there when all is merged had nothing to act on."""
        if "after" in tree.entries:
            message = f"`after` has no effect on `{key}`: nothing is extended here"
            hint = "write the node where it belongs; `after` is for nodes added under `extends`"
            self.faults.record("no-effect", message, tree.keys["after"], hint)

    # --- calls

    def binding(self, tree: Tree, place: Place) -> Binding:
        """A slot's value, or the call of a node: a target with arguments."""
        if self.depth >= DEEPEST:
            self.faults.limit(f"what blocks call nests at most {DEEPEST} deep", place.span)
        self.depth += 1
        found = self.bound(tree, place)
        self.depth -= 1
        return found

    def bound(self, tree: Tree, place: Place) -> Binding:
        if isinstance(tree, Scalar):
            return Binding(self.target(tree.text, place.slots, tree.span), {}, {}, tree.span)
        if isinstance(tree, ListTree):
            message = f"`{place.key}` must be a name or a map, not a list"
            self.faults.record("wrong-value", message, tree.span)
            return Binding(NONE, {}, {}, tree.span)
        op = tree.entries.get("op")
        if "nodes" in tree.entries:
            return self.call(self.inline(tree, place) or NONE, tree, place, place.span)
        if isinstance(op, Scalar):
            return self.call(self.target(op.text, place.slots, op.span), tree, place, op.span)
        if place.default:
            target = self.target(place.default, place.slots, place.span)
            return self.call(target, tree, place, place.span)
        message = f"`{place.key}` needs an `op`: the op, block or slot that it calls"
        self.faults.record("missing-key", message, place.span)
        return self.call(NONE, tree, place, place.span)

    def inline(self, tree: MapTree, place: Place) -> Block | None:
        """A block written in place: one block for one place, however often it is called.

        `inputs` of a node say what it reads; several keep their names inside, one is `x`.
        """
        written_at = id(tree.entries["nodes"])
        if written_at not in self.inlines:
            written = {name: each for name, each in tree.entries.items() if name in _INLINE_KEYS}
            reads = items(tree.entries.get("inputs"))
            if place.is_node:
                written.pop("inputs", None)
            if place.is_node and len(reads) > 1:
                inner = (replace(each, text=each.text.replace(".", "_")) for each in reads)
                written["inputs"] = ListTree(tuple(inner), place.span)
            whole = MapTree(written, tree.keys, place.span)
            self.inlines[written_at] = self.block_of(place.key, whole, place.span)
        return self.inlines[written_at]

    def call(self, target: Target, tree: MapTree, place: Place, span: Span) -> Binding:
        """The arguments of a call, apart from those that are slots of what is called."""
        reserved = RESERVED if place.is_node else ("op",)
        inline = _INLINE_KEYS if "nodes" in tree.entries else ()
        implied = None if isinstance(tree.entries.get("op"), Scalar) else place.key
        # What the network binds itself may take more than its default does.
        open_ended = isinstance(target, Slot) and target.name in self.tree.entries
        arguments: dict[str, Term] = {}
        bindings: dict[str, Binding] = {}
        for name, value in tree.entries.items():
            if name in reserved or name in inline:
                continue
            key_span = tree.keys[name]
            if isinstance(target, Block) and name in target.slots:
                inner = Place(name, key_span, place.slots, _default_op(target.slots[name]))
                bindings[name] = self.binding(value, inner)
                continue
            if not open_ended:
                check_argument(self.faults, target, name, key_span, implied)
            arguments[name] = term(self.faults, value, key_span)
        return Binding(target, arguments, bindings, span)

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
            self.faults.record(
                "recursive-block", f"the block `{name}` contains itself: {path}", span
            )
            return NONE
        if name not in self.blocks and not self.lookup.has(name):
            self.tell_unknown(name, slots, span)
            return NONE
        return self.find(name) or NONE

    def tell_unknown(self, name: str, slots: tuple[str, ...], span: Span) -> None:
        """A name that nothing has."""
        known = [*slots, *AMBIENT, *OPS, *PASSING, *self.lookup.names()]
        hint = (
            did_you_mean(name, known)
            or "`resnetgen list blocks` and `resnetgen list ops` show what there is"
        )
        notes = library.leaving(name, self.lookup.folders)
        message = f"there is no op, block or slot `{name}`"
        self.faults.record("unknown-name", message, span, hint, *notes)


def _default_op(binding: Binding) -> str | None:
    """What a map without `op` refines; a default with arguments must be named anew."""
    if binding.arguments or not isinstance(binding.target, Op | Block | Slot):
        return None
    return binding.target.name
