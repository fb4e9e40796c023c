"""mixed(designs, held, trials): networks of the library with parts of others in their place.

    resnet50 with the stem of resnet50d and the attention of seresnet50

A part is what a spec names in one place: stem, block, shortcut, head, norm, convolution, number of
axes, or what stands in a slot of the stem or of the block. Each is judged by the names and kernels
of a preview of the network. The fewest parts come first; a part that no tensor shows is never
changed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend.expressions import Const
from resnetgen.compiler.frontend.tree import entries
from resnetgen.compiler.frontend.yaml_reader import ListTree, MapTree, Scalar, Tree
from resnetgen.compiler.frontend.yaml_writer import to_flow
from resnetgen.compiler.ir.nodes import Block, Network
from resnetgen.compiler.passes.elaborate import DEFAULT_HEAD
from resnetgen.weights.infer.checkpoint import CheckpointShapes, Kind, masked
from resnetgen.weights.infer.design import DELETED, Design, Path, Trials
from resnetgen.weights.infer.families import block_paths, kinds, preview
from resnetgen.weights.infer.numbers import numbers_of

_AMBIENT = ("conv", "norm", "shortcut")
_MOST_PARTS = 3  # in the place of others
_MOST_GROUPS = 8  # of designs, that are looked at further


Swap = tuple[Path, str]  # a place, and what the spec shall say there


@dataclass(frozen=True)
class Parts:
    """What the library has for each place of a network; an empty text: nothing said there."""

    choices: Mapping[Path, Sequence[str]]
    blocks: Mapping[Path, Mapping[str, Block]]  # those of the library that stems and stages call

    def others(self, design: Design, places: Container[str]) -> Iterator[Swap]:
        """What could stand in some places of a design that still have their own part."""
        for path, texts in self.choices.items():
            own = _said(path, _at(design.tree, path))
            if path not in design.parts and path[0] in places:
                yield from ((path, text) for text in texts if text != own)

    def swapped(self, design: Design, swap: Swap, trials: Trials) -> Design | None:
        """The design with another part; None where that cannot be. Raises SpecError."""
        path, text = swap
        here = _at(design.tree, path)
        if text in self.blocks.get(path, ()):
            text = _called_alike(text, self.blocks[path][text], path, design, trials)
        if here is None and not text:
            return None
        return replace(design.setting({path: text or DELETED}), parts=(*design.parts, path))


def _called_alike(op: str, block: Block, place: Path, design: Design, trials: Trials) -> str:
    """A call of another block with the arguments of the one before that it knows, and its numbers."""
    here = _at(design.tree, place)
    given = here.entries.items() if isinstance(here, MapTree) else ()
    known = {key: to_flow(each) for key, each in given if key in {*block.params, *block.slots}}
    for path, number in numbers_of(design.tree, trials.body(design)[0]).items():
        param = block.params.get(path[-1]) if path[:-1] == place else None
        default = param.default.expr if param and param.default else None
        if isinstance(default, Const) and default.value != number.value:
            known.setdefault(path[-1], number.text(number.count))
    said = ", ".join(f"{key}: {text}" for key, text in {"op": op, **known}.items())
    return f"{{{said}}}" if known else op


def parts_of(designs: Iterable[Design], trials: Trials) -> Parts:
    """Every part that some networks have in a place of its own."""
    choices: dict[Path, dict[str, None]] = {}
    blocks: dict[Path, dict[str, Block]] = {}
    for design in designs:
        with suppress(SpecError):
            tree, (network, _) = design.tree, trials.body(design)
            for path in _places(network):
                choices.setdefault(path, {})[_said(path, _at(tree, path))] = None
            for path, op, block in _calls(tree, network):
                blocks.setdefault(path, {})[op] = block
    choices["block",] = dict.fromkeys(blocks["block",])
    choices["input", "size"] = _one_of_each_length(choices["input", "size"])
    return Parts({path: [*texts] for path, texts in choices.items()}, blocks)


def _places(network: Network) -> Iterator[Path]:
    """Where a network has parts."""
    yield "input", "size"
    yield from ((name,) for name in ("stem", "head", *_AMBIENT))
    for node in network.root.nodes:
        place = "block" if node.stage else node.key
        if place in ("stem", "block") and isinstance(node.target, Block):
            yield from ((place, slot) for slot in node.target.slots)


def _calls(tree: MapTree, network: Network) -> Iterator[tuple[Path, str, Block]]:
    """The blocks that a stem and the stages call by a name of the library."""
    for node in network.root.nodes:
        place = "block" if node.stage else node.key
        op = _called(tree.entries.get(place)) if place in ("stem", "block") else ""
        if op and op not in entries(tree, "define") and isinstance(node.target, Block):
            yield (place,), op, node.target


def _one_of_each_length(texts: Mapping[str, None]) -> dict[str, None]:
    return dict.fromkeys({text.count(","): text for text in reversed([*texts])}.values())


def _at(tree: Tree | None, path: Path) -> Tree | None:
    for key in path:
        tree = tree.entries.get(key) if isinstance(tree, MapTree) else None
    return tree


def _called(tree: Tree | None) -> str:
    """The block or op that a value names; nothing where it is written out, or not there."""
    if isinstance(tree, MapTree):
        tree = tree.entries.get("op")
    return tree.text if isinstance(tree, Scalar) and isinstance(tree.value, str) else ""


def _said(path: Path, tree: Tree | None) -> str:
    """What a spec says in a place, without its numbers."""
    if tree is None or isinstance(tree, ListTree):
        return to_flow(tree) if tree else ""
    if isinstance(tree, MapTree) and "nodes" in tree.entries:
        return to_flow(tree)
    if path == ("head",):
        return _called(tree) or DEFAULT_HEAD
    words = [f"{key}: {to_flow(each)}" for key, each in _words(tree).items()]
    alone = len(words) < 2 or path in (("stem",), ("block",))
    return _called(tree) if alone else f"{{{', '.join(words)}}}"


def _words(tree: Tree) -> dict[str, Tree]:
    """What a call says in words and in true or false."""
    given = tree.entries.items() if isinstance(tree, MapTree) else ()
    words = {key: each for key, each in given if isinstance(each, Scalar)}
    return {key: each for key, each in words.items() if type(each.value) in (str, bool)}


def mixed(
    designs: Sequence[Design], held: CheckpointShapes, trials: Trials
) -> Iterator[list[Design]]:
    """Designs with one part of another network, then with two, ...: the likest of each round.

    Designs with the same kinds of tensors are looked at together.
    """
    parts = parts_of(designs, trials)
    groups = _grouped(designs, trials)
    for _ in range(_MOST_PARTS):
        nearest = sorted(groups, key=lambda own: len(own ^ held.kinds))[:_MOST_GROUPS]
        better = [each for own in nearest for each in _better(groups[own], parts, held, trials)]
        groups = _grouped(better, trials)
        yield better


def _grouped(designs: Iterable[Design], trials: Trials) -> dict[frozenset[Kind], list[Design]]:
    groups: dict[frozenset[Kind], list[Design]] = {}
    for design in designs:
        if own := kinds(design, trials):
            groups.setdefault(own, []).append(design)
    return groups


def _better(
    group: Sequence[Design], parts: Parts, held: CheckpointShapes, trials: Trials
) -> Iterator[Design]:
    """The designs of a group with the one other part that makes them likest to the file.

    Several where tensors do not tell parts apart; none where every part makes them less alike.
    """
    first, scores = group[0], {}
    for swap in parts.others(first, _places_at_fault(first, held, trials)):
        other = parts.swapped(first, swap, trials)
        if other and (own := kinds(other, trials)):
            scores[swap] = len(own ^ held.kinds)
    least = min(scores.values(), default=0)
    if least < len(kinds(first, trials) ^ held.kinds):
        best = [swap for swap, score in scores.items() if score == least]
        found = (parts.swapped(design, swap, trials) for design in group for swap in best)
        yield from (design for design in found if design)


def _places_at_fault(design: Design, held: CheckpointShapes, trials: Trials) -> set[str]:
    """Where a spec may have to say something else: what differs lies in its stages, or beside them."""
    paths = block_paths(preview(design, trials), trials)
    stages = tuple({f"{masked(path)}." for path in paths})
    inside = {name.startswith(stages) for name, *_ in kinds(design, trials) ^ held.kinds}
    places = {True: ("block", "shortcut"), False: ("stem", "head")}
    return {"input", "conv", "norm"}.union(*(places[each] for each in inside))
