"""What runs an op that a printed file writes as an expression: a callable named after the op.

    up = torch.cat([up, skip], dim=1)     of the printed file is    concat(up, skip)

A saved plan is executed by these (`planned_module.py`), bit for bit as the printed file. Functions
have the inputs as positional arguments and the attributes of the op as keywords; a class is the
module of an op with weights whose printed call is more than `module(x)`. A test compares each with
what its op prints.
"""

from __future__ import annotations

from functools import reduce
from operator import add as _add
from operator import mul as _mul

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad


def flatten(x: Tensor) -> Tensor:
    """(N, C, *size) to (N, C * positions)."""
    return x.flatten(1)


def add(*values: Tensor) -> Tensor:
    """The sum, from left to right."""
    return reduce(_add, values)


def mul(*values: Tensor) -> Tensor:
    """The product, from left to right."""
    return reduce(_mul, values)


def concat(*values: Tensor) -> Tensor:
    """The channels of all values, one after the other."""
    return torch.cat(values, dim=1)


def subsample(x: Tensor, stride: int) -> Tensor:
    """Every stride-th position of each spatial axis."""
    return x[(slice(None), slice(None), *[slice(None, None, stride)] * (x.ndim - 2))]


def pad_channels(x: Tensor, front: int, back: int) -> Tensor:
    """Zero channels before and after."""
    return pad(x, (*[0, 0] * (x.ndim - 2), front, back))


def resize(x: Tensor, scale: int, mode: str) -> Tensor:
    """Enlarged by an integer factor."""
    linear = ("linear", "bilinear", "trilinear")[x.ndim - 3]
    return interpolate(x, scale_factor=scale, mode=linear if mode == "linear" else "nearest")


class ChannelConv(nn.Conv1d):
    """A convolution over the channel axis of a pooled value (N, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(x.shape[0], 1, -1)).view_as(x)
