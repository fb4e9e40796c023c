"""The networks that a checkpoint or a spec may be related to: read and compiled on demand, once.

    library_documents()              {"resnet18": Document, ...}: what each says, after `extends`
    NetworkIndex().shapes("resnet18")        {"conv1.weight": (64, 3, 7, 7), ...}
    closest_network(shapes, "net.pth")       ("resnet18", 0.98): the most tensors in common

The documents serve whoever compares specs by what they say: networks that differ in numbers alone
(`infer/families`), or in their repeats alone (`variants/repeats`). The index serves whoever compares
tensors: `identify`, `convert`, `infer` and the hint of a mismatch. Networks of the library that are
not changed are compiled once a process (all 133: 1.5 s, 35 MB), with settings once an index.

Non-goals: what makes two networks related is said where it is asked, since each asks for something
else. `reports/match` looks for siblings itself: `reports` comes before `weights`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.frontend.yaml_scalars import read_source
from resnetgen.compiler.ir.nodes import Graph, Instance, Network
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.flatten import flatten, infer_flat_types, state_dict
from resnetgen.compiler.passes.instantiate import instantiate
from resnetgen.weights.keys import mask_numbers
from resnetgen.weights.match import TENSORS, Shape, without_counters

_WORD = re.compile(r"\w+")
_NOT_A_NAME = re.compile(r"<[^<>\n]*>|^ *(?:#|doc:).*", re.MULTILINE)  # a number, or prose
Settings = tuple[tuple[str, str], ...]  # keys of a spec and their values, as for `--set`


@cache
def library_documents() -> Mapping[str, Document]:
    """Every network of the library by name, but for those that cannot be read."""
    documents = {}
    for path in library.network_files():
        with suppress(SpecError):  # a library that is being edited
            documents[path.stem] = library.load(path)
    return documents


@cache
def _library_words() -> frozenset[str]:
    """The words, with masked numbers, in the module paths of any network made of the library.

    A path is written in a spec, as a key or a value; only the tensors of a module are named by its op.
    """
    blocks = (path for kind in library.BLOCK_KINDS for path in library.block_files(kind))
    texts = (read_source(path, path.name).text for path in (*library.network_files(), *blocks))
    words = {word for text in texts for word in _WORD.findall(_NOT_A_NAME.sub("0", text))}
    return frozenset({*map(mask_numbers, words), *TENSORS})


def is_library_key(key: str) -> bool:
    """Whether the key of a tensor consists of words of the library; cheap, if it does not."""
    return "." in key and _library_words().issuperset(mask_numbers(key).split("."))


class _CompiledNetwork:
    """A network as far as anybody asked: the instance, and the flat graph if needed."""

    def __init__(self, document: Document) -> None:
        self.network = elaborate(document)
        self.root = instantiate(self.network)

    @cached_property
    def graph(self) -> Graph:
        return infer_flat_types(flatten(self.network, self.root))

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        return state_dict(self.graph)


@cache
def _library_network(name: str) -> _CompiledNetwork:
    return _CompiledNetwork(library.load(name))


class NetworkIndex:
    """All networks of the library, or the one spec that is named; `overrides` apply to each."""

    def __init__(self, spec: str | None = None, overrides: Mapping[str, object] | None = None):
        self.specs = [path.stem for path in library.network_files()] if spec is None else [spec]
        self.is_named = spec is not None
        self.overrides = dict(overrides or {})
        self.is_library = not self.is_named and not self.overrides
        self._compiled: dict[tuple[str, Settings], _CompiledNetwork] = {}

    def by_file_name(self, file: str) -> Iterator[str]:
        """The specs; first those whose name is in that of the file, the longest before the others."""
        name = Path(file).name
        yield from sorted(self.specs, key=lambda spec: -len(spec) if spec in name else 0)

    def compiling(self) -> Iterator[str]:
        """The specs that compile: an error in another one is not the checkpoint's."""
        for spec in self.specs:
            try:
                self.body(spec)
            except SpecError:
                if self.is_named:
                    raise
                continue
            yield spec

    def body(self, spec: str, settings: Settings = ()) -> tuple[Network, Instance]:
        """A network and its instance. Raises SpecError and OSError."""
        compiled = self._compile(spec, settings)
        return compiled.network, compiled.root

    def graph(self, spec: str, settings: Settings = ()) -> Graph:
        """The flat graph, with types. Raises SpecError and OSError."""
        return self._compile(spec, settings).graph

    def shapes(self, spec: str, settings: Settings = ()) -> Mapping[str, Shape]:
        """The predicted state_dict. Raises SpecError and OSError."""
        return self._compile(spec, settings).shapes

    def classes(self, spec: str, settings: Settings = ()) -> int | None:
        """The number of classes; None if the network has no `head.classes`."""
        classes = self._compile(spec, settings).root.values.get("num_classes")
        return classes if isinstance(classes, int) else None

    def matrix_count(self, spec: str) -> int:
        """How many tensors have two or more axes: in any dialect, for any classes and channels."""
        network, root = self.body(spec)
        return _count_matrices(root, network.axes, {})

    def _compile(self, spec: str, settings: Settings) -> _CompiledNetwork:
        if self.is_library and not settings:
            return _library_network(spec)
        key = (spec, settings)
        if key not in self._compiled:
            document = library.load(spec, self.overrides | dict(settings))
            self._compiled[key] = _CompiledNetwork(document)
        return self._compiled[key]


def _count_matrices(instance: Instance, axes: int, known: dict[int, int]) -> int:
    if id(instance) in known:
        return known[id(instance)]
    count = 0
    results = {**instance.inputs, **{node.key: node.result for node in instance.nodes}}
    for node in instance.nodes:
        if node.op:
            source = results[node.inputs[0]]
            channels = source.channels if source else 0
            weights = node.op.definition.weights(node.op.attributes, channels, axes)
            count += sum(len(weight.shape) > 1 for weight in weights)
        elif node.runs:
            count += sum(
                run.count * _count_matrices(run.instance, axes, known) for run in node.runs
            )
    known[id(instance)] = count
    return count


# --- by tensors


def similarity(one: Mapping[str, Shape], other: Mapping[str, Shape]) -> float:
    """The share of all tensors that both have, by name and shape: from 0 to 1."""
    return _similarity(without_counters(one), without_counters(other))


def _similarity(one: Mapping[str, Shape], other: Mapping[str, Shape]) -> float:
    common = sum(one.get(key) == shape for key, shape in other.items())
    return common / max(1, len(one) + len(other) - common)


def closest_network(
    shapes: Mapping[str, Shape], file: str, networks: NetworkIndex | None = None
) -> tuple[str, float]:
    """The network with the most tensors in common, and their share.

    Networks that the file is named after come first; the first that has all tensors ends the search.
    """
    networks = networks or NetworkIndex()
    shapes = without_counters(shapes)
    best, highest = "", 0.0
    if networks.is_library and not any(map(is_library_key, shapes)):
        return best, highest
    for name in networks.by_file_name(file):
        with suppress(SpecError):  # an error in the library, not in the checkpoint
            share = _similarity(shapes, without_counters(networks.shapes(name)))
            if share > highest:
                best, highest = name, share
            if share == 1:
                break
    return best, highest
