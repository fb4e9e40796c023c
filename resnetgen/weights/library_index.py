"""Networks(): what a checkpoint may belong to, each compiled once for all questions about it.

networks = Networks()                     the library
networks.shapes("resnet18")               {"conv1.weight": (64, 3, 7, 7), ...}

closest(shapes, file) -> the network of the library whose tensors a checkpoint has, or nearly so.

Asked only where a checkpoint does not fit: all networks together take a second. Networks that the
file is named after come first, and the first that has all its names and shapes ends the search.

sizes(faults, channels, classes): what to set so that tensors of other shapes fit.

fc.weight: 1000 x 512, in the file 10 x 512    ->  {"head.classes": 10}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.ir.nodes import Graph, Instance, Network
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.flatten import flatten, infer_shapes, state_dict
from resnetgen.compiler.passes.instantiate import instantiate
from resnetgen.weights.match import Reshaped, Shape, without_counters

Settings = tuple[tuple[str, str], ...]  # keys of a spec and their values, as `--set` takes them


class Networks:
    """Some specs, under overrides that hold for all of them; the library's, if none is named."""

    def __init__(self, spec: str | None = None, overrides: Mapping[str, object] | None = None):
        self.specs = [path.stem for path in library.network_files()] if spec is None else [spec]
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
    flows = {**instance.inputs, **{placed.key: placed.flow for placed in instance.nodes}}
    for placed in instance.nodes:
        if placed.op:
            source = flows[placed.inputs[0]]
            channels = source.channels if source else 0
            held = placed.op.definition.weights(placed.op.attributes, channels, axes)
            count += sum(len(weight.shape) > 1 for weight in held)
        elif placed.runs:
            count += sum(run.count * _matrices(run.instance, axes, known) for run in placed.runs)
    known[id(instance)] = count
    return count


def likeness(one: Mapping[str, Shape], other: Mapping[str, Shape]) -> float:
    """The share of all tensors that both have, by name and shape: from 0 to 1."""
    ours, theirs = without_counters(one).items(), without_counters(other).items()
    return len(ours & theirs) / max(1, len(ours | theirs))


def closest(
    shapes: Mapping[str, Shape], file: str, networks: Networks | None = None
) -> tuple[str, float]:
    """The network that is most alike, and how alike it is."""
    networks = networks or Networks()
    best, highest = "", 0.0
    for name in networks.first(file):
        with suppress(SpecError):  # not the fault of the checkpoint
            alike = likeness(shapes, networks.shapes(name))
            if alike > highest:
                best, highest = name, alike
            if alike == 1:
                break
    return best, highest


def sizes(
    faults: Mapping[str, Reshaped], channels: int, classes: int | None
) -> dict[str, int] | None:
    """Settings under which a network has the shapes of the file.

    `channels` is that of the network's input; `classes` is what `head.classes` says, None where it
    cannot be set. None where other classes or other input channels do not explain every difference.
    """
    found = _others(faults, axis=0)
    inputs = {key: size for key, size in _others(faults, axis=1).items() if key not in found}
    if found.keys() | inputs.keys() != faults.keys():
        return None
    if any(faults[key].wanted[1] != channels for key in inputs):
        return None
    counts = {faults[key].wanted[0] for key in found}
    is_head = len(counts) <= 1 and (classes is None or counts <= {classes})
    if not is_head or max(len({*found.values()}), len({*inputs.values()})) > 1:
        return None
    of_head = [("head.classes", size) for size in found.values() if classes]
    return dict([*of_head, *(("input.channels", size) for size in inputs.values())])


def _others(faults: Mapping[str, Reshaped], axis: int) -> dict[str, int]:
    """Sizes in the file along an axis, of the tensors that differ along this one alone."""
    found = {}
    for key, fault in faults.items():
        wanted, held = list(fault.wanted), list(fault.held)
        if len(wanted) == len(held) > axis and wanted[axis] != held[axis]:
            wanted[axis] = held[axis]
            if wanted == held:
                found[key] = held[axis]
    return found
