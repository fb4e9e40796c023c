"""Text without effect: names that nothing reads, overrides that change nothing.

    let: {inner: width // 4}                          ->  nothing reads `inner`
    extends: resnet50, stages: {layer1: {blocks: 3}}  ->  `blocks` is 3 without this

Only the file that was checked is looked at, not those that it inherits from. Where `--set` changes a
value for one run, that is no reason to change the file, so nothing is reported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from resnetgen.compiler.diagnostics.model import Diagnostic, DiagnosticCollector, Note, Source, Span
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.inheritance import merge_specs
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.schema import NODE_KEYS
from resnetgen.compiler.frontend.tree import (
    ListTree,
    MapTree,
    Scalar,
    Tree,
    entries_at,
    keys,
    without,
)
from resnetgen.compiler.frontend.yaml_reader import parse
from resnetgen.compiler.passes.elaborate_blocks import BlockLookup

_WORD = re.compile(r"[A-Za-z_]\w*")
_PROSE = ("doc", "paper")  # prose: words in them are not names
_USES = {"params": "reads the parameter", "slots": "calls the slot", "let": "reads"}
# With `output_stride`, a stage passes these to its blocks, and each must declare them.
_REQUIRED_OF_BLOCKS = ("dilation", "first_dilation")
# Keys that a network sets for itself, whatever it extends; its `doc` is not inherited.
_OF_A_NETWORK = ("network", "doc", "language", "allow")
_WHOLE = ("input",)  # compared as a whole: a size without channels says too little
_OF_A_BLOCK = ("block", "class", "language")


def without_effect(document: Document) -> Iterator[Diagnostic]:
    """The warnings about the text of one file: a network, or a block without a caller."""
    if is_overridden(document):
        return
    yield from _unused_names(document)
    if not library.is_block(document.tree):
        yield from _unused_blocks(document)
        yield from _repeated_arguments(document)
    yield from _redundant_overrides(document)


def is_overridden(document: Document) -> bool:
    """Whether the command line overrides a value of the file."""
    return any(span.file.startswith("--") for span in document.tree.key_spans.values())


def _is_own(document: Document, span: Span) -> bool:
    """Whether a position is in the file that was checked."""
    return span.file == document.sources[0].name


# --- names


def _unused_names(document: Document) -> Iterator[Diagnostic]:
    """Parameters, slots and `let` of the network, and of all blocks that the file declares."""
    for tree in _scopes(document.tree):
        names = [
            (what, name, span)
            for part, what in _USES.items()
            for name, span in keys(tree, part)
            if name not in _REQUIRED_OF_BLOCKS and _is_own(document, span)
        ]
        if not names:
            continue
        read = _words(tree)
        if any(name not in read for _, name, _ in names) and "extends" in tree.entries:
            read = _words(
                BlockLookup(document, DiagnosticCollector()).merge_base(tree, [tree]) or tree
            )
        for what, name, span in names:
            if name not in read:
                message, hint = f"nothing {what} `{name}`", "use it where it is meant, or drop it"
                yield Diagnostic("unused-name", message, span, (), hint, "warning")


def _unused_blocks(document: Document) -> Iterator[Diagnostic]:
    """Blocks of `define` that nothing calls. One that replaces a block of another file is exempt."""
    read = {name: _words(each) for name, each in entries_at(document.tree, "define").items()}
    readers = Counter(
        word for own in (*read.values(), _words(without(document.tree, "define"))) for word in own
    )
    for name, span in keys(document.tree, "define"):
        if not _is_own(document, span) or library.find_block(name, document.folders):
            continue
        if readers[name] == (name in read[name]):  # nothing but itself
            message, hint = f"nothing calls the block `{name}`", "call it with `op`, or take it out"
            yield Diagnostic("unused-name", message, span, (), hint, "warning")


def _scopes(tree: MapTree) -> Iterator[MapTree]:
    """The maps that may declare names: the document, and every block in it."""
    yield tree
    todo: list[Tree] = [each for each in tree.entries.values() if not isinstance(each, Scalar)]
    for each in todo:  # it grows
        if isinstance(each, MapTree):
            if "nodes" in each.entries or "extends" in each.entries:
                yield each
            todo += [below for below in each.entries.values() if not isinstance(below, Scalar)]


def _words(tree: Tree) -> set[str]:
    """All words in the values of a tree, a superset of the names that are read there."""
    words: set[str] = set()
    todo = [tree]
    while todo:
        each = todo.pop()
        if isinstance(each, MapTree):
            todo += [v for k, v in each.entries.items() if k not in _PROSE]
        elif isinstance(each, ListTree):
            todo += each.items
        elif isinstance(each.value, str):
            words.update(_WORD.findall(each.value))
    return words


# --- overrides


def _redundant_overrides(document: Document) -> Iterator[Diagnostic]:
    """Values that equal what `extends` provides: in the file, and in its blocks."""
    if len(document.sources) > 1:
        inherited = _inherited(document)
        yield from _equal(document, document.tree, inherited, _OF_A_NETWORK)
    if library.is_block(document.tree):
        yield from _redundant_in_block(document, document.tree)
    for each in entries_at(document.tree, "define").values():
        if isinstance(each, MapTree):
            yield from _redundant_in_block(document, each)


def _inherited(document: Document) -> MapTree:
    """The network without the text of the file: all that it extends, merged."""
    return merge_specs([_read_again(source) for source in reversed(document.sources[1:])])


def _read_again(source: Source) -> MapTree:
    """The tree of a source; that of a library file is cached."""
    shipped = library.LIBRARY / Path(source.name).name
    return (
        library.read_spec(shipped)
        if library.display_path(shipped) == source.name
        else parse(source)
    )


def _redundant_in_block(document: Document, tree: MapTree) -> Iterator[Diagnostic]:
    name = tree.entries.get("extends")
    if not isinstance(name, Scalar):
        return
    lookup = BlockLookup(document, DiagnosticCollector())
    base = lookup.find_base(name, [tree])
    inherited = lookup.merge_base(base, [tree, base]) if base else None
    merged = lookup.merge_base(tree, [tree])
    if inherited and merged:
        yield from _equal(document, merged, inherited, _OF_A_BLOCK)


def _equal(
    document: Document, merged: Tree, base: Tree, exempt: tuple[str, ...] = ()
) -> Iterator[Diagnostic]:
    """The keys of the file whose value equals that of the base; of nested maps only the outermost."""
    assert isinstance(merged, MapTree)
    assert isinstance(base, MapTree)
    common = [key for key in merged.entries if key in base.entries]
    moved = common != [key for key in base.entries if key in merged.entries]
    for key in common:
        value, before = merged.entries[key], base.entries[key]
        if key in exempt or not _is_own(document, merged.key_spans[key]):
            continue
        if not moved and library.canonical_text(value) == library.canonical_text(before):
            message = f"`{key}` is {_value_text(value)} without this"
            notes = (Note("inherited from here", base.key_spans[key]),)
            yield Diagnostic(
                "redundant-override",
                message,
                merged.key_spans[key],
                notes,
                "take it out",
                "warning",
            )
        elif key not in _WHOLE and _refines(document, value, before):
            yield from _equal(document, value, before)


def _refines(document: Document, value: Tree, before: Tree) -> bool:
    """Whether a map is merged into the inherited one; a replacement must repeat what it keeps."""
    if not isinstance(value, MapTree) or not isinstance(before, MapTree):
        return False
    new_block = "nodes" in value.entries and "nodes" not in before.entries
    return not new_block and not (
        "op" in value.entries and _is_own(document, value.key_spans["op"])
    )


def _repeated_arguments(document: Document) -> Iterator[Diagnostic]:
    """Arguments of a stage that `block:` sets to the same value."""
    given = entries_at(document.tree, "block")
    base = document.tree.entries.get("block")
    for stage in entries_at(document.tree, "stages").values():
        if not isinstance(stage, MapTree) or not isinstance(base, MapTree) or "op" in stage.entries:
            continue
        for key, value in stage.entries.items():
            if key in NODE_KEYS or key not in given or not _is_own(document, stage.key_spans[key]):
                continue
            if library.canonical_text(value) == library.canonical_text(given[key]):
                message = f"`{key}` is {_value_text(value)} without this"
                notes = (Note("given to all stages here", base.key_spans[key]),)
                yield Diagnostic(
                    "repeated-argument",
                    message,
                    stage.key_spans[key],
                    notes,
                    "take it out",
                    "warning",
                )


def _value_text(value: Tree) -> str:
    return f"`{value.text}`" if isinstance(value, Scalar) else "the same"
