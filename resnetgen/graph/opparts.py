"""What entries of the op table share: attributes, arguments, layouts, and how functions are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resnetgen.graph.opdef import CHANNELS_LAST, Argument, Attribute, Layout
from resnetgen.graph.rules import same_padding

# --- attributes

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

# --- arguments of the constructor

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

# --- how functions are written


def write_subsample(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    """`x[:, :, ::2, ::2]`."""
    stride = attributes["stride"]
    step = f"::{stride}" if stride.isdigit() else f":: {stride}"  # as ruff spaces slices
    return f"{inputs[0]}[:, :, {', '.join([step] * axes)}]"


def write_pad(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    """Zero channels, before and after."""
    zeros = "0, 0, " * axes
    return f"nn.functional.pad({inputs[0]}, ({zeros}{attributes['front']}, {attributes['back']}))"


def write_resize(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    """Nearest, or linear along each axis."""
    linear = ("linear", "bilinear", "trilinear")[axes - 1]
    mode = "nearest" if attributes["mode"] == "nearest" else linear
    return (
        f'nn.functional.interpolate({inputs[0]}, scale_factor={attributes["scale"]}, mode="{mode}")'
    )


def write_concat(inputs: Sequence[str], attributes: Mapping[str, str], axes: int) -> str:
    """`torch.cat([x, y], dim=1)`."""
    return f"torch.cat([{', '.join(inputs)}], dim=1)"
