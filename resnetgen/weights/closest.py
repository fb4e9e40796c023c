"""closest(shapes, file) -> the network of the library whose tensors a checkpoint has, or nearly so.

Asked only where a checkpoint does not fit: a network takes 20 ms. Networks that the file is named
after come first, and the first that has all its names and shapes ends the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from resnetgen.graph.elaborate import elaborate
from resnetgen.graph.flatten import flatten
from resnetgen.graph.instantiate import instantiate
from resnetgen.graph.shapes import infer_shapes, state_dict
from resnetgen.language import library
from resnetgen.language.diagnostics import SpecError
from resnetgen.weights.fit import Shape, is_counter


def likeness(one: Mapping[str, Shape], other: Mapping[str, Shape]) -> float:
    """The share of all tensors that both have, by name and shape: from 0 to 1."""
    return _alike(_weights(one), _weights(other))


def _alike(one: set[tuple[str, Shape]], other: set[tuple[str, Shape]]) -> float:
    common = len(one & other)
    return common / max(1, len(one) + len(other) - common)


def _weights(shapes: Mapping[str, Shape]) -> set[tuple[str, Shape]]:
    return {pair for pair in shapes.items() if not is_counter(pair[0])}


def closest(shapes: Mapping[str, Shape], file: str) -> tuple[str, float]:
    """The network that is most alike, and how alike it is."""
    held = _weights(shapes)
    best, highest = "", 0.0
    for name, predicted in _library(Path(file).name):
        alike = _alike(held, _weights(predicted))
        if alike > highest:
            best, highest = name, alike
        if alike == 1:
            break
    return best, highest


def _library(file: str) -> Iterator[tuple[str, dict[str, Shape]]]:
    """Every network with its tensors; first those in the name of the file, the longest first."""
    paths = library.networks()
    paths.sort(key=lambda path: -len(path.stem) if path.stem in file else 0)
    for path in paths:
        try:
            network = elaborate(library.load(path))
            yield path.stem, state_dict(infer_shapes(flatten(network, instantiate(network))))
        except SpecError:
            continue  # not the fault of the checkpoint
