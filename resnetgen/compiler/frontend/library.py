"""Where specs are found, and `extends`: one document from a chain of files.

A name is looked for beside the spec, then beside each spec that it extends, then in the library.

shipped("templates") -> the folder of that name, of the checkout or of the installed package.

What the package needs beside its code ships inside the wheel; in a checkout or an editable install
it lies beside the package.
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
from resnetgen.compiler.frontend.inheritance import c3_linearize, merge_specs, apply_override
from resnetgen.compiler.frontend.yaml_reader import ListTree, MapTree, Scalar, Tree, parse, read
from resnetgen.compiler.frontend.yaml_scalars import decode_utf8, read_bytes

_PACKAGE = Path(__file__).resolve().parents[2]
_CHECKOUT = _PACKAGE.parent


def shipped_folder(folder: str) -> Path:
    """The folder beside the package in a checkout, else the copy inside an installed package."""
    beside = _CHECKOUT / folder
    is_checkout = (_CHECKOUT / "pyproject.toml").is_file() and beside.is_dir()
    return beside if is_checkout else _PACKAGE / folder


TEMPLATES = shipped_folder("templates")


# What a spec says of itself, and the version of the language: nothing of it is compiled.
DESCRIPTIVE_KEYS = ("network", "doc", "paper", "family", "allow", "language")
BLOCK_KINDS = ("blocks", "shortcuts", "stems", "heads")
MAX_CHAIN = 16  # files in one chain of `extends`


LIBRARY = shipped_folder("specs")


@dataclass(frozen=True, slots=True)
class Document:
    """A spec after inheritance, the folders in which its names are found, and what was read."""

    tree: MapTree
    folders: tuple[Path, ...]
    sources: tuple[Source, ...]


def display_path(path: Path) -> str:
    """A path as people and diagnostics name it: relative to the working directory where it lies below."""
    if path.is_relative_to(LIBRARY):
        inside = Path("specs") / path.relative_to(LIBRARY)
        return inside.as_posix()
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


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
    """Follows `extends` to its end and applies the overrides of the command line.

    Not of a block: what that extends is a block, and `elaborate` refuses it.
    """
    if is_block(tree):
        return Document(tree, folders, (tree.span.source,))
    specs = _Specs(tree, folders).in_order()
    whole = merge_specs(specs)
    for key, value in overrides.items():
        whole = apply_override(whole, key, value)
    if LIBRARY not in folders and any(each.span.source.shipped for each in specs):
        folders = (*folders, LIBRARY)
    sources = tuple(each.span.source for each in reversed(specs))
    return Document(whole, folders, sources)


# How a spec is reached from the first: each file on the way, and what it names.
Way: TypeAlias = tuple[tuple[str, Scalar], ...]


class _Specs:
    """A spec and all that it extends, each read and put in order once; files go by their names."""

    def __init__(self, tree: MapTree, folders: tuple[Path, ...]) -> None:
        self.root = tree.span.source.name
        self.folders = tuple(dict.fromkeys((*folders, LIBRARY)))
        self.trees = {self.root: tree}
        self.orders: dict[str, list[str] | None] = {}
        self.faults: dict[str, Diagnostic] = {}  # by place: two may extend what is at fault

    def in_order(self) -> list[MapTree]:
        """What is merged, from the first to the spec itself. Raises SpecError."""
        order = self.order(self.root, ())
        if order is None:
            raise SpecError(self.faults.values())
        return [self.trees[file] for file in order]

    def order(self, file: str, way: Way) -> list[str] | None:
        """A file after all that it extends; None after a fault."""
        if file not in self.orders:
            self.orders[file] = None
            with self.collecting():
                self.orders[file] = self.ordered(file, way)
        return self.orders[file]

    def ordered(self, file: str, way: Way) -> list[str] | None:
        names = _extended(self.trees[file])
        orders = [self.order_of(name, (*way, (file, name))) for name in names]
        known = [order for order in orders if order is not None]
        if len(known) < len(orders):
            return None
        bases = [order[-1] for order in known]
        before = c3_linearize([bases, *known])
        if before is None:
            raise SpecError([_contradiction(names, bases, known)])
        return [*before, file]

    def order_of(self, name: Scalar, way: Way) -> list[str] | None:
        """What `order` says of the file that a name means."""
        with self.collecting():
            return self.order(self.base(name, way), way)
        return None

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keeps faults, so that those of all files are told together."""
        try:
            yield
        except SpecError as error:
            self.faults |= {str(each.span): each for each in error.diagnostics}

    def base(self, name: Scalar, way: Way) -> str:
        """The file of a name, read: the nearest that does not lie on the way to it."""
        behind = [file for file, _ in way]
        places = ((folder, folder / f"{name.text}.yaml") for folder in self.folders)
        found = [path for folder, path in places if path.is_file() and is_inside(path, folder)]
        fresh = [path for path in found if display_path(path) not in behind]
        if fresh:
            return self.read(fresh[0], name)
        if found:
            cycle = " -> ".join([*(Path(each).stem for each in behind), name.text])
            message = f"a spec extends itself: {cycle}"
            raise SpecError([Diagnostic("extends-cycle", message, way[0][1].span)])
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


def _contradiction(
    names: Sequence[Scalar], bases: Sequence[str], orders: Sequence[Sequence[str]]
) -> Diagnostic:
    """Why the specs of a list have no order."""
    for at, name in enumerate(names):
        if bases[at] in bases[:at]:
            return _wrong_list(f"`{name.text}` is named twice", name, "take one of them out")
        for heir, order in zip(names[:at], orders[:at], strict=True):
            if bases[at] in order:
                help = f"take it out: `{heir.text}` brings it along"
                message = f"`{name.text}` cannot refine `{heir.text}`, which extends it"
                return _wrong_list(message, name, help)
    message = "two of these specs extend the same ones in another order"
    return _wrong_list(message, names[0], "name them in one order everywhere")


def _wrong_list(message: str, name: Scalar, help: str) -> Diagnostic:
    return Diagnostic("wrong-value", message, name.span, help=help)


def _extended(tree: MapTree) -> tuple[Scalar, ...]:
    """The names that `extends` gives: one, or a list. Raises SpecError."""
    if "extends" not in tree.entries:
        return ()
    value = tree.entries["extends"]
    names = value.items if isinstance(value, ListTree) else (value,)
    wrong = [each for each in names if not _is_name(each)]
    if wrong or not names:
        message = "`extends` takes the name of a spec, or a list of names"
        spans = [each.span for each in wrong] or [value.span]
        raise SpecError(Diagnostic("wrong-value", message, span) for span in spans)
    known = tuple(each for each in names if isinstance(each, Scalar))
    if len(known) >= MAX_CHAIN:
        raise SpecError([_too_many(known[MAX_CHAIN - 1])])
    return known


def _is_name(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and tree.value is not None and not file_name_error(tree.text)


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
    return Diagnostic("not-a-network", message, span, help=f"say `block: {name}`")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, symbolic links followed, stays below its folder."""
    return path.resolve().is_relative_to(folder.resolve())


def link_notes(name: str, folders: tuple[Path, ...]) -> tuple[Note, ...]:
    """Why a file of a name is not read although it is there: it is a link out of its folder."""
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


def is_block(tree: MapTree) -> bool:
    """Whether a document declares a block, and no network whose `network:` is misspelt."""
    keys = tree.entries.keys()
    return "block" in keys and not keys & {"network", "input", "stages", "stem", "head"}


def is_dialect(tree: MapTree) -> bool:
    """Whether a document declares a dialect of checkpoints, and no network."""
    return "dialect" in tree.entries and "network" not in tree.entries


def read_spec(path: Path) -> MapTree:
    """The tree of a file; those of the library are read once a process."""
    return _read_once(path) if path.is_relative_to(LIBRARY) else read(path, display_path(path))


@cache
def _read_once(path: Path) -> MapTree:
    return parse(replace(decode_utf8(read_bytes(path), display_path(path)), shipped=True))


def locate_network(spec: str | Path) -> Path:
    """The file of a spec: a path, or the name of a network in the library."""
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
    """The network specs of a folder, by name."""
    return sorted(folder.glob("*.yaml"))


def block_files(kind: str, folder: Path = LIBRARY) -> list[Path]:
    """The block specs of one kind (`blocks`, `shortcuts`, `stems`, `heads`), by name."""
    return sorted((folder / kind).glob("*.yaml"))


def find_block(name: str, folders: tuple[Path, ...]) -> Path | None:
    """The file that defines a block, policy, stem or head."""
    return next(find_blocks(name, folders), None)


def find_blocks(name: str, folders: tuple[Path, ...]) -> Iterator[Path]:
    """All files of a block's name, the nearest first."""
    if file_name_error(name):
        return
    for folder in dict.fromkeys((*folders, LIBRARY)):
        yield from _shipped_blocks().get(name, ()) if folder == LIBRARY else _below(folder, name)


def _below(folder: Path, name: str) -> Iterator[Path]:
    for kind in BLOCK_KINDS:
        path = folder / kind / f"{name}.yaml"
        if path.is_file() and is_inside(path, folder):
            yield path


@cache
def _shipped_blocks() -> dict[str, tuple[Path, ...]]:
    """The block files of the library by name, looked for once a process."""
    names = {path.stem for kind in BLOCK_KINDS for path in block_files(kind)}
    return {name: tuple(_below(LIBRARY, name)) for name in names}


def block_names(folders: tuple[Path, ...]) -> Iterator[str]:
    """The names that `find_block` finds."""
    for folder in (*folders, LIBRARY):
        for kind in BLOCK_KINDS:
            yield from (path.stem for path in block_files(kind, folder))


def canonical_text(tree: Tree) -> str:
    """The content of a tree as text, without places, comments or style: what a digest is taken of."""
    if isinstance(tree, MapTree):
        return (
            "{" + ",".join(f"{key!r}:{canonical_text(each)}" for key, each in tree.entries.items()) + "}"
        )
    if isinstance(tree, ListTree):
        return "[" + ",".join(canonical_text(each) for each in tree.items) + "]"
    return repr(tree.value)


def digest(trees: Mapping[str, Tree]) -> str:
    """16 hex digits that name the meaning of a network: its document and every block it uses."""
    text = "\n".join(f"{name} {canonical_text(trees[name])}" for name in sorted(trees))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
