"""Design: a hypothesis about a checkpoint's network. DesignCompiler: the tensors it predicts.

    Design("resnet50", {("stages", "layer3", "blocks"): "11", ("block", "groups"): "2"})
        ->  {"conv1.weight": (64, 3, 7, 7), ...}

A design is a library network with overrides, so anything that `extends` and `--set` can express.
Each one is compiled once, however often its shapes are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.tree import MapTree, blocks_per_stage
from resnetgen.compiler.ir.nodes import Graph, Instance, Network
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import ShapeError
from resnetgen.compiler.passes.infer_types import INPUT, infer_types
from resnetgen.compiler.passes.module_paths import numbered_paths
from resnetgen.weights.infer.checkpoint import CheckpointShapes
from resnetgen.weights.library_index import (
    NetworkIndex,
    Settings,
    library_documents,
    similarity,
)
from resnetgen.weights.match import Shape, is_counter, without_counters

SpecPath = tuple[str, ...]  # keys of a spec, from the top
DELETED = "null"
FEW = 2  # blocks of a stage: the first, and one that repeats


@dataclass(frozen=True)
class Design:
    """A library network and overrides: paths into its spec, and values as YAML."""

    base: str
    overrides: Mapping[SpecPath, str] = field(default_factory=dict)
    replaced: tuple[SpecPath, ...] = ()  # the overrides that put one component in place of another

    @property
    def settings(self) -> Settings:
        """The overrides as `--set` accepts them."""
        return tuple((".".join(path), value) for path, value in self.overrides.items())

    def with_overrides(self, overrides: Mapping[SpecPath, str]) -> Design:
        """The design with further overrides."""
        return replace(self, overrides={**self.overrides, **overrides})

    @cached_property
    def document(self) -> Document:
        """The spec after `extends` and all overrides. Raises SpecError."""
        if not self.overrides and self.base in library_documents():
            return library_documents()[self.base]
        return library.load(self.base, dict(self.settings))

    @property
    def tree(self) -> MapTree:
        """The tree of that spec. Raises SpecError."""
        return self.document.tree

    @property
    def blocks(self) -> dict[str, int]:
        """The number of blocks of each stage that has a number at `blocks:`. Raises SpecError."""
        return blocks_per_stage(self.tree)

    def with_blocks(self, blocks: Mapping[str, int]) -> Design:
        """The design with other numbers of blocks; a stage with none is deleted."""
        return self.with_overrides(
            {
                ("stages", key, "blocks") if count else ("stages", key): str(count or DELETED)
                for key, count in blocks.items()
                if count != self.blocks[key]
            }
        )

    def shortened(self, most: int = FEW) -> Design:
        """The design with few blocks in each stage. Raises SpecError."""
        return self.with_blocks({key: min(count, most) for key, count in self.blocks.items()})


class DesignCompiler:
    """Compiles designs and caches what they predict."""

    def __init__(self) -> None:
        self.networks = NetworkIndex()
        self._shapes: dict[tuple[str, Settings], Mapping[str, Shape] | None] = {}

    def body(self, design: Design) -> tuple[Network, Instance]:
        """The network and its instance. Raises SpecError."""
        return self.networks.body(design.base, design.settings)

    def graph(self, design: Design) -> Graph:
        """The flat graph. Raises SpecError, ShapeError."""
        return self.networks.graph(design.base, design.settings)

    def shapes(self, design: Design) -> Mapping[str, Shape] | None:
        """The state_dict without counters of norms, in its order; None if it does not compile."""
        key = (design.base, design.settings)
        if key not in self._shapes:
            self._shapes[key] = None
            with suppress(SpecError, ShapeError):
                self._shapes[key] = without_counters(self.networks.shapes(*key))
        return self._shapes[key]

    def stage_paths(self, design: Design, stage: str) -> list[str]:
        """The module paths of a stage's blocks, or of its ops with weights (`as: .`). Raises SpecError."""
        _, root = self.body(design)
        paths: list[str] = []
        for node, own in zip(root.nodes, numbered_paths(root.nodes), strict=True):
            if stage not in (node.block_node.key, node.group):
                continue
            if not node.op or node.op.definition.has_weights:
                paths += own
        return paths

    def shorten(self, design: Design) -> Design:
        """The design with few blocks, or as it is if paths number blocks across stages.

        Raises SpecError.
        """
        short, longer = design.shortened(), design.shortened(FEW + 1)
        few, more = self.shapes(short), self.shapes(longer)
        return short if few and more and few.keys() <= more.keys() else design

    def fits(self, design: Design, checkpoint: CheckpointShapes) -> bool:
        """Whether a design compiles and has exactly the tensors of a file."""
        if self.shapes(design) != checkpoint.shapes:
            return False
        counters = set(filter(is_counter, self.networks.shapes(design.base, design.settings)))
        if checkpoint.counters and counters != {*checkpoint.counters}:
            return False
        with suppress(SpecError):
            return bool(infer_types(*self.body(design)))
        return False

    def similarity(self, design: Design, checkpoint: CheckpointShapes) -> float:
        """The share of all tensors that both have, by key and shape."""
        return similarity(self.shapes(design) or {}, checkpoint.shapes)


@cache
def library_designs() -> tuple[Design, ...]:
    """Every readable network of the library, unchanged."""
    return tuple(map(Design, library_documents()))


def equivalence_key(graph: Graph) -> object:
    """Equal for graphs that compute the same and have the same state_dict.

    Left out: spatial sizes, because no tensor shows the size of the input, and names of modules
    without weights.
    """
    indices = {INPUT: -1} | {node.name: index for index, node in enumerate(graph.nodes)}

    def indices_of(names: Iterable[str]) -> tuple[int, ...]:
        return tuple(indices[name] for name in names)

    nodes = tuple(
        (
            node.op,
            indices_of(node.inputs),
            repr(sorted(node.attributes.items())),
            node.module if OPS[node.op].has_weights else "",
        )
        for node in graph.nodes
    )
    outputs = indices_of(graph.outputs), indices_of(graph.train_outputs)
    return graph.input.channels, len(graph.input.size), nodes, outputs
