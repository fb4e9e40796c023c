"""OpDef: what an entry of the op table says, and how the values that a node gives it are checked.

What entries of the op table share: attributes, arguments, layouts, and how functions are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from resnetgen.compiler.frontend.expressions import Value
from resnetgen.compiler.ir.shape_rules import (
    Attributes,
    ChannelInfo,
    Extra,
    Origin,
    TensorType,
    Weight,
    Window,
    same_padding,
)

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
    of_width: bool = False  # a number of channels, or of groups of them

    @property
    def required(self) -> bool:
        """Whether a node must give it."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class ModuleArgument:
    """One argument of the printed constructor; left out where it equals PyTorch's default."""

    attribute: str | int  # a name; "in" for the input channels; or a constant
    keyword: str | None = None
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class TorchModule:
    """How an op is written as a module. `{n}` is the number of spatial axes."""

    callee: str
    arguments: tuple[ModuleArgument, ...] = ()
    call: str | None = None  # how `{module}` is applied to `{x}` where not simply called
    support: str | None = None  # a template of a class that the printed file needs


@dataclass(frozen=True, slots=True)
class TorchFunction:
    """How an op is written in `forward`: a function of input texts, attribute texts and axes."""

    write: Callable[[Sequence[str], Mapping[str, str], int], str]
    uses_torch: bool = False
    names_operands: bool = False  # the values that it reads have names, for the reader's sake


def NO_WEIGHTS(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:  # noqa: N802
    """The weights of an op that holds none."""
    return ()


def ONE_TAP(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:  # noqa: N802
    """An op whose result at a position reads its input at that position."""
    return (Window(),) * len(source.size)


def NOTHING_EXTRA(  # noqa: N802
    attributes: Attributes, types: Sequence[TensorType], result: TensorType
) -> Extra:
    """An op that computes its result and nothing else."""
    return Extra()


Saved = Literal["inputs", "result", "extra"]
Moves = Callable[[Attributes, Sequence[TensorType]], Sequence[Origin | None]]


def AS_OURS(rank: int) -> tuple[int, ...]:  # noqa: N802
    """Axes in the order in which torch keeps them."""
    return tuple(range(rank))


def CHANNELS_LAST(rank: int) -> tuple[int, ...]:  # noqa: N802
    """(out, in, *spatial) -> (*spatial, in, out); a single axis stays."""
    return (*range(2, rank), 1, 0) if rank > 1 else AS_OURS(rank)


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """A tensor of an op as another framework keeps it: its name, and which of our axes go where."""

    name: str
    axes: Callable[[int], tuple[int, ...]] = AS_OURS


@dataclass(frozen=True, slots=True)
class OpDef:
    """All facts of one op."""

    doc: str
    torch: TorchModule | TorchFunction
    calls: tuple[str, ...]  # names of the functions that compute its result in a captured graph
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    arity: int | None = 1  # None: two or more, a join
    flow: Callable[[Attributes, Sequence[ChannelInfo], int], ChannelInfo] = lambda a, flows, axes: (
        flows[0]
    )
    shape: Callable[[Attributes, Sequence[TensorType]], TensorType] = lambda a, types: types[0]
    weights: Callable[[Attributes, int, int], tuple[Weight, ...]] = NO_WEIGHTS
    macs: Callable[[Attributes, TensorType, TensorType], int] = lambda a, source, result: 0
    stride: Callable[[Attributes], float] = lambda a: 1  # how far it reduces the resolution
    neutral: Callable[[Attributes], bool] = lambda a: False  # True: it computes the identity
    is_norm: bool = False
    taps: Callable[[Attributes, TensorType], tuple[Window, ...]] = ONE_TAP
    saves: tuple[Saved, ...] = ()  # what autograd keeps for its backward pass, beside weights
    extra: Callable[[Attributes, Sequence[TensorType], TensorType], Extra] = NOTHING_EXTRA
    hands_on: bool = False  # the gradient of its inputs is that of its result, or a part of it
    aliases: bool = False  # its result shares memory with its input
    training_only: bool = False  # in evaluation it passes its input on
    pointwise: bool = False  # in evaluation one value of each input makes one of its result
    inplace: bool = False  # may overwrite its input where that is safe
    idempotent: bool = False  # applied to its own result it changes nothing
    # Its result is zero, and yet passes a gradient, where all (any) of its inputs are zero.
    keeps_zero: Literal["all", "any"] | None = None
    makes_channels: bool = False  # its weight has a row for each channel of its result
    orders_channels: bool = False  # a channel is computed from those that stand beside it
    moves: Moves | None = None  # where its channels come from; None: they stay where they are
    in_container: TorchModule | None = None  # a module form for numbered containers
    in_inference: TorchModule | None = None  # its module in the inference target, where another
    kind: str = "other"  # what sort of op it is: drawings colour by it
    short: str | None = None  # how the field abbreviates it, where it does
    adds: str | None = None  # the tensor that it adds to its result: what it does without at zero
    subtracts: str | None = None  # the tensor that it takes from its input, in evaluation
    # Framework -> its tensors in the order of that framework; one that is not there has no equal.
    layouts: Mapping[str, Mapping[str, WeightLayout]] = field(default_factory=dict)

    @property
    def is_sum(self) -> bool:
        """Whether a zero among its inputs leaves the sum of the others."""
        return self.arity is None and self.pointwise and self.hands_on

    @property
    def scales_channels(self) -> bool:
        """Whether, in evaluation, it is one scale and one shift for each channel."""
        return self.is_norm and self.pointwise

    @property
    def fuses(self) -> bool:
        """Whether its module in the inference target adds and rectifies in the same call."""
        return self.makes_channels and self.in_inference is not None

    @property
    def is_weighted(self) -> bool:
        """Whether it counts in the depth of a network: convolutions and linear layers."""
        return self.weights is not NO_WEIGHTS and not self.is_norm


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
WEIGHTED = {
    "keras": {"weight": WeightLayout("kernel", CHANNELS_LAST), "bias": WeightLayout("bias")}
}
AFFINE = {"weight": WeightLayout("gamma"), "bias": WeightLayout("beta")}
STATISTICS = {
    "running_mean": WeightLayout("moving_mean"),
    "running_var": WeightLayout("moving_variance"),
}

# --- arguments of the constructor

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
