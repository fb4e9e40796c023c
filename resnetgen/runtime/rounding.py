"""round_weights(weights, means, dtype): weights in fewer bits that keep the means of their results.

    y = (w + d) * x    rounding moves w by d, and the mean of y by the mean of d * x

After a ReLU, values have a mean in addition to their spread. So rounding to nearest, although d is
zero on average, moves each channel by a constant, as does the rounded bias. That is most of the error
of a network in bfloat16, more than what rounding every value between its layers adds. Therefore a few
weights of each filter, those near the middle between two numbers, are rounded the other way, until
the constants cancel. It costs nothing when the module runs.

That such shifts of the mean matter, and can be corrected (in the bias, which has few bits here), is
from https://arxiv.org/abs/1906.04721, section 4.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

IMAGES = 4  # of a batch, over which means are computed
_CANDIDATES = 256  # the first weights of a filter, some of which are rounded the other way
_NEAR_MIDDLE = 1 / 3  # of the way between two numbers, from which a weight may go either way
_PASSES = 2  # the second corrects what the first has left


def input_means(module: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What each weight of a filter reads on average, for every convolution and linear layer, by path.

    Of shape (in, *kernel) for a convolution and (in,) for a linear layer. The mean is over at most
    IMAGES of the images, which have the dtype and device of the weights, and over all positions,
    padding included. Empty without images.
    """
    collected: dict[str, list[Tensor]] = defaultdict(list)

    def collect(path: str, layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        collected[path].append(_mean_input(layer, arguments[0]))

    for path, layer in module.named_modules():
        if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            layer.register_forward_pre_hook(partial(collect, path))
    if len(images):
        with torch.no_grad():
            module(images[:IMAGES])
    return {path: torch.stack(means).mean(0) for path, means in collected.items()}


def _mean_input(layer: nn.Module, x: Tensor) -> Tensor:
    """What each weight of a filter reads on average in one call of its layer."""
    if isinstance(layer, nn.Linear):
        return x.flatten(0, -2).mean(0)
    assert isinstance(layer, nn.modules.conv._ConvNd)
    assert not isinstance(layer.padding, str)
    padding = [side for side in reversed(layer.padding) for _ in range(2)]
    x = nn.functional.pad(x.mean(0), padding)
    for size, stride, dilation in zip(layer.kernel_size, layer.stride, layer.dilation, strict=True):
        window = (size - 1) * dilation + 1
        x = x.unfold(1, window, stride)[..., ::dilation].mean(1)  # the next axis is now the first
    return x


def round_weights(
    weights: Mapping[str, Tensor], means: Mapping[str, Tensor], dtype: torch.dtype
) -> dict[str, Tensor]:
    """Rounds float32 weights, by key: those of layers with `means` for these means, others to nearest."""
    rounded = {key: tensor.to(dtype) for key, tensor in weights.items()}
    for path, mean in means.items():
        weight, bias = f"{path}.weight", f"{path}.bias"
        shift = torch.zeros(())
        if bias in weights:
            shift = rounded[bias].float() - weights[bias]
        rounded[weight] = _round_weight(
            weights[weight], rounded[weight], shift, mean.nan_to_num(0, 0, 0)
        )
    return rounded


def _round_weight(exact: Tensor, nearest: Tensor, shift: Tensor, means: Tensor) -> Tensor:
    """A weight (out, in / groups, *kernel), in part not rounded to nearest.

    `shift` is by how much the means of the channels (out,), or of all, are moved already; `means` are
    (in, *kernel).
    """
    rows, error = nearest.flatten(1), (nearest.float() - exact).flatten(1)
    outs, taps = rows.shape
    by_group = means.reshape(-1, taps)
    groups = len(by_group)
    shift = shift + (error.view(groups, -1, taps) @ by_group.unsqueeze(2)).flatten()
    candidates, error = rows[:, :_CANDIDATES], error[:, :_CANDIDATES]
    away = torch.where(error < 0, torch.inf, -torch.inf).to(candidates.dtype)
    other = torch.nextafter(candidates, away)  # the number on the other side of the exact weight
    step = other.float() - candidates.float()
    free = (error.abs() > step.abs() * _NEAR_MIDDLE) & other.isfinite()
    step *= by_group[:, :_CANDIDATES].repeat_interleave(outs // groups, 0)
    flipped = torch.zeros_like(free)
    for _ in range(_PASSES):
        left = (shift + torch.where(flipped, step, 0).sum(1)).unsqueeze(1)
        gains = -step * left.sign()
        useful = free & ~flipped & (gains > 0) & (gains <= left.abs())
        flipped |= useful & (torch.where(useful, gains, 0).cumsum(1) <= left.abs())
    result = rows.clone()
    result[:, :_CANDIDATES] = torch.where(flipped, other, candidates)
    return result.view_as(nearest)
