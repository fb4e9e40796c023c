"""Networks(): what a checkpoint may belong to, each compiled once for all questions about it.

networks = Networks()                     the library
networks.shapes("resnet18")               {"conv1.weight": (64, 3, 7, 7), ...}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from resnetgen.graph.elaborate import elaborate
from resnetgen.graph.flatten import flatten
from resnetgen.graph.instantiate import instantiate
from resnetgen.graph.ir import Graph, Instance, Network, OpCall
from resnetgen.graph.ops import OPS
from resnetgen.graph.shapes import infer_shapes, state_dict
from resnetgen.language import library
from resnetgen.language.diagnostics import SpecError
from resnetgen.weights.fit import Shape

Settings = tuple[tuple[str, str], ...]  # keys of a spec and their values, as `--set` takes them


class Networks:
    """Some specs, under overrides that hold for all of them; the library's, if none is named."""

    def __init__(self, spec: str | None = None, overrides: Mapping[str, object] | None = None):
        self.specs = [path.stem for path in library.networks()] if spec is None else [spec]
        self.named = spec is not None
        self.overrides = dict(overrides or {})
        self._bodies: dict[tuple[str, Settings], tuple[Network, Instance]] = {}
        self._graphs: dict[tuple[str, Settings], Graph] = {}

    def first(self, file: str) -> Iterator[str]:
        """Their names; those in the name of a file stand first, the longest of them before."""
        name = Path(file).name
        yield from sorted(self.specs, key=lambda spec: -len(spec) if spec in name else 0)

    def body(self, spec: str, settings: Settings = ()) -> tuple[Network, Instance]:
        """A network and its instance. Raises SpecError and OSError."""
        key = (spec, settings)
        if key not in self._bodies:
            network = elaborate(library.load(spec, self.overrides | dict(settings)))
            self._bodies[key] = network, instantiate(network)
        return self._bodies[key]

    def graph(self, spec: str, settings: Settings = ()) -> Graph:
        """The flat graph, with types. Raises SpecError and OSError."""
        key = (spec, settings)
        if key not in self._graphs:
            self._graphs[key] = infer_shapes(flatten(*self.body(spec, settings)))
        return self._graphs[key]

    def shapes(self, spec: str, settings: Settings = ()) -> dict[str, Shape]:
        """The predicted state_dict. Raises SpecError and OSError."""
        return state_dict(self.graph(spec, settings))

    def classes(self, spec: str, settings: Settings = ()) -> int | None:
        """What `head.classes` says; None where the network has none."""
        found = self.body(spec, settings)[1].values.get("num_classes")
        return found if isinstance(found, int) else None

    def sound(self) -> Iterator[str]:
        """The specs that compile: a fault of another is not that of the checkpoint."""
        for spec in self.specs:
            try:
                self.body(spec)
            except SpecError:
                if self.named:
                    raise
                continue
            yield spec

    def matrices(self, spec: str) -> int:
        """How many tensors have two axes or more: whatever the classes, the channels, the dialect."""
        network, root = self.body(spec)
        return _matrices(root, network.axes, {})


def _matrices(instance: Instance, axes: int, known: dict[int, int]) -> int:
    if id(instance) in known:
        return known[id(instance)]
    count = 0
    flows = {**instance.inputs, **{placed.key: placed.flow for placed in instance.placed}}
    for placed in instance.placed:
        if isinstance(placed.what, OpCall):
            source = flows[placed.inputs[0]]
            channels = source.channels if source else 0
            held = OPS[placed.what.op].weights(placed.what.attributes, channels, axes)
            count += sum(len(weight.shape) > 1 for weight in held)
        elif isinstance(placed.what, tuple):
            count += sum(run.count * _matrices(run.instance, axes, known) for run in placed.what)
    known[id(instance)] = count
    return count
