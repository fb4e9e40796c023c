"""path_lengths(graph) -> PathLengths: how many weighted layers a gradient passes through.

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

    `paths` is their exact number; a value that an op reads twice counts as two paths.
    """

    shortest: int
    longest: int
    paths: int

    def longer_by(self, layers: int) -> PathLengths:
        """The same paths, each longer by some layers."""
        return PathLengths(self.shortest + layers, self.longest + layers, self.paths)


def path_lengths(graph: Graph) -> PathLengths:
    """Shortest and longest path and the number of paths, in one pass over the ordered nodes."""
    lengths = {INPUT: PathLengths(0, 0, 1)}
    for node in graph.nodes:
        source = _union([lengths[name] for name in node.inputs])
        lengths[node.name] = source.longer_by(int(OPS[node.op].is_weighted))
    return _union([lengths[name] for name in graph.outputs])


def _union(operands: list[PathLengths]) -> PathLengths:
    return PathLengths(
        min(each.shortest for each in operands),
        max(each.longest for each in operands),
        sum(each.paths for each in operands),
    )
