"""path_lengths(graph) -> PathLengths: how many weighted layers a gradient passes on its way back.

    resnet50  ->  shortest 6 (stem, four projections, classifier), longest 50, 65,536 paths of ...

A residual network behaves like an ensemble of its paths, and it is the short ones that train it
(Veit, Wilber and Belongie, arXiv 1605.06431).
"""

from __future__ import annotations

from dataclasses import dataclass

from resnetgen.compiler.ir.nodes import Graph
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.infer_types import INPUT


@dataclass(frozen=True, slots=True)
class PathLengths:
    """Convolutions and linear layers on the paths from the input to any output of evaluation.

    `paths` is their exact number; a value that an op reads twice counts as two ways.
    """

    shortest: int
    longest: int
    paths: int

    def then(self, layers: int) -> PathLengths:
        """The same paths, each longer by some layers."""
        return PathLengths(self.shortest + layers, self.longest + layers, self.paths)


def path_lengths(graph: Graph) -> PathLengths:
    """Shortest and longest path and the number of paths, in one pass over the ordered nodes."""
    found = {INPUT: PathLengths(0, 0, 1)}
    for node in graph.nodes:
        here = _together([found[name] for name in node.inputs])
        found[node.name] = here.then(int(OPS[node.op].is_weighted))
    return _together([found[name] for name in graph.outputs])


def _together(ways: list[PathLengths]) -> PathLengths:
    return PathLengths(
        min(way.shortest for way in ways),
        max(way.longest for way in ways),
        sum(way.paths for way in ways),
    )
