"""OpDef: what an entry of the op table states, and how the attributes of a node are checked.

    value_error(OPS["dropout"].attributes["rate"], 2, axes=2)  ->  must be at most 1, not 2
    complete_attributes(OPS["relu"], {})                       ->  {}
    complete_attributes(OPS["avg_pool_same"], {"kernel": 3})   ->  {"kernel": 3}
    complete_attributes(OPS["batch_norm"], {"eps": 1e-3})      ->  {"eps": 0.001, "momentum": 0.1}

Rules over attributes and channels use only `+`, `-`, `*` and `//`, so they work on numbers and on
expressions: the same rule computes the figures and prints the arithmetic of a class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from resnetgen.compiler.frontend.expressions import Value
from resnetgen.compiler.ir.shape_rules import (
    Attributes,
    ChannelInfo,
    ChannelOrigin,
    ExtraMemory,
    TensorType,
    Weight,
    Window,
)

REQUIRED = object()

# --- attributes


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of an op. `kind`: int, float, bool, word (one of `choices`), or axes.

    The value of `axes` is one integer for all spatial axes, or one for each.
    """

    kind: str
    default: Any = REQUIRED  # a value, or a rule over the attributes before it
    doc: str = ""
    minimum: float | None = None
    above: float | None = None  # a minimum that is not a value itself
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    scales_with_width: bool = False  # a number of channels, or of groups of channels

    @property
    def required(self) -> bool:
        """Whether a node must set it."""
        return self.default is REQUIRED


# --- how an op is printed


@dataclass(frozen=True, slots=True)
class ModuleArgument:
    """An argument of the printed constructor, left out where it equals PyTorch's default."""

    attribute: str | int  # a name; "in" for the input channels; or a constant
    keyword: str | None = None
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class TorchModule:
    """An op printed as a module. `{n}` in `callee` is the number of spatial axes."""

    callee: str
    arguments: tuple[ModuleArgument, ...] = ()
    call: str | None = None  # how `{module}` is applied to `{x}`, if not by calling it
    support: bool = False  # a class of `runtime/support.py`, which the printed file then contains


@dataclass(frozen=True, slots=True)
class TorchFunction:
    """An op printed in `forward`, as a function of input texts, attribute texts and axes."""

    write: Callable[[Sequence[str], Mapping[str, str], int], str]
    uses_torch: bool = False
    names_operands: bool = False  # its operands get variables, because that reads better


# --- how other frameworks store the weights of an op


def torch_axes(rank: int) -> tuple[int, ...]:
    """The order of axes in torch: (out, in, *spatial)."""
    return tuple(range(rank))


def channels_last(rank: int) -> tuple[int, ...]:
    """(out, in, *spatial) -> (*spatial, in, out); a single axis stays."""
    return (*range(2, rank), 1, 0) if rank > 1 else torch_axes(rank)


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """A tensor of an op in another framework: its name, and where each axis of ours is."""

    name: str
    axes: Callable[[int], tuple[int, ...]] = torch_axes


# --- the definition of an op


def no_weights(attributes: Attributes, channels: int, axes: int) -> tuple[Weight, ...]:
    """An op without tensors in the state_dict."""
    return ()


def same_position(attributes: Attributes, source: TensorType) -> tuple[Window, ...]:
    """A position of the result reads that position of the input."""
    return (Window(),) * len(source.size)


def no_extra_memory(
    attributes: Attributes, types: Sequence[TensorType], result: TensorType
) -> ExtraMemory:
    """An op that computes only its result."""
    return ExtraMemory()


SavedValue = Literal["inputs", "result", "extra"]


@dataclass(frozen=True, slots=True)
class OpDef:
    """Everything that the compiler knows about an op.

    Rules read the attributes `a` of a node and what is known of its inputs.
    """

    doc: str
    torch: TorchModule | TorchFunction
    traced_as: tuple[str, ...]  # the functions that compute its result in a traced graph
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    arity: int | None = 1  # None: a join, of two inputs or more

    # The result and what it costs.
    channels: Callable[[Attributes, Sequence[ChannelInfo], int], ChannelInfo] = (
        lambda a, inputs, axes: inputs[0]
    )
    shape: Callable[[Attributes, Sequence[TensorType]], TensorType] = lambda a, types: types[0]
    weights: Callable[[Attributes, int, int], tuple[Weight, ...]] = no_weights
    macs: Callable[[Attributes, TensorType, TensorType], int] = lambda a, source, result: 0
    stride: Callable[[Attributes], float] = lambda a: 1  # the factor by which it shrinks its input
    window: Callable[[Attributes, TensorType], tuple[Window, ...]] = same_position
    is_identity: Callable[[Attributes], bool] = lambda a: False

    # What evaluation may assume.
    is_norm: bool = False
    pointwise: bool = False  # one value of each input makes one value of the result
    idempotent: bool = False  # applied to its own result it changes nothing
    training_only: bool = False  # it passes its input on in evaluation

    # Memory and gradients.
    saved_for_backward: tuple[SavedValue, ...] = ()  # what autograd keeps, besides weights
    extra_memory: Callable[[Attributes, Sequence[TensorType], TensorType], ExtraMemory] = (
        no_extra_memory
    )
    aliases_input: bool = False  # the result shares memory with the input
    inplace: bool = False  # may overwrite its input where that is safe
    passes_gradient: bool = False  # the gradient of an input is that of the result, or part of it
    # Where all (any) inputs are zero, the result is zero and still passes a gradient.
    preserves_zero: Literal["all", "any"] | None = None

    # How it treats channels.
    makes_channels: bool = False  # its weight has a row for each output channel
    reads_adjacent_channels: bool = False  # a channel is computed from its neighbours
    # The input channel behind each output channel; None: the channels stay where they are.
    channel_origins: (
        Callable[[Attributes, Sequence[TensorType]], Sequence[ChannelOrigin | None]] | None
    ) = None

    # How it is printed and drawn.
    container_module: TorchModule | None = None  # of a function, inside an nn.Sequential
    inference_module: TorchModule | None = None  # its module in the inference target, if different
    kind: str = "other"  # drawings colour by it
    abbreviation: str | None = None  # the usual one, if there is one

    # Weights of other frameworks.
    bias_tensor: str | None = None  # the tensor that it adds to its result; at zero it can go
    mean_tensor: str | None = None  # the tensor that it subtracts from its input, in evaluation
    # Framework -> its tensors, in the order of that framework; those it lacks are left out.
    layouts: Mapping[str, Mapping[str, WeightLayout]] = field(default_factory=dict)

    @property
    def has_weights(self) -> bool:
        """Whether it has tensors in the state_dict."""
        return self.weights is not no_weights

    @property
    def module_form(self) -> TorchModule | None:
        """The module that computes it; None if torch has only a function."""
        return self.torch if isinstance(self.torch, TorchModule) else self.container_module

    def module_at(self, path: str) -> TorchModule | None:
        """The module that is registered at a path of the printed class; None for an expression."""
        is_module = isinstance(self.torch, TorchModule) or "." in path
        return self.module_form if is_module else None

    @property
    def is_weighted(self) -> bool:
        """Whether it counts in the depth of a network: convolutions and linear layers."""
        return self.has_weights and not self.is_norm

    @property
    def is_sum(self) -> bool:
        """Whether it adds its inputs, so that a zero among them leaves the sum of the others."""
        return self.arity is None and self.pointwise and self.passes_gradient

    @property
    def scales_channels(self) -> bool:
        """Whether it is one scale and one shift for each channel, in evaluation."""
        return self.is_norm and self.pointwise

    @property
    def fuses_add_relu(self) -> bool:
        """Whether its module in the inference target also adds and applies a ReLU."""
        return self.makes_channels and self.inference_module is not None


# --- the values of attributes


def complete_attributes(op: OpDef, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given attributes, numbers or expressions, with the defaults of the others."""
    attributes: dict[str, Any] = {}
    for name, attribute in op.attributes.items():
        if name in given:
            attributes[name] = given[name]
        elif callable(attribute.default):
            attributes[name] = attribute.default(attributes)
        elif not attribute.required:
            attributes[name] = attribute.default
    return attributes


_EXPECTED = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "axes": "an integer, or a list of one for each axis",
}


def value_error(attribute: Attribute, value: Value, axes: int) -> str | None:
    """Why an attribute cannot have a value; None if it can."""
    if not _has_kind(attribute, value):
        choices = " or ".join(f"`{choice}`" for choice in attribute.choices)
        return f"must be {_EXPECTED.get(attribute.kind, choices)}, not `{format_value(value)}`"
    if isinstance(value, tuple) and len(value) != axes:
        return f"has {len(value)} values, and the network has {axes} spatial axes"
    for number in value if isinstance(value, tuple) else (value,):
        if attribute.minimum is not None and number < attribute.minimum:  # type: ignore[operator]
            return f"must be at least {attribute.minimum}, not {number}"
        if attribute.above is not None and number <= attribute.above:  # type: ignore[operator]
            return f"must be greater than {attribute.above}, not {number}"
        if attribute.maximum is not None and number > attribute.maximum:  # type: ignore[operator]
            return f"must be at most {attribute.maximum}, not {number}"
    return None


def _has_kind(attribute: Attribute, value: Value) -> bool:
    if attribute.kind == "word":
        return value in attribute.choices
    if attribute.kind == "axes" and isinstance(value, tuple):
        return all(type(each) is int for each in value)
    types = {"int": (int,), "axes": (int,), "float": (int, float), "bool": (bool,)}
    return type(value) in types[attribute.kind]


def format_value(value: Value) -> str:
    """A value as a spec writes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(format_value(each) for each in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
