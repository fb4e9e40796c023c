"""named_tensors(graph, dialect) -> NamedTensors: the tensors of a network as a dialect stores them.

    named_tensors(graph, load_dialect("keras")).tensors["layer1.0.bn2", "running_var"].key
    -> "conv2_block1_2_bn.moving_variance"

A conversion pairs two of these, node by node and tensor by tensor; `graph_differences` finds out
whether the two graphs are one network at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import Diagnostic, Note
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import Weight
from resnetgen.compiler.passes.flatten import weights_of
from resnetgen.weights.dialects import TORCH, Dialect, path_summary, rename_modules
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.match import Shape

Address = tuple[str, str]  # the name of a node, and of a tensor as torch calls it


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of the network as a file stores it."""

    module: str  # in the file
    tensor: str  # in the file
    weight: Weight  # in the network
    axes: tuple[int, ...]  # for each axis in the file, which one it is in the network

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
    """A network and its tensors, in the order of registration."""

    graph: Graph  # under its own names
    file_graph: Graph  # under those of the file
    dialect: Dialect | None  # None: the file has the network's own names
    tensors: Mapping[Address, StoredTensor]

    @property
    def shapes(self) -> dict[str, Shape]:
        """The keys and shapes of such a file."""
        return {stored.key: stored.shape for stored in self.tensors.values()}


def named_tensors(
    graph: Graph, dialect: Dialect | None = None, *, numbered: bool = False
) -> NamedTensors:
    """The tensors of a network in a dialect; `numbered` if the file numbers the tensors of a layer.

    Raises WeightsError `unnamed-module` if the dialect has no name for a module or a tensor, or
    would order the rows of a weight differently.
    """
    file_graph = rename_modules(graph, dialect) if dialect else graph
    if dialect and dialect.framework != TORCH:
        _refuse_flattened(graph, dialect)
    tensors = {
        (node.name, stored.weight.name): stored
        for node in sorted(file_graph.nodes, key=lambda node: node.registration_rank)
        for stored in _stored(node, len(graph.input.size), dialect, numbered)
    }
    return NamedTensors(graph, file_graph, dialect, tensors)


def _stored(
    node: Node, axes: int, dialect: Dialect | None, numbered: bool
) -> Iterator[StoredTensor]:
    number = 0
    for weight in weights_of(node, axes):
        if dialect is None:
            yield StoredTensor(node.module, weight.name, weight, tuple(range(len(weight.shape))))
        elif weight.name not in dialect.without:
            layout = dialect.layout(node, weight.name)
            if layout is None:
                message = f"`{dialect.name}` has no `{weight.name}` for `{node.op}`"
                raise WeightsError(Diagnostic("unnamed-module", message))
            tensor = str(number) if numbered else layout.name
            yield StoredTensor(node.module, tensor, weight, layout.axes(len(weight.shape)))
            number += 1


def _refuse_flattened(graph: Graph, dialect: Dialect) -> None:
    """Where positions become channels, the order of the channels depends on that of the axes."""
    types = {node.name: node.type for node in graph.nodes}
    for node in graph.nodes:
        source = types.get(node.inputs[0])
        if source and node.type and not node.type.size and node.in_channels < node.type.channels:
            if OPS[node.op].weights(node.attributes, node.in_channels, 1):
                continue
            message = f"`{node.name}` flattens {source}, in another order than `{dialect.name}`"
            raise WeightsError(Diagnostic("unnamed-module", message))


# --- two graphs of one network


def graph_differences(one: Graph, other: Graph) -> tuple[Note, ...]:
    """Why two graphs are not one network in two dialects: nodes, ops and attributes.

    Not compared: what shows in the tensors, such as a bias, and the attributes of norms.
    """
    first = {node.name: node for node in one.nodes}
    second = {node.name: node for node in other.nodes}
    differences: dict[str, list[str]] = {}
    for name in dict.fromkeys((*first, *second)):
        for difference in _node_differences(first.get(name), second.get(name)):
            differences.setdefault(difference, []).append(name)
    return tuple(Note(f"{text}: {path_summary(names)}") for text, names in differences.items())


def _node_differences(one: Node | None, other: Node | None) -> Iterator[str]:
    if one is None or other is None:
        yield "on one side only"
    elif one.op != other.op:
        yield f"{one.op} and {other.op}"
    elif not OPS[one.op].is_norm:
        for name, first, second in attribute_differences(one, other):
            yield f"{name} {first} and {second}"


def attribute_differences(one: Node, other: Node) -> Iterator[tuple[str, object, object]]:
    """Attributes whose values differ, except the one that adds a tensor, such as `bias`."""
    for name, value in one.attributes.items():
        if name != OPS[one.op].bias_tensor and value != other.attributes[name]:
            yield name, value, other.attributes[name]


def norm_differences(one: Graph, other: Graph) -> Counter[tuple[str, object, object]]:
    """How many norms have another value of an attribute, in two graphs without differences."""
    others = {node.name: node for node in other.nodes}
    return Counter(
        difference
        for node in one.nodes
        if OPS[node.op].is_norm
        for difference in attribute_differences(node, others[node.name])
    )
