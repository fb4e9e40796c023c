"""The blocks of a document, symbolically: names resolved, nodes and calls parsed, nothing expanded.

    conv2: {op: conv, out: inner, kernel: 3}
        ->  BlockNode("conv2", Slot("conv"), inputs=("act1",), arguments={"out": inner, "kernel": 3})

`BlockLookup` finds the tree of a block by its name, merged over the block that it extends;
`BlockElaborator` makes `Block`s of such trees. Errors are collected; what follows from one is not
reported.

An ambient slot (`conv`, `norm`, `act`, `shortcut`) is a slot that the network binds for all blocks. A
map without `op`, such as `norm: {eps: 1e-3}`, refines the default of its key: it calls what the default
calls, with these arguments. What it calls is then implied by its key.
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
    count_values,
    entries_at,
    key_span,
    scalars,
    text_at,
    without,
)
from resnetgen.compiler.frontend.yaml_reader import MAX_NODES
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
    SPECIAL_NAMES,
    check_argument,
    check_inputs,
    check_keys,
    check_name,
    check_own_names,
    check_reads,
    check_stage_names,
    class_name,
    execution_order,
    node_path,
    params_of,
    parse_optional_term,
    parse_term,
    parse_terms,
    readable_keys_in,
)

MAX_CALL_DEPTH = 64  # how deep calls are nested, from the network down
MAX_BLOCK_NODES = 2_000  # written in one block
_INLINE_KEYS = ("nodes", "params", "slots", "let", "inputs", "output", "doc", "class", "extends")

# --- the tree of a block


class BlockLookup:
    """Where a document finds blocks: in its `define`, in files beside it, in the library."""

    def __init__(self, document: Document, errors: DiagnosticCollector) -> None:
        self.folders = document.folders
        self.define = entries_at(document.tree, "define")
        self.errors = errors
        # Every tree that the network has been elaborated from so far, for its digest.
        self.trees: dict[str, Tree] = {"network": without(document.tree, "family", "allow")}

    def remember(self, name: str, tree: Tree) -> None:
        """Adds a tree to what the digest covers; `name` only makes that readable."""
        self.trees[f"{len(self.trees)} {name}"] = tree

    def names(self) -> list[str]:
        """The names of all blocks."""
        return [*self.define, *library.block_names(self.folders)]

    def has(self, name: str) -> bool:
        """Whether there is a block of this name."""
        return name in self.define or library.find_block(name, self.folders) is not None

    def candidates(self, name: str) -> Iterator[Tree]:
        """The trees with this name: in `define`, in files beside the spec, in the library."""
        if name in self.define:
            yield self.define[name]
        for path in library.find_blocks(name, self.folders):
            yield library.read_spec(path)

    def merge_base(self, tree: MapTree, chain: list[MapTree]) -> MapTree | None:
        """A block merged over the block that it extends; None after an error."""
        base_name = tree.entries.get("extends")
        if not isinstance(base_name, Scalar):
            return tree
        if len(chain) >= library.MAX_CHAIN:
            self.errors.raise_limit(
                f"a chain of more than {library.MAX_CHAIN} blocks", base_name.span
            )
        base = self.find_base(base_name, chain)
        inherited = self.merge_base(base, [*chain, base]) if base else None
        if base is None or inherited is None:
            return None
        self.remember(base_name.text, base)
        dropped = ("class", "doc") if "doc" in tree.entries else ("class",)
        merged = merge(without(inherited, *dropped), tree)
        return without(merged, "extends")

    def find_base(self, name: Scalar, chain: list[MapTree]) -> MapTree | None:
        """The block that a block extends: the nearest of that name outside the chain so far."""
        candidates = [tree for tree in self.candidates(name.text) if isinstance(tree, MapTree)]
        seen = {str(tree.span) for tree in chain}
        for tree in candidates:
            if str(tree.span) not in seen:
                return tree
        if candidates:
            start = next(index for index, tree in enumerate(chain) if tree in candidates)
            spans = [tree.entries["extends"].span for tree in chain[start:]]
            first = min(spans, key=lambda span: (span.file, span.line))  # one error for each cycle
            self.errors.report("extends-cycle", f"the block `{name.text}` extends itself", first)
        else:
            hint = did_you_mean(name.text, self.names())
            notes = library.link_notes(name.text, self.folders)
            message = f"there is no block `{name.text}`"
            self.errors.report("unknown-name", message, name.span, hint, *notes)
        return None


# --- symbolic blocks


@dataclass(frozen=True, slots=True)
class CallContext:
    """Where a call is written: its key, and the slots of the enclosing block."""

    key: str
    span: Span
    slots: tuple[str, ...] = ()
    default: str | None = (
        None  # the callee of a map without `op`: that of the default, which it refines
    )
    is_node: bool = False  # otherwise it is the value of a slot


class BlockElaborator:
    """The blocks that a document defines or finds, by name; each is elaborated once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.tree = document.tree
        self.errors = DiagnosticCollector(max_errors=MAX_REPORTED)
        self.lookup = BlockLookup(document, self.errors)
        self.blocks: dict[str, Block | None] = {}
        self.inlines: dict[tuple[str, str], Block | None] = {}  # by key and content
        self.in_progress: list[str] = []  # the blocks being elaborated, to detect recursion
        self.depth = 0  # of nested calls
        self.size = 0  # keys and values of all blocks, with what they extend

    # --- blocks

    def find(self, name: str) -> Block | None:
        """The block of a name; None if there is none, or an error in it."""
        if name in self.blocks:
            return self.blocks[name]
        tree = next(self.lookup.candidates(name), None)
        if not isinstance(tree, MapTree):
            return None
        self.blocks[name] = None
        self.in_progress.append(name)
        span = key_span(self.tree, ("define", name)) if name in self.lookup.define else None
        self.blocks[name] = self.elaborate_block(name, tree, span)
        self.in_progress.pop()
        return self.blocks[name]

    def elaborate_block(
        self, name: str, raw_tree: MapTree, span: Span | None = None
    ) -> Block | None:
        """The block of a tree, with what it extends; None if it does not match the schema.

        `span`: where it has its name, a key of `define` or the node that it is written in.
        """
        tree = self.checked_tree(name, raw_tree, span)
        if tree is None:
            return None
        params = params_of(self.errors, tree)
        let = parse_terms(self.errors, tree, "let")
        slots = {
            slot: self.parse_call(each, CallContext(slot, key_span(tree, ("slots", slot))))
            for slot, each in entries_at(tree, "slots").items()
        }
        check_own_names(self.errors, tree, "block")
        inputs = scalars(tree.entries.get("inputs"))
        for each in inputs:
            check_name(self.errors, each.text, each.span)
        default_input = inputs[0].text if inputs else "x"
        nodes: list[BlockNode] = []
        for key, node in entries_at(tree, "nodes").items():
            node_span = key_span(tree, ("nodes", key))
            nodes.append(
                self.node(key, node, node_span, tuple(slots), nodes, default_input=default_input)
            )
        return self.make_block(name, tree, nodes, params, let, slots, span)

    def checked_tree(self, name: str, raw_tree: MapTree, span: Span | None) -> MapTree | None:
        """The tree of a block merged over what it extends, and checked; None after an error."""
        self.lookup.remember(name, raw_tree)
        tree = self.lookup.merge_base(raw_tree, [raw_tree])
        if tree is None:
            return None
        self.size += count_values(tree)
        if self.size > MAX_NODES:
            message = f"blocks have at most {MAX_NODES:,} keys and values, with what they extend"
            self.errors.raise_limit(message, span or tree.span)
        if form_errors := check_form(tree, BlockForm):
            self.errors.extend(form_errors)
            return None
        nodes = tree.entries["nodes"]
        self.limit_nodes(nodes)
        if not entries_at(tree, "nodes"):
            hint = "`identity` passes its input on, and `none` leaves out what reads it"
            self.errors.report("no-value", f"`{name}` has no nodes", nodes.span, hint)
            return None
        return tree

    def limit_nodes(self, written: Tree | None) -> None:
        """Raises SpecError if a block has more nodes than are allowed."""
        if isinstance(written, MapTree) and len(written.entries) > MAX_BLOCK_NODES:
            first_beyond = list(written.key_spans.values())[MAX_BLOCK_NODES]
            message = f"{len(written.entries)} nodes; a block has at most {MAX_BLOCK_NODES}"
            self.errors.raise_limit(message, first_beyond)

    def make_block(
        self,
        name: str,
        tree: MapTree,
        nodes: Sequence[BlockNode],
        params: Mapping[str, Param],
        let: Mapping[str, SourcedExpr],
        slots: Mapping[str, Binding],
        span: Span | None = None,
    ) -> Block:
        """A block, or the network's own, from its parts; what its nodes read is checked."""
        when = parse_optional_term(self.errors, tree, "when")
        inputs = tuple(each.text for each in scalars(tree.entries.get("inputs"))) or ("x",)
        check_inputs(self.errors, tree)
        check_stage_names(self.errors, tree, nodes)
        check_reads(self.errors, nodes, inputs)
        has_order = check_keys(self.errors, nodes, inputs)
        return Block(
            name=name,
            class_name=class_name(self.errors, tree),
            doc=text_at(tree, "doc") or "",
            inputs=inputs,
            params=params,
            slots=slots,
            let=let,
            when=when,
            nodes=tuple(nodes),
            output=self.output(tree, nodes, inputs),
            schedule=execution_order(self.errors, nodes) if has_order else tuple(range(len(nodes))),
            span=span or tree.key_spans.get("block") or tree.key_spans.get("network") or tree.span,
        )

    def output(
        self, tree: MapTree, nodes: Sequence[BlockNode], inputs: Sequence[str]
    ) -> str | None:
        """The output of a block, by default its last node; None if there are several."""
        if "outputs" in tree.entries:
            return None
        output = text_at(tree, "output")
        if not output:
            return nodes[-1].result_key if nodes else inputs[0]
        known = {*inputs, *readable_keys_in(nodes)}
        if output not in known:
            hint = did_you_mean(output, known)
            span = tree.entries["output"].span
            self.errors.report("unknown-value", f"nothing computes `{output}`", span, hint)
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
        default_input: str = "x",
    ) -> BlockNode:
        """One node of a block; by default it reads the last of the nodes `before` it."""
        assert isinstance(tree, MapTree)
        check_name(self.errors, key, span, node_key_error)
        binding = self.parse_call(tree, CallContext(key, span, slots, is_node=True))
        inputs, otherwise, path = map(tree.entries.get, ("inputs", "else", "as"))
        repeat = parse_optional_term(self.errors, tree, "blocks")
        self.check_after(tree, key)
        return BlockNode(
            key=key,
            target=binding.target,
            inputs=tuple(each.text for each in scalars(inputs))
            or (before[-1].result_key if before else default_input,),
            arguments=binding.arguments,
            slots=binding.slots,
            when=parse_optional_term(self.errors, tree, "when"),
            otherwise=otherwise.text if isinstance(otherwise, Scalar) else None,
            path=node_path(self.errors, path, key, repeat is not None),
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
        """Reports an `after` that is left after merging: it had nothing to act on."""
        if "after" in tree.entries:
            message = f"`after` has no effect on `{key}`: nothing is extended here"
            hint = "write the node where it belongs; `after` is for nodes added under `extends`"
            self.errors.report("no-effect", message, tree.key_spans["after"], hint)

    # --- calls

    def parse_call(self, tree: Tree, context: CallContext) -> Binding:
        """What a slot is bound to, or a node calls: a target with arguments."""
        if self.depth >= MAX_CALL_DEPTH:
            message = f"what blocks call nests at most {MAX_CALL_DEPTH} deep"
            self.errors.raise_limit(message, context.span)
        self.depth += 1
        binding = self._parse_call(tree, context)
        self.depth -= 1
        return binding

    def _parse_call(self, tree: Tree, context: CallContext) -> Binding:
        if isinstance(tree, Scalar):
            return Binding(self.target(tree.text, context.slots, tree.span), {}, {}, tree.span)
        if isinstance(tree, ListTree):
            message = f"`{context.key}` must be a name or a map, not a list"
            self.errors.report("wrong-value", message, tree.span)
            return Binding(NONE, {}, {}, tree.span)
        op = tree.entries.get("op")
        if "nodes" in tree.entries:
            return self.call_target(self.inline(tree, context) or NONE, tree, context, context.span)
        if isinstance(op, Scalar):
            return self.call_target(
                self.target(op.text, context.slots, op.span), tree, context, op.span
            )
        if context.default:
            target = self.target(context.default, context.slots, context.span)
            return self.call_target(target, tree, context, context.span)
        message = f"`{context.key}` needs an `op`: the op, block or slot that it calls"
        self.errors.report("missing-key", message, context.span)
        return self.call_target(NONE, tree, context, context.span)

    def inline(self, tree: MapTree, context: CallContext) -> Block | None:
        """A block written in place: the same text for the same key is one block, however often called.

        The `inputs` of a node are what it reads: several keep their names inside, one is `x`.
        """
        entries = {name: each for name, each in tree.entries.items() if name in _INLINE_KEYS}
        reads = scalars(tree.entries.get("inputs"))
        if context.is_node:
            entries.pop("inputs", None)
        if context.is_node and len(reads) > 1:
            inner = (replace(each, text=each.text.replace(".", "_")) for each in reads)
            entries["inputs"] = ListTree(tuple(inner), context.span)
        whole = MapTree(entries, tree.key_spans, context.span)
        content = context.key, library.canonical_text(whole)
        if content not in self.inlines:
            self.inlines[content] = self.elaborate_block(context.key, whole, context.span)
        return self.inlines[content]

    def call_target(
        self, target: Target, tree: MapTree, context: CallContext, span: Span
    ) -> Binding:
        """The call of a target: its arguments, and those of them that fill slots of the target."""
        reserved = NODE_KEYS if context.is_node else ("op",)
        inline = _INLINE_KEYS if "nodes" in tree.entries else ()
        # The key that implies the target, for messages; None if `op` names the target.
        implied = None if isinstance(tree.entries.get("op"), Scalar) else context.key
        # What the network binds itself may have other arguments than its default.
        open_ended = isinstance(target, Slot) and target.name in self.tree.entries
        arguments: dict[str, SourcedExpr] = {}
        bindings: dict[str, Binding] = {}
        for name, value in tree.entries.items():
            if name in reserved or name in inline:
                continue
            argument_span = tree.key_spans[name]
            if isinstance(target, Block) and name in target.slots:
                inner = CallContext(
                    name, argument_span, context.slots, _default_op(target.slots[name])
                )
                bindings[name] = self.parse_call(value, inner)
                continue
            if not open_ended:
                check_argument(self.errors, target, name, argument_span, implied)
            arguments[name] = parse_term(self.errors, value, argument_span)
        return Binding(target, arguments, bindings, span)

    def target(self, name: str, slots: tuple[str, ...], span: Span) -> Target:
        """What a name refers to: a slot, an ambient slot, an op, or a block, in this order."""
        if name == "identity":
            return IDENTITY
        if name == "none":
            return NONE
        if name in slots or name in AMBIENT:
            return Slot(name)
        if name in OPS:
            return Op(name)
        if name in self.in_progress:
            path = " -> ".join([*self.in_progress[self.in_progress.index(name) :], name])
            self.errors.report(
                "recursive-block", f"the block `{name}` contains itself: {path}", span
            )
            return NONE
        if name not in self.blocks and not self.lookup.has(name):
            self.report_unknown(name, slots, span)
            return NONE
        return self.find(name) or NONE

    def report_unknown(self, name: str, slots: tuple[str, ...], span: Span) -> None:
        """Reports a name that refers to nothing."""
        known = [*slots, *AMBIENT, *OPS, *SPECIAL_NAMES, *self.lookup.names()]
        hint = (
            did_you_mean(name, known)
            or "`resnetgen list blocks` and `resnetgen list ops` show what there is"
        )
        notes = library.link_notes(name, self.lookup.folders)
        message = f"there is no op, block or slot `{name}`"
        self.errors.report("unknown-name", message, span, hint, *notes)


def _default_op(binding: Binding) -> str | None:
    """What a map without `op` calls; a default with arguments must be named again."""
    if binding.arguments or not isinstance(binding.target, Op | Block | Slot):
        return None
    return binding.target.name
