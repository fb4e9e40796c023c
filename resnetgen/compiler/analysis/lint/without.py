"""What a document would be without one entry of its file: how "take it out" is checked.

    base: {block: {op: unit, kernel: 3}, stages: {b: {kernel: 5}}}
    file: {extends: base, stages: {b: {kernel: 3}}}     without `kernel: 3`, it is 5

The file is merged again with all that it extends, as if the entry had never been written.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from resnetgen.compiler.diagnostics.model import DiagnosticCollector, Source, Span, SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.inheritance import stage_call
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Tree, entries_at
from resnetgen.compiler.frontend.yaml_reader import parse
from resnetgen.compiler.passes.elaborate_blocks import BlockLookup


def without_entry(document: Document, span: Span) -> Document | None:
    """The document without the entry whose key is at a position of its file; None if that is an error."""
    tree = _without(tree_of(document.sources[0]), span)
    try:
        return library.complete(tree, document.folders, {}) if isinstance(tree, MapTree) else None
    except SpecError:
        return None


@lru_cache(maxsize=4)
def tree_of(source: Source) -> MapTree:
    """The tree of a source; that of a library file is cached."""
    shipped = library.LIBRARY / Path(source.name).name
    return (
        library.read_spec(shipped)
        if library.display_path(shipped) == source.name
        else parse(source)
    )


def _without(tree: Tree, span: Span) -> Tree:
    if isinstance(tree, ListTree):
        return ListTree(tuple(_without(each, span) for each in tree.items), tree.span)
    if not isinstance(tree, MapTree):
        return tree
    place = span.line, span.column
    kept = {
        key: _without(each, span)
        for key, each in tree.entries.items()
        if (tree.key_spans[key].line, tree.key_spans[key].column) != place
    }
    return MapTree(kept, tree.key_spans, tree.span)


def changes_nothing(document: Document, span: Span) -> bool:
    """Whether a network or a block is the same without an entry of its file."""
    shorter = without_entry(document, span)
    if shorter is None:
        return False
    try:
        return _effective_text(shorter) == _effective_text(document)
    except SpecError:
        return False


def _effective_text(document: Document) -> str:
    """What a document says once its stages are merged over `block`, and its blocks over their bases."""
    lookup = BlockLookup(document, DiagnosticCollector())

    def whole(tree: Tree) -> Tree:
        return (lookup.merge_base(tree, [tree]) or tree) if isinstance(tree, MapTree) else tree

    tree = document.tree
    if library.is_block(tree):
        return library.canonical_text(whole(tree))
    parts = dict(tree.entries)
    stages = entries_at(tree, "stages")
    calls = {key: stage_call(tree, stage) for key, stage in stages.items()}
    blocks = {key: whole(each) for key, each in entries_at(tree, "define").items()}
    parts["stages"] = MapTree(calls, {}, tree.span)
    parts["define"] = MapTree(blocks, {}, tree.span)
    return library.canonical_text(MapTree(parts, {}, tree.span))
