"""The ops: every fact of each in one entry of one table.

An entry says which attributes an op takes, how channels and shapes follow, which weights it holds,
how many multiply-adds it costs, which positions it reads, what its backward pass keeps, and how it
is written in PyTorch. Adding an op touches this table.
Attribute rules and channel rules work on numbers and on expressions alike, so that the same rule
gives the compiler its figures and the printed class its arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from resnetgen.graph.channels import concat_origins, flatten_origins, pad_origins
from resnetgen.graph.opdef import (
    CHANNELS_LAST,
    Argument,
    Attribute,
    Layout,
    OpDef,
    Saved,
    TorchFunction,
    TorchModule,
)
from resnetgen.graph.rules import (
    Extra,
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
    padded,
    partial_results,
    per_axis,
    pool_shape,
    resize_shape,
    same_padding,
    spatial,
    subsample_shape,
)
from resnetgen.graph.taps import (
    adaptive_taps,
    blur_taps,
    flatten_taps,
    forward_taps,
    global_taps,
    resize_taps,
    subsample_taps,
    window_taps,
)

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


OUT = Attribute("int", doc="output channels", least=1, of_width=True)
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

# keras.layers: Conv2D and Dense; BatchNormalization, GroupNormalization.
WEIGHTED = {"keras": {"weight": Layout("kernel", CHANNELS_LAST), "bias": Layout("bias")}}
AFFINE = {"weight": Layout("gamma"), "bias": Layout("beta")}
STATISTICS = {
    "running_mean": Layout("moving_mean"),
    "running_var": Layout("moving_variance"),
}


def _activation(
    callee: str,
    doc: str,
    call: str,
    saves: Saved,
    *,
    inplace: bool = False,
    idempotent: bool = False,
    keeps_zero: Literal["all"] | None = None,
) -> OpDef:
    arguments = (Argument("inplace", "inplace", False),) if inplace else ()
    module = TorchModule(callee, arguments)
    return OpDef(
        doc,
        module,
        (call,),
        inplace=inplace,
        idempotent=idempotent,
        keeps_zero=keeps_zero,
        saves=(saves,),
        pointwise=True,
        kind="activation",
    )


CONVOLUTION = (
    Argument("in"),
    Argument("out"),
    Argument("kernel"),
    Argument("stride", "stride", 1),
    Argument("padding", "padding", 0),
    Argument("dilation", "dilation", 1),
    Argument("groups", "groups", 1),
    Argument("bias", "bias", True),
)


OPS: Mapping[str, OpDef] = {
    "convolution": OpDef(
        "convolution over 1 to 3 spatial axes",
        TorchModule("nn.Conv{n}d", CONVOLUTION),
        ("conv1d", "conv2d", "conv3d"),
        {
            "out": OUT,
            "kernel": KERNEL,
            "stride": STRIDE,
            "dilation": DILATION,
            "groups": Attribute(
                "int", 1, "groups of channels convolved apart", least=1, of_width=True
            ),
            "padding": PADDING,
            "bias": Attribute("bool", None, "false by default where only norms read the result"),
        },
        flow=convolution_flow,
        shape=convolution_shape,
        weights=convolution_weights,
        macs=convolution_macs,
        stride=lambda a: largest(a["stride"]),
        taps=window_taps,
        saves=("inputs",),
        kind="convolution",
        short="conv",
        adds="bias",
        layouts=WEIGHTED,
        makes_channels=True,
        in_inference=TorchModule(
            "FusedConv",
            (
                *CONVOLUTION,
                Argument("relu", "relu", False),
                Argument("overwrites", "overwrites", False),
            ),
            support="fused_conv",
        ),
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
        saves=("inputs",),
        kind="linear",
        adds="bias",
        layouts=WEIGHTED,
        makes_channels=True,
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
        saves=("inputs",),
        kind="convolution",
        adds="bias",
        orders_channels=True,
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
        saves=("inputs", "extra"),
        extra=lambda a, types, result: Extra(once=2 * 4 * result.channels),
        is_norm=True,
        pointwise=True,
        kind="normalisation",
        short="BN",
        subtracts="running_mean",
        in_inference=TorchModule("ScaleShift", (Argument("in"),), support="scale_shift"),
        layouts={"keras": AFFINE | STATISTICS},
    ),
    "group_norm": OpDef(
        "group normalisation (arXiv 1803.08494)",
        TorchModule(
            "nn.GroupNorm", (Argument("groups"), Argument("in"), Argument("eps", "eps", 1e-5))
        ),
        ("group_norm",),
        {"groups": Attribute("int", 32, "groups of channels", least=1, of_width=True), "eps": EPS},
        shape=group_norm_shape,
        weights=lambda a, channels, axes: (
            Weight("weight", (channels,)),
            Weight("bias", (channels,)),
        ),
        is_norm=True,
        saves=("inputs", "extra"),
        extra=lambda a, types, result: Extra(values=2 * a["groups"]),
        kind="normalisation",
        short="GN",
        layouts={"keras": AFFINE},
    ),
    "relu": _activation("nn.ReLU", "max(x, 0)", "relu", "result", inplace=True, idempotent=True),
    "relu6": _activation(
        "nn.ReLU6", "min(max(x, 0), 6)", "hardtanh", "inputs", inplace=True, idempotent=True
    ),
    "silu": _activation(
        "nn.SiLU", "x * sigmoid(x), also called swish", "silu", "inputs", keeps_zero="all"
    ),
    "gelu": _activation("nn.GELU", "x * Phi(x)", "gelu", "inputs", keeps_zero="all"),
    "sigmoid": _activation("nn.Sigmoid", "1 / (1 + exp(-x))", "sigmoid", "result"),
    "tanh": _activation("nn.Tanh", "hyperbolic tangent", "tanh", "result", keeps_zero="all"),
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
        taps=window_taps,
        saves=("inputs", "extra"),
        extra=lambda a, types, result: Extra(bytes=8 * result.elements),
        kind="resampling",
        keeps_zero="all",
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
        taps=window_taps,
        saves=("inputs",),
        kind="resampling",
        keeps_zero="all",
    ),
    "avg_pool_same": OpDef(
        "mean over a window of stride 1 that keeps the size: zeros stand after the last position",
        TorchModule("AvgPoolSame", (Argument("kernel"),), support="avg_pool_same"),
        ("avg_pool1d", "avg_pool2d", "avg_pool3d"),
        {"kernel": Attribute("int", doc="kernel size", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=spatial,
        taps=forward_taps,
        saves=("extra",),
        extra=lambda a, types, result: Extra(values=padded(types[0], a["kernel"] - 1)),
        kind="resampling",
        keeps_zero="all",
    ),
    "adaptive_avg_pool": OpDef(
        "mean over windows chosen so that the output has a given size",
        TorchModule("nn.AdaptiveAvgPool{n}d", (Argument("size"),)),
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        {"size": Attribute("axes", doc="output size", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels, math.prod(per_axis(a["size"], axes))),
        shape=adaptive_shape,
        taps=adaptive_taps,
        saves=("inputs",),
        kind="resampling",
        keeps_zero="all",
    ),
    "global_avg_pool": OpDef(
        "mean over all positions; the spatial axes stay, of size 1",
        TorchModule("nn.AdaptiveAvgPool{n}d", (Argument(1),)),
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        flow=lambda a, flows, axes: Flow(flows[0].channels, 1),
        shape=global_shape,
        taps=global_taps,
        kind="resampling",
        keeps_zero="all",
    ),
    "flatten": OpDef(
        "all axes of an image into one",
        TorchFunction(lambda inputs, a, axes: f"{inputs[0]}.flatten(1)"),
        ("flatten",),
        flow=flatten_flow,
        shape=lambda a, types: TensorType(types[0].elements, ()),
        taps=flatten_taps,
        hands_on=True,
        aliases=True,
        in_container=TorchModule("nn.Flatten"),
        keeps_zero="all",
        moves=flatten_origins,
    ),
    "dropout": OpDef(
        "zeroes values at random in training",
        TorchModule("nn.Dropout", (Argument("rate"),)),
        ("dropout",),
        {"rate": RATE},
        neutral=lambda a: a["rate"] == 0,
        saves=("extra",),
        extra=lambda a, types, result: Extra(bytes=result.elements),  # a mask of bytes, on a GPU
        aliases=True,
        training_only=True,
        kind="regularisation",
    ),
    "drop_path": OpDef(
        "zeroes whole images of a branch at random in training (stochastic depth, arXiv 1603.09382)",
        TorchModule("DropPath", (Argument("rate"),), support="drop_path"),
        ("mul", "__mul__"),
        {"rate": RATE},
        neutral=lambda a: a["rate"] == 0,
        saves=("extra",),
        extra=lambda a, types, result: Extra(values=1),
        aliases=True,
        training_only=True,
        kind="regularisation",
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
        taps=blur_taps,
        saves=("inputs", "extra"),
        extra=lambda a, types, result: Extra(values=padded(types[0], 2)),
        kind="resampling",
        keeps_zero="all",
    ),
    "add": OpDef(
        "sum of values of one shape",
        TorchFunction(lambda inputs, a, axes: " + ".join(inputs)),
        ("add", "iadd"),
        arity=None,
        shape=add_shape,
        extra=partial_results,
        hands_on=True,
        pointwise=True,
        kind="join",
        short="+",
        keeps_zero="all",
    ),
    "mul": OpDef(
        "product; axes of size 1 of the second value stretch",
        TorchFunction(lambda inputs, a, axes: " * ".join(inputs)),
        ("mul", "imul"),
        arity=None,
        shape=broadcast_shape,
        saves=("inputs", "extra"),
        extra=partial_results,
        pointwise=True,
        kind="join",
        short="×",
        keeps_zero="any",
    ),
    "concat": OpDef(
        "concatenation along the channels",
        TorchFunction(_concat, uses_torch=True, names_operands=True),
        ("cat",),
        arity=None,
        flow=concat_flow,
        shape=concat_shape,
        hands_on=True,
        kind="join",
        keeps_zero="all",
        moves=concat_origins,
    ),
    "subsample": OpDef(
        "every stride-th position of each axis",
        TorchFunction(_subsample),
        ("getitem",),
        {"stride": Attribute("int", doc="stride, along every axis", least=1)},
        flow=lambda a, flows, axes: Flow(flows[0].channels),
        shape=subsample_shape,
        stride=lambda a: largest(a["stride"]),
        taps=subsample_taps,
        neutral=lambda a: largest(a["stride"]) == 1,
        aliases=True,
        kind="resampling",
        keeps_zero="all",
    ),
    "pad_channels": OpDef(
        "zero channels before and after",
        TorchFunction(_pad),
        ("pad",),
        {
            "front": Attribute("int", 0, "zero channels before", least=0, of_width=True),
            "back": Attribute("int", 0, "zero channels after", least=0, of_width=True),
        },
        flow=lambda a, flows, axes: Flow(pad_channels(a, flows[0].channels), flows[0].positions),
        shape=pad_shape,
        neutral=lambda a: a["front"] == 0 and a["back"] == 0,
        keeps_zero="all",
        moves=pad_origins,
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
        taps=resize_taps,
        kind="resampling",
        keeps_zero="all",
    ),
}

# The ambient slots of a network and what they are bound to where it says nothing.
AMBIENT: Mapping[str, str | None] = {
    "conv": "convolution",
    "norm": "batch_norm",
    "act": "relu",
    "shortcut": None,
}
