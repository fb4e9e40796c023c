"""inference_module(plan, source, state) -> the printed module of the inference target, with weights.

    conv1.weight * bn1.weight / sqrt(bn1.running_var + eps)  ->  conv1.weight of the folded module

Nothing is compiled: the first result is there as soon as weights are folded and laid out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resnetgen.compiler.passes.flatten import weights as weights_of
from resnetgen.compiler.passes.fold import FusedStep
from resnetgen.runtime.compare import TOLERANCE, disagreement, unrest
from resnetgen.runtime.load import assembled
from resnetgen.runtime.rounding import input_means, rounded
from resnetgen.weights.match import COUNTER

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.inference import InferencePlan
    from resnetgen.compiler.ir.nodes import Node
    from resnetgen.compiler.ir.shape_rules import TensorType

State = Mapping[str, Tensor]
ROUNDING = 100  # times what the last bit of the images does; it was 3 at most
HIDES = 1e-3  # of the spread of the outputs: where rounding does more, a wrong fold could pass


def inference_module(
    plan: InferencePlan,
    source: str,
    state: State,
    dtype: torch.dtype = torch.float32,
    images: Tensor | None = None,
) -> nn.Module:
    """The printed module with the weights of a state_dict of the network.

    Scales and shifts are computed in float64; a weight is scaled in its own type, in float32 at
    least. The module shares no memory with the state_dict. For a type of fewer bits than float32,
    weights are rounded so that values keep their means for such images (`rounding.py`); to nearest
    where there are none.
    """
    narrow = dtype.itemsize < torch.float32.itemsize
    exact = torch.float32 if narrow else dtype
    weights = {
        f"{attribute}.{name}": tensor.to(exact, copy=step.norm is None).contiguous()
        for attribute, step in plan.homes.items()
        for name, tensor in _tensors(step, state, plan.module.axes)
    }
    if narrow:
        means = {} if images is None else _means(plan, source, weights, images)
        weights = rounded(weights, means, dtype)
    return assembled(source, plan.module.name, weights, dtype)


def _means(plan: InferencePlan, source: str, weights: State, images: Tensor) -> State:
    """What each layer reads on average, in float32."""
    module = assembled(source, plan.module.name, weights, torch.float32)
    return input_means(module, images.to(next(iter(weights.values()), images.float())))


def difference(plan: InferencePlan, source: str, network: nn.Module, input: TensorType) -> float:
    """How far the folded module is from the network in float64, in standard deviations of the output.

    `input` is one image; the network is left in float64. Raises ValueError as `disagreement` does.
    """
    exact = inference_module(plan, source, network.double().state_dict(), torch.float64)
    return disagreement(network, exact, input.shape, exact=False)


def explained(found: float, network: nn.Module, input: TensorType) -> bool:
    """Whether rounding in float64 explains how far `apart` the two are.

    Weights may blow it up with depth, so it is measured on the network itself. Raises ValueError
    where rounding alone would hide what a wrong fold does.
    """
    if found <= TOLERANCE:
        return True
    rounding = ROUNDING * unrest(network, input.shape)
    if rounding > HIDES:
        raise ValueError(
            f"rounding in float64 alone moves outputs by {rounding:.1e} of their spread"
        )
    return found <= rounding


def _tensors(step: FusedStep, state: State, axes: int) -> Iterator[tuple[str, Tensor]]:
    held = _held(step.node, state, axes)
    if step.definition.scales_channels:
        scale, shift = _affine(step.node, state, axes)
        yield "scale", scale.view(-1, *(1,) * axes)
        yield "shift", shift.view(-1, *(1,) * axes)
        return
    if step.norm is not None:
        scale, shift = _affine(step.norm, state, axes)
        weight = held["weight"]
        exact = torch.promote_types(weight.dtype, torch.float32)
        held["weight"] = weight * scale.to(exact).view(-1, *(1,) * (weight.ndim - 1))
        held["bias"] = shift + scale * held["bias"].double() if "bias" in held else shift
    yield from held.items()


def _held(node: Node, state: State, axes: int) -> dict[str, Tensor]:
    """The tensors of one node."""
    return {
        weight.name: state[f"{node.module}.{weight.name}"]
        for weight in weights_of(node, axes)
        if weight.name != COUNTER
    }


def _affine(norm: Node, state: State, axes: int) -> tuple[Tensor, Tensor]:
    """Scale and shift of each channel, in float64."""
    held = {name: tensor.double() for name, tensor in _held(norm, state, axes).items()}
    scale = held["weight"] / torch.sqrt(held["running_var"] + norm.attributes["eps"])
    return scale, held["bias"] - held["running_mean"] * scale
