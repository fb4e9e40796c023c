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

from resnetgen.graph.rules import (
    Attributes,
    Flow,
    TensorType,
    Weight,
    adaptive_shape,
    add_shape,
    avg_pool_shape,
    batch_norm_weights,
    blur_shape,
    broadcast_shape,
    channel_conv_shape,
    concat_flow,
    concat_shape,
    convolution_flow,
    convolution_macs,
    convolution_shape,
    convolution_weights,
    flatten_flow,
    global_shape,
    group_norm_shape,
    largest,
    linear_shape,
    linear_weights,
    pad_channels,
    pad_shape,
    per_axis,
    pool_shape,
    resize_shape,
    same_padding,
    spatial,
    subsample_shape,
)
from resnetgen.language.expressions import Value

REQUIRED = object()
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
    training_only: bool = False  # in evaluation it passes its input on
    inplace: bool = False  # may overwrite its input where that is safe
    in_container: TorchModule | None = None  # a module form for numbered containers


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
        flow=convolution_flow,
        shape=convolution_shape,
        weights=convolution_weights,
        macs=convolution_macs,
        stride=lambda a: largest(a["stride"]),
    ),
    "linear": OpDef(
        "fully connected layer",
        TorchModule("nn.Linear", (Argument("in"), Argument("out"), Argument("bias", "bias", True))),
        ("linear",),
        {"out": OUT, "bias": Attribute("bool", True, "adds a bias")},
        flow=lambda a, flows, axes: Flow(a["out"], 1),
        shape=linear_shape,
        weights=linear_weights,
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
        shape=lambda a, types: channel_conv_shape(a, types),
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
        shape=spatial,
        weights=batch_norm_weights,
        is_norm=True,
    ),
    "group_norm": OpDef(
        "group normalisation (arXiv 1803.08494)",
        TorchModule(
            "nn.GroupNorm", (Argument("groups"), Argument("in"), Argument("eps", "eps", 1e-5))
        ),
        ("group_norm",),
        {"groups": Attribute("int", 32, "groups of channels", least=1), "eps": EPS},
        shape=group_norm_shape,
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
        shape=pool_shape,
        stride=lambda a: largest(a["stride"]),
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
        shape=avg_pool_shape,
        stride=lambda a: largest(a["stride"]),
    ),
    "avg_pool_same": OpDef(
        "mean over a window of stride 1 that keeps the size: zeros stand after the last position",
        TorchModule("AvgPoolSame", (Argument("kernel"),), support="avg_pool_same"),
        ("avg_pool1d", "avg_pool2d", "avg_pool3d"),
        {"kernel": Attribute("int", doc="kernel size", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=spatial,
    ),
    "adaptive_avg_pool": OpDef(
        "mean over windows chosen so that the output has a given size",
        TorchModule("nn.AdaptiveAvgPool{n}d", (Argument("size"),)),
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        {"size": Attribute("axes", doc="output size", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels, math.prod(per_axis(a["size"], axes))),
        shape=adaptive_shape,
    ),
    "global_avg_pool": OpDef(
        "mean over all positions; the spatial axes stay, of size 1",
        TorchModule("nn.AdaptiveAvgPool{n}d", (Argument(1),)),
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        flow=lambda a, flows, axes: Flow(flows[0].channels, 1),
        shape=global_shape,
    ),
    "flatten": OpDef(
        "all axes of an image into one",
        TorchFunction(lambda inputs, a, axes: f"{inputs[0]}.flatten(1)"),
        ("flatten",),
        flow=flatten_flow,
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
        training_only=True,
    ),
    "drop_path": OpDef(
        "zeroes whole images of a branch at random in training (stochastic depth, arXiv 1603.09382)",
        TorchModule("DropPath", (Argument("rate"),), support="drop_path"),
        ("mul", "__mul__"),
        {"rate": RATE},
        neutral=lambda a: a["rate"] == 0,
        aliases=True,
        training_only=True,
    ),
    "blur": OpDef(
        "binomial 3-tap blur by channel, reflection padding, then stride (arXiv 1904.11486)",
        TorchModule(
            "BlurPool", (Argument("in"), Argument("stride", "stride")), support="blur_pool"
        ),
        ("conv1d", "conv2d", "conv3d"),
        {"stride": Attribute("axes", doc="stride", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=blur_shape,
        macs=lambda a, source, result: result.elements * 3 ** len(source.size),
        stride=lambda a: largest(a["stride"]),
    ),
    "add": OpDef(
        "sum of values of one shape",
        TorchFunction(lambda inputs, a, axes: " + ".join(inputs)),
        ("add", "iadd"),
        arity=None,
        shape=add_shape,
    ),
    "mul": OpDef(
        "product; axes of size 1 of the second value stretch",
        TorchFunction(lambda inputs, a, axes: " * ".join(inputs)),
        ("mul", "imul"),
        arity=None,
        shape=broadcast_shape,
    ),
    "concat": OpDef(
        "concatenation along the channels",
        TorchFunction(_concat, uses_torch=True),
        ("cat",),
        arity=None,
        flow=concat_flow,
        shape=concat_shape,
    ),
    "subsample": OpDef(
        "every stride-th position of each axis",
        TorchFunction(_subsample),
        ("getitem",),
        {"stride": Attribute("int", doc="stride, along every axis", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=subsample_shape,
        stride=lambda a: largest(a["stride"]),
        neutral=lambda a: largest(a["stride"]) == 1,
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
        flow=lambda a, flows, axes: Flow(pad_channels(a, flows[0].channels), flows[0].positions),
        shape=pad_shape,
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
        shape=resize_shape,
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
