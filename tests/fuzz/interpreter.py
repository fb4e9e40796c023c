"""interpret(graph, tensors, x) -> the network's outputs, computed without the printed module.

    outputs = interpret(compiled.checked_graph, module.state_dict(), x, training=False)

Walks the nodes of the flat graph and applies functions of torch from a table of its own. It shares
no code with the printer: what it reads of a node is its op, inputs, attributes and the path of its
module, under which the tensors of the state_dict stand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.passes.infer_types import INPUT


@dataclass(frozen=True)
class Step:
    """What an op computes with: its inputs, attributes, tensors, and the mode."""

    inputs: Sequence[Tensor]
    attributes: Mapping[str, Any]
    tensors: Mapping[str, Tensor]  # `weight`, `bias`, `running_mean`, ... of its module
    training: bool

    @property
    def x(self) -> Tensor:
        """The first input."""
        return self.inputs[0]

    @property
    def axes(self) -> int:
        """Spatial axes of the first input."""
        return self.x.ndim - 2

    def __getitem__(self, name: str) -> Any:
        """An attribute."""
        return self.attributes[name]


def _of_axes(functions: Sequence[Callable[..., Tensor]], axes: int) -> Callable[..., Tensor]:
    return functions[axes - 1]


_CONVOLUTION = (F.conv1d, F.conv2d, F.conv3d)
_MAX_POOL = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_AVG_POOL = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
_ADAPTIVE = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)


def _convolution(step: Step) -> Tensor:
    return _of_axes(_CONVOLUTION, step.axes)(
        step.x, step.tensors["weight"], step.tensors.get("bias"),
        step["stride"], step["padding"], step["dilation"], step["groups"],
    )  # fmt: skip


def _channel_conv(step: Step) -> Tensor:
    row = step.x.flatten(1)[:, None]  # one value a channel -> a signal over the channels
    weights = step.tensors["weight"], step.tensors.get("bias")
    return F.conv1d(row, *weights, padding=step["padding"]).reshape(step.x.shape)


def _batch_norm(step: Step) -> Tensor:
    tensors = step.tensors
    if step.training:
        tensors["num_batches_tracked"].add_(1)
    return F.batch_norm(
        step.x, tensors["running_mean"], tensors["running_var"], tensors["weight"], tensors["bias"],
        step.training, step["momentum"], step["eps"],
    )  # fmt: skip


def _group_norm(step: Step) -> Tensor:
    weight, bias = step.tensors["weight"], step.tensors["bias"]
    return F.group_norm(step.x, step["groups"], weight, bias, step["eps"])


def _max_pool(step: Step) -> Tensor:
    return _of_axes(_MAX_POOL, step.axes)(
        step.x, step["kernel"], step["stride"], step["padding"], step["dilation"], step["ceil"]
    )


def _avg_pool(step: Step) -> Tensor:
    return _of_axes(_AVG_POOL, step.axes)(
        step.x, step["kernel"], step["stride"], step["padding"], step["ceil"], step["count_pad"]
    )


def _avg_pool_same(step: Step) -> Tensor:
    padded = F.pad(step.x, [0, step["kernel"] - 1] * step.axes)
    return _of_axes(_AVG_POOL, step.axes)(padded, step["kernel"], 1)


def _blur(step: Step) -> Tensor:
    row = torch.tensor([1, 2, 1], dtype=step.x.dtype) / 4
    kernel = functools.reduce(lambda so_far, taps: so_far[..., None] * taps, [row] * step.axes)
    channels = step.x.shape[1]
    kernel = kernel.expand(channels, 1, *kernel.shape)
    padded = F.pad(step.x, [1, 1] * step.axes, mode="reflect")
    return _of_axes(_CONVOLUTION, step.axes)(padded, kernel, stride=step["stride"], groups=channels)


def _drop_path(step: Step) -> Tensor:
    """Scales what is kept, so that the expected value stays (arXiv 1603.09382, as timm does)."""
    rate = step["rate"]
    if not step.training or rate == 0:
        return step.x
    images = (len(step.x), *[1] * (step.x.ndim - 1))
    kept = torch.empty(images, dtype=step.x.dtype).bernoulli_(1 - rate)
    return step.x * (kept if rate == 1 else kept / (1 - rate))


def _subsample(step: Step) -> Tensor:
    for axis in range(2, step.x.ndim):
        step = Step([step.x[(slice(None),) * axis + (slice(None, None, step["stride"]),)]],
                    step.attributes, step.tensors, step.training)  # fmt: skip
    return step.x


def _pad_channels(step: Step) -> Tensor:
    zeros = [
        step.x.new_zeros(len(step.x), step[side], *step.x.shape[2:]) for side in ("front", "back")
    ]
    return torch.cat([zeros[0], step.x, zeros[1]], 1)


def _resize(step: Step) -> Tensor:
    if step["mode"] == "nearest":
        result = step.x
        for axis in range(2, step.x.ndim):
            result = result.repeat_interleave(step["scale"], axis)
        return result
    mode = ("linear", "bilinear", "trilinear")[step.axes - 1]
    size = [axis * step["scale"] for axis in step.x.shape[2:]]
    return F.interpolate(step.x, size, mode=mode)


COMPUTE: Mapping[str, Callable[[Step], Tensor]] = {
    "convolution": _convolution,
    "linear": lambda step: F.linear(step.x, step.tensors["weight"], step.tensors.get("bias")),
    "channel_conv": _channel_conv,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "relu": lambda step: torch.where(step.x > 0, step.x, 0.0),
    "relu6": lambda step: F.hardtanh(step.x, 0, 6),
    "silu": lambda step: F.silu(step.x),
    "gelu": lambda step: F.gelu(step.x),
    "sigmoid": lambda step: torch.sigmoid(step.x),
    "tanh": lambda step: torch.tanh(step.x),
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "avg_pool_same": _avg_pool_same,
    "adaptive_avg_pool": lambda step: _of_axes(_ADAPTIVE, step.axes)(step.x, step["size"]),
    "global_avg_pool": lambda step: step.x.mean(list(range(2, step.x.ndim)), keepdim=True),
    "flatten": lambda step: step.x.reshape(len(step.x), -1),
    "dropout": lambda step: F.dropout(step.x, step["rate"], step.training),
    "drop_path": _drop_path,
    "blur": _blur,
    "add": lambda step: functools.reduce(torch.add, step.inputs),
    "mul": lambda step: functools.reduce(torch.mul, step.inputs),
    "concat": lambda step: torch.cat(list(step.inputs), 1),
    "subsample": _subsample,
    "pad_channels": _pad_channels,
    "resize": _resize,
}


def interpret(
    graph: Graph, tensors: Mapping[str, Tensor], x: Tensor, *, training: bool
) -> list[Tensor]:
    """The outputs of a batch (N x C x size); in training also those of `train_outputs`.

    `tensors` are those of the state_dict; running statistics are updated in place in training.
    """
    values = {INPUT: x}
    for node in _needed(graph, training):
        own = _under(tensors, node.module)
        inputs = [values[name] for name in node.inputs]
        values[node.name] = COMPUTE[node.op](Step(inputs, node.attributes, own, training))
    names = graph.outputs + (graph.train_outputs if training else ())
    return [values[name] for name in names]


def _needed(graph: Graph, training: bool) -> Iterator[Node]:
    return (node for node in graph.nodes if training or not node.training)


def _under(tensors: Mapping[str, Tensor], module: str) -> dict[str, Tensor]:
    """The tensors of one module: no name of a tensor holds a dot."""
    heads = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {name: tensors[f"{module}.{name}"] for name in heads if f"{module}.{name}" in tensors}
