"""The ops: every fact of each in one entry of one table.

An entry says which attributes an op takes, how channels and shapes follow, which weights it holds,
how many multiply-adds it costs, and how it is written in PyTorch. Adding an op touches this table.
Attribute rules and channel rules work on numbers and on expressions alike, so that the same rule
gives the compiler its figures and the printed class its arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnetgen.language.expressions import Value


class ShapeError(ValueError):
    """Why an op cannot take its inputs, in the field's words, and what would mend it.

    `too_small`: the input of the network may be at fault.
    """

    def __init__(self, reason: str, help: str | None = None, *, too_small: bool = False) -> None:
        super().__init__(reason)
        self.help = help
        self.too_small = too_small


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
class Flow:
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

    @property
    def elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)


REQUIRED = object()
Attributes = Mapping[str, Any]
Rule = Callable[[Attributes], Any]


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of an op. `kind`: int, float, bool, word, or axes (one integer, or one an axis)."""

    kind: str
    default: Any = REQUIRED  # a value, or a rule over the attributes before it
    doc: str = ""
    least: float | None = None
    most: float | None = None
    words: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        """Whether a node must give it."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the printed constructor; left out where it equals PyTorch's default."""

    attribute: str | int  # a name; "in" for the input channels; or a constant
    keyword: str | None = None
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class TorchModule:
    """How an op is written as a module. `{n}` is the number of spatial axes."""

    callee: str
    arguments: tuple[Argument, ...] = ()
    call: str | None = None  # how `{module}` is applied to `{x}` where not simply called
    support: str | None = None  # a template of a class that the printed file needs


@dataclass(frozen=True, slots=True)
class TorchFunction:
    """How an op is written in `forward`: a function of input texts, attribute texts and axes."""

    write: Callable[[Sequence[str], Mapping[str, str], int], str]
    uses_torch: bool = False


def NO_WEIGHTS(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:  # noqa: N802
    """The weights of an op that holds none."""
    return ()


@dataclass(frozen=True, slots=True)
class OpDef:
    """All facts of one op."""

    doc: str
    torch: TorchModule | TorchFunction
    calls: tuple[str, ...]  # names of the functions that compute its result in a captured graph
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    arity: int | None = 1  # None: two or more, a join
    flow: Callable[[Attributes, Sequence[Flow], int], Flow] = lambda a, flows, axes: flows[0]
    shape: Callable[[Attributes, Sequence[TensorType]], TensorType] = lambda a, types: types[0]
    weights: Callable[[Attributes, int, int], tuple[Weight, ...]] = NO_WEIGHTS
    macs: Callable[[Attributes, TensorType, TensorType], int] = lambda a, source, result: 0
    stride: Callable[[Attributes], float] = lambda a: 1  # how far it reduces the resolution
    neutral: Callable[[Attributes], bool] = lambda a: False  # True: it computes the identity
    is_norm: bool = False
    saves_output: bool = (
        False  # its backward pass reads its result, so that must not be overwritten
    )
    aliases: bool = False  # its result may share memory with its input
    inplace: bool = False  # may overwrite its input where that is safe
    in_container: TorchModule | None = None  # a module form for numbered containers


# --- rules that several ops share


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """One integer an axis; ShapeError where their number is wrong."""
    if not isinstance(value, tuple):
        return (value,) * axes
    if len(value) != axes:
        raise ShapeError(f"{len(value)} values were given for {axes} spatial axes")
    return value


def _elementwise(rule: Callable[..., Any], *values: Any) -> Any:
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

    return _elementwise(rule, attributes["kernel"], attributes.get("dilation", 1))


def _window(attributes: Attributes, source: TensorType, ceil: bool = False) -> tuple[int, ...]:
    """The spatial size after a kernel slides over the input (torch.nn.Conv2d, MaxPool2d)."""
    axes = len(source.size)
    if not axes:
        raise ShapeError("it needs spatial axes, and its input is flattened")
    columns = zip(
        source.size,
        per_axis(attributes["kernel"], axes),
        per_axis(attributes["stride"], axes),
        per_axis(attributes["padding"], axes),
        per_axis(attributes.get("dilation", 1), axes),
        strict=True,
    )
    return tuple(_window_axis(*column, ceil=ceil) for column in columns)


def _window_axis(
    size: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil: bool
) -> int:
    reach = dilation * (kernel - 1) + 1
    room = size + 2 * padding - reach
    if room < 0:
        what = f"a kernel of {kernel}" if dilation == 1 else f"a dilated kernel that spans {reach}"
        raise ShapeError(f"{what} does not fit into {size} (padding {padding})", too_small=True)
    if not ceil:
        return room // stride + 1
    windows = -(-room // stride) + 1
    return windows - 1 if (windows - 1) * stride >= size + padding else windows


def _largest(value: Any) -> int:
    largest: int = max(value) if isinstance(value, tuple) else value
    return largest


def _convolution_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    groups, out = attributes["groups"], attributes["out"]
    for what, channels in (("input", source.channels), ("output", out)):
        if channels % groups:
            raise ShapeError(f"{channels} {what} channels do not divide into {groups} groups")
    return TensorType(out, _window(attributes, source))


def _convolution_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    out = attributes["out"]
    kernel = per_axis(attributes["kernel"], axes)
    weight = Weight("weight", (out, channels // attributes["groups"], *kernel))
    return (weight, Weight("bias", (out,))) if attributes["bias"] else (weight,)


def _convolution_macs(attributes: Attributes, source: TensorType, result: TensorType) -> int:
    kernel = math.prod(per_axis(attributes["kernel"], len(source.size)))
    groups: int = attributes["groups"]
    return result.elements * (source.channels // groups) * kernel


def _convolution_flow(attributes: Attributes, flows: Sequence[Flow], axes: int) -> Flow:
    pointwise = (
        attributes["kernel"] == 1 and attributes["stride"] == 1 and attributes["padding"] == 0
    )
    return Flow(attributes["out"], flows[0].positions if pointwise else None)


def _linear_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if types[0].size:
        reason = f"a linear layer needs a flattened input, and this one is {types[0]}"
        raise ShapeError(reason, "put `{op: flatten}` before it")
    return TensorType(attributes["out"], ())


def _linear_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    weight = Weight("weight", (attributes["out"], channels))
    return (weight, Weight("bias", (attributes["out"],))) if attributes["bias"] else (weight,)


def _batch_norm_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    statistics = (
        Weight("running_mean", (channels,), trained=False),
        Weight("running_var", (channels,), trained=False),
        Weight("num_batches_tracked", (), trained=False),
    )
    return (Weight("weight", (channels,)), Weight("bias", (channels,)), *statistics)


def _spatial(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if not types[0].size:
        raise ShapeError("it needs spatial axes, and its input is flattened")
    return types[0]


def _group_norm_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if types[0].channels % attributes["groups"]:
        raise ShapeError(
            f"{types[0].channels} channels do not divide into {attributes['groups']} groups"
        )
    return types[0]


def _pool_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    pairs = _elementwise(lambda k, p: p * 2 <= k, attributes["kernel"], attributes["padding"])
    if not (all(pairs) if isinstance(pairs, tuple) else pairs):
        raise ShapeError("the padding of a pool is at most half its kernel")
    result = TensorType(source.channels, _window(attributes, source, attributes["ceil"]))
    if _largest(attributes.get("dilation", 1)) > 1:
        _refuse_empty_windows(attributes, source, result)
    return result


def _refuse_empty_windows(attributes: Attributes, source: TensorType, result: TensorType) -> None:
    """The taps of a dilated window may all lie in the padding, where there is nothing to pool."""
    names = ("kernel", "stride", "padding", "dilation")
    columns = zip(*(per_axis(attributes[name], len(source.size)) for name in names), strict=True)
    for size, windows, column in zip(source.size, result.size, columns, strict=True):
        kernel, stride, padding, dilation = column
        for start in range(-padding, windows * stride - padding, stride):
            if not any(0 <= start + dilation * tap < size for tap in range(kernel)):
                raise ShapeError(f"a window of the pool holds padding only, on {source}")


def _avg_pool_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    axes = len(source.size)
    kernel = per_axis(attributes["kernel"], axes)
    if axes == 3 and any(size < tap for size, tap in zip(source.size, kernel, strict=True)):
        reason = f"torch refuses an average over {kernel} of a smaller input, {source}"
        raise ShapeError(reason, too_small=True)
    return _pool_shape(attributes, types)


def _adaptive_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = _spatial(attributes, types)
    return TensorType(source.channels, per_axis(attributes["size"], len(source.size)))


def _global_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = _spatial(attributes, types)
    return TensorType(source.channels, (1,) * len(source.size))


def _flatten_flow(attributes: Attributes, flows: Sequence[Flow], axes: int) -> Flow:
    (flow,) = flows
    if flow.positions is None:
        reason = "the number of values depends on the input size here"
        raise ShapeError(reason, "put `global_avg_pool` or `adaptive_avg_pool` before it")
    return Flow(flow.channels * flow.positions, 1)


def _broadcast_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    """All inputs alike, but for axes of 1 in later ones that stretch (a gate times its input)."""
    first = types[0]
    for other in types[1:]:
        same_axes = len(other.size) == len(first.size)
        if not same_axes or any(
            b not in (a, 1) for a, b in zip(first.shape, other.shape, strict=True)
        ):
            raise ShapeError(f"cannot multiply {first} by {other}")
    return first


def _add_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    for other in types[1:]:
        if other.shape != types[0].shape:
            same_size = other.size == types[0].size
            help = None if same_size else "let both paths stride alike, or `resize` the smaller"
            raise ShapeError(f"cannot add {types[0]} to {other}", help)
    return types[0]


def _concat_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    for other in types[1:]:
        if other.size != types[0].size:
            reason = f"cannot concatenate {types[0]} and {other}: the sizes differ"
            raise ShapeError(reason, "let both paths stride alike, or `resize` the smaller")
    return TensorType(sum(each.channels for each in types), types[0].size)


def _concat_flow(attributes: Attributes, flows: Sequence[Flow], axes: int) -> Flow:
    total = flows[0].channels
    for flow in flows[1:]:
        total = total + flow.channels
    return Flow(total, flows[0].positions)


def _subsample_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = _spatial(attributes, types)
    strides = per_axis(attributes["stride"], len(source.size))
    size = tuple(-(-axis // stride) for axis, stride in zip(source.size, strides, strict=True))
    return TensorType(source.channels, size)


def _pad_channels(attributes: Attributes, channels: Any) -> Any:
    return channels + attributes["front"] + attributes["back"]


def _pad_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = _spatial(attributes, types)
    return TensorType(_pad_channels(attributes, source.channels), source.size)


def _blur_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    (source,) = types
    if any(axis < 2 for axis in source.size):
        raise ShapeError(
            f"reflection padding by 1 needs two positions an axis, and this is {source}"
        )
    return TensorType(source.channels, _window({**attributes, "kernel": 3, "padding": 1}, source))


def _resize_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    source = _spatial(attributes, types)
    return TensorType(source.channels, tuple(axis * attributes["scale"] for axis in source.size))


# --- how functions are written


def _subsample(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    stride = attributes["stride"]
    step = f"::{stride}" if stride.isdigit() else f":: {stride}"  # as ruff spaces slices
    return f"{inputs[0]}[:, :, {', '.join([step] * axes)}]"


def _pad(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    zeros = "0, 0, " * axes
    return f"nn.functional.pad({inputs[0]}, ({zeros}{attributes['front']}, {attributes['back']}))"


def _resize(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    linear = ("linear", "bilinear", "trilinear")[axes - 1]
    mode = "nearest" if attributes["mode"] == "nearest" else linear
    return (
        f'nn.functional.interpolate({inputs[0]}, scale_factor={attributes["scale"]}, mode="{mode}")'
    )


def _concat(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    return f"torch.cat([{', '.join(inputs)}], dim=1)"


OUT = Attribute("int", doc="output channels", least=1)
KERNEL = Attribute("axes", doc="kernel size", least=1)
STRIDE = Attribute("axes", 1, "stride", least=1)
PADDING = Attribute("axes", same_padding, "zeros on each side", least=0)
DILATION = Attribute("axes", 1, "distance between the taps of the kernel", least=1)
EPS = Attribute("float", 1e-5, "added to the variance", least=0)
RATE = Attribute("float", doc="probability of dropping", least=0, most=1)
POOL_STRIDE = Attribute(
    "axes", lambda a: a["kernel"], "stride; the kernel size by default", least=1
)
CEIL = Attribute("bool", False, "round the output size up")


def _activation(
    callee: str, doc: str, call: str, *, inplace: bool = False, saves: bool = False
) -> OpDef:
    arguments = (Argument("inplace", "inplace", False),) if inplace else ()
    module = TorchModule(callee, arguments)
    return OpDef(doc, module, (call,), inplace=inplace, saves_output=saves)


OPS: Mapping[str, OpDef] = {
    "convolution": OpDef(
        "convolution over 1 to 3 spatial axes",
        TorchModule(
            "nn.Conv{n}d",
            (
                Argument("in"),
                Argument("out"),
                Argument("kernel"),
                Argument("stride", "stride", 1),
                Argument("padding", "padding", 0),
                Argument("dilation", "dilation", 1),
                Argument("groups", "groups", 1),
                Argument("bias", "bias", True),
            ),
        ),
        ("conv1d", "conv2d", "conv3d"),
        {
            "out": OUT,
            "kernel": KERNEL,
            "stride": STRIDE,
            "dilation": DILATION,
            "groups": Attribute("int", 1, "groups of channels convolved apart", least=1),
            "padding": PADDING,
            "bias": Attribute("bool", None, "false by default where only norms read the result"),
        },
        flow=_convolution_flow,
        shape=_convolution_shape,
        weights=_convolution_weights,
        macs=_convolution_macs,
        stride=lambda a: _largest(a["stride"]),
    ),
    "linear": OpDef(
        "fully connected layer",
        TorchModule("nn.Linear", (Argument("in"), Argument("out"), Argument("bias", "bias", True))),
        ("linear",),
        {"out": OUT, "bias": Attribute("bool", True, "adds a bias")},
        flow=lambda a, flows, axes: Flow(a["out"], 1),
        shape=_linear_shape,
        weights=_linear_weights,
        macs=lambda a, source, result: source.channels * result.channels,
    ),
    "channel_conv": OpDef(
        "1-D convolution over the channel axis of a pooled value (ECA, arXiv 1910.03151)",
        TorchModule(
            "nn.Conv1d",
            (
                Argument(1),
                Argument(1),
                Argument("kernel"),
                Argument("padding", "padding", 0),
                Argument("bias", "bias", True),
            ),
            call="{module}({x}.view({x}.shape[0], 1, -1)).view_as({x})",
        ),
        ("view_as",),
        {
            "kernel": Attribute("int", doc="kernel size", least=1),
            "padding": Attribute("int", same_padding, "zeros on each side", least=0),
            "bias": Attribute("bool", False, "adds a bias"),
        },
        weights=lambda a, channels, axes: (
            (Weight("weight", (1, 1, a["kernel"])),)
            + ((Weight("bias", (1,)),) if a["bias"] else ())
        ),
        shape=lambda a, types: _channel_conv_shape(a, types),
        macs=lambda a, source, result: source.channels * a["kernel"],
        aliases=True,
    ),
    "batch_norm": OpDef(
        "batch normalisation (arXiv 1502.03167)",
        TorchModule(
            "nn.BatchNorm{n}d",
            (Argument("in"), Argument("eps", "eps", 1e-5), Argument("momentum", "momentum", 0.1)),
        ),
        ("batch_norm",),
        {"eps": EPS, "momentum": Attribute("float", 0.1, "weight of the new statistics", least=0)},
        shape=_spatial,
        weights=_batch_norm_weights,
        is_norm=True,
    ),
    "group_norm": OpDef(
        "group normalisation (arXiv 1803.08494)",
        TorchModule(
            "nn.GroupNorm", (Argument("groups"), Argument("in"), Argument("eps", "eps", 1e-5))
        ),
        ("group_norm",),
        {"groups": Attribute("int", 32, "groups of channels", least=1), "eps": EPS},
        shape=_group_norm_shape,
        weights=lambda a, channels, axes: (
            Weight("weight", (channels,)),
            Weight("bias", (channels,)),
        ),
        is_norm=True,
    ),
    "relu": _activation("nn.ReLU", "max(x, 0)", "relu", inplace=True, saves=True),
    "relu6": _activation("nn.ReLU6", "min(max(x, 0), 6)", "hardtanh", inplace=True, saves=True),
    "silu": _activation("nn.SiLU", "x * sigmoid(x), also called swish", "silu"),
    "gelu": _activation("nn.GELU", "x * Phi(x)", "gelu"),
    "sigmoid": _activation("nn.Sigmoid", "1 / (1 + exp(-x))", "sigmoid", saves=True),
    "tanh": _activation("nn.Tanh", "hyperbolic tangent", "tanh", saves=True),
    "max_pool": OpDef(
        "maximum over a window",
        TorchModule(
            "nn.MaxPool{n}d",
            (
                Argument("kernel"),
                Argument("stride", "stride", lambda a: a["kernel"]),
                Argument("padding", "padding", 0),
                Argument("dilation", "dilation", 1),
                Argument("ceil", "ceil_mode", False),
            ),
        ),
        ("max_pool1d", "max_pool2d", "max_pool3d"),
        {
            "kernel": KERNEL,
            "stride": POOL_STRIDE,
            "dilation": DILATION,
            "padding": PADDING,
            "ceil": CEIL,
        },
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=_pool_shape,
        stride=lambda a: _largest(a["stride"]),
    ),
    "avg_pool": OpDef(
        "mean over a window",
        TorchModule(
            "nn.AvgPool{n}d",
            (
                Argument("kernel"),
                Argument("stride", "stride", lambda a: a["kernel"]),
                Argument("padding", "padding", 0),
                Argument("ceil", "ceil_mode", False),
                Argument("count_pad", "count_include_pad", True),
            ),
        ),
        ("avg_pool1d", "avg_pool2d", "avg_pool3d"),
        {
            "kernel": KERNEL,
            "stride": POOL_STRIDE,
            "padding": PADDING,
            "ceil": CEIL,
            "count_pad": Attribute("bool", True, "count the padding in the mean"),
        },
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=_avg_pool_shape,
        stride=lambda a: _largest(a["stride"]),
    ),
    "avg_pool_same": OpDef(
        "mean over a window of stride 1 that keeps the size: zeros stand after the last position",
        TorchModule("AvgPoolSame", (Argument("kernel"),), support="avg_pool_same"),
        ("avg_pool1d", "avg_pool2d", "avg_pool3d"),
        {"kernel": Attribute("int", doc="kernel size", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=_spatial,
    ),
    "adaptive_avg_pool": OpDef(
        "mean over windows chosen so that the output has a given size",
        TorchModule("nn.AdaptiveAvgPool{n}d", (Argument("size"),)),
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        {"size": Attribute("axes", doc="output size", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels, math.prod(per_axis(a["size"], axes))),
        shape=_adaptive_shape,
    ),
    "global_avg_pool": OpDef(
        "mean over all positions; the spatial axes stay, of size 1",
        TorchModule("nn.AdaptiveAvgPool{n}d", (Argument(1),)),
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        flow=lambda a, flows, axes: Flow(flows[0].channels, 1),
        shape=_global_shape,
    ),
    "flatten": OpDef(
        "all axes of an image into one",
        TorchFunction(lambda inputs, a, axes: f"{inputs[0]}.flatten(1)"),
        ("flatten",),
        flow=_flatten_flow,
        shape=lambda a, types: TensorType(types[0].elements, ()),
        aliases=True,
        in_container=TorchModule("nn.Flatten"),
    ),
    "dropout": OpDef(
        "zeroes values at random in training",
        TorchModule("nn.Dropout", (Argument("rate"),)),
        ("dropout",),
        {"rate": RATE},
        neutral=lambda a: a["rate"] == 0,
        aliases=True,
    ),
    "drop_path": OpDef(
        "zeroes whole images of a branch at random in training (stochastic depth, arXiv 1603.09382)",
        TorchModule("DropPath", (Argument("rate"),), support="drop_path"),
        ("mul", "__mul__"),
        {"rate": RATE},
        neutral=lambda a: a["rate"] == 0,
        aliases=True,
    ),
    "blur": OpDef(
        "binomial 3-tap blur by channel, reflection padding, then stride (arXiv 1904.11486)",
        TorchModule(
            "BlurPool", (Argument("in"), Argument("stride", "stride")), support="blur_pool"
        ),
        ("conv1d", "conv2d", "conv3d"),
        {"stride": Attribute("axes", doc="stride", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=_blur_shape,
        macs=lambda a, source, result: result.elements * 3 ** len(source.size),
        stride=lambda a: _largest(a["stride"]),
    ),
    "add": OpDef(
        "sum of values of one shape",
        TorchFunction(lambda inputs, a, axes: " + ".join(inputs)),
        ("add", "iadd"),
        arity=None,
        shape=_add_shape,
    ),
    "mul": OpDef(
        "product; axes of size 1 of the second value stretch",
        TorchFunction(lambda inputs, a, axes: " * ".join(inputs)),
        ("mul", "imul"),
        arity=None,
        shape=_broadcast_shape,
    ),
    "concat": OpDef(
        "concatenation along the channels",
        TorchFunction(_concat, uses_torch=True),
        ("cat",),
        arity=None,
        flow=_concat_flow,
        shape=_concat_shape,
    ),
    "subsample": OpDef(
        "every stride-th position of each axis",
        TorchFunction(_subsample),
        ("getitem",),
        {"stride": Attribute("int", doc="stride, along every axis", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=_subsample_shape,
        stride=lambda a: _largest(a["stride"]),
        neutral=lambda a: _largest(a["stride"]) == 1,
        aliases=True,
    ),
    "pad_channels": OpDef(
        "zero channels before and after",
        TorchFunction(_pad),
        ("pad",),
        {
            "front": Attribute("int", 0, "zero channels before", least=0),
            "back": Attribute("int", 0, "zero channels after", least=0),
        },
        flow=lambda a, flows, axes: Flow(_pad_channels(a, flows[0].channels), flows[0].positions),
        shape=_pad_shape,
        neutral=lambda a: a["front"] == 0 and a["back"] == 0,
    ),
    "resize": OpDef(
        "enlarges by an integer factor",
        TorchFunction(_resize),
        ("interpolate",),
        {
            "scale": Attribute("int", doc="factor", least=1),
            "mode": Attribute("word", "nearest", "interpolation", words=("nearest", "linear")),
        },
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=_resize_shape,
        stride=lambda a: 1 / a["scale"],
    ),
}

# The ambient slots of a network and what they are bound to where it says nothing.
AMBIENT: Mapping[str, str | None] = {
    "conv": "convolution",
    "norm": "batch_norm",
    "act": "relu",
    "shortcut": None,
}


def _channel_conv_shape(attributes: Attributes, types: Sequence[TensorType]) -> TensorType:
    if math.prod(types[0].size) != 1:
        raise ShapeError(
            f"it reads one value a channel (after global_avg_pool), and this is {types[0]}"
        )
    return types[0]


def complete(op: OpDef, given: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with defaults filled in; `given` holds numbers or expressions."""
    attributes: dict[str, Any] = {}
    for name, attribute in op.attributes.items():
        if name in given:
            attributes[name] = given[name]
        elif callable(attribute.default):
            attributes[name] = attribute.default(attributes)
        elif not attribute.required:
            attributes[name] = attribute.default
    return attributes


def shown(value: Value) -> str:
    """A value as it is written in a spec."""
    if isinstance(value, tuple):
        return f"[{', '.join(shown(each) for each in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def wrong_value(attribute: Attribute, value: Value, axes: int) -> str | None:
    """Why a value does not suit an attribute; None if it does."""
    kinds: dict[str, Callable[[Any], bool]] = {
        "int": lambda v: type(v) is int,
        "float": lambda v: type(v) in (int, float),
        "bool": lambda v: type(v) is bool,
        "word": lambda v: v in attribute.words,
        "axes": lambda v: (
            type(v) is int or (isinstance(v, tuple) and all(type(i) is int for i in v))
        ),
    }
    wanted = {
        "int": "an integer",
        "float": "a number",
        "bool": "true or false",
        "word": " or ".join(f"`{word}`" for word in attribute.words),
        "axes": "an integer, or a list of one for each axis",
    }
    if not kinds[attribute.kind](value):
        return f"must be {wanted[attribute.kind]}, not `{shown(value)}`"
    if isinstance(value, tuple) and len(value) != axes:
        return f"has {len(value)} values, and the network has {axes} spatial axes"
    for number in value if isinstance(value, tuple) else (value,):
        if attribute.least is not None and number < attribute.least:  # type: ignore[operator]
            return f"must be at least {attribute.least}, not {number}"
        if attribute.most is not None and number > attribute.most:  # type: ignore[operator]
            return f"must be at most {attribute.most}, not {number}"
    return None
