"""expand(document, network) -> MapTree: the spec after all inheritance, in one file.

    extends: resnet50, block: mine    ->    input, stem, stages, ... of resnet50, block: mine,
    (blocks/mine.yaml beside it)            define: {mine: {params: ..., nodes: ...}}

Blocks of the library stay names. Those of `define`, and those in files beside the spec, are in
`define`, merged over all that they extend. A block that is written in place keeps its `extends`.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnetgen.compiler.diagnostics.model import DiagnosticCollector
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree, without
from resnetgen.compiler.ir.nodes import Network, called_blocks
from resnetgen.compiler.passes.elaborate_blocks import BlockLookup


def expand(document: Document, network: Network) -> MapTree:
    """The tree of a spec that needs no other file but the library's.

    `network`: what the document was elaborated to.
    """
    lookup, tree = BlockLookup(document, DiagnosticCollector()), document.tree
    called = (block.name for block in called_blocks(network))
    todo = [*lookup.define, *_bases(tree), *called]
    define: dict[str, Tree] = {}
    for name in todo:
        written = next(lookup.candidates(name), None)
        shipped = name not in lookup.define and written and written.span.source.shipped
        if name in define or shipped or not isinstance(written, MapTree):
            continue
        block = lookup.merge_base(written, [written])
        assert block, f"{name} was sound when the network was elaborated"
        define[name] = without(block, "block", "language")
        todo += _bases(block)
    spans = {name: block.span for name, block in define.items()}
    added: dict[str, Tree] = {"define": MapTree(define, spans, tree.span)} if define else {}
    if document.title:
        added["doc"] = Scalar(document.title, document.title, tree.span, quoted=False)
    entries, keys = {**tree.entries, **added}, {**tree.key_spans, **dict.fromkeys(added, tree.span)}
    return MapTree(entries, keys, tree.span)


def _bases(tree: Tree) -> Iterator[str]:
    """The names that blocks written in place extend."""
    todo: list[Tree] = [tree]
    while todo:
        each = todo.pop()
        if not isinstance(each, MapTree):
            continue
        base = each.entries.get("extends")
        if "nodes" in each.entries and isinstance(base, Scalar):
            yield base.text
        todo += each.entries.values()
