"""Blocks of a document: names found, parameters, nodes and calls parsed, nothing expanded.

    conv2: {op: conv, out: inner, kernel: 3}  ->  BlockNode("conv2", Slot("conv"), inputs=("act1",),
                                                  arguments={"out": Name("inner"), "kernel": 3})

Faults are collected in `Blocks.faults`; what follows from one stays silent.

Lookup: the text of a block by its name, over the text of the block that it extends.

`basic` of a spec  ->  `define:` of the document, files beside it, the library: the first that has it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import (
    MAX_REPORTED,
    DiagnosticCollector,
    Span,
    did_you_mean,
)
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.identifiers import node_key_error
from resnetgen.compiler.frontend.inheritance import merge
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.schema import NODE_KEYS, BlockForm, check_form
from resnetgen.compiler.frontend.tree import (
    ListTree,
    MapTree,
    Scalar,
    Tree,
    entries,
    key_span,
    scalars,
    text_at,
    without,
)
from resnetgen.compiler.ir.nodes import (
    IDENTITY,
    NONE,
    Binding,
    Block,
    BlockNode,
    Op,
    Param,
    Slot,
    SourcedExpr,
    Target,
)
from resnetgen.compiler.ir.ops import AMBIENT, OPS
from resnetgen.compiler.passes.elaborate_checks import (
    PASS_NAMES,
    check_argument,
    check_name,
    check_own_names,
    check_reads,
    class_name,
    execution_order,
    keys_in,
    module_path,
    params_of,
    parse_optional_term,
    parse_term,
    parse_terms,
)


class BlockLookup:
    """Where one document finds blocks, and `trees`, the texts that have given it a meaning so far."""

    def __init__(self, document: Document, faults: DiagnosticCollector) -> None:
        self.folders = document.folders
        self.define = entries(document.tree, "define")
        self.faults = faults
        self.trees: dict[str, Tree] = {"network": without(document.tree, "family", "allow")}

    def read(self, name: str, tree: Tree) -> None:
        """Remembers a text; `name` is for the reader of a digest's material alone."""
        self.trees[f"{len(self.trees)} {name}"] = tree

    def names(self) -> list[str]:
        """The names of all blocks."""
        return [*self.define, *library.block_names(self.folders)]

    def has(self, name: str) -> bool:
        """Whether there is a block of this name."""
        return name in self.define or library.find_block(name, self.folders) is not None

    def candidates(self, name: str) -> Iterator[Tree]:
        """The trees of a block's name: of `define`, of the files beside the spec, of the library."""
        if name in self.define:
            yield self.define[name]
        for path in library.find_blocks(name, self.folders):
            yield library.read_spec(path)

    def extended(self, tree: MapTree, chain: list[MapTree]) -> MapTree | None:
        """A block over the block that it extends; None after a fault."""
        base_name = tree.entries.get("extends")
        if not isinstance(base_name, Scalar):
            return tree
        if len(chain) >= library.MAX_CHAIN:
            self.faults.raise_limit(
                f"a chain of more than {library.MAX_CHAIN} blocks", base_name.span
            )
        base = self.base(base_name, chain)
        inherited = self.extended(base, [*chain, base]) if base else None
        if base is None or inherited is None:
            return None
        self.read(base_name.text, base)
        dropped = ("class", "doc") if "doc" in tree.entries else ("class",)
        merged = merge(without(inherited, *dropped), tree)
        return without(merged, "extends")

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
            self.faults.report("extends-cycle", f"the block `{name.text}` extends itself", first)
        else:
            hint = did_you_mean(name.text, self.names())
            notes = library.link_notes(name.text, self.folders)
            message = f"there is no block `{name.text}`"
            self.faults.report("unknown-name", message, name.span, hint, *notes)
        return None


DEEPEST = 64  # calls inside of what is called, from the network down
MOST_NODES = 4_000  # written in one block
_INLINE_KEYS = ("nodes", "params", "slots", "let", "inputs", "output", "doc", "class", "extends")


@dataclass(frozen=True, slots=True)
class CallContext:
    """Where a call is written: its key, and the slots of the block around it."""

    key: str
    span: Span
    slots: tuple[str, ...] = ()
    default: str | None = None  # what a map without `op` refines
    is_node: bool = False  # else the value of a slot


class BlockElaborator:
    """The blocks of one document by name, those that it defines and those that it finds."""

    def __init__(self, document: Document) -> None:
        self.tree = document.tree
        self.faults = DiagnosticCollector(max_errors=MAX_REPORTED)
        self.lookup = BlockLookup(document, self.faults)
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
        named = key_span(self.tree, ("define", name)) if name in self.lookup.define else None
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
        let = parse_terms(self.faults, tree, "let")
        slots = {
            slot: self.binding(each, CallContext(slot, key_span(tree, ("slots", slot))))
            for slot, each in entries(tree, "slots").items()
        }
        check_own_names(self.faults, tree, "block")
        inputs = scalars(tree.entries.get("inputs"))
        for each in inputs:
            check_name(self.faults, each.text, each.span)
        first = inputs[0].text if inputs else "x"
        nodes: list[BlockNode] = []
        for key, node in entries(tree, "nodes").items():
            span = key_span(tree, ("nodes", key))
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
            self.faults.report("no-value", f"`{name}` has no nodes", nodes.span, hint)
            return None
        return tree

    def limit_nodes(self, written: Tree | None) -> None:
        """Raises SpecError where a block has more nodes than one may write."""
        if isinstance(written, MapTree) and len(written.entries) > MOST_NODES:
            first_beyond = list(written.keys.values())[MOST_NODES]
            message = f"{len(written.entries)} nodes; a block has at most {MOST_NODES}"
            self.faults.raise_limit(message, first_beyond)

    def block(
        self,
        name: str,
        tree: MapTree,
        nodes: Sequence[BlockNode],
        params: Mapping[str, Param],
        let: Mapping[str, SourcedExpr],
        slots: Mapping[str, Binding],
        named: Span | None = None,
    ) -> Block:
        """The block, or the network's own, of its parts: what its nodes read is checked."""
        when = parse_optional_term(self.faults, tree, "when")
        inputs = tuple(each.text for each in scalars(tree.entries.get("inputs"))) or ("x",)
        check_reads(self.faults, nodes, inputs)
        return Block(
            name=name,
            class_name=class_name(self.faults, tree),
            doc=text_at(tree, "doc") or "",
            inputs=inputs,
            params=params,
            slots=slots,
            let=let,
            when=when,
            nodes=tuple(nodes),
            output=self.output(tree, nodes, inputs),
            schedule=execution_order(self.faults, nodes),
            span=named or tree.keys.get("block") or tree.keys.get("network") or tree.span,
        )

    def output(
        self, tree: MapTree, nodes: Sequence[BlockNode], inputs: Sequence[str]
    ) -> str | None:
        """The node that is the result of a block, the last by default; None where there are several."""
        if "outputs" in tree.entries:
            return None
        output = text_at(tree, "output")
        if not output:
            return nodes[-1].key if nodes else inputs[0]
        known = {*inputs, *keys_in(nodes)}
        if output not in known:
            hint = did_you_mean(output, known)
            span = tree.entries["output"].span
            self.faults.report("unknown-value", f"nothing computes `{output}`", span, hint)
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
        check_name(self.faults, key, span, node_key_error)
        binding = self.binding(tree, CallContext(key, span, slots, is_node=True))
        inputs, otherwise, path = map(tree.entries.get, ("inputs", "else", "as"))
        repeat = parse_optional_term(self.faults, tree, "blocks")
        self.check_after(tree, key)
        return BlockNode(
            key=key,
            target=binding.target,
            inputs=tuple(each.text for each in scalars(inputs))
            or (before[-1].key if before else first,),
            arguments=binding.arguments,
            slots=binding.slots,
            when=parse_optional_term(self.faults, tree, "when"),
            otherwise=otherwise.text if isinstance(otherwise, Scalar) else None,
            path=module_path(self.faults, path, key, repeat is not None),
            role=text_at(tree, "role"),
            repeat=repeat,
            stage=stage,
            span=span,
            op_span=binding.span,
            path_span=path.span if path else span,
            inputs_span=inputs.span if inputs else span,
            read_spans={each.text: each.span for each in [*scalars(inputs), *scalars(otherwise)]},
        )

    def check_after(self, tree: MapTree, key: str) -> None:
        """`after` that is still there when all is merged had nothing to act on."""
        if "after" in tree.entries:
            message = f"`after` has no effect on `{key}`: nothing is extended here"
            hint = "write the node where it belongs; `after` is for nodes added under `extends`"
            self.faults.report("no-effect", message, tree.keys["after"], hint)

    # --- calls

    def binding(self, tree: Tree, place: CallContext) -> Binding:
        """A slot's value, or the call of a node: a target with arguments."""
        if self.depth >= DEEPEST:
            self.faults.raise_limit(f"what blocks call nests at most {DEEPEST} deep", place.span)
        self.depth += 1
        found = self.bound(tree, place)
        self.depth -= 1
        return found

    def bound(self, tree: Tree, place: CallContext) -> Binding:
        if isinstance(tree, Scalar):
            return Binding(self.target(tree.text, place.slots, tree.span), {}, {}, tree.span)
        if isinstance(tree, ListTree):
            message = f"`{place.key}` must be a name or a map, not a list"
            self.faults.report("wrong-value", message, tree.span)
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
        self.faults.report("missing-key", message, place.span)
        return self.call(NONE, tree, place, place.span)

    def inline(self, tree: MapTree, place: CallContext) -> Block | None:
        """A block written in place: one block for one place, however often it is called.

        `inputs` of a node say what it reads; several keep their names inside, one is `x`.
        """
        written_at = id(tree.entries["nodes"])
        if written_at not in self.inlines:
            written = {name: each for name, each in tree.entries.items() if name in _INLINE_KEYS}
            reads = scalars(tree.entries.get("inputs"))
            if place.is_node:
                written.pop("inputs", None)
            if place.is_node and len(reads) > 1:
                inner = (replace(each, text=each.text.replace(".", "_")) for each in reads)
                written["inputs"] = ListTree(tuple(inner), place.span)
            whole = MapTree(written, tree.keys, place.span)
            self.inlines[written_at] = self.block_of(place.key, whole, place.span)
        return self.inlines[written_at]

    def call(self, target: Target, tree: MapTree, place: CallContext, span: Span) -> Binding:
        """The arguments of a call, apart from those that are slots of what is called."""
        reserved = NODE_KEYS if place.is_node else ("op",)
        inline = _INLINE_KEYS if "nodes" in tree.entries else ()
        implied = None if isinstance(tree.entries.get("op"), Scalar) else place.key
        # What the network binds itself may take more than its default does.
        open_ended = isinstance(target, Slot) and target.name in self.tree.entries
        arguments: dict[str, SourcedExpr] = {}
        bindings: dict[str, Binding] = {}
        for name, value in tree.entries.items():
            if name in reserved or name in inline:
                continue
            key_span = tree.keys[name]
            if isinstance(target, Block) and name in target.slots:
                inner = CallContext(name, key_span, place.slots, _default_op(target.slots[name]))
                bindings[name] = self.binding(value, inner)
                continue
            if not open_ended:
                check_argument(self.faults, target, name, key_span, implied)
            arguments[name] = parse_term(self.faults, value, key_span)
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
            self.faults.report(
                "recursive-block", f"the block `{name}` contains itself: {path}", span
            )
            return NONE
        if name not in self.blocks and not self.lookup.has(name):
            self.tell_unknown(name, slots, span)
            return NONE
        return self.find(name) or NONE

    def tell_unknown(self, name: str, slots: tuple[str, ...], span: Span) -> None:
        """A name that nothing has."""
        known = [*slots, *AMBIENT, *OPS, *PASS_NAMES, *self.lookup.names()]
        hint = (
            did_you_mean(name, known)
            or "`resnetgen list blocks` and `resnetgen list ops` show what there is"
        )
        notes = library.link_notes(name, self.lookup.folders)
        message = f"there is no op, block or slot `{name}`"
        self.faults.report("unknown-name", message, span, hint, *notes)


def _default_op(binding: Binding) -> str | None:
    """What a map without `op` refines; a default with arguments must be named anew."""
    if binding.arguments or not isinstance(binding.target, Op | Block | Slot):
        return None
    return binding.target.name
