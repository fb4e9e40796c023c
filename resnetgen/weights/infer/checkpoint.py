"""What `infer` reads of a checkpoint: keys and shapes, never the numbers.

    module.layer1.0.conv1.weight, 64 x 64 x 3 x 3   ->   {"layer1.0.conv1.weight": (64, 64, 3, 3)}

    read_checkpoint(path)        the file, without the containers and wrappers of training scripts
    interpretations(checkpoint)  the same, then once more per dialect that knows all its keys

Of a safetensors file only the header is read, without importing torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from resnetgen.compiler.diagnostics.model import escape_invisible
from resnetgen.weights.dialects import matching_dialects, network_shape
from resnetgen.weights.keys import mask_numbers, module_paths, strip_wrappers
from resnetgen.weights.match import Shape, is_counter, without_counters
from resnetgen.weights.read import read
from resnetgen.weights.safetensors_file import read_shapes

# What no hyperparameter changes of a tensor: its key with masked numbers, its rank, its kernel.
Signature = tuple[str, int, Shape]


@dataclass(frozen=True)
class CheckpointShapes:
    """The tensors of a file by key, in its order, without counters of norms: old files lack them."""

    file: str  # for messages
    shapes: Mapping[str, Shape]
    counters: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # how the keys of the file were changed

    @cached_property
    def signatures(self) -> frozenset[Signature]:
        """The signatures of all tensors."""
        return frozenset(signatures_of(self.shapes))

    @cached_property
    def module_paths(self) -> frozenset[str]:
        """Every module path that has a tensor below it."""
        return frozenset(module_paths(self.shapes))

    @cached_property
    def max_blocks(self) -> int:
        """An upper bound on the blocks of a stage: one more than the largest number in a key."""
        paths = self.module_paths
        numbers = (int(number) for path in paths for number in re.findall(r"\d{1,6}", path))
        return min(max(numbers, default=0) + 1, len(self.shapes))


def signatures_of(shapes: Mapping[str, Shape]) -> Iterator[Signature]:
    """The signature of each tensor."""
    for key, shape in shapes.items():
        # A convolution across channels (ECA): its kernel follows from their number.
        across_channels = shape[:2] == (1, 1)
        yield mask_numbers(key), len(shape), () if across_channels else shape[2:]


def read_checkpoint(path: str | Path) -> CheckpointShapes:
    """The keys and shapes of a file. Raises WeightsError `unreadable-weights`, OSError."""
    shapes = read_shapes(path)
    if shapes is not None:
        return unwrap_checkpoint(escape_invisible(os.fspath(path)), shapes)
    checkpoint = read(path)
    shapes = {key: entry.shape for key, entry in checkpoint.entries.items()}
    return unwrap_checkpoint(checkpoint.name, shapes, checkpoint.remarks)


def unwrap_checkpoint(
    file: str, shapes: Mapping[str, Shape], remarks: Iterable[str] = ()
) -> CheckpointShapes:
    """Keys and shapes with `module.` and other wrappers taken off the keys."""
    originals, wrappers = strip_wrappers(shapes, ())
    unwrapped = {key: shapes[original] for key, original in originals.items()}
    stripped = f"taken off the keys: {', '.join(f'`{each}.`' for each in wrappers)}"
    return CheckpointShapes(
        file,
        without_counters(unwrapped),
        tuple(key for key in unwrapped if is_counter(key)),
        (*remarks, stripped) if wrappers else tuple(remarks),
    )


def interpretations(checkpoint: CheckpointShapes) -> Iterator[CheckpointShapes]:
    """The file as it is, then as each dialect that knows all its keys and renames some of them."""
    yield checkpoint
    keys = {**checkpoint.shapes, **dict.fromkeys(checkpoint.counters, ())}
    for dialect, renamed in matching_dialects(keys):
        if all(key == name for key, name in renamed.items()):
            continue
        remark = f"keys read as those of `{dialect.name}`"
        yield replace(
            checkpoint,
            shapes={
                renamed[key]: network_shape(key, shape, dialect)
                for key, shape in checkpoint.shapes.items()
            },
            counters=tuple(renamed[key] for key in checkpoint.counters),
            remarks=(*checkpoint.remarks, remark),
        )
