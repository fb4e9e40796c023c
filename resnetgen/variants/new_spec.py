"""draft(...) -> Draft: the spec of a variant, and its network as it will be in its place.

# yaml-language-server: $schema=network.schema.json
# 77 layers, 35,611,688 parameters, 6.05 G multiply-adds for 3 x 224 x 224
# ...
network: my77
doc: resnet50 with 77 layers
extends: resnet50
stages:
  layer3: {blocks: 15}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from resnetgen.compiler import Compiled, compile_document
from resnetgen.graph.elaborate import elaborate
from resnetgen.language import library
from resnetgen.language.diagnostics import Diagnostic, Source, SpecError
from resnetgen.language.expanded import WIDTH, as_spec
from resnetgen.language.library import Document
from resnetgen.language.merge import merge, without
from resnetgen.language.override import override
from resnetgen.language.reader import MapTree, Scalar, parse
from resnetgen.report.columns import summary
from resnetgen.variants.new_changes import changes
from resnetgen.variants.repeats import Choice, Family
from resnetgen.variants.repeats_depth import depth


@dataclass(frozen=True, slots=True)
class Draft:
    """A spec that is not yet placed, and its network."""

    text: str
    compiled: Compiled


def draft(
    name: str, base: Path, family: Family, choice: Choice, said: Sequence[str], place: Path
) -> Draft:
    """The spec of a choice, which extends the file `base` and is to stand at `place`.

    `said` becomes comments. Raises SpecError where the file would mean another network at its
    place, or the choice does not have its depth.
    """
    place = place.absolute()
    document = family.base.document
    tree = document.tree
    for stage, count in family.changes(choice.repeats).items():
        tree = override(tree, f"stages.{stage}.blocks", count)
    changed = changes(library.load(base).tree, tree)
    doc = f"{base.stem} with {choice.depth} layers"
    text = as_spec(extending(base.stem, changed, network=name, doc=doc))
    text = "\n".join([*_comments(family, choice, said, place), text])
    compiled = compiled_at(place, text, Document(tree, document.folders, document.sources))
    if depth(compiled.root) != choice.depth:
        raise SpecError([_uneven(family, choice, depth(compiled.root))])
    return Draft(text, compiled)


def extending(base: str, changed: MapTree, *, network: str, doc: str) -> MapTree:
    """Changes as a spec of its own."""
    own = {"network": network, "doc": doc, "extends": base}
    words = {key: Scalar(text, text, changed.span, False) for key, text in own.items()}
    return MapTree({**words, **changed.entries}, changed.keys, changed.span)


def _comments(family: Family, choice: Choice, said: Sequence[str], place: Path) -> list[str]:
    """The line that editors need, what the network is, and why it is so."""
    costs = summary(family.cost(choice.repeats))
    told = [f"{choice.depth} layers, {costs} for {family.network.input}", *said]
    lines = [line for each in told for line in wrap(each, WIDTH - 2)]
    return [f"# {line}" for line in (modeline(place.parent), *lines)]


def modeline(folder: Path) -> str:
    """What tells editors where the schema of a spec lies, seen from its folder: docs/editor.md."""
    schema = "schema/network.json" if folder == library.LIBRARY else "network.schema.json"
    return f"yaml-language-server: $schema={schema}"


def compiled_at(place: Path, text: str, wanted: Document) -> Compiled:
    """The network of a text; beside its place there may be others of the names that it uses."""
    tree = parse(Source(library.shown(place), text))
    document = library.complete(tree, (place.parent,), {})
    if _digest(document, tree) == _digest(wanted, tree):
        return compile_document(document)
    message = f"`{library.shown(place)}` would mean another network than was asked for"
    help = "place it where no other specs and blocks have the names that it uses"
    raise SpecError([Diagnostic("other-meaning", message, help=help)])


def _digest(document: Document, named: MapTree) -> str:
    """What a document means, under the name that another one has."""
    name = MapTree({"network": named.entries["network"]}, named.keys, named.span)
    tree = merge(without(document.tree, "doc"), name)
    return elaborate(Document(tree, document.folders, document.sources)).digest


def _uneven(family: Family, choice: Choice, found: int) -> Diagnostic:
    """The blocks of a stage are not all as deep as the one that was measured."""
    message = (
        f"the blocks of a stage of `{family.network.name}` differ in depth, so it cannot be told"
        f" which repeats make {choice.depth} layers: {choice} makes {found}"
    )
    return Diagnostic("fixed-repeats", message, family.network.span)
