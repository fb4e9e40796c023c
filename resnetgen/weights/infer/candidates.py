"""candidates_of(outcome, trials) -> what a person is told of each candidate.

    resnet50_v1    head.classes: 10; beside resnet50:
                   stride 2, not 1: conv1 in layer2.0, layer3.0, layer4.0; ...

A candidate is called after the network that it extends, and the parts that it has from others.

apart(one, other) -> lines: what the second of two networks is where their tensors are the same.

    resnet50, resnet50_v1    ->  stride 2, not 1: conv1 in layer2.0, layer3.0, layer4.0
                                 stride 1, not 2: conv2 in layer2.0, layer3.0, layer4.0
    resnet50, resnetblur50   ->  with blur: maxpool.1; aa.0 in layer2.0, layer3.0, layer4.0; ...

Nodes are matched by name; all that the graphs hold is compared, but for sizes, since no tensor shows
that of the input.

reasons(design, trials) -> what each change was decided from, in terms of the file.

    head.classes: 10          fc.weight is 10 x 512
    stages.layer3.blocks: 11  there are layer3.0 to layer3.10
    stem: deep                there is conv1.0.weight

A change is taken back, and what the network predicts then says where it shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import shown
from resnetgen.weights.infer.depth import stage_paths
from resnetgen.weights.infer.design import DELETED, Design, Path, Trials
from resnetgen.weights.infer.search import SearchResult
from resnetgen.weights.mismatch import sized
from resnetgen.weights.tensor_layout import changed


@dataclass(frozen=True, slots=True)
class Evidence:
    """A change, and what of the file shows it."""

    path: Path
    value: str
    shown_by: str

    @property
    def setting(self) -> str:
        """`stages.layer3.blocks: 11`, `without stages.layer4`."""
        path = ".".join(self.path)
        return f"without {path}" if self.value == DELETED else f"{path}: {self.value}"


@dataclass(frozen=True)
class Candidate:
    """A network that the tensors of a file may belong to."""

    name: str
    design: Design
    reasons: tuple[Evidence, ...]
    beside: str | None  # the candidate before that is most alike, None for the first
    apart: tuple[str, ...]  # what tells this one from it

    @property
    def changes(self) -> str:
        """What it sets over the network that it extends."""
        return ", ".join(reason.setting for reason in self.reasons) or "unchanged"


def candidates_of(outcome: SearchResult, trials: Trials) -> tuple[Candidate, ...]:
    """The candidates under names of their own, each with what tells it from one before."""
    graphs = [trials.graph(design) for design in outcome.candidates]
    names = _distinct(map(_name, outcome.candidates))
    found = []
    for at, design in enumerate(outcome.candidates):
        told = {
            name: distinguishing_features(graphs[k], graphs[at])
            for k, name in enumerate(names[:at])
        }
        beside = min(told, key=lambda name: len("".join(told[name])), default=None)
        why = tuple(Evidence(*each) for each in reasons(design, trials))
        found.append(
            Candidate(names[at], design, why, beside, tuple(told[beside] if beside else ()))
        )
    return tuple(found)


def _name(design: Design) -> str:
    """`resnet34_c+bottleneck+eca`: the base, and what its other parts call."""
    parts = (design.changes[path] for path in design.parts)
    called = (re.search(r"op: (\w+)", part) or re.search(r"(\w+)", part) for part in parts)
    return "+".join([design.base, *(found[1] for found in called if found)])


def _distinct(names: Iterable[str]) -> list[str]:
    """Names that are given twice get a number: `resnet50+zero_pad`, `resnet50+zero_pad-2`."""
    found: list[str] = []
    for name in names:
        same = sum(each == name or each.rpartition("-")[0] == name for each in found)
        found.append(f"{name}-{same + 1}" if same else name)
    return found


_MOST_BLOCKS = 4  # that are named


def distinguishing_features(one: Graph, other: Graph) -> list[str]:
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


def reasons(design: Design, trials: Trials) -> Iterator[tuple[Path, str, str]]:
    """Each change: its path, its value and what it was decided from."""
    for path, value in design.changes.items():
        yield path, value, _depth(design, path, value, trials) or _shown(design, path, trials)


def _depth(design: Design, path: Path, value: str, trials: Trials) -> str:
    if path[0] != "stages" or (len(path) > 2 and path[2] != "blocks"):
        return ""
    if value == DELETED:
        return f"there is nothing of {path[1]}"
    paths = stage_paths(trials.body(design)[1], path[1])
    return f"there are {paths[0]} to {paths[-1]}" if paths[1:] else f"there is {paths[0]} alone"


def _shown(design: Design, path: Path, trials: Trials) -> str:
    """The first tensor that is another without the change, or that is there or missing by it."""
    kept = {each: value for each, value in design.changes.items() if each != path}
    with suppress(SpecError):
        held = trials.shapes(trials.cut(design)) or {}
        before = trials.shapes(trials.cut(Design(design.base, kept))) or {}
        for key, shape in held.items():
            if before and key not in before:
                return f"there is {key}"
            if before and before[key] != shape:
                return f"{key} is {sized(shape)}"
        return next((f"there is no {key}" for key in before if key not in held), "")
    return ""
