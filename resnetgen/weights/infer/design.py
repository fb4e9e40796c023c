"""Design: a network of the library with some values set anew; Trials: what designs predict.

    Design("resnet50", {("stages", "layer3", "blocks"): "11", ("block", "groups"): "2"})

A design is what `extends` and `--set` can say. Each is compiled once, however often it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.tree import stage_repeats
from resnetgen.compiler.frontend.yaml_reader import MapTree
from resnetgen.compiler.ir.nodes import Graph, Instance, Network
from resnetgen.compiler.ir.op_def import NO_WEIGHTS
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import ShapeError
from resnetgen.compiler.passes.infer_types import INPUT, measure
from resnetgen.weights.infer.checkpoint import CheckpointShapes
from resnetgen.weights.library_index import Networks, Settings, likeness
from resnetgen.weights.match import Shape, is_counter, without_counters

Path = tuple[str, ...]  # keys of a spec, from the top
DELETED = "null"
FEW = 2  # blocks of a stage: the first, and one that repeats


@dataclass(frozen=True)
class Design:
    """A library network, and what is set over it: paths into the spec, and values as YAML."""

    base: str
    changes: Mapping[Path, str] = field(default_factory=dict)
    parts: tuple[Path, ...] = ()  # the changes that put one part in place of another

    @property
    def settings(self) -> Settings:
        """The changes as `--set` takes them."""
        return tuple((".".join(path), value) for path, value in self.changes.items())

    def setting(self, changes: Mapping[Path, str]) -> Design:
        """The design with further changes."""
        return replace(self, changes={**self.changes, **changes})

    @cached_property
    def document(self) -> Document:
        """The spec after `extends` and all changes. Raises SpecError."""
        return library.load(self.base, dict(self.settings))

    @property
    def tree(self) -> MapTree:
        """What the spec says. Raises SpecError."""
        return self.document.tree

    @property
    def blocks(self) -> dict[str, int]:
        """How many blocks each stage has, where that is a number. Raises SpecError."""
        return stage_repeats(self.tree)

    def repeating(self, blocks: Mapping[str, int]) -> Design:
        """The design with other numbers of blocks; a stage of none is deleted."""
        return self.setting(
            {
                ("stages", key, "blocks") if count else ("stages", key): str(count or DELETED)
                for key, count in blocks.items()
                if count != self.blocks[key]
            }
        )

    def short(self, most: int = FEW) -> Design:
        """The design with few blocks in each stage. Raises SpecError."""
        return self.repeating({key: min(count, most) for key, count in self.blocks.items()})


class Trials:
    """What designs predict; None where a design does not compile."""

    def __init__(self) -> None:
        self.networks = Networks()
        self._shapes: dict[tuple[str, Settings], Mapping[str, Shape] | None] = {}

    def body(self, design: Design) -> tuple[Network, Instance]:
        """The network and its instance. Raises SpecError."""
        return self.networks.body(design.base, design.settings)

    def graph(self, design: Design) -> Graph:
        """The flat graph. Raises SpecError, ShapeError."""
        return self.networks.graph(design.base, design.settings)

    def shapes(self, design: Design) -> Mapping[str, Shape] | None:
        """The tensors, without counters of norms, in the order of the state_dict."""
        key = (design.base, design.settings)
        if key not in self._shapes:
            self._shapes[key] = None
            with suppress(SpecError, ShapeError):
                self._shapes[key] = without_counters(self.networks.shapes(*key))
        return self._shapes[key]

    def cut(self, design: Design) -> Design:
        """The design with few blocks, unless paths count blocks: then with all. Raises SpecError."""
        short, longer = design.short(), design.short(FEW + 1)
        few, more = self.shapes(short), self.shapes(longer)
        return short if few and more and few.keys() <= more.keys() else design

    def holds(self, design: Design, held: CheckpointShapes) -> bool:
        """Whether a design is sound and has all tensors of a file, and no others."""
        if self.shapes(design) != held.shapes:
            return False
        counters = set(filter(is_counter, self.networks.shapes(design.base, design.settings)))
        if held.counters and counters != {*held.counters}:
            return False
        with suppress(SpecError):
            return bool(measure(*self.body(design)))
        return False

    def likeness(self, design: Design, held: CheckpointShapes) -> float:
        """The share of all tensors that both have, by key and shape."""
        return likeness(self.shapes(design) or {}, held.shapes)


@cache
def library_designs() -> tuple[Design, ...]:
    """Every network of the library that can be read, unchanged."""
    found = []
    for path in library.network_files():
        design = Design(path.stem)
        with suppress(SpecError):
            if design.tree:
                found.append(design)
    return tuple(found)


def meaning(graph: Graph) -> object:
    """What a graph computes, and under which names it keeps weights: equal for equal networks.

    Sizes are not in it, since no tensor shows the size of the input, nor are names of modules
    without weights.
    """
    numbers = {INPUT: -1} | {node.name: at for at, node in enumerate(graph.nodes)}

    def numbered(names: Iterable[str]) -> tuple[int, ...]:
        return tuple(numbers[name] for name in names)

    nodes = tuple(
        (
            node.op,
            numbered(node.inputs),
            repr(sorted(node.attributes.items())),
            "" if OPS[node.op].weights is NO_WEIGHTS else node.module,
        )
        for node in graph.nodes
    )
    ends = numbered(graph.outputs), numbered(graph.train_outputs)
    return graph.input.channels, len(graph.input.size), nodes, ends
