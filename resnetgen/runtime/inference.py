"""inference_module(plan, source, state) -> the printed module of the inference target, with weights.

The printed module is PyTorch source, generated for inference alone: norms are folded, calls fused.

    conv1.weight * bn1.weight / sqrt(bn1.running_var + eps)  ->  conv1.weight of the folded module
    bn1.bias - bn1.running_mean * (the same factor)          ->  conv1.bias

Nothing is compiled: the first result is available as soon as weights are folded and laid out.
`folding_error` checks the result against the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resnetgen.compiler.passes.flatten import weights_of
from resnetgen.compiler.passes.fold import FusedStep
from resnetgen.runtime.compare import TOLERANCE, disagreement, rounding_sensitivity
from resnetgen.runtime.load import build_with_weights
from resnetgen.runtime.rounding import input_means, round_weights
from resnetgen.weights.match import COUNTER

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.inference import InferencePlan
    from resnetgen.compiler.ir.nodes import Node
    from resnetgen.compiler.ir.shape_rules import TensorType

State = Mapping[str, Tensor]
ROUNDING_FACTOR = 100  # allowed rounding: so many times the effect of the last bit of the images; at most 3 was observed
MAX_SENSITIVITY = 1e-3  # of the spread of the outputs; above it, rounding could hide a wrong fold


def inference_module(
    plan: InferencePlan,
    source: str,
    state: State,
    dtype: torch.dtype = torch.float32,
    images: Tensor | None = None,
) -> nn.Module:
    """The printed module of the inference target, with the weights of a network's state_dict.

    Scales and shifts are computed in float64; a weight is scaled in its own dtype, but at least in
    float32. The module shares no memory with the state_dict. For a dtype of fewer bits than float32,
    weights are rounded so that values keep their means for images like these (`rounding.py`);
    without images, to nearest.
    """
    narrow = dtype.itemsize < torch.float32.itemsize
    compute_dtype = torch.float32 if narrow else dtype
    weights = {
        f"{attribute}.{name}": tensor.to(compute_dtype, copy=step.norm is None).contiguous()
        for attribute, step in plan.forward.module_steps.items()
        for name, tensor in _folded_tensors(step, state, plan.module.axes)
    }
    if narrow:
        means = {} if images is None else _input_means(plan, source, weights, images)
        weights = round_weights(weights, means, dtype)
    return build_with_weights(source, plan.module.name, weights, dtype)


def _input_means(plan: InferencePlan, source: str, weights: State, images: Tensor) -> State:
    """What each layer reads on average, in float32."""
    module = build_with_weights(source, plan.module.name, weights, torch.float32)
    return input_means(module, images.to(next(iter(weights.values()), images.float())))


def _folded_tensors(step: FusedStep, state: State, axes: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a step by name: those of its node, with its norm folded into them."""
    if step.definition.scales_channels:
        scale, shift = _scale_and_shift(step.node, state, axes)
        yield "scale", scale.view(-1, *(1,) * axes)
        yield "shift", shift.view(-1, *(1,) * axes)
        return
    tensors = _node_tensors(step.node, state, axes)
    if step.norm is not None:
        scale, shift = _scale_and_shift(step.norm, state, axes)
        weight = tensors["weight"]
        compute_dtype = torch.promote_types(weight.dtype, torch.float32)
        tensors["weight"] = weight * scale.to(compute_dtype).view(-1, *(1,) * (weight.ndim - 1))
        if "bias" in tensors:
            shift = shift + scale * tensors["bias"].double()
        tensors["bias"] = shift
    yield from tensors.items()


def _node_tensors(node: Node, state: State, axes: int) -> dict[str, Tensor]:
    """The tensors of one node in the state_dict, by the last part of their keys: `weight`, `bias`."""
    return {
        weight.name: state[f"{node.module}.{weight.name}"]
        for weight in weights_of(node, axes)
        if weight.name != COUNTER
    }


def _scale_and_shift(norm: Node, state: State, axes: int) -> tuple[Tensor, Tensor]:
    """A batch norm in evaluation, as y = scale * x + shift of each channel, in float64."""
    tensors = {name: tensor.double() for name, tensor in _node_tensors(norm, state, axes).items()}
    scale = tensors["weight"] / torch.sqrt(tensors["running_var"] + norm.attributes["eps"])
    return scale, tensors["bias"] - tensors["running_mean"] * scale


# --- checked against the network


def folding_error(plan: InferencePlan, source: str, network: nn.Module, input: TensorType) -> float:
    """How far the folded module is from the network in float64, in standard deviations of the output.

    `input` is the type of one image; the network is left in float64. Raises ValueError as
    `disagreement` does.
    """
    folded = inference_module(plan, source, network.double().state_dict(), torch.float64)
    return disagreement(network, folded, input.shape, exact=False)


def explained_by_rounding(error: float, network: nn.Module, input: TensorType) -> bool:
    """Whether rounding in float64 explains a folding error.

    How far rounding is amplified depends on the weights, so it is measured on the network itself.
    Raises ValueError if rounding alone could hide the error of a wrong fold.
    """
    if error <= TOLERANCE:
        return True
    rounding = ROUNDING_FACTOR * rounding_sensitivity(network, input.shape)
    if rounding > MAX_SENSITIVITY:
        raise ValueError(
            f"rounding in float64 alone moves outputs by {rounding:.1e} of their spread"
        )
    return error <= rounding
