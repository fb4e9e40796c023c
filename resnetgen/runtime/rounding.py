"""rounded(weights, means, dtype): weights in fewer bits, which keep the means of what they make.

    y = (w + d) * x    rounding moves w by d, and the mean of y by the mean of d * x

Behind a ReLU values have a mean beside their spread, and so rounding to nearest, though d is zero on
average, moves each channel by a constant, as the rounded bias does. That is most of what a network in
bfloat16 is off, more than rounding every value between its layers. So a few weights of each filter,
those near the middle between two numbers, are rounded the other way, until the constants cancel.
It costs nothing where the module runs. That such shifts of the mean matter, and can be corrected (in
the bias, which here has few bits itself), is from https://arxiv.org/abs/1906.04721, section 4.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

IMAGES = 4  # of a batch, over which means are taken
_FEW = 256  # the first weights of a filter, some of which are rounded the other way
_NEAR = 1 / 3  # of the way between two numbers, from which on a weight may go either way
_PASSES = 2  # the second takes what the first left


def input_means(module: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What each weight of a filter reads on average, for every convolution and linear layer, by path.

    (in, *kernel) or (in,). Over a few of the images, which have the type and device of the weights,
    and over all places, padding included. Empty without images.
    """
    found: dict[str, list[Tensor]] = defaultdict(list)

    def note(path: str, layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        found[path].append(_read_by(layer, arguments[0]))

    for path, layer in module.named_modules():
        if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            layer.register_forward_pre_hook(partial(note, path))
    if len(images):
        with torch.no_grad():
            module(images[:IMAGES])
    return {path: torch.stack(means).mean(0) for path, means in found.items()}


def _read_by(layer: nn.Module, x: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return x.flatten(0, -2).mean(0)
    assert isinstance(layer, nn.modules.conv._ConvNd)
    assert not isinstance(layer.padding, str)
    sides = [side for side in reversed(layer.padding) for _ in range(2)]
    x = nn.functional.pad(x.mean(0), sides)
    for size, stride, dilation in zip(layer.kernel_size, layer.stride, layer.dilation, strict=True):
        reach = (size - 1) * dilation + 1
        x = x.unfold(1, reach, stride)[..., ::dilation].mean(1)  # the next axis is the first now
    return x


def rounded(
    weights: Mapping[str, Tensor], means: Mapping[str, Tensor], dtype: torch.dtype
) -> dict[str, Tensor]:
    """Float32 weights by key: those of layers with means rounded for these, all others to nearest."""
    found = {key: tensor.to(dtype) for key, tensor in weights.items()}
    for path, mean in means.items():
        weight, bias = f"{path}.weight", f"{path}.bias"
        moved = torch.zeros(())
        if bias in weights:
            moved = found[bias].float() - weights[bias]
        found[weight] = _rounded(weights[weight], found[weight], moved, mean.nan_to_num(0, 0, 0))
    return found


def _rounded(exact: Tensor, nearest: Tensor, moved: Tensor, means: Tensor) -> Tensor:
    """A weight (out, in / groups, *kernel), some of it not rounded to nearest.

    `moved` is by how much the channels (out,), or all, are off already; `means` are (in, *kernel).
    """
    rows, off = nearest.flatten(1), (nearest.float() - exact).flatten(1)
    outs, taps = rows.shape
    by_group = means.reshape(-1, taps)
    groups = len(by_group)
    moved = moved + (off.view(groups, -1, taps) @ by_group.unsqueeze(2)).flatten()
    few, off = rows[:, :_FEW], off[:, :_FEW]
    other = torch.nextafter(few, torch.where(off < 0, torch.inf, -torch.inf).to(few.dtype))
    step = other.float() - few.float()
    free = (off.abs() > step.abs() * _NEAR) & other.isfinite()
    step *= by_group[:, :_FEW].repeat_interleave(outs // groups, 0)
    turned = torch.zeros_like(free)
    for _ in range(_PASSES):
        left = (moved + torch.where(turned, step, 0).sum(1)).unsqueeze(1)
        gains = -step * left.sign()
        useful = free & ~turned & (gains > 0) & (gains <= left.abs())
        turned |= useful & (torch.where(useful, gains, 0).cumsum(1) <= left.abs())
    result = rows.clone()
    result[:, :_FEW] = torch.where(turned, other, few)
    return result.view_as(nearest)
