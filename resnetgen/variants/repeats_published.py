"""published(document, network) -> the library's networks of the same blocks, with their repeats.

    resnet50  ->  {"resnet101": {layer1: 3, layer2: 4, layer3: 23, layer4: 3}, "resnet152": ...}

The same blocks: all that a network says, but for its repeats, what it reads (`input`), what stands
behind its stages (`head`), initial weights, and what names and describes it. Specs are compared as
they are after `extends`; what they are called does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping

from resnetgen.graph.elaborate import elaborate
from resnetgen.graph.ir import Network
from resnetgen.language import library
from resnetgen.language.diagnostics import SpecError
from resnetgen.language.library import Document
from resnetgen.language.merge import without
from resnetgen.language.reader import MapTree, Tree
from resnetgen.language.trees import entries, repeats

_BESIDE = (*library.OF_ITSELF, "class", "input", "head", "init")


def published(document: Document, network: Network) -> dict[str, Mapping[str, int]]:
    """The repeats of all stages of each library network with the blocks of a spec, by its name."""
    if not _means_the_same_in_the_library(document, network):
        return {}
    wanted, found = _trunk(document.tree), dict[str, Mapping[str, int]]()
    for path in library.networks():
        try:
            tree = library.load(path).tree
        except SpecError:  # a library that someone is editing
            continue
        numbers = repeats(tree)
        whole = numbers and numbers.keys() == entries(tree, "stages").keys()
        if whole and _trunk(tree) == wanted:
            found[path.stem] = numbers
    return found


def _means_the_same_in_the_library(document: Document, network: Network) -> bool:
    """Whether no block is one of the person's own files."""
    try:
        alone = elaborate(Document(document.tree, (library.LIBRARY,), document.sources))
    except SpecError:
        return False
    return alone.digest == network.digest


def _trunk(tree: MapTree) -> list[tuple[str, str]]:
    """What a network says of its stem, stages and blocks, without the repeats."""
    bare = without(tree, "stages", *_BESIDE).entries
    stages = {
        f"stages.{key}": _without_repeats(each) for key, each in entries(tree, "stages").items()
    }
    parts = [*sorted(bare.items()), *stages.items()]  # stages have an order, keys have none
    return [(key, library.canonical(each)) for key, each in parts]


def _without_repeats(stage: Tree) -> Tree:
    return without(stage, "blocks") if isinstance(stage, MapTree) else stage
