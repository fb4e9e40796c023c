"""The names that a spec can use, as they are found from some folders and in the library.

    vocabulary(()).bound["resnet50"]["block"]  ->  "bottleneck"

What a network binds is what its heirs refine: the stages of one that extends resnet50 take the
arguments of its block.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resnetgen.graph.elaborate import DEFAULT_HEAD
from resnetgen.graph.ops import AMBIENT
from resnetgen.language import library
from resnetgen.language.diagnostics import SpecError
from resnetgen.language.reader import MapTree, Scalar, Tree
from resnetgen.language.trees import entries, text_of
from resnetgen.report.schema import callees
from resnetgen.report.schema.callees import Callee

PASSES = {"identity": Callee("the value passes", {}), "none": Callee("there is no value", {})}
# The keys of a network that name what is called, and the folder whose names fit.
_FOLDERS = {"block": "blocks", "shortcut": "shortcuts", "stem": "stems", "head": "heads"}
BINDINGS = (*AMBIENT, *_FOLDERS)
DEFAULTS = {**AMBIENT, "head": DEFAULT_HEAD}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that a spec can use, and what the networks that it can extend bind."""

    ops: Mapping[str, Callee]
    ambient: Mapping[str, Callee]
    folders: Mapping[str, Mapping[str, Callee]]  # the blocks of each kind
    networks: Mapping[str, Callee]
    bound: Mapping[str, Mapping[str, str]]  # of each network that changes no name: key -> name

    @property
    def blocks(self) -> Mapping[str, Callee]:
        """The blocks of all kinds."""
        return {name: each for kind in self.folders.values() for name, each in kind.items()}

    @property
    def callees(self) -> dict[str, Callee]:
        """What has arguments of its own."""
        return {**self.ops, **self.blocks}

    @property
    def all(self) -> Mapping[str, Callee]:
        """What `op` of a node can name."""
        return {**self.ambient, **self.callees, **PASSES}

    def fitting(self, key: str) -> Mapping[str, Callee]:
        """The names that are meant for a key of a network."""
        if key in _FOLDERS:
            return {**self.folders[_FOLDERS[key]], **PASSES}
        return {**self.ops, **self.folders["blocks"], **PASSES}


def vocabulary(folders: tuple[Path, ...]) -> Vocabulary:
    """The names of some folders, then of the library."""
    ops = callees.ops()
    kinds = {kind: callees.blocks(kind, folders) for kind in library.KINDS}
    known = {*ops, *PASSES, *(name for kind in kinds.values() for name in kind)}
    documents = _documents(folders)
    return Vocabulary(
        ops,
        callees.ambient(),
        kinds,
        {name: Callee(text_of(tree, "doc") or "", {}) for name, tree in documents.items()},
        {name: _bound(tree) for name, tree in documents.items() if _is_plain(tree, known)},
    )


def _documents(folders: tuple[Path, ...]) -> dict[str, MapTree]:
    """The networks that can be extended, after inheritance; those at fault are left out."""
    found: dict[str, MapTree] = {}
    for folder in (*folders, library.LIBRARY):
        for path in library.networks(folder):
            with suppress(SpecError, OSError):
                found.setdefault(path.stem, library.load(path).tree)
    return {name: tree for name, tree in sorted(found.items()) if "network" in tree.entries}


def _bound(tree: MapTree) -> dict[str, str]:
    """What a network binds to each key; a map that names nothing refines the default."""
    names: dict[str, str | None] = {}
    for key in BINDINGS:
        value = tree.entries.get(key)
        written = isinstance(value, MapTree) and "nodes" in value.entries
        names[key] = None if written else _called_name(value) or DEFAULTS.get(key)
    return {key: name for key, name in names.items() if name}


def _called_name(tree: Tree | None) -> str | None:
    called = tree.entries.get("op") if isinstance(tree, MapTree) else tree
    return called.text if isinstance(called, Scalar) and called.value is not None else None


def _is_plain(tree: MapTree, known: set[str]) -> bool:
    """Whether known names mean to its heirs what they mean here, and stages say `block:`."""
    bound = _bound(tree)
    stages = [each for each in entries(tree, "stages").values() if isinstance(each, MapTree)]
    return (
        not known & entries(tree, "define").keys()
        and all(bound.get(slot) in known for slot in AMBIENT if slot in tree.entries)
        and not any({"op", "nodes"} & each.entries.keys() for each in stages)
    )
