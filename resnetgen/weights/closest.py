"""closest(shapes, file) -> the network of the library whose tensors a checkpoint has, or nearly so.

Asked only where a checkpoint does not fit: all networks together take a second. Networks that the
file is named after come first, and the first that has all its names and shapes ends the search.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from resnetgen.language.diagnostics import SpecError
from resnetgen.weights.fit import Shape, is_counter
from resnetgen.weights.networks import Networks


def likeness(one: Mapping[str, Shape], other: Mapping[str, Shape]) -> float:
    """The share of all tensors that both have, by name and shape: from 0 to 1."""
    ours, theirs = _weights(one), _weights(other)
    common = len(ours & theirs)
    return common / max(1, len(ours) + len(theirs) - common)


def _weights(shapes: Mapping[str, Shape]) -> set[tuple[str, Shape]]:
    return {pair for pair in shapes.items() if not is_counter(pair[0])}


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
