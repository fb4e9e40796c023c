"""apart(one, other) -> lines: what the second of two networks is where their tensors are the same.

    resnet50, resnet50_v1    ->  stride 2, not 1: conv1 in layer2.0, layer3.0, layer4.0
                                 stride 1, not 2: conv2 in layer2.0, layer3.0, layer4.0
    resnet50, resnetblur50   ->  with blur: maxpool.1; aa.0 in layer2.0, layer3.0, layer4.0; ...

Nodes are matched by name; all that the graphs hold is compared, but for sizes, since no tensor shows
that of the input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resnetgen.graph.ir import Graph, Node
from resnetgen.graph.opdef import shown
from resnetgen.weights.sides import changed

_MOST_BLOCKS = 4  # that are named


def apart(one: Graph, other: Graph) -> list[str]:
    """What distinguishes the second from the first, with the nodes where it shows."""
    ours = {node.name: node for node in one.nodes}
    theirs = {node.name: node for node in other.nodes}
    lines = [
        *_alone("with", (node for name, node in theirs.items() if _is_new(node, ours.get(name)))),
        *_alone(
            "without", (node for name, node in ours.items() if _is_new(node, theirs.get(name)))
        ),
    ]
    pairs = [(ours[name], node) for name, node in theirs.items() if name in ours]
    lines += _by_words((_changes(*pair), pair[1].name) for pair in pairs)
    return lines or [*_by_words((_inputs(*pair), pair[1].name) for pair in pairs)]


def _is_new(node: Node, counterpart: Node | None) -> bool:
    return counterpart is None or counterpart.op != node.op


def _alone(word: str, nodes: Iterable[Node]) -> Iterator[str]:
    return _by_words(([f"{word} {node.op}"], node.name) for node in nodes)


def _changes(one: Node, other: Node) -> list[str]:
    if one.op != other.op:
        return []
    mine, yours = one.attributes, other.attributes
    names = [name for name, _, _ in changed(one, other)]
    return [f"{name} {shown(yours[name])}, not {shown(mine[name])}" for name in names]


def _inputs(one: Node, other: Node) -> list[str]:
    return [] if one.inputs == other.inputs else [f"reads {', '.join(other.inputs)}"]


def _by_words(said: Iterable[tuple[list[str], str]]) -> Iterator[str]:
    """One line for all nodes of which the same is said."""
    places: dict[str, list[str]] = {}
    for words, name in said:
        for each in words:
            places.setdefault(each, []).append(name)
    for what, names in places.items():
        yield f"{what}: {_places(names)}"


def _places(names: Iterable[str]) -> str:
    """`conv1 in layer2.0, layer3.0, layer4.0; maxpool`: the blocks where a node of a name stands."""
    blocks: dict[str, list[str]] = {}
    for name in names:
        block, own = _split(name)
        blocks.setdefault(own, []).append(block)
    return "; ".join(f"{own}{_listed(each)}" for own, each in blocks.items())


def _split(name: str) -> tuple[str, str]:
    """`layer2.0.aa.0` -> `layer2.0`, `aa.0`: a node's own name is no number."""
    *before, own = name.split(".")
    while own[0].isdigit() and before:
        own = f"{before.pop()}.{own}"
    return ".".join(before), own


def _listed(blocks: list[str]) -> str:
    if not any(blocks):
        return ""
    more = len(blocks) - _MOST_BLOCKS
    return f" in {', '.join(blocks[:_MOST_BLOCKS])}" + (f" and {more} more" if more > 0 else "")
