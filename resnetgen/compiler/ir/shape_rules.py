"""Rules that ops share: what follows from attributes and inputs for channels, shapes, weights and cost.

A rule takes the attributes of a node and what it reads; the table in `ops.py` names the rules of each
op. Which positions an op reads is said in `taps.py`.

Taps: which positions of its input a position of an op's result reads, along each axis.

kernel 3, stride 2, padding 1   ->   Taps(first=-1, last=1, step=2): position 5 reads 9, 10, 11

Where each channel of a result comes from, for the ops that put channels elsewhere.

    pad_channels  front 1, back 1  of 2 channels  ->  zero, channel 0, channel 1, zero
    concat        of 1 and 2 channels             ->  0 of the first, 0 and 1 of the second

All other ops make channels of their own, or keep those of their inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Attributes = Mapping[str, Any]

# Bytes of a value; `tf32` is float32 in memory.
WIDTHS: Mapping[str, int] = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


class ShapeError(ValueError):
    """Why an op cannot take its inputs, in the field's words, and what would mend it.

    `too_small`: the input of the network may be at fault. `at`: the attributes that do not suit.
    """

    def __init__(
        self,
        reason: str,
        help: str | None = None,
        *,
        too_small: bool = False,
        at: tuple[str, ...] = (),
    ) -> None:
        super().__init__(reason)
        self.help = help
        self.too_small = too_small
        self.at = at


@dataclass(frozen=True, slots=True)
class TensorType:
    """The type of a value: channels, spatial size (empty once flattened), no batch axis."""

    channels: int
    size: tuple[int, ...]
    dtype: str = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """`(channels, *size)`."""
        return (self.channels, *self.size)

    @property
    def elements(self) -> int:
        """Elements of one image."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return " x ".join(str(axis) for axis in self.shape)


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """What a block may know of a value: channels, and the positions an image has where that is fixed.

    `positions` is 1 after a global pool, 49 after an adaptive pool to 7 x 7, else None: blocks
    never see a spatial size.
    """

    channels: Any  # int, or Expr in the printed class
    positions: int | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of the state_dict: its name in the module, shape, and whether it is trained."""

    name: str
    shape: tuple[int, ...]
    trained: bool = True
    counter: bool = False  # an int64, whatever the type of the other weights

    @property
    def elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Extra:
    """The memory of what an op computes beside its result: indices, statistics, a mask, a padded input."""

    values: int = 0  # of each image, in the type of the activations
    bytes: int = 0  # of each image, in a type of their own
    once: int = 0  # bytes, for a batch of any size

    def size(self, batch: int, width: int) -> int:
        """Bytes for a batch, where a value has `width`."""
        return batch * (self.values * width + self.bytes) + self.once


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """One integer an axis; ShapeError where their number is wrong."""
    if not isinstance(value, tuple):
        return (value,) * axes
    if len(value) != axes:
        raise ShapeError(f"{len(value)} values were given for {axes} spatial axes")
    return value


def elementwise(rule: Callable[..., Any], *values: Any) -> Any:
    axes = max((len(value) for value in values if isinstance(value, tuple)), default=0)
    if not axes:
        return rule(*values)
    columns = [per_axis(value, axes) for value in values]
    return tuple(rule(*column) for column in zip(*columns, strict=True))


def same_padding(attributes: Attributes) -> Any:
    """The default padding: `dilation * (kernel - 1) // 2` for an odd kernel, 0 for an even one."""

    def rule(kernel: Any, dilation: Any) -> Any:
        if isinstance(kernel, int) and kernel % 2 == 0:
            return 0
        return dilation * (kernel - 1) // 2

    return elementwise(rule, attributes["kernel"], attributes.get("dilation", 1))


def window(attributes: Attributes, source: TensorType, ceil: bool = False) -> tuple[int, ...]:
    """The spatial size after a kernel slides over the input (torch.nn.Conv2d, MaxPool2d)."""
    axes = len(source.size)
    if not axes:
        raise ShapeError("it needs spatial axes, and its input is flattened")
    return tuple(
        window_axis(size, *sliding, ceil=ceil)
        for size, sliding in zip(source.size, slides(attributes, axes), strict=True)
    )


def slides(attributes: Attributes, axes: int) -> Iterator[tuple[int, int, int, int]]:
    """How a kernel slides along each axis: its size, stride, padding and dilation."""
    given = (attributes["kernel"], attributes["stride"], attributes["padding"])
    columns = (per_axis(value, axes) for value in (*given, attributes.get("dilation", 1)))
    return zip(*columns, strict=True)


def window_axis(
    size: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil: bool
) -> int:
    """The size along one axis, in windows; `ceil` adds one that starts inside and ends outside."""
    reach = dilation * (kernel - 1) + 1
    room = size + 2 * padding - reach
    if room < 0:
        what = f"a kernel of {kernel}" if dilation == 1 else f"a dilated kernel that spans {reach}"
        message = f"{what} does not fit into {size} (padding {padding})"
        raise ShapeError(message, too_small=True, at=("kernel", "padding"))
    if not ceil:
        return room // stride + 1
    windows = -(-room // stride) + 1
    return windows - 1 if (windows - 1) * stride >= size + padding else windows


def largest(value: Any) -> int:
    largest: int = max(value) if isinstance(value, tuple) else value
    return largest


def convolution_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    groups, out = attributes["groups"], attributes["out"]
    for what, channels, at in (("input", source.channels, ()), ("output", out, ("out",))):
        if channels % groups:
            message = f"{channels} {what} channels do not divide into {groups} groups"
            raise ShapeError(message, at=("groups", *at))
    return TensorType(out, window(attributes, source))


def convolution_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    out = attributes["out"]
    kernel = per_axis(attributes["kernel"], axes)
    weight = Weight("weight", (out, channels // attributes["groups"], *kernel))
    return (weight, Weight("bias", (out,))) if attributes["bias"] else (weight,)


def convolution_macs(attributes: Attributes, source: TensorType, result: TensorType) -> int:
    kernel = math.prod(per_axis(attributes["kernel"], len(source.size)))
    groups: int = attributes["groups"]
    return result.elements * (source.channels // groups) * kernel


def convolution_flow(
    attributes: Attributes, flows: Sequence[ChannelInfo], axes: int
) -> ChannelInfo:
    pointwise = (
        attributes["kernel"] == 1 and attributes["stride"] == 1 and attributes["padding"] == 0
    )
    return ChannelInfo(attributes["out"], flows[0].positions if pointwise else None)


def linear_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if types[0].size:
        reason = f"a linear layer needs a flattened input, and this one is {types[0]}"
        raise ShapeError(reason, "put `{op: flatten}` before it")
    return TensorType(attributes["out"], ())


def linear_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    weight = Weight("weight", (attributes["out"], channels))
    return (weight, Weight("bias", (attributes["out"],))) if attributes["bias"] else (weight,)


def batch_norm_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    statistics = (
        Weight("running_mean", (channels,), trained=False),
        Weight("running_var", (channels,), trained=False),
        Weight("num_batches_tracked", (), trained=False, counter=True),
    )
    return (Weight("weight", (channels,)), Weight("bias", (channels,)), *statistics)


def spatial(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if not types[0].size:
        raise ShapeError("it needs spatial axes, and its input is flattened")
    return types[0]


def group_norm_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if types[0].channels % attributes["groups"]:
        message = f"{types[0].channels} channels do not divide into {attributes['groups']} groups"
        raise ShapeError(message, at=("groups",))
    return types[0]


def pool_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    pairs = elementwise(lambda k, p: p * 2 <= k, attributes["kernel"], attributes["padding"])
    if not (all(pairs) if isinstance(pairs, tuple) else pairs):
        reason = "the padding of a pool is at most half its kernel"
        raise ShapeError(reason, at=("padding", "kernel"))
    result = TensorType(source.channels, window(attributes, source, attributes["ceil"]))
    if largest(attributes.get("dilation", 1)) > 1:
        refuse_empty_windows(attributes, source, result)
    return result


def refuse_empty_windows(attributes: Attributes, source: TensorType, result: TensorType) -> None:
    """The taps of a dilated window may all lie in the padding, where there is nothing to pool."""
    sliding = slides(attributes, len(source.size))
    for size, windows, along in zip(source.size, result.size, sliding, strict=True):
        kernel, stride, padding, dilation = along
        for start in range(-padding, windows * stride - padding, stride):
            if not any(0 <= start + dilation * tap < size for tap in range(kernel)):
                raise ShapeError(f"a window of the pool holds padding only, on {source}")


def avg_pool_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    axes = len(source.size)
    kernel = per_axis(attributes["kernel"], axes)
    if axes == 3 and any(size < tap for size, tap in zip(source.size, kernel, strict=True)):
        reason = f"torch refuses an average over {kernel} of a smaller input, {source}"
        raise ShapeError(reason, too_small=True, at=("kernel",))
    return pool_shape(attributes, types)


def adaptive_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial(attributes, types)
    return TensorType(source.channels, per_axis(attributes["size"], len(source.size)))


def global_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial(attributes, types)
    return TensorType(source.channels, (1,) * len(source.size))


def flatten_flow(attributes: Attributes, flows: Sequence[ChannelInfo], axes: int) -> ChannelInfo:
    (flow,) = flows
    if flow.positions is None:
        reason = "the number of values depends on the input size here"
        raise ShapeError(reason, "put `global_avg_pool` or `adaptive_avg_pool` before it")
    return ChannelInfo(flow.channels * flow.positions, 1)


def broadcast_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    """All inputs alike, but for axes of 1 in later ones that stretch (a gate times its input)."""
    first = types[0]
    for other in types[1:]:
        same_axes = len(other.size) == len(first.size)
        if not same_axes or any(
            b not in (a, 1) for a, b in zip(first.shape, other.shape, strict=True)
        ):
            raise ShapeError(f"cannot multiply {first} by {other}")
    return first


def add_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    for other in types[1:]:
        if other.shape != types[0].shape:
            same_size = other.size == types[0].size
            help = None if same_size else "let both paths stride alike, or `resize` the smaller"
            raise ShapeError(f"cannot add {types[0]} to {other}", help)
    return types[0]


def concat_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    for other in types[1:]:
        if other.size != types[0].size:
            reason = f"cannot concatenate {types[0]} and {other}: the sizes differ"
            raise ShapeError(reason, "let both paths stride alike, or `resize` the smaller")
    return TensorType(sum(each.channels for each in types), types[0].size)


def concat_flow(attributes: Attributes, flows: Sequence[ChannelInfo], axes: int) -> ChannelInfo:
    total = flows[0].channels
    for flow in flows[1:]:
        total = total + flow.channels
    return ChannelInfo(total, flows[0].positions)


def subsample_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial(attributes, types)
    strides = per_axis(attributes["stride"], len(source.size))
    size = tuple(-(-axis // stride) for axis, stride in zip(source.size, strides, strict=True))
    return TensorType(source.channels, size)


def pad_channels(attributes: Attributes, channels: Any) -> Any:
    return channels + attributes["front"] + attributes["back"]


def pad_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial(attributes, types)
    return TensorType(pad_channels(attributes, source.channels), source.size)


def blur_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    if any(axis < 2 for axis in source.size):
        raise ShapeError(
            f"reflection padding by 1 needs two positions an axis, and this is {source}"
        )
    return TensorType(source.channels, window({**attributes, "kernel": 3, "padding": 1}, source))


def resize_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial(attributes, types)
    return TensorType(source.channels, tuple(axis * attributes["scale"] for axis in source.size))


def channel_conv_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if math.prod(types[0].size) != 1:
        raise ShapeError(
            f"it reads one value a channel (after global_avg_pool), and this is {types[0]}"
        )
    return types[0]


# --- memory beside the result


def padded(source: TensorType, zeros: int) -> int:
    """Elements of an input that is padded by so many positions along each axis."""
    return source.channels * math.prod(axis + zeros for axis in source.size)


def partial_results(
    attributes: Attributes, types: Sequence[TensorType], result: TensorType
) -> Extra:
    """`a + b + c` is two sums, and `a * b * c` two products."""
    return Extra(values=(len(types) - 2) * result.elements)


@dataclass(frozen=True, slots=True)
class Window:
    """What a position of a result reads along one axis.

    Position `i` reads the positions of the input from `i * step + first` to `i * step + last`. After
    an enlargement these are fractions: bounds that hold for every `i`. Infinite: all there are.
    """

    first: float = 0
    last: float = 0
    step: float = 1


def window_taps(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """A kernel that slides over a padded input."""
    return tuple(
        Window(-padding, dilation * (kernel - 1) - padding, stride)
        for kernel, stride, padding, dilation in slides(attributes, len(source.size))
    )


def blur_taps(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """Three taps, whatever the stride."""
    return window_taps({**attributes, "kernel": 3, "padding": 1}, source)


def forward_taps(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """A window of stride 1 that begins at its own position."""
    return (Window(0, attributes["kernel"] - 1),) * len(source.size)


def subsample_taps(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """Every `stride`-th position."""
    return (Window(step=attributes["stride"]),) * len(source.size)


def adaptive_taps(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """Windows that cover the input, as many as the result has positions."""
    targets = per_axis(attributes["size"], len(source.size))
    return tuple(
        adaptive_axis(size, target) for size, target in zip(source.size, targets, strict=True)
    )


def adaptive_axis(size: int, windows: int) -> Window:
    """Window `i` of torch's adaptive pools is `floor(i * step) ... ceil((i + 1) * step) - 1`."""
    if windows == 1:
        return every_tap(size)
    step = size // windows if size % windows == 0 else size / windows
    starts = [i * size // windows for i in range(windows)]
    ends = [-(-(i + 1) * size // windows) - 1 for i in range(windows)]
    first = min(start - i * step for i, start in enumerate(starts))
    return Window(first, max(end - i * step for i, end in enumerate(ends)), step)


def global_taps(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """All of the input."""
    return tuple(every_tap(size) for size in source.size)


def every_tap(size: int) -> Window:
    """All positions of an axis, from anywhere."""
    return Window(-math.inf, math.inf, size)


def flatten_taps(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """All positions of a fixed number: where that is 1, there is nothing to gather."""
    return tuple(every_tap(size) if size > 1 else Window() for size in source.size)


def resize_taps(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """`nearest` reads `floor(i / scale)`; `linear` both neighbours of `(i + 0.5) / scale - 0.5`."""
    scale = attributes["scale"]
    taps = Window((1 - scale) / scale, 0, 1 / scale)
    if attributes["mode"] != "nearest" and scale > 1:
        places = [(2 * i + 1 - scale) / (2 * scale) for i in range(scale)]
        first = min(math.floor(place) - i / scale for i, place in enumerate(places))
        last = max(math.ceil(place) - i / scale for i, place in enumerate(places))
        taps = Window(first, last, 1 / scale)
    return (taps,) * len(source.size)


class Origin(NamedTuple):
    """A channel of an operand; of one of its positions, where these become channels."""

    operand: int
    channel: int
    position: int = 0


def concat_origins(
    attributes: Attributes, types: Sequence[TensorType]
) -> tuple[Origin | None, ...]:
    """The channels of all operands, one after the other."""
    return tuple(
        Origin(operand, channel)
        for operand, each in enumerate(types)
        for channel in range(each.channels)
    )


def pad_origins(attributes: Attributes, types: Sequence[TensorType]) -> tuple[Origin | None, ...]:
    """The channels of the input between zeros, which come from nowhere."""
    inside = (Origin(0, channel) for channel in range(types[0].channels))
    return (*[None] * attributes["front"], *inside, *[None] * attributes["back"])


def flatten_origins(
    attributes: Attributes, types: Sequence[TensorType]
) -> tuple[Origin | None, ...]:
    """All positions of the first channel, then those of the next."""
    positions = range(math.prod(types[0].size))
    return tuple(
        Origin(0, channel, position)
        for channel in range(types[0].channels)
        for position in positions
    )
