"""The rules of the ops: from attributes and inputs to channels, shapes, weights, costs, windows.

    convolution {out: 64, kernel: 7, stride: 2, padding: 3} of 3 x 224 x 224
        shape     64 x 112 x 112
        weights   weight (64, 3, 7, 7)
        macs      118,013,952
        window    positions 2 i - 3 to 2 i + 3 of the input, along each axis

A rule is a function of the attributes of a node and of what it reads; the table in `ops.py` names
the rules of each op. Types have no batch axis: every figure is for one image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Attributes = Mapping[str, Any]

# Bytes of a value; `tf32` is float32 in memory.
DTYPE_BYTES: Mapping[str, int] = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2, "int8": 1}

# --- what rules compute


class ShapeError(ValueError):
    """Why an op does not accept its inputs, in the field's words, and how to fix it.

    `at`: the attributes that do not fit. `too_small`: the input of the network may be the cause.
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
    """The type of a value: channels, and the spatial size (empty once flattened)."""

    channels: int
    size: tuple[int, ...]
    dtype: str = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """`(channels, *size)`."""
        return (self.channels, *self.size)

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return " x ".join(str(axis) for axis in self.shape)


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """What a block may know of a value: its channels, and the number of positions if it is fixed.

    `positions` is 1 after a global pool, 49 after an adaptive pool to 7 x 7, else None: blocks
    never see a spatial size.
    """

    channels: Any  # int, or Expr in the printed class
    positions: int | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of the state_dict: its name in the module, its shape, and whether it is trained."""

    name: str
    shape: tuple[int, ...]
    trained: bool = True
    counter: bool = False  # an int64, whatever the type of the other weights

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class ExtraMemory:
    """What an op computes besides its result: indices, statistics, a mask, a padded input."""

    values: int = 0  # per image, in the type of the activations
    bytes: int = 0  # per image, in a type of their own
    once: int = 0  # bytes, for a batch of any size

    def size(self, batch: int, width: int) -> int:
        """Bytes for a batch whose values have `width` bytes."""
        return batch * (self.values * width + self.bytes) + self.once


@dataclass(frozen=True, slots=True)
class Window:
    """The positions of the input that one position of the result reads, along one axis.

    Position `i` reads from `i * step + first` to `i * step + last`. After an enlargement these are
    fractions, bounds that are valid for every `i`. Infinite: the whole axis.
    """

    first: float = 0
    last: float = 0
    step: float = 1


class ChannelOrigin(NamedTuple):
    """The channel of an operand that a channel comes from; `position`, once these are channels."""

    operand: int
    channel: int
    position: int = 0


# --- values for each axis, and kernels


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """One integer for each axis. Raises ShapeError if their number is wrong."""
    if not isinstance(value, tuple):
        return (value,) * axes
    if len(value) != axes:
        raise ShapeError(f"{len(value)} values were given for {axes} spatial axes")
    return value


def elementwise(rule: Callable[..., Any], *values: Any) -> Any:
    """A rule applied to values, axis by axis if one of them has a value for each axis."""
    axes = max((len(value) for value in values if isinstance(value, tuple)), default=0)
    if not axes:
        return rule(*values)
    columns = [per_axis(value, axes) for value in values]
    return tuple(rule(*column) for column in zip(*columns, strict=True))


def largest(value: Any) -> int:
    """The largest value of any axis."""
    largest: int = max(value) if isinstance(value, tuple) else value
    return largest


def same_padding(attributes: Attributes) -> Any:
    """The default padding: `dilation * (kernel - 1) // 2` for an odd kernel, 0 for an even one."""

    def rule(kernel: Any, dilation: Any) -> Any:
        if isinstance(kernel, int) and kernel % 2 == 0:
            return 0
        return dilation * (kernel - 1) // 2

    return elementwise(rule, attributes["kernel"], attributes.get("dilation", 1))


def kernel_axes(attributes: Attributes, axes: int) -> Iterator[tuple[int, int, int, int]]:
    """The size, stride, padding and dilation of a kernel, along each axis."""
    given = (attributes["kernel"], attributes["stride"], attributes["padding"])
    columns = (per_axis(value, axes) for value in (*given, attributes.get("dilation", 1)))
    return zip(*columns, strict=True)


def output_size(attributes: Attributes, source: TensorType, ceil: bool = False) -> tuple[int, ...]:
    """The spatial size after a kernel slides over the input (torch.nn.Conv2d, MaxPool2d)."""
    axes = len(source.size)
    if not axes:
        raise ShapeError("it needs spatial axes, and its input is flattened")
    return tuple(
        output_axis(size, *kernel, ceil=ceil)
        for size, kernel in zip(source.size, kernel_axes(attributes, axes), strict=True)
    )


def output_axis(
    size: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil: bool
) -> int:
    """The number of windows along one axis; `ceil` adds one that starts inside and ends outside."""
    span = dilation * (kernel - 1) + 1
    room = size + 2 * padding - span
    if room < 0:
        what = f"a kernel of {kernel}" if dilation == 1 else f"a dilated kernel that spans {span}"
        message = f"{what} does not fit into {size} (padding {padding})"
        raise ShapeError(message, too_small=True, at=("kernel", "padding"))
    if not ceil:
        return room // stride + 1
    windows = -(-room // stride) + 1
    return windows - 1 if (windows - 1) * stride >= size + padding else windows


# --- channels, shapes, weights and multiply-adds: what several ops share


def only_channels(attributes: Attributes, inputs: Sequence[ChannelInfo], axes: int) -> ChannelInfo:
    """The channels stay; the number of positions is not known any more."""
    return ChannelInfo(inputs[0].channels)


def spatial_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    """The shape stays, and has spatial axes."""
    if not types[0].size:
        raise ShapeError("it needs spatial axes, and its input is flattened")
    return types[0]


def largest_stride(attributes: Attributes) -> float:
    """An op shrinks its input by its stride."""
    return largest(attributes["stride"])


# --- convolutions and linear layers


def convolution_channels(
    attributes: Attributes, inputs: Sequence[ChannelInfo], axes: int
) -> ChannelInfo:
    pointwise = (
        attributes["kernel"] == 1 and attributes["stride"] == 1 and attributes["padding"] == 0
    )
    return ChannelInfo(attributes["out"], inputs[0].positions if pointwise else None)


def convolution_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    groups, out = attributes["groups"], attributes["out"]
    for what, channels, at in (("input", source.channels, ()), ("output", out, ("out",))):
        if channels % groups:
            message = f"{channels} {what} channels do not divide into {groups} groups"
            raise ShapeError(message, at=("groups", *at))
    return TensorType(out, output_size(attributes, source))


def convolution_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    out = attributes["out"]
    kernel = per_axis(attributes["kernel"], axes)
    weight = Weight("weight", (out, channels // attributes["groups"], *kernel))
    return (weight, Weight("bias", (out,))) if attributes["bias"] else (weight,)


def convolution_macs(attributes: Attributes, source: TensorType, result: TensorType) -> int:
    kernel = math.prod(per_axis(attributes["kernel"], len(source.size)))
    groups: int = attributes["groups"]
    return result.elements * (source.channels // groups) * kernel


def linear_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if types[0].size:
        reason = f"a linear layer needs a flattened input, and this one is {types[0]}"
        raise ShapeError(reason, "put `{op: flatten}` before it")
    return TensorType(attributes["out"], ())


def linear_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    weight = Weight("weight", (attributes["out"], channels))
    return (weight, Weight("bias", (attributes["out"],))) if attributes["bias"] else (weight,)


def channel_conv_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if math.prod(types[0].size) != 1:
        raise ShapeError(
            f"it reads one value a channel (after global_avg_pool), and this is {types[0]}"
        )
    kernel, padding = attributes["kernel"], attributes["padding"]
    if 2 * padding != kernel - 1:
        reason = f"a kernel of {kernel} with a padding of {padding} changes the number of channels"
        help = "use an odd kernel, and a padding of half of it"
        raise ShapeError(reason, help, at=("kernel", "padding"))
    return types[0]


def channel_conv_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    weight = Weight("weight", (1, 1, attributes["kernel"]))
    return (weight, Weight("bias", (1,))) if attributes["bias"] else (weight,)


# --- norms


def batch_norm_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    statistics = (
        Weight("running_mean", (channels,), trained=False),
        Weight("running_var", (channels,), trained=False),
        Weight("num_batches_tracked", (), trained=False, counter=True),
    )
    return (*group_norm_weights(attributes, channels, axes), *statistics)


def group_norm_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    return (Weight("weight", (channels,)), Weight("bias", (channels,)))


def group_norm_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    groups = attributes["groups"]
    if source.channels % groups:
        message = f"{source.channels} channels do not divide into {groups} groups"
        raise ShapeError(message, at=("groups",))
    if source.elements == groups:
        message = (
            f"each of {groups} groups of {source} is one value, which torch does not normalise"
        )
        help = "use fewer groups, or normalise before the pool"
        raise ShapeError(message, help, at=("groups",))
    return source


# --- pools and resampling


def pool_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    pairs = elementwise(lambda k, p: p * 2 <= k, attributes["kernel"], attributes["padding"])
    if not (all(pairs) if isinstance(pairs, tuple) else pairs):
        reason = "the padding of a pool is at most half its kernel"
        raise ShapeError(reason, at=("padding", "kernel"))
    result = TensorType(source.channels, output_size(attributes, source, attributes["ceil"]))
    if largest(attributes.get("dilation", 1)) > 1:
        check_windows(attributes, source)
    return result


def check_windows(attributes: Attributes, source: TensorType) -> None:
    """All taps of a dilated window may be in the padding, where there is nothing to pool.

    Because a kernel fits into its padded input, and the padding is at most half of it, only a
    kernel of 2 can enclose an axis: its taps are at -1 and at `size`.
    """
    kernels = kernel_axes(attributes, len(source.size))
    for size, (_, _, padding, dilation) in zip(source.size, kernels, strict=True):
        if padding and dilation > size:
            raise ShapeError(f"a window of the pool is all padding, on {source}")


def avg_pool_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    axes = len(source.size)
    kernel = per_axis(attributes["kernel"], axes)
    if axes == 3 and any(size < tap for size, tap in zip(source.size, kernel, strict=True)):
        reason = f"torch refuses an average over {kernel} of a smaller input, {source}"
        raise ShapeError(reason, too_small=True, at=("kernel",))
    return pool_shape(attributes, types)


def adaptive_channels(
    attributes: Attributes, inputs: Sequence[ChannelInfo], axes: int
) -> ChannelInfo:
    return ChannelInfo(inputs[0].channels, math.prod(per_axis(attributes["size"], axes)))


def adaptive_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial_shape(attributes, types)
    return TensorType(source.channels, per_axis(attributes["size"], len(source.size)))


def global_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial_shape(attributes, types)
    return TensorType(source.channels, (1,) * len(source.size))


def blur_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    if any(axis < 2 for axis in source.size):
        raise ShapeError(
            f"reflection padding by 1 needs two positions an axis, and this is {source}"
        )
    size = output_size({**attributes, "kernel": 3, "padding": 1}, source)
    return TensorType(source.channels, size)


def subsample_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial_shape(attributes, types)
    strides = per_axis(attributes["stride"], len(source.size))
    size = tuple(-(-axis // stride) for axis, stride in zip(source.size, strides, strict=True))
    return TensorType(source.channels, size)


def resize_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial_shape(attributes, types)
    return TensorType(source.channels, tuple(axis * attributes["scale"] for axis in source.size))


# --- joins


def add_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    for other in types[1:]:
        if other.shape != types[0].shape:
            same_size = other.size == types[0].size
            help = None if same_size else "let both paths stride alike, or `resize` the smaller"
            raise ShapeError(f"cannot add {types[0]} to {other}", help)
    return types[0]


def mul_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    """All inputs are alike, but axes of 1 in later ones stretch (a gate times its input)."""
    first = types[0]
    for other in types[1:]:
        same_axes = len(other.size) == len(first.size)
        if not same_axes or any(
            b not in (a, 1) for a, b in zip(first.shape, other.shape, strict=True)
        ):
            raise ShapeError(f"cannot multiply {first} by {other}")
    return first


def concat_channels(
    attributes: Attributes, inputs: Sequence[ChannelInfo], axes: int
) -> ChannelInfo:
    total = inputs[0].channels
    for each in inputs[1:]:
        total = total + each.channels
    return ChannelInfo(total, inputs[0].positions)


def concat_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    for other in types[1:]:
        if other.size != types[0].size:
            reason = f"cannot concatenate {types[0]} and {other}: the sizes differ"
            raise ShapeError(reason, "let both paths stride alike, or `resize` the smaller")
    return TensorType(sum(each.channels for each in types), types[0].size)


# --- channels moved


def flatten_channels(
    attributes: Attributes, inputs: Sequence[ChannelInfo], axes: int
) -> ChannelInfo:
    (source,) = inputs
    if source.positions is None:
        reason = "the number of values depends on the input size here"
        raise ShapeError(reason, "put `global_avg_pool` or `adaptive_avg_pool` before it")
    return ChannelInfo(source.channels * source.positions, 1)


def pad_channels(attributes: Attributes, inputs: Sequence[ChannelInfo], axes: int) -> ChannelInfo:
    channels = inputs[0].channels + attributes["front"] + attributes["back"]
    return ChannelInfo(channels, inputs[0].positions)


def pad_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = spatial_shape(attributes, types)
    return TensorType(source.channels + attributes["front"] + attributes["back"], source.size)


# --- where each channel of a result comes from: None for a channel of zeros


def concat_origins(
    attributes: Attributes, types: Sequence[TensorType]
) -> tuple[ChannelOrigin | None, ...]:
    """The channels of all operands, one after the other."""
    return tuple(
        ChannelOrigin(operand, channel)
        for operand, each in enumerate(types)
        for channel in range(each.channels)
    )


def pad_origins(
    attributes: Attributes, types: Sequence[TensorType]
) -> tuple[ChannelOrigin | None, ...]:
    """front 1, back 1 of 2 channels  ->  None, channel 0, channel 1, None."""
    inside = (ChannelOrigin(0, channel) for channel in range(types[0].channels))
    return (*[None] * attributes["front"], *inside, *[None] * attributes["back"])


def flatten_origins(
    attributes: Attributes, types: Sequence[TensorType]
) -> tuple[ChannelOrigin | None, ...]:
    """All positions of the first channel, then those of the next."""
    positions = range(math.prod(types[0].size))
    return tuple(
        ChannelOrigin(0, channel, position)
        for channel in range(types[0].channels)
        for position in positions
    )


# --- windows: the positions that a position of the result reads


def kernel_window(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """A kernel that slides over a padded input.

    kernel 3, stride 2, padding 1  ->  Window(first=-1, last=1, step=2): position 5 reads 9, 10, 11
    """
    return tuple(
        Window(-padding, dilation * (kernel - 1) - padding, stride)
        for kernel, stride, padding, dilation in kernel_axes(attributes, len(source.size))
    )


def blur_window(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """Three taps, whatever the stride."""
    return kernel_window({**attributes, "kernel": 3, "padding": 1}, source)


def forward_window(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """A window of stride 1 that begins at its own position."""
    return (Window(0, attributes["kernel"] - 1),) * len(source.size)


def subsample_window(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """Every `stride`-th position."""
    return (Window(step=attributes["stride"]),) * len(source.size)


def adaptive_window(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """Windows that cover the input, as many as the result has positions."""
    targets = per_axis(attributes["size"], len(source.size))
    return tuple(
        adaptive_window_axis(size, target)
        for size, target in zip(source.size, targets, strict=True)
    )


def adaptive_window_axis(size: int, windows: int) -> Window:
    """Window `i` of torch's adaptive pools is `floor(i * step) ... ceil((i + 1) * step) - 1`.

    Rounding moves its ends by up to `1 - gcd(size, windows) / windows`.
    """
    if windows == 1:
        return whole_axis(size)
    if size % windows == 0:
        return Window(0, size // windows - 1, size // windows)
    common = math.gcd(size, windows)
    return Window((common - windows) / windows, (size - common) / windows, size / windows)


def global_window(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """The whole input."""
    return tuple(whole_axis(size) for size in source.size)


def whole_axis(size: int) -> Window:
    """Every position of an axis, read from any position."""
    return Window(-math.inf, math.inf, size)


def flatten_window(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """Every position of a fixed number; if there is only one, nothing is gathered."""
    return tuple(whole_axis(size) if size > 1 else Window() for size in source.size)


def resize_window(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """`nearest` reads `floor(i / scale)`; `linear` both neighbours of `(i + 0.5) / scale - 0.5`."""
    scale = attributes["scale"]
    window = Window((1 - scale) / scale, 0, 1 / scale)
    if attributes["mode"] != "nearest" and scale > 1:
        # The extremes are at the positions before and after the middle of those of one pixel.
        first = -1 - (scale // 2 - 1) / scale
        window = Window(first, 1 - (scale + 1) // 2 / scale, 1 / scale)
    return (window,) * len(source.size)


# --- extra memory


def padded_elements(source: TensorType, zeros: int) -> int:
    """The elements of an input that is padded by so many positions along each axis."""
    return source.channels * math.prod(axis + zeros for axis in source.size)


def partial_results(
    attributes: Attributes, types: Sequence[TensorType], result: TensorType
) -> ExtraMemory:
    """`a + b + c` is two sums, and `a * b * c` two products."""
    return ExtraMemory(values=(len(types) - 2) * result.elements)
