"""Draft: a spec that extends another one and has only what differs, checked before it is written.

    tree_difference(base, wanted)   the tree that `extends` has to merge over one spec to get another

    {block: bottleneck, stages: {layer3: {blocks: 6, width: 256}}}     base
    {block: bottleneck, stages: {layer3: {blocks: 15, width: 256}}}    wanted
        ->  {stages: {layer3: {blocks: 15}}}

    draft_spec(...)                 its text with comments, and the network that it specifies

    # yaml-language-server: $schema=network.schema.json
    # ...
    network: my77
    doc: ResNet-77, ResNet-50 with 3-4-15-3 blocks
    extends: resnet50
    stages:
      layer3: {blocks: 15}

Non-goal: the order of keys. New keys come last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resnetgen.compiler.diagnostics.model import Diagnostic, Source, SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.inheritance import merge
from resnetgen.compiler.frontend.library import Document, canonical_text
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree, without
from resnetgen.compiler.frontend.yaml_reader import parse
from resnetgen.compiler.frontend.yaml_writer import to_yaml
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.pipeline import Compiled, compile_document


@dataclass(frozen=True, slots=True)
class Draft:
    """The text of a spec that is not written yet, and its network."""

    text: str
    compiled: Compiled


def draft_spec(
    path: Path, base: Path, wanted: Document, *, network: str, doc: str, comments: Iterable[str]
) -> Draft:
    """The spec at `path` that extends the file `base` and specifies the same network as `wanted`.

    Raises SpecError `other-meaning` if its names refer to other specs or blocks in that folder.
    """
    path = path.absolute()
    changed = tree_difference(library.load(base).tree, wanted.tree)
    spec = to_yaml(_derived_tree(base.stem, changed, network=network, doc=doc))
    lines = (_modeline(path.parent), *comments)
    text = "\n".join([*(f"# {line}" for line in lines), spec])
    return Draft(text, _compile_in_place(path, text, wanted))


def tree_difference(base: MapTree, wanted: MapTree) -> MapTree:
    """What differs, for `merge`: `null` deletes, and a call of another block replaces the first."""
    changed: dict[str, Tree] = {}
    for key, value in wanted.entries.items():
        before = base.entries.get(key)
        if before and canonical_text(before) == canonical_text(value):
            continue
        changed[key] = value
        if isinstance(before, MapTree) and isinstance(value, MapTree) and _same_op(before, value):
            changed[key] = tree_difference(before, value)
    deleted = base.entries.keys() - wanted.entries.keys()
    changed |= {key: Scalar(None, "null", base.key_spans[key], False) for key in sorted(deleted)}
    return MapTree(changed, wanted.key_spans, wanted.span)


def _same_op(before: MapTree, value: MapTree) -> bool:
    """Whether two maps call the same block, or neither calls one."""
    one, other = before.entries.get("op"), value.entries.get("op")
    return (one and canonical_text(one)) == (other and canonical_text(other))


def _derived_tree(base: str, changed: MapTree, *, network: str, doc: str) -> MapTree:
    """The spec that extends `base` with some changes."""
    heading = {"network": network, "doc": doc, "extends": base}
    scalars = {key: Scalar(text, text, changed.span, False) for key, text in heading.items()}
    return MapTree({**scalars, **changed.entries}, changed.key_spans, changed.span)


def _modeline(folder: Path) -> str:
    """Where editors find the schema of specs in a folder: docs/editor.md."""
    schema = "schema/network.json" if folder == library.LIBRARY else "network.schema.json"
    return f"yaml-language-server: $schema={schema}"


def _compile_in_place(path: Path, text: str, wanted: Document) -> Compiled:
    """The network of a text at a path, where other files may have the names that it uses."""
    tree = parse(Source(library.display_path(path), text))
    document = library.complete(tree, (path.parent,), {})
    if _digest(document, tree) == _digest(wanted, tree):
        return compile_document(document)
    message = f"`{library.display_path(path)}` would mean another network than the one asked for"
    help = "place it where no other specs and blocks have the names that it uses"
    raise SpecError([Diagnostic("other-meaning", message, help=help)])


def _digest(document: Document, name_from: MapTree) -> str:
    """The digest of a document, under the name that another tree has."""
    name = MapTree({"network": name_from.entries["network"]}, name_from.key_spans, name_from.span)
    tree = merge(without(document.tree, "doc"), name)
    return elaborate(Document(tree, document.folders, document.sources)).digest
