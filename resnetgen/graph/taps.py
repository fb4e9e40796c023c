"""Taps: which positions of its input a position of an op's result reads, along each axis.

kernel 3, stride 2, padding 1   ->   Taps(first=-1, last=1, step=2): position 5 reads 9, 10, 11
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnetgen.graph.rules import Attributes, TensorType, per_axis, slides


@dataclass(frozen=True, slots=True)
class Taps:
    """What a position of a result reads along one axis.

    Position `i` reads the positions of the input from `i * step + first` to `i * step + last`. After
    an enlargement these are fractions: bounds that hold for every `i`. Infinite: all there are.
    """

    first: float = 0
    last: float = 0
    step: float = 1


def window_taps(attributes: Attributes, source: TensorType) -> tuple[Taps, ...]:
    """A kernel that slides over a padded input."""
    return tuple(
        Taps(-padding, dilation * (kernel - 1) - padding, stride)
        for kernel, stride, padding, dilation in slides(attributes, len(source.size))
    )


def blur_taps(attributes: Attributes, source: TensorType) -> tuple[Taps, ...]:
    """Three taps, whatever the stride."""
    return window_taps({**attributes, "kernel": 3, "padding": 1}, source)


def forward_taps(attributes: Attributes, source: TensorType) -> tuple[Taps, ...]:
    """A window of stride 1 that begins at its own position."""
    return (Taps(0, attributes["kernel"] - 1),) * len(source.size)


def subsample_taps(attributes: Attributes, source: TensorType) -> tuple[Taps, ...]:
    """Every `stride`-th position."""
    return (Taps(step=attributes["stride"]),) * len(source.size)


def adaptive_taps(attributes: Attributes, source: TensorType) -> tuple[Taps, ...]:
    """Windows that cover the input, as many as the result has positions."""
    targets = per_axis(attributes["size"], len(source.size))
    return tuple(
        adaptive_axis(size, target) for size, target in zip(source.size, targets, strict=True)
    )


def adaptive_axis(size: int, windows: int) -> Taps:
    """Window `i` of torch's adaptive pools is `floor(i * step) ... ceil((i + 1) * step) - 1`."""
    if windows == 1:
        return every_tap(size)
    step = size // windows if size % windows == 0 else size / windows
    starts = [i * size // windows for i in range(windows)]
    ends = [-(-(i + 1) * size // windows) - 1 for i in range(windows)]
    first = min(start - i * step for i, start in enumerate(starts))
    return Taps(first, max(end - i * step for i, end in enumerate(ends)), step)


def global_taps(attributes: Attributes, source: TensorType) -> tuple[Taps, ...]:
    """All of the input."""
    return tuple(every_tap(size) for size in source.size)


def every_tap(size: int) -> Taps:
    """All positions of an axis, from anywhere."""
    return Taps(-math.inf, math.inf, size)


def flatten_taps(attributes: Attributes, source: TensorType) -> tuple[Taps, ...]:
    """All positions of a fixed number: where that is 1, there is nothing to gather."""
    return tuple(every_tap(size) if size > 1 else Taps() for size in source.size)


def resize_taps(attributes: Attributes, source: TensorType) -> tuple[Taps, ...]:
    """`nearest` reads `floor(i / scale)`; `linear` both neighbours of `(i + 0.5) / scale - 0.5`."""
    scale = attributes["scale"]
    taps = Taps((1 - scale) / scale, 0, 1 / scale)
    if attributes["mode"] != "nearest" and scale > 1:
        places = [(2 * i + 1 - scale) / (2 * scale) for i in range(scale)]
        first = min(math.floor(place) - i / scale for i, place in enumerate(places))
        last = max(math.ceil(place) - i / scale for i, place in enumerate(places))
        taps = Taps(first, last, 1 / scale)
    return (taps,) * len(source.size)
