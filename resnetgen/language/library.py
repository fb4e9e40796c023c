"""Where specs and templates are found, and `extends`: one document from a chain of files.

The library ships inside the wheel; in a checkout or an editable install it lies beside the package.
A name is looked for beside the spec, then beside each spec that it extends, then in the library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from resnetgen.language.diagnostics import Diagnostic, Note, Source, Span, SpecError, did_you_mean
from resnetgen.language.names import wrong_file_name
from resnetgen.language.reader import ListTree, MapTree, Scalar, Tree, parse, parse_value, read
from resnetgen.language.yaml_text import decode, first_bytes

_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent
KINDS = ("blocks", "shortcuts", "stems", "heads")
DEEPEST = 16  # files in one chain of `extends`
_WRITTEN = {"nodes", "extends", "params"}  # keys of a block that is written out, not called


def _shipped(folder: str) -> Path:
    """The folder beside the package in a checkout, else the copy inside an installed package."""
    beside = _CHECKOUT / folder
    return (
        beside
        if (_CHECKOUT / "pyproject.toml").is_file() and beside.is_dir()
        else _PACKAGE / folder
    )


LIBRARY = _shipped("specs")
TEMPLATES = _shipped("templates")


@dataclass(frozen=True, slots=True)
class Document:
    """A spec after inheritance, the folders in which its names are found, and what was read."""

    tree: MapTree
    folders: tuple[Path, ...]
    sources: tuple[Source, ...]


def shown(path: Path) -> str:
    """A path as people and diagnostics name it: relative to the working directory where it lies below."""
    if path.is_relative_to(LIBRARY):
        inside = Path("specs") / path.relative_to(LIBRARY)
        return inside.as_posix()
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def load(spec: str | Path, overrides: Mapping[str, object] | None = None) -> Document:
    """The document of a path or of a library network. Raises SpecError, and OSError for a bad path."""
    path = locate_network(spec)
    return complete(read_shipped(path), (path.parent,), overrides or {})


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
    chain = [tree]
    while "extends" in chain[-1].entries:
        path = _base_path(chain, folders)
        chain.append(_read_base(path, chain))
        folders = folders if path.parent in folders else (*folders, path.parent)
    merged = chain[-1]
    for later in reversed(chain[:-1]):
        merged = merge(without(merged, "doc"), later)  # it described the other network
    for key, value in overrides.items():
        merged = merge(merged, _override(merged, key, value))
    sources = tuple(each.span.source for each in chain)
    return Document(without(merged, "extends"), folders, sources)


def _base_path(chain: list[MapTree], folders: tuple[Path, ...]) -> Path:
    """The file that the last spec of a chain extends."""
    name = chain[-1].entries["extends"]
    if not isinstance(name, Scalar) or wrong_file_name(name.text):
        raise SpecError(
            [Diagnostic("wrong-value", "`extends` takes the name of a spec", name.span)]
        )
    read_before = [tree.span.source.name for tree in chain]
    cycle = None
    for folder in (*folders, LIBRARY):
        path = folder / f"{name.text}.yaml"
        if not path.is_file() or not inside(path, folder):
            continue
        if shown(path) not in read_before:
            return path
        cycle = " -> ".join([*(Path(each).stem for each in read_before), name.text])
    if cycle:
        first = chain[0].entries["extends"].span
        raise SpecError([Diagnostic("extends-cycle", f"a spec extends itself: {cycle}", first)])
    if find_block(name.text, folders):
        raise SpecError([_not_a_network(name.text, name.span)])
    known = [path.stem for folder in (*folders, LIBRARY) for path in networks(folder)]
    message = f"there is no spec `{name.text}` beside this one or in the library"
    notes, help = leaving(name.text, folders), did_you_mean(name.text, known)
    raise SpecError([Diagnostic("unknown-spec", message, name.span, notes, help)])


def _not_a_network(name: str, span: Span) -> Diagnostic:
    message = f"`{name}` is a block, not a network"
    return Diagnostic("not-a-network", message, span, help=f"say `block: {name}`")


def inside(path: Path, folder: Path) -> bool:
    """Whether a path, symbolic links followed, stays below its folder."""
    return path.resolve().is_relative_to(folder.resolve())


def leaving(name: str, folders: tuple[Path, ...]) -> tuple[Note, ...]:
    """Why a file of a name is not read although it is there: it is a link out of its folder."""
    if wrong_file_name(name):
        return ()
    links = (
        path
        for folder in folders
        for path in (folder / below / f"{name}.yaml" for below in ("", *KINDS))
        if path.is_file() and not inside(path, folder)
    )
    return tuple(
        Note(f"`{shown(link)}` is a symbolic link that leaves its folder") for link in links
    )


def _read_base(path: Path, chain: list[MapTree]) -> MapTree:
    where = chain[-1].entries["extends"].span
    if len(chain) >= DEEPEST:
        raise SpecError([Diagnostic("limit", f"a chain of more than {DEEPEST} specs", where)])
    base = read_shipped(path)
    if is_block(base):
        raise SpecError([_not_a_network(path.stem, where)])
    return base


def is_block(tree: MapTree) -> bool:
    """Whether a document declares a block, and no network whose `network:` is misspelt."""
    keys = tree.entries.keys()
    return "block" in keys and not keys & {"network", "input", "stages", "stem", "head"}


def read_shipped(path: Path) -> MapTree:
    """The tree of a file; those of the library are read once a process."""
    return _read_once(path) if path.is_relative_to(LIBRARY) else read(path, shown(path))


@cache
def _read_once(path: Path) -> MapTree:
    return parse(replace(decode(first_bytes(path), shown(path)), shipped=True))


def locate_network(spec: str | Path) -> Path:
    """The file of a spec: a path, or the name of a network in the library."""
    path = Path(spec)
    if path.suffix in (".yaml", ".yml") or path.is_file() or len(path.parts) > 1:
        return path.absolute()
    named = LIBRARY / f"{spec}.yaml"
    if wrong_file_name(str(spec)) is None and named.is_file():
        return named
    hint = did_you_mean(str(spec), (each.stem for each in networks(LIBRARY)))
    message = f"there is no file and no library network `{spec}`"
    raise FileNotFoundError(f"{message}; {hint}" if hint else message)


def networks(folder: Path = LIBRARY) -> list[Path]:
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
    if wrong_file_name(name):
        return
    for folder in dict.fromkeys((*folders, LIBRARY)):
        yield from _shipped_blocks().get(name, ()) if folder == LIBRARY else _below(folder, name)


def _below(folder: Path, name: str) -> Iterator[Path]:
    for kind in KINDS:
        path = folder / kind / f"{name}.yaml"
        if path.is_file() and inside(path, folder):
            yield path


@cache
def _shipped_blocks() -> dict[str, tuple[Path, ...]]:
    """The block files of the library by name, looked for once a process."""
    names = {path.stem for kind in KINDS for path in block_files(kind)}
    return {name: tuple(_below(LIBRARY, name)) for name in names}


def block_names(folders: tuple[Path, ...]) -> Iterator[str]:
    """The names that `find_block` finds."""
    for folder in (*folders, LIBRARY):
        for kind in KINDS:
            yield from (path.stem for path in block_files(kind, folder))


def merge(base: Tree, later: Tree) -> MapTree:
    """`extends`: maps merge deeply, `null` deletes, scalars and lists replace.

    A map that names `op` replaces wholly, and so does a written block (`nodes`) over a call; any
    other refines, also a bare name: `bottleneck` and `{groups: 32}` give
    `{op: bottleneck, groups: 32}`.
    """
    assert isinstance(base, MapTree)
    assert isinstance(later, MapTree)
    entries, keys = dict(base.entries), dict(base.keys)
    for key, value in later.entries.items():
        if isinstance(value, Scalar) and value.value is None:
            if key not in entries:
                message = f"there is no `{key}` to delete"
                hint = did_you_mean(key, entries)
                raise SpecError([Diagnostic("unknown-key", message, later.keys[key], help=hint)])
            del entries[key], keys[key]
            continue
        entries[key] = merge_value(entries.get(key), value)
        keys[key] = later.keys[key]
        if isinstance(value, MapTree) and "after" in value.entries:
            entries = _moved_after(entries, key, value.entries["after"])
    return MapTree(entries, keys, later.span)


def merge_value(base: Tree | None, later: Tree) -> Tree:
    """One value over another, as `merge` does for each key."""
    if not isinstance(later, MapTree) or _replaces(later, base):
        return later
    if isinstance(base, Scalar) and isinstance(base.value, str):
        base = MapTree({"op": base}, {"op": base.span}, base.span)
    return merge(base, later) if isinstance(base, MapTree) else later


def _replaces(later: MapTree, base: Tree | None) -> bool:
    """A call replaces; so does a written block over a call, but not over a written block."""
    written = isinstance(base, MapTree) and bool(_WRITTEN & base.entries.keys())
    return "op" in later.entries or ("nodes" in later.entries and not written)


def _moved_after(entries: dict[str, Tree], key: str, after: Tree) -> dict[str, Tree]:
    """`after: KEY` places a new node, and is gone then: one that stays had no effect."""
    value = entries[key]
    if not isinstance(after, Scalar) or not isinstance(value, MapTree):
        return entries
    value = without(value, "after")
    if after.text not in entries or after.text == key:
        message = f"there is no node `{after.text}` to follow"
        hint = did_you_mean(after.text, (each for each in entries if each != key))
        raise SpecError([Diagnostic("unknown-value", message, after.span, help=hint)])
    ordered: dict[str, Tree] = {}
    for name, tree in entries.items():
        if name != key:
            ordered[name] = tree
        if name == after.text:
            ordered[key] = value
    return ordered


def without(tree: MapTree, *dropped: str) -> MapTree:
    """The map without some of its keys."""
    kept = {key: each for key, each in tree.entries.items() if key not in dropped}
    return MapTree(kept, tree.keys, tree.span)


def _override(tree: MapTree, key: str, value: object) -> MapTree:
    """`layer3.blocks`, `11` -> `{stages: {layer3: {blocks: 11}}}`; the longest keys that match, stages first."""
    text = value if isinstance(value, str) else as_yaml(value)
    leaf = parse_value(text, f"--set {key}")
    steps = key.split(".")
    path: list[str] = []
    stages = tree.entries.get("stages")
    if isinstance(stages, MapTree) and _longest(stages, steps):
        path, tree = ["stages"], stages
    here: Tree | None = tree
    while steps:
        taken = _longest(here, steps) or 1
        name = ".".join(steps[:taken])
        path.append(name)
        here = here.entries.get(name) if isinstance(here, MapTree) else None
        steps = steps[taken:]
    _refuse_unknown(tree, path, leaf, key)
    for name in reversed(path):
        leaf = MapTree({name: leaf}, {name: leaf.span}, leaf.span)
    assert isinstance(leaf, MapTree)
    return leaf


def _refuse_unknown(tree: MapTree, path: list[str], leaf: Tree, key: str) -> None:
    """A first step that is neither a stage nor a key of a network is a mistake of the call."""
    from resnetgen.language.spec import NetworkForm

    stages = tree.entries.get("stages")
    names = [field.alias or name for name, field in NetworkForm.model_fields.items()]
    if path[0] == "stages" or path[0] in names:
        return
    stage_names = list(stages.entries) if isinstance(stages, MapTree) else []
    message = f"there is no stage and no key `{path[0]}` in this network"
    hint = did_you_mean(path[0], [*stage_names, *names])
    raise SpecError(
        [Diagnostic("unknown-key", message, leaf.span, (Note(f"set by `{key}`"),), hint)]
    )


def _longest(tree: Tree | None, steps: list[str]) -> int:
    if not isinstance(tree, MapTree):
        return 0
    counts = range(len(steps), 0, -1)
    return next((count for count in counts if ".".join(steps[:count]) in tree.entries), 0)


def as_yaml(value: object) -> str:
    """A Python value of `compile_spec(spec, **overrides)` as YAML flow text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_yaml(each) for each in value) + "]"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def canonical(tree: Tree) -> str:
    """The content of a tree as text, without places, comments or style: what a digest is taken of."""
    if isinstance(tree, MapTree):
        return (
            "{" + ",".join(f"{key!r}:{canonical(each)}" for key, each in tree.entries.items()) + "}"
        )
    if isinstance(tree, ListTree):
        return "[" + ",".join(canonical(each) for each in tree.items) + "]"
    return repr(tree.value)


def digest(trees: Mapping[str, Tree]) -> str:
    """16 hex digits that name the meaning of a network: its document and every block it uses."""
    text = "\n".join(f"{name} {canonical(trees[name])}" for name in sorted(trees))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
