"""Lookup: the text of a block by its name, over the text of the block that it extends.

`basic` of a spec  ->  `define:` of the document, files beside it, the library: the first that has it
"""

from __future__ import annotations

from collections.abc import Iterator

from resnetgen.graph.faults import Faults
from resnetgen.language import library
from resnetgen.language.diagnostics import did_you_mean
from resnetgen.language.library import Document
from resnetgen.language.merge import merge, without
from resnetgen.language.reader import MapTree, Scalar, Tree
from resnetgen.language.trees import entries


class Lookup:
    """Where one document finds blocks, and `trees`, the texts that have given it a meaning so far."""

    def __init__(self, document: Document, faults: Faults) -> None:
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
            yield library.read_shipped(path)

    def extended(self, tree: MapTree, chain: list[MapTree]) -> MapTree | None:
        """A block over the block that it extends; None after a fault."""
        base_name = tree.entries.get("extends")
        if not isinstance(base_name, Scalar):
            return tree
        if len(chain) >= library.DEEPEST:
            self.faults.limit(f"a chain of more than {library.DEEPEST} blocks", base_name.span)
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
            self.faults.record("extends-cycle", f"the block `{name.text}` extends itself", first)
        else:
            hint = did_you_mean(name.text, self.names())
            notes = library.leaving(name.text, self.folders)
            message = f"there is no block `{name.text}`"
            self.faults.record("unknown-name", message, name.span, hint, *notes)
        return None
