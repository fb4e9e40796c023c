"""numbers_of(tree, network) -> what a spec says in numbers, and so what may explain the shapes of a file.

stages.layer1.width = 64, head.classes = 1000      written in the spec
block.groups = 1, block.attention.ratio = 1 / 16   defaults of the blocks that it calls
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resnetgen.compiler.frontend.expressions import ExpressionError, Value, evaluate
from resnetgen.compiler.frontend.yaml_reader import MapTree, Scalar, Tree
from resnetgen.compiler.ir.nodes import Binding, Block, BlockNode, Network
from resnetgen.weights.infer.design import Path

_PLACES = ("params", "stem", "block", "stages", "nodes", "head", "define")


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a spec: a count, or one part in so many (`ratio: 1 / 16`)."""

    path: Path
    value: float
    count: int
    is_share: bool = False

    @property
    def name(self) -> str:
        """What it is a number of, alike for all stages: `width`, `stem.width`, `block.groups`."""
        return self.path[-1] if self.path[0] == "stages" else ".".join(self.path)

    @property
    def others(self) -> tuple[int, int]:
        """Counts to try it with, of which one is sound: twice might be the width of the next stage."""
        return (1 if self.is_share else 3 * self.count, self.count + 2)

    def text(self, count: int) -> str:
        """Another count of it, as it is written."""
        return f"1 / {count}" if self.is_share else str(count)


def written(tree: MapTree) -> dict[Path, Number]:
    """The numbers that stand in a spec, but for depths and the size of the input."""
    found: dict[Path, Number] = {}
    if isinstance(source := tree.entries.get("input"), MapTree):
        found |= _below(("input", "channels"), source.entries["channels"])
    for place in _PLACES:
        if place in tree.entries:
            found |= _below((place,), tree.entries[place])
    return found


def _below(path: Path, tree: Tree) -> dict[Path, Number]:
    if isinstance(tree, Scalar):
        number = _number(path, tree.value)
        return {path: number} if number else {}
    found: dict[Path, Number] = {}
    for key, each in tree.entries.items() if isinstance(tree, MapTree) else ():
        if key != "blocks":
            found |= _below((*path, key), each)
    return found


def _number(path: Path, value: object) -> Number | None:
    if type(value) is int and value > 0:
        return Number(path, value, value)
    if type(value) is float and 0 < value < 1:
        return Number(path, value, round(1 / value), is_share=True)
    return None


def numbers_of(tree: MapTree, network: Network, by_stage: bool = False) -> dict[Path, Number]:
    """What a spec says, and the defaults of the blocks that stem, stages and head call.

    What the block of all stages has holds for all of them; `by_stage`, for each alone as well.
    """
    said = written(tree)
    found: dict[Path, Number] = {}
    for node in network.root.nodes:
        place = "block" if node.stage else node.key
        if place not in ("stem", "head", "block") or place not in tree.entries:
            continue
        for number in _of_call((), node):
            own = ("stages", node.key, *number.path)
            if not node.stage or own not in said:
                found[place, *number.path] = replace(number, path=(place, *number.path))
            if node.stage and by_stage:
                found[own] = replace(number, path=own)
    return found | said


def _of_call(place: Path, call: BlockNode | Binding) -> Iterator[Number]:
    if not isinstance(call.target, Block):
        return
    values: dict[str, Value] = {}
    for name, param in call.target.params.items():
        term = call.arguments.get(name, param.default)
        try:
            values[name] = evaluate(term.expr, values) if term else ""
        except ExpressionError:
            continue  # it depends on the channels, or on the stage
        number = _number((*place, name), values[name])
        if number:
            yield number
    slots: Mapping[str, Binding] = {**call.target.slots, **call.slots}
    for name, binding in slots.items():
        yield from _of_call((*place, name), binding)
