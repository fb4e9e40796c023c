"""The ops: everything about each of them in one entry of one table.

    OPS["relu"]   what it computes, its attributes, shape, weights, costs, and how it is printed

To add an op, add an entry. The fields are explained in `op_def.py`; rules that are longer than a line
are in `shape_rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from resnetgen.compiler.ir import shape_rules as rules
from resnetgen.compiler.ir.op_def import (
    Attribute,
    ModuleArgument,
    OpDef,
    SavedValue,
    TorchFunction,
    TorchModule,
    WeightLayout,
    channels_last,
)
from resnetgen.compiler.ir.shape_rules import ChannelInfo, ExtraMemory, TensorType

# --- attributes that several ops have

OUT = Attribute("int", doc="output channels", minimum=1, scales_with_width=True)
KERNEL = Attribute("axes", doc="kernel size", minimum=1)
STRIDE = Attribute("axes", 1, "stride", minimum=1)
PADDING = Attribute("axes", rules.same_padding, "zeros on each side", minimum=0)
DILATION = Attribute("axes", 1, "distance between the taps of the kernel", minimum=1)
EPS = Attribute("float", 1e-5, "added to the variance", minimum=0)
RATE = Attribute("float", doc="probability of dropping", minimum=0, maximum=1)
POOL_STRIDE = Attribute(
    "axes", lambda a: a["kernel"], "stride; the kernel size by default", minimum=1
)
CEIL = Attribute("bool", False, "round the output size up")

# --- how several ops are printed

CONVOLUTION = (
    ModuleArgument("in"),
    ModuleArgument("out"),
    ModuleArgument("kernel"),
    ModuleArgument("stride", "stride", 1),
    ModuleArgument("padding", "padding", 0),
    ModuleArgument("dilation", "dilation", 1),
    ModuleArgument("groups", "groups", 1),
    ModuleArgument("bias", "bias", True),
)


def write_subsample(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    """`x[:, :, ::2, ::2]`."""
    stride = attributes["stride"]
    step = f"::{stride}" if stride.isdigit() else f":: {stride}"  # as ruff spaces slices
    return f"{inputs[0]}[:, :, {', '.join([step] * axes)}]"


def write_pad(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    """`nn.functional.pad(x, (0, 0, 0, 0, 8, 8))`: the channels come after the spatial axes."""
    zeros = "0, 0, " * axes
    return f"nn.functional.pad({inputs[0]}, ({zeros}{attributes['front']}, {attributes['back']}))"


def write_resize(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    """`nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")`: TorchScript needs a float."""
    linear = ("linear", "bilinear", "trilinear")[axes - 1]
    mode = "nearest" if attributes["mode"] == "nearest" else linear
    scale = attributes["scale"]
    factor = f"{scale}.0" if scale.isdigit() else f"float({scale})"
    return f'nn.functional.interpolate({inputs[0]}, scale_factor={factor}, mode="{mode}")'


def write_concat(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    """`torch.cat([x, y], dim=1)`."""
    return f"torch.cat([{', '.join(inputs)}], dim=1)"


# --- how other frameworks store weights: keras.layers Conv2D and Dense; BatchNormalization, ...

KERAS_KERNEL = {
    "keras": {"weight": WeightLayout("kernel", channels_last), "bias": WeightLayout("bias")}
}
KERAS_AFFINE = {"weight": WeightLayout("gamma"), "bias": WeightLayout("beta")}
KERAS_STATISTICS = {
    "running_mean": WeightLayout("moving_mean"),
    "running_var": WeightLayout("moving_variance"),
}


# --- the table


def _activation(
    callee: str,
    doc: str,
    function: str,
    saved: SavedValue,
    *,
    inplace: bool = False,
    idempotent: bool = False,
    preserves_zero: Literal["all"] | None = None,
) -> OpDef:
    arguments = (ModuleArgument("inplace", "inplace", False),) if inplace else ()
    return OpDef(
        doc,
        TorchModule(callee, arguments),
        (function,),
        pointwise=True,
        idempotent=idempotent,
        saved_for_backward=(saved,),
        inplace=inplace,
        preserves_zero=preserves_zero,
        kind="activation",
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
                "int", 1, "groups of channels convolved apart", minimum=1, scales_with_width=True
            ),
            "padding": PADDING,
            "bias": Attribute("bool", None, "false by default where only norms read the result"),
        },
        channels=rules.convolution_channels,
        shape=rules.convolution_shape,
        weights=rules.convolution_weights,
        macs=rules.convolution_macs,
        stride=rules.largest_stride,
        window=rules.kernel_window,
        saved_for_backward=("inputs",),
        makes_channels=True,
        inference_module=TorchModule(
            "FusedConv{n}d",
            (
                *CONVOLUTION,
                ModuleArgument("relu", "relu", False),
                ModuleArgument("overwrites", "overwrites", False),
            ),
            support=True,
        ),
        kind="convolution",
        abbreviation="conv",
        bias_tensor="bias",
        layouts=KERAS_KERNEL,
    ),
    "linear": OpDef(
        "fully connected layer",
        TorchModule(
            "nn.Linear",
            (ModuleArgument("in"), ModuleArgument("out"), ModuleArgument("bias", "bias", True)),
        ),
        ("linear",),
        {"out": OUT, "bias": Attribute("bool", True, "adds a bias")},
        channels=lambda a, inputs, axes: ChannelInfo(a["out"], 1),
        shape=rules.linear_shape,
        weights=rules.linear_weights,
        macs=lambda a, source, result: source.channels * result.channels,
        saved_for_backward=("inputs",),
        makes_channels=True,
        kind="linear",
        bias_tensor="bias",
        layouts=KERAS_KERNEL,
    ),
    "channel_conv": OpDef(
        "1-D convolution over the channel axis of a pooled value (ECA, arXiv 1910.03151)",
        TorchModule(
            "nn.Conv1d",
            (
                ModuleArgument(1),
                ModuleArgument(1),
                ModuleArgument("kernel"),
                ModuleArgument("padding", "padding", 0),
                ModuleArgument("bias", "bias", True),
            ),
            call="{module}({x}.view({x}.shape[0], 1, -1)).view_as({x})",
        ),
        ("view_as",),
        {
            "kernel": Attribute("int", doc="kernel size", minimum=1),
            "padding": Attribute("int", rules.same_padding, "zeros on each side", minimum=0),
            "bias": Attribute("bool", False, "adds a bias"),
        },
        shape=rules.channel_conv_shape,
        weights=rules.channel_conv_weights,
        macs=lambda a, source, result: source.channels * a["kernel"],
        saved_for_backward=("inputs",),
        reads_adjacent_channels=True,
        kind="convolution",
        bias_tensor="bias",
    ),
    "batch_norm": OpDef(
        "batch normalisation (arXiv 1502.03167)",
        TorchModule(
            "nn.BatchNorm{n}d",
            (
                ModuleArgument("in"),
                ModuleArgument("eps", "eps", 1e-5),
                ModuleArgument("momentum", "momentum", 0.1),
            ),
        ),
        ("batch_norm",),
        {
            # In training, torch refuses 0 here, and accepts it in `group_norm`.
            "eps": replace(EPS, minimum=None, above=0),
            "momentum": Attribute("float", 0.1, "weight of the new statistics", minimum=0),
        },
        shape=rules.spatial_shape,
        weights=rules.batch_norm_weights,
        is_norm=True,
        pointwise=True,
        saved_for_backward=("inputs", "extra"),
        extra_memory=lambda a, types, result: ExtraMemory(once=2 * 4 * result.channels),
        inference_module=TorchModule("ScaleShift{n}d", (ModuleArgument("in"),), support=True),
        kind="normalisation",
        abbreviation="BN",
        mean_tensor="running_mean",
        layouts={"keras": KERAS_AFFINE | KERAS_STATISTICS},
    ),
    "group_norm": OpDef(
        "group normalisation (arXiv 1803.08494)",
        TorchModule(
            "nn.GroupNorm",
            (ModuleArgument("groups"), ModuleArgument("in"), ModuleArgument("eps", "eps", 1e-5)),
        ),
        ("group_norm",),
        {
            "groups": Attribute("int", 32, "groups of channels", minimum=1, scales_with_width=True),
            "eps": EPS,
        },
        shape=rules.group_norm_shape,
        weights=rules.group_norm_weights,
        is_norm=True,
        saved_for_backward=("inputs", "extra"),
        extra_memory=lambda a, types, result: ExtraMemory(values=2 * a["groups"]),
        kind="normalisation",
        abbreviation="GN",
        layouts={"keras": KERAS_AFFINE},
    ),
    "relu": _activation("nn.ReLU", "max(x, 0)", "relu", "result", inplace=True, idempotent=True),
    "relu6": _activation(
        "nn.ReLU6", "min(max(x, 0), 6)", "hardtanh", "inputs", inplace=True, idempotent=True
    ),
    "silu": _activation(
        "nn.SiLU", "x * sigmoid(x), also called swish", "silu", "inputs", preserves_zero="all"
    ),
    "gelu": _activation("nn.GELU", "x * Phi(x)", "gelu", "inputs", preserves_zero="all"),
    "sigmoid": _activation("nn.Sigmoid", "1 / (1 + exp(-x))", "sigmoid", "result"),
    "tanh": _activation("nn.Tanh", "hyperbolic tangent", "tanh", "result", preserves_zero="all"),
    "max_pool": OpDef(
        "maximum over a window",
        TorchModule(
            "nn.MaxPool{n}d",
            (
                ModuleArgument("kernel"),
                ModuleArgument("stride", "stride", lambda a: a["kernel"]),
                ModuleArgument("padding", "padding", 0),
                ModuleArgument("dilation", "dilation", 1),
                ModuleArgument("ceil", "ceil_mode", False),
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
        channels=rules.only_channels,
        shape=rules.pool_shape,
        stride=rules.largest_stride,
        window=rules.kernel_window,
        saved_for_backward=("inputs", "extra"),
        extra_memory=lambda a, types, result: ExtraMemory(bytes=8 * result.elements),
        preserves_zero="all",
        kind="resampling",
    ),
    "avg_pool": OpDef(
        "mean over a window",
        TorchModule(
            "nn.AvgPool{n}d",
            (
                ModuleArgument("kernel"),
                ModuleArgument("stride", "stride", lambda a: a["kernel"]),
                ModuleArgument("padding", "padding", 0),
                ModuleArgument("ceil", "ceil_mode", False),
                ModuleArgument("count_pad", "count_include_pad", True),
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
        channels=rules.only_channels,
        shape=rules.avg_pool_shape,
        stride=rules.largest_stride,
        window=rules.kernel_window,
        saved_for_backward=("inputs",),
        preserves_zero="all",
        kind="resampling",
    ),
    "avg_pool_same": OpDef(
        "mean over a window of stride 1 that keeps the size: zeros follow the last position",
        TorchModule("AvgPoolSame{n}d", (ModuleArgument("kernel"),), support=True),
        ("avg_pool1d", "avg_pool2d", "avg_pool3d"),
        {"kernel": Attribute("int", doc="kernel size", minimum=1)},
        channels=rules.only_channels,
        shape=rules.spatial_shape,
        window=rules.forward_window,
        saved_for_backward=("extra",),
        extra_memory=lambda a, types, result: ExtraMemory(
            values=rules.padded_elements(types[0], a["kernel"] - 1)
        ),
        preserves_zero="all",
        kind="resampling",
    ),
    "adaptive_avg_pool": OpDef(
        "mean over windows chosen so that the output has a given size",
        TorchModule("nn.AdaptiveAvgPool{n}d", (ModuleArgument("size"),)),
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        {"size": Attribute("axes", doc="output size", minimum=1)},
        channels=rules.adaptive_channels,
        shape=rules.adaptive_shape,
        window=rules.adaptive_window,
        saved_for_backward=("inputs",),
        preserves_zero="all",
        kind="resampling",
    ),
    "global_avg_pool": OpDef(
        "mean over all positions; the spatial axes stay, of size 1",
        TorchModule("nn.AdaptiveAvgPool{n}d", (ModuleArgument(1),)),
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        channels=lambda a, inputs, axes: ChannelInfo(inputs[0].channels, 1),
        shape=rules.global_shape,
        window=rules.global_window,
        preserves_zero="all",
        kind="resampling",
    ),
    "flatten": OpDef(
        "all axes of an image into one",
        TorchFunction(lambda inputs, a, axes: f"{inputs[0]}.flatten(1)"),
        ("flatten",),
        channels=rules.flatten_channels,
        shape=lambda a, types: TensorType(types[0].elements, ()),
        window=rules.flatten_window,
        aliases_input=True,
        passes_gradient=True,
        preserves_zero="all",
        channel_origins=rules.flatten_origins,
        container_module=TorchModule("nn.Flatten"),
    ),
    "dropout": OpDef(
        "zeroes values at random in training",
        TorchModule("nn.Dropout", (ModuleArgument("rate"),)),
        ("dropout",),
        {"rate": RATE},
        is_identity=lambda a: a["rate"] == 0,
        training_only=True,
        saved_for_backward=("extra",),
        extra_memory=lambda a, types, result: ExtraMemory(
            bytes=result.elements
        ),  # a mask, on a GPU
        aliases_input=True,
        kind="regularisation",
    ),
    "drop_path": OpDef(
        "zeroes whole images of a branch at random in training (stochastic depth, arXiv 1603.09382)",
        TorchModule("DropPath", (ModuleArgument("rate"),), support=True),
        ("mul", "__mul__"),
        {"rate": RATE},
        is_identity=lambda a: a["rate"] == 0,
        training_only=True,
        saved_for_backward=("extra",),
        extra_memory=lambda a, types, result: ExtraMemory(values=1),
        aliases_input=True,
        kind="regularisation",
    ),
    "blur": OpDef(
        "binomial 3-tap blur by channel, reflection padding, then stride (arXiv 1904.11486)",
        TorchModule(
            "BlurPool{n}d",
            (ModuleArgument("in"), ModuleArgument("stride", "stride")),
            support=True,
        ),
        ("conv1d", "conv2d", "conv3d"),
        {"stride": Attribute("axes", doc="stride", minimum=1)},
        channels=rules.only_channels,
        shape=rules.blur_shape,
        macs=lambda a, source, result: result.elements * 3 ** len(source.size),
        stride=rules.largest_stride,
        window=rules.blur_window,
        saved_for_backward=("inputs", "extra"),
        extra_memory=lambda a, types, result: ExtraMemory(
            values=rules.padded_elements(types[0], 2)
        ),
        preserves_zero="all",
        kind="resampling",
    ),
    "add": OpDef(
        "sum of values of one shape",
        TorchFunction(lambda inputs, a, axes: " + ".join(inputs)),
        ("add", "iadd"),
        arity=None,
        shape=rules.add_shape,
        pointwise=True,
        extra_memory=rules.partial_results,
        passes_gradient=True,
        preserves_zero="all",
        kind="join",
        abbreviation="+",
    ),
    "mul": OpDef(
        "product; axes of size 1 of the second value stretch",
        TorchFunction(lambda inputs, a, axes: " * ".join(inputs)),
        ("mul", "imul"),
        arity=None,
        shape=rules.mul_shape,
        pointwise=True,
        saved_for_backward=("inputs", "extra"),
        extra_memory=rules.partial_results,
        preserves_zero="any",
        kind="join",
        abbreviation="×",
    ),
    "concat": OpDef(
        "concatenation along the channels",
        TorchFunction(write_concat, uses_torch=True, names_operands=True),
        ("cat",),
        arity=None,
        channels=rules.concat_channels,
        shape=rules.concat_shape,
        passes_gradient=True,
        preserves_zero="all",
        channel_origins=rules.concat_origins,
        kind="join",
    ),
    "subsample": OpDef(
        "every stride-th position of each axis",
        TorchFunction(write_subsample),
        ("getitem",),
        {"stride": Attribute("int", doc="stride, along every axis", minimum=1)},
        channels=rules.only_channels,
        shape=rules.subsample_shape,
        stride=rules.largest_stride,
        window=rules.subsample_window,
        is_identity=lambda a: a["stride"] == 1,
        aliases_input=True,
        preserves_zero="all",
        kind="resampling",
    ),
    "pad_channels": OpDef(
        "zero channels before and after",
        TorchFunction(write_pad),
        ("pad",),
        {
            "front": Attribute("int", 0, "zero channels before", minimum=0, scales_with_width=True),
            "back": Attribute("int", 0, "zero channels after", minimum=0, scales_with_width=True),
        },
        channels=rules.pad_channels,
        shape=rules.pad_shape,
        is_identity=lambda a: a["front"] == 0 and a["back"] == 0,
        preserves_zero="all",
        channel_origins=rules.pad_origins,
    ),
    "resize": OpDef(
        "enlarges by an integer factor",
        TorchFunction(write_resize),
        ("interpolate",),
        {
            "scale": Attribute("int", doc="factor", minimum=1),
            "mode": Attribute("word", "nearest", "interpolation", choices=("nearest", "linear")),
        },
        channels=rules.only_channels,
        shape=rules.resize_shape,
        stride=lambda a: 1 / a["scale"],
        window=rules.resize_window,
        preserves_zero="all",
        kind="resampling",
    ),
}

# The ambient slots: slots that the network binds once, for all of its blocks. A block that calls `norm`
# gets what its network binds to `norm`, by default batch_norm.
AMBIENT: Mapping[str, str | None] = {
    "conv": "convolution",
    "norm": "batch_norm",
    "act": "relu",
    "shortcut": None,
}
