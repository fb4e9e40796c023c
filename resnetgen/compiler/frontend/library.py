"""Documents: a spec with everything it `extends`, and where specs and blocks are found.

    load("resnet50d")   ->  Document(tree of resnet50d over resnet50c over resnet50, folders, sources)

Names are looked up beside the spec, then in the library; a block is in the folder of its kind, such
as `shortcuts/projection.yaml`. Non-goals: how two trees merge (`inheritance.py`), what keys mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

from resnetgen.compiler.diagnostics.model import (
    Diagnostic,
    Note,
    Source,
    Span,
    SpecError,
    did_you_mean,
)
from resnetgen.compiler.frontend.identifiers import file_name_error
from resnetgen.compiler.frontend.inheritance import apply_override, c3_linearize, merge_specs
from resnetgen.compiler.frontend.shipped import shipped_folder
from resnetgen.compiler.frontend.title import build_command, title
from resnetgen.compiler.frontend.tree import ListTree, MapTree, Scalar, Tree
from resnetgen.compiler.frontend.yaml_reader import parse, read
from resnetgen.compiler.frontend.yaml_scalars import read_source
from resnetgen.compiler.frontend.yaml_writer import value_to_flow

LIBRARY = shipped_folder("specs")

BLOCK_KINDS = ("blocks", "shortcuts", "stems", "heads")
# Keys that describe a spec, or how it is read: they do not change what is compiled.
MAX_CHAIN = 16  # files that one spec extends, itself included


# --- documents


@dataclass(frozen=True, slots=True)
class Document:
    """A spec after inheritance, the folders in which its names are found, and the files read."""

    tree: MapTree
    folders: tuple[Path, ...]
    sources: tuple[Source, ...]  # the spec itself first
    title: str = ""  # of a network; empty where nobody says what it is
    command: str | None = None  # that builds it again, if it is a file


def load(spec: str | Path, overrides: Mapping[str, object] | None = None) -> Document:
    """The document of a path or of a library network. Raises SpecError, and OSError for a bad path."""
    path = locate_network(spec)
    return complete(read_spec(path), (path.parent,), overrides or {})


def load_text(
    text: str, name: str = "<string>", overrides: Mapping[str, object] | None = None
) -> Document:
    """The document of a spec that is in memory; names are found in the library only."""
    return complete(parse(Source(name, text)), (), overrides or {})


def complete(tree: MapTree, folders: tuple[Path, ...], overrides: Mapping[str, object]) -> Document:
    """Merges everything that a network extends, then applies the overrides of `--set`.

    A block is returned as it is: the blocks that it extends are merged in elaboration.
    """
    if is_block(tree):
        return Document(tree, folders, (tree.span.source,))
    specs = _ExtendsResolver(tree, folders).in_order()
    merged = merge_specs(specs)
    settings: dict[str, str] = {}
    changes: dict[str, str] = {}  # the settings that change something
    for key, value in overrides.items():
        before, merged = merged, apply_override(merged, key, value)
        settings[key] = value if isinstance(value, str) else value_to_flow(value)
        if canonical_text(before) != canonical_text(merged):
            changes[key] = settings[key]
    if LIBRARY not in folders and any(each.span.source.shipped for each in specs):
        folders = (*folders, LIBRARY)
    sources = tuple(each.span.source for each in reversed(specs))
    command = build_command(sources[0], settings)
    return Document(merged, folders, sources, title(specs, changes), command)


def is_block(tree: MapTree) -> bool:
    """Whether a document declares a block, and is not a network whose `network:` is misspelt."""
    keys = tree.entries.keys()
    return "block" in keys and not keys & {"network", "input", "stages", "stem", "head"}


def is_dialect(tree: MapTree) -> bool:
    """Whether a document declares a dialect of checkpoints, and not a network."""
    return "dialect" in tree.entries and "network" not in tree.entries


# --- extends

# How a spec is reached from the first one: the files along the way, each with the name that it
# gives the next one.
_Chain: TypeAlias = tuple[tuple[str, Scalar], ...]


class _ExtendsResolver:
    """Reads a spec and everything that it extends, and puts the files in the order of merging.

    Files are identified by their display path; each is read and ordered once.
    """

    def __init__(self, tree: MapTree, folders: tuple[Path, ...]) -> None:
        self.root = tree.span.source.name
        self.folders = tuple(dict.fromkeys((*folders, LIBRARY)))
        self.trees = {self.root: tree}
        self.orders: dict[str, list[str] | None] = {}
        self.errors: dict[str, Diagnostic] = {}  # by position: two files may extend a wrong one

    def in_order(self) -> list[MapTree]:
        """The trees to merge, from the first to the spec itself. Raises SpecError."""
        order = self.order(self.root, ())
        if order is None:
            raise SpecError(self.errors.values())
        return [self.trees[file] for file in order]

    def order(self, file: str, chain: _Chain) -> list[str] | None:
        """A file after everything that it extends; None after an error."""
        if file not in self.orders:
            self.orders[file] = None
            with self.collecting():
                self.orders[file] = self.linearized(file, chain)
        return self.orders[file]

    def linearized(self, file: str, chain: _Chain) -> list[str] | None:
        names = _extended_names(self.trees[file])
        orders = [self.order_of(name, (*chain, (file, name))) for name in names]
        known = [order for order in orders if order is not None]
        if len(known) < len(orders):
            return None
        bases = [order[-1] for order in known]
        before = c3_linearize([bases, *known])
        if before is None:
            raise SpecError([_contradiction(names, bases, known)])
        return [*before, file]

    def order_of(self, name: Scalar, chain: _Chain) -> list[str] | None:
        """`order` for the file that a name refers to."""
        with self.collecting():
            return self.order(self.base(name, chain), chain)
        return None

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Collects errors, so that those of all files are reported together."""
        try:
            yield
        except SpecError as error:
            self.errors |= {str(each.span): each for each in error.diagnostics}

    def base(self, name: Scalar, chain: _Chain) -> str:
        """The file that a name refers to, read: the nearest that is not already in the chain."""
        before = [file for file, _ in chain]
        paths = ((folder, folder / f"{name.text}.yaml") for folder in self.folders)
        existing = [path for folder, path in paths if path.is_file() and is_inside(path, folder)]
        new = [path for path in existing if display_path(path) not in before]
        if new:
            return self.read(new[0], name)
        if existing:
            cycle = " -> ".join([*(Path(each).stem for each in before), name.text])
            message = f"a spec extends itself: {cycle}"
            raise SpecError([Diagnostic("extends-cycle", message, chain[0][1].span)])
        raise SpecError([_unknown_base(name, self.folders)])

    def read(self, path: Path, name: Scalar) -> str:
        file = display_path(path)
        if file not in self.trees:
            if len(self.trees) >= MAX_CHAIN:
                raise SpecError([_too_many(name)])
            self.trees[file] = read_spec(path)
        if is_block(self.trees[file]):
            raise SpecError([_not_a_network(path.stem, name.span)])
        return file


def _extended_names(tree: MapTree) -> tuple[Scalar, ...]:
    """The value of `extends`: one name, or a list. Raises SpecError."""
    if "extends" not in tree.entries:
        return ()
    value = tree.entries["extends"]
    names = value.items if isinstance(value, ListTree) else (value,)
    wrong = [each for each in names if not _is_name(each)]
    if wrong or not names:
        message = "`extends` must be the name of a spec, or a list of names"
        spans = [each.span for each in wrong] or [value.span]
        raise SpecError(Diagnostic("wrong-value", message, span) for span in spans)
    known = tuple(each for each in names if isinstance(each, Scalar))
    if len(known) >= MAX_CHAIN:
        raise SpecError([_too_many(known[MAX_CHAIN - 1])])
    return known


def _is_name(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and tree.value is not None and not file_name_error(tree.text)


def _contradiction(
    names: Sequence[Scalar], bases: Sequence[str], orders: Sequence[Sequence[str]]
) -> Diagnostic:
    """Why the specs of a list cannot be put in order."""
    for at, name in enumerate(names):
        if bases[at] in bases[:at]:
            return _wrong_list(f"`{name.text}` is named twice", name, "remove one of them")
        for earlier, order in zip(names[:at], orders[:at], strict=True):
            if bases[at] in order:
                message = f"`{name.text}` cannot refine `{earlier.text}`, which extends it"
                help = f"remove it: `{earlier.text}` includes it"
                return _wrong_list(message, name, help)
    message = "two of these specs extend the same specs in different orders"
    return _wrong_list(message, names[0], "use one order everywhere")


def _wrong_list(message: str, name: Scalar, help: str) -> Diagnostic:
    return Diagnostic("wrong-value", message, name.span, help=help)


def _too_many(name: Scalar) -> Diagnostic:
    return Diagnostic("limit", f"a chain of more than {MAX_CHAIN} specs", name.span)


def _unknown_base(name: Scalar, folders: tuple[Path, ...]) -> Diagnostic:
    if find_block(name.text, folders):
        return _not_a_network(name.text, name.span)
    known = [path.stem for folder in folders for path in network_files(folder)]
    message = f"there is no spec `{name.text}` beside this one or in the library"
    notes, help = link_notes(name.text, folders), did_you_mean(name.text, known)
    return Diagnostic("unknown-spec", message, name.span, notes, help)


def _not_a_network(name: str, span: Span) -> Diagnostic:
    message = f"`{name}` is a block, not a network"
    return Diagnostic("not-a-network", message, span, help=f"write `block: {name}`")


# --- files


def read_spec(path: Path) -> MapTree:
    """The tree of a file; those of the library are read once per process."""
    return _read_once(path) if path.is_relative_to(LIBRARY) else read(path, display_path(path))


@cache
def _read_once(path: Path) -> MapTree:
    return parse(replace(read_source(path, display_path(path)), shipped=True))


def display_path(path: Path) -> str:
    """A path as it is shown: relative to the library or to the working directory if inside it."""
    if path.is_relative_to(LIBRARY):
        return (Path("specs") / path.relative_to(LIBRARY)).as_posix()
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, with symbolic links followed, is inside a folder."""
    return path.resolve().is_relative_to(folder.resolve())


def link_notes(name: str, folders: tuple[Path, ...]) -> tuple[Note, ...]:
    """Notes on files of a name that exist but are not read: links that point out of their folder."""
    if file_name_error(name):
        return ()
    links = (
        path
        for folder in folders
        for path in (folder / below / f"{name}.yaml" for below in ("", *BLOCK_KINDS))
        if path.is_file() and not is_inside(path, folder)
    )
    return tuple(
        Note(f"`{display_path(link)}` is a symbolic link that leaves its folder") for link in links
    )


# --- networks and blocks by name


def locate_network(spec: str | Path) -> Path:
    """The file of a path or of a library network. Raises FileNotFoundError for an unknown name."""
    path = Path(spec)
    if path.suffix in (".yaml", ".yml") or path.is_file() or len(path.parts) > 1:
        return path.absolute()
    named = LIBRARY / f"{spec}.yaml"
    if file_name_error(str(spec)) is None and named.is_file():
        return named
    hint = did_you_mean(str(spec), (each.stem for each in network_files(LIBRARY)))
    message = f"there is no file and no library network `{spec}`"
    raise FileNotFoundError(f"{message}; {hint}" if hint else message)


def network_files(folder: Path = LIBRARY) -> list[Path]:
    """The network specs of a folder, sorted by name."""
    return sorted(folder.glob("*.yaml"))


def block_files(kind: str, folder: Path = LIBRARY) -> list[Path]:
    """The block specs of one kind (`blocks`, `shortcuts`, `stems`, `heads`), sorted by name."""
    return sorted((folder / kind).glob("*.yaml"))


def block_names(folders: tuple[Path, ...]) -> Iterator[str]:
    """The names that `find_block` knows."""
    for folder in (*folders, LIBRARY):
        for kind in BLOCK_KINDS:
            yield from (path.stem for path in block_files(kind, folder))


def find_block(name: str, folders: tuple[Path, ...]) -> Path | None:
    """The nearest file that defines a block, shortcut policy, stem or head."""
    return next(find_blocks(name, folders), None)


def find_blocks(name: str, folders: tuple[Path, ...]) -> Iterator[Path]:
    """All files that define a block of this name, the nearest first."""
    if file_name_error(name):
        return
    for folder in dict.fromkeys((*folders, LIBRARY)):
        yield from (
            _library_blocks().get(name, ()) if folder == LIBRARY else _blocks_in(folder, name)
        )


def _blocks_in(folder: Path, name: str) -> Iterator[Path]:
    for kind in BLOCK_KINDS:
        path = folder / kind / f"{name}.yaml"
        if path.is_file() and is_inside(path, folder):
            yield path


@cache
def _library_blocks() -> dict[str, tuple[Path, ...]]:
    """The block files of the library by name, listed once per process."""
    names = {path.stem for kind in BLOCK_KINDS for path in block_files(kind)}
    return {name: tuple(_blocks_in(LIBRARY, name)) for name in names}


# --- content and digest


def canonical_text(tree: Tree) -> str:
    """The content of a tree as text, without spans, comments or style."""
    if isinstance(tree, MapTree):
        pairs = (f"{key!r}:{canonical_text(each)}" for key, each in tree.entries.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(tree, ListTree):
        return f"[{','.join(map(canonical_text, tree.items))}]"
    return repr(tree.value)


def digest(trees: Mapping[str, Tree]) -> str:
    """16 hex digits of the content of a network: its document and every block it uses."""
    text = "\n".join(f"{name} {canonical_text(trees[name])}" for name in sorted(trees))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
