"""match_tensors(expected, stored, leave) -> TensorMatch: which tensor comes from where, and what differs.

    expected  {"fc.weight": (10, 512), ...}         the state_dict that the compiler predicts
    stored    {"module.fc.weight": TensorEntry((10, 512), "float16"), ...}
    leave     ("fc",)                               modules that the caller asked to leave out

Tensors are paired by key and compared by shape and dtype; their values are never needed, and this
module does not import torch. `size_settings` explains shapes that differ by classes or channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resnetgen.weights.keys import is_under, strip_wrappers, tensor_of

Shape = tuple[int, ...]

# How many batches a norm has seen: torch stored none before version 0.4.1, and starts at 0.
COUNTER = "num_batches_tracked"
TENSORS = ("weight", "bias", "running_mean", "running_var", COUNTER)  # of all ops
PARAMETER_DTYPE, COUNTER_DTYPE = "float32", "int64"


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """The shape and dtype of a tensor in a checkpoint."""

    shape: Shape
    dtype: str = PARAMETER_DTYPE  # as torch names it; `sparse float32` if not a dense tensor


@dataclass(frozen=True, slots=True)
class ShapeMismatch:
    """The two shapes of a tensor: what the network expects and what the checkpoint has."""

    expected: Shape
    stored: Shape


@dataclass(frozen=True)
class TensorMatch:
    """Which tensor comes from where. Keys are the network's; those of the file have no wrappers."""

    expected: Mapping[str, Shape]
    stored: Mapping[str, Shape]
    sources: Mapping[str, str]  # key of the network -> key in the file, wrappers included
    wrappers: tuple[str, ...] = ()  # stripped from the keys of the checkpoint
    zeroed: tuple[str, ...] = ()  # counters of norms that an old checkpoint lacks
    skipped: tuple[str, ...] = ()  # left out: they keep their initial values
    unused: tuple[str, ...] = ()  # left out: only the checkpoint has them
    converted: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (from, to) -> tensors
    missing: tuple[str, ...] = ()
    unexpected: Mapping[str, Shape] = field(default_factory=dict)
    shape_mismatches: Mapping[str, ShapeMismatch] = field(default_factory=dict)
    dtype_mismatches: Mapping[str, str] = field(default_factory=dict)  # dtypes that do not convert

    @property
    def ok(self) -> bool:
        """Whether every tensor of both sides has its counterpart or was left out."""
        return not (
            self.missing or self.unexpected or self.shape_mismatches or self.dtype_mismatches
        )


def match_tensors(
    expected: Mapping[str, Shape], stored: Mapping[str, TensorEntry], leave: Sequence[str] = ()
) -> TensorMatch:
    """Pairs the tensors of a network and a checkpoint by key, and compares shapes and dtypes."""
    names, wrappers = strip_wrappers(stored, expected)
    left = {key for key in (*expected, *names) if any(is_under(key, path) for path in leave)}
    entries = {name: stored[key] for name, key in names.items() if name not in left}
    zeroed = _missing_counters(expected, names, left)
    paired = [key for key in expected if key in entries]
    shape_mismatches = {
        key: ShapeMismatch(expected[key], entries[key].shape)
        for key in paired
        if expected[key] != entries[key].shape
    }
    dtype_mismatches = {
        key: entries[key].dtype for key in paired if not _converts(key, entries[key].dtype)
    }
    differing = shape_mismatches.keys() | dtype_mismatches.keys()
    good = [key for key in paired if key not in differing]
    accounted = {*entries, *left, *zeroed}
    return TensorMatch(
        expected=expected,
        stored={name: stored[key].shape for name, key in names.items()},
        sources={key: names[key] for key in good},
        wrappers=wrappers,
        zeroed=zeroed,
        skipped=tuple(key for key in expected if key in left),
        unused=tuple(key for key in names if key in left and key not in expected),
        converted=Counter(
            (entries[key].dtype, expected_dtype(key))
            for key in good
            if entries[key].dtype != expected_dtype(key)
        ),
        missing=tuple(key for key in expected if key not in accounted),
        unexpected={key: each.shape for key, each in entries.items() if key not in expected},
        shape_mismatches=shape_mismatches,
        dtype_mismatches=dtype_mismatches,
    )


def _missing_counters(
    expected: Mapping[str, Shape], names: Mapping[str, str], left: set[str]
) -> tuple[str, ...]:
    """The counters of the network if the checkpoint has none at all, as old ones do."""
    if any(map(is_counter, names)):
        return ()
    return tuple(key for key in expected if is_counter(key) and key not in left)


def _converts(key: str, dtype: str) -> bool:
    """Whether a stored dtype can be cast to the expected one: real to real, integer to integer."""
    kinds = ("int", "uint") if is_counter(key) else ("float", "bfloat")
    return dtype.startswith(kinds)


# --- counters


def is_counter(key: str) -> bool:
    """Whether a key is a norm's count of batches."""
    return tensor_of(key) == COUNTER


def without_counters(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The tensors that are not counts of batches."""
    return {key: shape for key, shape in shapes.items() if not is_counter(key)}


def expected_dtype(key: str) -> str:
    """The dtype of a tensor in a printed network."""
    return COUNTER_DTYPE if is_counter(key) else PARAMETER_DTYPE


# --- sizes that a setting changes


def size_settings(
    mismatches: Mapping[str, ShapeMismatch], channels: int, classes: int | None
) -> dict[str, int] | None:
    """The settings under which a network has the shapes of the checkpoint.

        fc.weight: 1000 x 512, in the file 10 x 512    ->  {"head.classes": 10}

    `channels` are those of the network's input; `classes` is its `head.classes`, None if that cannot
    be set. None if other classes and input channels do not explain every mismatch.
    """
    outputs = _sizes_along(0, mismatches)
    inputs = {key: size for key, size in _sizes_along(1, mismatches).items() if key not in outputs}
    if outputs.keys() | inputs.keys() != mismatches.keys():
        return None
    if any(mismatches[key].expected[1] != channels for key in inputs):
        return None
    counts = {mismatches[key].expected[0] for key in outputs}
    is_head = len(counts) <= 1 and (classes is None or counts <= {classes})
    if not is_head or max(len({*outputs.values()}), len({*inputs.values()})) > 1:
        return None
    head = [("head.classes", size) for size in outputs.values() if classes]
    return dict([*head, *(("input.channels", size) for size in inputs.values())])


def _sizes_along(axis: int, mismatches: Mapping[str, ShapeMismatch]) -> dict[str, int]:
    """The stored sizes along an axis, of the tensors that differ along this axis alone."""
    sizes = {}
    for key, mismatch in mismatches.items():
        expected, stored = list(mismatch.expected), list(mismatch.stored)
        if len(expected) == len(stored) > axis and expected[axis] != stored[axis]:
            expected[axis] = stored[axis]
            if expected == stored:
                sizes[key] = stored[axis]
    return sizes
