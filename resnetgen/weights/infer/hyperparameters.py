"""hyperparameters_of(tree, network) -> the numbers of a spec that may explain the shapes of a file.

stages.layer1.width = 64, head.classes = 1000      written in the spec
block.groups = 1, block.attention.ratio = 1 / 16   defaults of the blocks that it calls
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resnetgen.compiler.frontend.expressions import ExpressionError, Value, evaluate
from resnetgen.compiler.frontend.tree import MapTree, Scalar, Tree
from resnetgen.compiler.ir.nodes import Binding, Block, BlockNode, Network
from resnetgen.weights.infer.design import SpecPath

_SECTIONS = ("params", "stem", "block", "stages", "nodes", "head", "define")


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A number of a spec: a count (`width: 64`), or one over a count (`ratio: 1 / 16`)."""

    path: SpecPath
    value: float
    count: int
    is_reciprocal: bool = False

    @property
    def name(self) -> str:
        """Its name, the same in all stages: `width`, `stem.width`, `block.groups`."""
        return self.path[-1] if self.path[0] == "stages" else ".".join(self.path)

    @property
    def probe_counts(self) -> tuple[int, int]:
        """Counts that show its effect: the first, or the second where the first does not compile.

        Not twice the count, which may be the width of the next stage.
        """
        return (1 if self.is_reciprocal else 3 * self.count, self.count + 2)

    def as_yaml(self, count: int) -> str:
        """Another count as a value in the spec."""
        return f"1 / {count}" if self.is_reciprocal else str(count)


Hyperparameters = dict[SpecPath, Hyperparameter]


def hyperparameters_of(tree: MapTree, network: Network, by_stage: bool = False) -> Hyperparameters:
    """The numbers in a spec, and the defaults of the blocks that stem, stages and head call.

    A default of the block that all stages call is one hyperparameter, as `block.groups`; with
    `by_stage` there is one more for each stage, as `stages.layer1.groups`.
    """
    explicit = _explicit(tree)
    defaults: Hyperparameters = {}
    for node in network.root.nodes:
        section = "block" if node.stage else node.key
        if section not in ("stem", "head", "block") or section not in tree.entries:
            continue
        for each in _of_call((), node):
            in_stage = ("stages", node.key, *each.path)
            if not node.stage or in_stage not in explicit:
                path = (section, *each.path)
                defaults[path] = replace(each, path=path)
            if node.stage and by_stage:
                defaults[in_stage] = replace(each, path=in_stage)
    return defaults | explicit


def _explicit(tree: MapTree) -> Hyperparameters:
    """The numbers written in a spec, except depths and the size of the input."""
    explicit: Hyperparameters = {}
    if isinstance(source := tree.entries.get("input"), MapTree):
        explicit |= _below(("input", "channels"), source.entries["channels"])
    for section in _SECTIONS:
        if section in tree.entries:
            explicit |= _below((section,), tree.entries[section])
    return explicit


def _below(path: SpecPath, tree: Tree) -> Hyperparameters:
    if isinstance(tree, Scalar):
        number = _hyperparameter(path, tree.value)
        return {path: number} if number else {}
    below: Hyperparameters = {}
    for key, each in tree.entries.items() if isinstance(tree, MapTree) else ():
        if key != "blocks":
            below |= _below((*path, key), each)
    return below


def _of_call(path: SpecPath, call: BlockNode | Binding) -> Iterator[Hyperparameter]:
    """The numeric arguments and defaults of a call, and of the calls in its slots."""
    if not isinstance(call.target, Block):
        return
    values: dict[str, Value] = {}
    for name, param in call.target.params.items():
        argument = call.arguments.get(name, param.default)
        try:
            values[name] = evaluate(argument.expr, values) if argument else ""
        except ExpressionError:
            continue  # it depends on the channels, or on the stage
        number = _hyperparameter((*path, name), values[name])
        if number:
            yield number
    slots: Mapping[str, Binding] = {**call.target.slots, **call.slots}
    for name, binding in slots.items():
        yield from _of_call((*path, name), binding)


def _hyperparameter(path: SpecPath, value: object) -> Hyperparameter | None:
    if type(value) is int and value > 0:
        return Hyperparameter(path, value, value)
    if type(value) is float and 0 < value < 1:
        return Hyperparameter(path, value, round(1 / value), is_reciprocal=True)
    return None
