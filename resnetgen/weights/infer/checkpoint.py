"""held_by(path) -> Held: the keys and shapes of a checkpoint, which is all that is looked at.

    module.layer1.0.conv1.weight, 64 x 64 x 3 x 3   ->   {"layer1.0.conv1.weight": (64, 64, 3, 3)}

The containers and wrappers of training scripts are taken off. The numbers are never read where the
file is one of safetensors, and torch is not imported for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from resnetgen.compiler.diagnostics.model import visible
from resnetgen.weights.dialects import own_shape, readings
from resnetgen.weights.keys import modules, unwrapped
from resnetgen.weights.match import Shape, is_counter, without_counters
from resnetgen.weights.read import read
from resnetgen.weights.safetensors_file import header

Kind = tuple[str, int, Shape]  # a key with its numbers masked, a number of axes, a kernel


@dataclass(frozen=True)
class CheckpointShapes:
    """The tensors of a file by key, in its order. Counters of norms are left out: old files lack them."""

    file: str  # for messages
    shapes: Mapping[str, Shape]
    counters: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # what was taken off

    @cached_property
    def kinds(self) -> frozenset[Kind]:
        """What there is, whatever the depths and widths."""
        return frozenset(kinds_of(self.shapes))

    @cached_property
    def modules(self) -> frozenset[str]:
        """Every module path in which a tensor lies."""
        return frozenset(modules(self.shapes))

    @cached_property
    def most_blocks(self) -> int:
        """One more than the greatest number in a key: no stage has more blocks."""
        numbers = (int(number) for key in self.modules for number in re.findall(r"\d{1,6}", key))
        return min(max(numbers, default=0) + 1, len(self.shapes))


def kinds_of(shapes: Mapping[str, Shape]) -> Iterator[Kind]:
    """The kind of each tensor: what no number of a spec changes."""
    for key, shape in shapes.items():
        # The kernel of a convolution over the channels follows from how many there are.
        yield masked(key), len(shape), () if shape[:2] == (1, 1) else shape[2:]


def masked(path: str) -> str:
    """A path without its numbers: `layer#.#`."""
    return re.sub(r"\d+", "#", path)


def held_by(path: str | Path) -> CheckpointShapes:
    """What a file holds. Raises WeightsError `unreadable-weights`, OSError."""
    found = header(path)
    if found is not None:
        return held(visible(os.fspath(path)), found)
    checkpoint = read(path)
    shapes = {key: entry.shape for key, entry in checkpoint.entries.items()}
    return held(checkpoint.name, shapes, checkpoint.remarks)


def held(file: str, shapes: Mapping[str, Shape], remarks: Iterable[str] = ()) -> CheckpointShapes:
    """The tensors of a file under the network's own keys: without wrappers."""
    own, wrappers = unwrapped(shapes, ())
    under = {key: shapes[original] for key, original in own.items()}
    taken = [f"taken off the keys: {', '.join(f'`{each}.`' for each in wrappers)}"]
    return CheckpointShapes(
        file,
        without_counters(under),
        tuple(key for key in under if is_counter(key)),
        (*remarks, *(taken if wrappers else ())),
    )


def in_own_names(given: CheckpointShapes) -> Iterator[CheckpointShapes]:
    """The file, and the file read in each dialect that knows all its keys and means others by them."""
    yield given
    everything = {**given.shapes, **dict.fromkeys(given.counters, ())}
    for dialect, own in readings(everything):
        if all(key == name for key, name in own.items()):
            continue
        shapes = {own[key]: own_shape(key, shape, dialect) for key, shape in given.shapes.items()}
        counters = tuple(own[key] for key in given.counters)
        remark = f"keys read as those of `{dialect.name}`"
        yield replace(given, shapes=shapes, counters=counters, remarks=(*given.remarks, remark))
