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
from dataclasses import dataclass
from itertools import chain, islice

from resnetgen.compiler.analysis.lint.without import changes_nothing, tree_of
from resnetgen.compiler.diagnostics.model import (
    MAX_REPORTED,
    Diagnostic,
    DiagnosticCollector,
    Note,
    Span,
)
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
    is_null,
    key_span,
    keys,
    without,
)
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
    yield from _redundant(document)


def is_overridden(document: Document) -> bool:
    """Whether the command line overrides a value of the file."""
    return any(span.file.startswith("--") for span in document.tree.key_spans.values())


def _is_own(document: Document, span: Span) -> bool:
    """Whether a position is in the file that was checked."""
    return span.file == document.sources[0].name


# --- names


def _unused_names(document: Document) -> Iterator[Diagnostic]:
    """Parameters, slots and `let` of the network, and of all blocks that the file declares."""
    lookup = BlockLookup(document, DiagnosticCollector())
    for tree in _scopes(document.tree):
        own = [each for each in _declared(tree) if _is_own(document, each.span)]
        extends = tree.entries.get("extends")
        if not isinstance(extends, Scalar):
            read = _words(tree) if own else set()
            yield from (_unused(name, name.span) for name in own if name.text not in read)
            continue
        base = lookup.find_base(extends, [tree])
        inherited = lookup.merge_base(base, [tree, base]) if base else None
        merged = lookup.merge_base(tree, [tree]) if inherited else None
        if inherited is None or merged is None:
            continue
        read, read_before = _words(merged), _words(inherited)
        known = {(name.part, name.text) for name in _declared(inherited)}
        for name in own:
            if name.text not in read:
                yield _unused(name, name.span, (name.part, name.text) in known)
        own_names = {(name.part, name.text) for name in _declared(tree)}
        for name in _declared(merged) if _is_own(document, extends.span) else ():
            is_new = (name.part, name.text) not in own_names and name.text in read_before
            if is_new and name.text not in read:  # what read it was replaced
                yield _unused(name, extends.span, is_inherited=True)


@dataclass(frozen=True, slots=True)
class DeclaredName:
    """A parameter, a slot or a `let`, and where it is declared."""

    part: str
    text: str
    span: Span


def _declared(tree: MapTree) -> list[DeclaredName]:
    """The names that a network or a block declares; `null` deletes one."""
    return [
        DeclaredName(part, name, key_span(tree, (part, name)))
        for part in _USES
        for name, value in entries_at(tree, part).items()
        if name not in _REQUIRED_OF_BLOCKS and not is_null(value)
    ]


def _unused(name: DeclaredName, span: Span, is_inherited: bool = False) -> Diagnostic:
    """A name that nothing reads, reported where the file declares or inherits it."""
    message, hint = (
        f"nothing {_USES[name.part]} `{name.text}`",
        "use it where it is meant, or drop it",
    )
    if is_inherited:
        hint = f"use it where it is meant, or delete it: `{name.part}: {{{name.text}: null}}`"
    notes = (Note("declared here", name.span),) if span != name.span else ()
    return Diagnostic("unused-name", message, span, notes, hint, "warning")


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


def _redundant(document: Document) -> Iterator[Diagnostic]:
    """Entries of the file that repeat another value, and without which nothing changes."""
    repeats = chain(_equal_entries(document), _repeated_arguments(document))
    by_span = {warning.span: warning for warning in repeats}
    for span, warning in islice(by_span.items(), MAX_REPORTED):
        if span and changes_nothing(document, span):
            yield warning


def _equal_entries(document: Document) -> Iterator[Diagnostic]:
    """Entries that equal those of a base; an entry between the two may differ."""
    if len(document.sources) > 1:
        inherited = merge_specs([tree_of(source) for source in reversed(document.sources[1:])])
        yield from _equal(document, document.tree, inherited, _OF_A_NETWORK)
    blocks = list(entries_at(document.tree, "define").values())
    lookup = BlockLookup(document, DiagnosticCollector())
    for tree in [document.tree, *blocks] if library.is_block(document.tree) else blocks:
        extends = tree.entries.get("extends") if isinstance(tree, MapTree) else None
        if not isinstance(tree, MapTree) or not isinstance(extends, Scalar):
            continue
        base = lookup.find_base(extends, [tree])
        inherited_block = lookup.merge_base(base, [tree, base]) if base else None
        merged = lookup.merge_base(tree, [tree])
        if inherited_block and merged:
            yield from _equal(document, merged, inherited_block, _OF_A_BLOCK)


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
        span, inherited_span = merged.key_spans[key], base.key_spans[key]
        if key in exempt or not _is_own(document, span) or span == inherited_span:
            continue
        if not moved and library.canonical_text(value) == library.canonical_text(before):
            message = f"`{key}` is {_value_text(value)} without this"
            notes = (Note("inherited from here", inherited_span),)
            yield Diagnostic("redundant-override", message, span, notes, "take it out", "warning")
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
                span = stage.key_spans[key]
                message = f"`{key}` is {_value_text(value)} without this"
                notes = (Note("given to all stages here", base.key_spans[key]),)
                yield Diagnostic(
                    "repeated-argument", message, span, notes, "take it out", "warning"
                )


def _value_text(value: Tree) -> str:
    return f"`{value.text}`" if isinstance(value, Scalar) else "the same"
