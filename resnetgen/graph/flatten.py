"""flatten(network, root) -> Graph: every op of the network, each with its own name.

    layer1: {blocks: 3}  ->  layer1.0.conv1, layer1.0.bn1, ..., layer1.2.act3

Nodes stand in the order of execution; `index` is the order of registration, which is the order of
the state_dict. Types are filled in by `shapes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from resnetgen.graph.ir import Graph, Instance, Network, Node, OpCall, Placed, Run
from resnetgen.graph.measure import INPUT
from resnetgen.graph.order import needed_for
from resnetgen.graph.paths import numbered_paths, shared_paths, trie


def flatten(network: Network, root: Instance) -> Graph:
    """The flat graph, without types."""
    walk = _Walk({path: rank for rank, path in enumerate(registration_order(root))})
    names = walk.instance(root, {root.block.inputs[0]: INPUT}, Place("", ""))
    outputs = [names[key] for key in root.outputs]
    count = len(network.outputs)
    graph = Graph(
        network.name,
        network.input,
        tuple(walk.nodes),
        tuple(outputs[:count]),
        tuple(outputs[count:]),
    )
    return _mark_training(graph)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance stands: prefixes of names and of module paths, which differ where modules are shared."""

    name: str
    module: str


class _Walk:
    def __init__(self, ranks: Mapping[str, int]) -> None:
        self.ranks = ranks  # of module paths, in the order of registration
        self.nodes: list[Node] = []

    def instance(self, instance: Instance, names: dict[str, str], place: Place) -> dict[str, str]:
        """Emits the ops of an instance; gives the name of each of its values."""
        paths = numbered_paths(instance.placed)
        shared = shared_paths(paths)
        for index in instance.schedule:
            placed, own = instance.placed[index], paths[index]
            told = [placed.key if path in shared else path for path in own]
            places = [
                Place(place.name + name, place.module + path)
                for name, path in zip(told, own, strict=True)
            ]
            if isinstance(placed.what, OpCall):
                names[placed.key] = self.op(placed, placed.what, names, places[0])
            elif isinstance(placed.what, tuple):
                names[placed.key] = self.blocks(placed, placed.what, names, places)
            else:
                names[placed.key] = names[placed.inputs[0]]
        return names

    def op(self, placed: Placed, call: OpCall, names: dict[str, str], place: Place) -> str:
        inputs = tuple(names[key] for key in placed.inputs)
        rank, span = self.ranks[place.module], placed.node.span
        node = Node(place.name, place.module, call.op, inputs, call.attributes, 0, rank, span)
        self.nodes.append(node)
        return place.name

    def blocks(
        self, placed: Placed, runs: tuple[Run, ...], names: dict[str, str], places: list[Place]
    ) -> str:
        sources = [names.get(key) for key in placed.inputs]
        instances = (run.instance for run in runs for _ in range(run.count))
        for place, instance in zip(places, instances, strict=True):
            pairs = zip(instance.block.inputs, sources, strict=True)
            inside = Place(f"{place.name}.", f"{place.module}.")
            inner = self.instance(instance, {key: name for key, name in pairs if name}, inside)
            sources[0] = inner[instance.outputs[0]]
        assert sources[0] is not None
        return sources[0]


def registration_order(instance: Instance, prefix: str = "") -> list[str]:
    """The module paths of all ops, as torch registers them."""
    paths = numbered_paths(instance.placed)
    order: list[str] = []
    for index, number in trie(instance.placed, paths).leaves():
        placed, path = instance.placed[index], prefix + paths[index][number]
        if isinstance(placed.what, OpCall):
            order.append(path)
        elif isinstance(placed.what, tuple):
            each = [run.instance for run in placed.what for _ in range(run.count)]
            order += registration_order(each[number], f"{path}.")
    return order


def _mark_training(graph: Graph) -> Graph:
    """Marks the nodes that only the training outputs need."""
    if not graph.train_outputs:
        return graph
    needed = needed_for(graph.outputs, {node.name: node.inputs for node in graph.nodes})
    return replace(
        graph, nodes=tuple(replace(node, training=node.name not in needed) for node in graph.nodes)
    )
