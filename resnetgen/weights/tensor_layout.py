"""A network on one side of a conversion: its graph, and its tensors as a dialect keeps them.

    side(graph, dialect("keras")).tensors["layer1.0.bn2", "running_var"].key
    -> "conv2_block1_2_bn.moving_variance"

Two sides are paired node by node and tensor by tensor; `unlike` says where they are two networks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import Diagnostic, Note
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import Weight
from resnetgen.compiler.passes.flatten import weights
from resnetgen.weights.dialects import TORCH, Dialect, folded, renamed
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.match import Shape

Address = tuple[str, str]  # the name of a node, and of a tensor as torch calls it


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of the network as a file keeps it."""

    module: str  # there
    tensor: str  # there
    weight: Weight
    axes: tuple[int, ...]  # which of our axes stands at each place

    @property
    def key(self) -> str:
        """Its key in the file."""
        return f"{self.module}.{self.tensor}"

    @property
    def shape(self) -> Shape:
        """Its shape in the file."""
        return tuple(self.weight.shape[axis] for axis in self.axes)


@dataclass(frozen=True)
class NamedTensors:
    """A network and its tensors in the order of registration."""

    graph: Graph  # under our own names
    theirs: Graph  # under those of the file
    dialect: Dialect | None  # None: those names are the file's
    tensors: Mapping[Address, StoredTensor]

    @property
    def wanted(self) -> dict[str, Shape]:
        """What a file of this side holds."""
        return {kept.key: kept.shape for kept in self.tensors.values()}


def side(graph: Graph, dialect: Dialect | None = None, *, numbered: bool = False) -> NamedTensors:
    """A side of a conversion; `numbered` for a file that numbers the tensors of a layer.

    Raises WeightsError `unnamed-module` where the dialect has no name for a module, or no such
    tensor, or would lay out its rows in another order.
    """
    theirs = renamed(graph, dialect) if dialect else graph
    if dialect and dialect.framework != TORCH:
        _refuse_flattened(graph, dialect)
    ordered = sorted(theirs.nodes, key=lambda node: node.index)
    return NamedTensors(
        graph,
        theirs,
        dialect,
        {
            (node.name, kept.weight.name): kept
            for node in ordered
            for kept in _kept(node, len(graph.input.size), dialect, numbered)
        },
    )


def _kept(node: Node, axes: int, dialect: Dialect | None, numbered: bool) -> Iterator[StoredTensor]:
    number = 0
    for weight in weights(node, axes):
        if dialect is None:
            yield StoredTensor(node.module, weight.name, weight, tuple(range(len(weight.shape))))
        elif weight.name not in dialect.without:
            layout = dialect.layout(node, weight.name)
            if layout is None:
                message = f"`{dialect.name}` has no `{weight.name}` of `{node.op}`"
                raise WeightsError(Diagnostic("unnamed-module", message))
            tensor = str(number) if numbered else layout.name
            yield StoredTensor(node.module, tensor, weight, layout.axes(len(weight.shape)))
            number += 1


def _refuse_flattened(graph: Graph, dialect: Dialect) -> None:
    """Where several positions become channels, their order depends on that of the axes."""
    types = {node.name: node.type for node in graph.nodes}
    for node in graph.nodes:
        source = types.get(node.inputs[0])
        if source and node.type and not node.type.size and node.channels < node.type.channels:
            if OPS[node.op].weights(node.attributes, node.channels, 1):
                continue
            message = f"`{node.name}` flattens {source}, in another order than `{dialect.name}`"
            raise WeightsError(Diagnostic("unnamed-module", message))


# --- two sides


def unlike(one: Graph, other: Graph) -> tuple[Note, ...]:
    """Why two graphs are not one network in two dialects: nodes, ops and attributes.

    Not compared: what shows in the tensors, as a bias does, and the attributes of norms.
    """
    ours = {node.name: node for node in one.nodes}
    theirs = {node.name: node for node in other.nodes}
    faults: dict[str, list[str]] = {}
    for name in dict.fromkeys((*ours, *theirs)):
        for fault in _differences(ours.get(name), theirs.get(name)):
            faults.setdefault(fault, []).append(name)
    return tuple(Note(f"{fault}: {folded(names)}") for fault, names in faults.items())


def _differences(one: Node | None, other: Node | None) -> Iterator[str]:
    if one is None or other is None:
        yield "on one side only"
    elif one.op != other.op:
        yield f"{one.op} and {other.op}"
    elif not OPS[one.op].is_norm:
        for name, here, there in changed(one, other):
            yield f"{name} {here} and {there}"


def changed(one: Node, other: Node) -> Iterator[tuple[str, object, object]]:
    """Attributes whose values differ, but for that of a tensor which an op adds."""
    for name, value in one.attributes.items():
        if name != OPS[one.op].adds and value != other.attributes[name]:
            yield name, value, other.attributes[name]


def norms_changed(one: Graph, other: Graph) -> Counter[tuple[str, object, object]]:
    """How many norms have another value of an attribute, for two sides that are alike."""
    theirs = {node.name: node for node in other.nodes}
    return Counter(
        change
        for node in one.nodes
        if OPS[node.op].is_norm
        for change in changed(node, theirs[node.name])
    )


def by_distance(graph: Graph) -> list[Node]:
    """The nodes by their longest way to an output, the farthest first, then by module.

    So does Keras number the layers of a model (`keras.models.Model.layers`), for networks whose
    parallel layers are named in their order.
    """
    distance: dict[str, int] = {}
    for node in reversed(graph.nodes):
        here = distance.setdefault(node.name, 0)
        for name in node.inputs:
            distance[name] = max(distance.get(name, 0), here + 1)
    return sorted(graph.nodes, key=lambda node: (-distance[node.name], node.module))
