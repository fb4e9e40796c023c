"""closest(shapes, file) -> the network of the library whose tensors a checkpoint has, or nearly so.

Asked only where a checkpoint does not fit: all networks together take a second. Networks that the
file is named after come first, and the first that has all its names and shapes ends the search.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from resnetgen.language.diagnostics import SpecError
from resnetgen.weights.fit import Shape, without_counters
from resnetgen.weights.networks import Networks


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
