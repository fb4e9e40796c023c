"""check(state, x, network): refuses a call of `optimize` for which no module can be made.

    check(state, torch.zeros(2, 3, 224, 224, dtype=torch.int64), network)
        ->  ValueError: `example_input` is of int64; a module is made for float32, bfloat16, ...

Whether the weights fit is said by who fills them in.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resnetgen.graph.ir import Network
from resnetgen.runtime.formats import dtype_name

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_AXES = {1: "L", 2: "H, W", 3: "D, H, W"}


def check(state: object, x: object, network: Network) -> None:
    """Raises TypeError for what is no state_dict or no tensor, ValueError for a tensor of no use.

    `x` is to be a batch (N, channels, *size) of any size, of one of DTYPES, on a device that computes.
    """
    if not isinstance(state, Mapping):
        mend = "; pass its `state_dict()`" if isinstance(state, torch.nn.Module) else ""
        raise TypeError(f"`state_dict` is of type {type(state).__name__}, not a mapping{mend}")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"`{key}` in `state_dict` is of type {type(value).__name__}, no tensor")
    if not isinstance(x, Tensor):
        raise TypeError(f"`example_input` is of type {type(x).__name__}, not a tensor")
    if fault := _fault(x, network):
        raise ValueError(f"`example_input` {fault}")


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Raises ValueError for a value that is not finite: a ReLU of oneDNN makes 0 of NaN.

    So a run that diverged would give results that look sound.
    """
    for key, value in state.items():
        # The sum is quick (25 ms for ResNet-152), but finite values may have one that is not.
        if not value.sum().isfinite() and not value.isfinite().all():
            raise ValueError(f"`{key}` in `state_dict` has values that are not finite")


def _fault(x: Tensor, network: Network) -> str | None:
    """What is wrong with an example."""
    channels, axes = network.input.channels, network.axes
    if x.ndim != axes + 2 or x.shape[1] != channels:
        wanted = f"(N, {channels}, {_AXES[axes]})"
        return f"is of shape {tuple(x.shape)}; `{network.name}` takes batches of shape {wanted}"
    if x.dtype not in DTYPES:
        *others, last = map(dtype_name, DTYPES)
        return f"is of {dtype_name(x.dtype)}; a module is made for {', '.join(others)} or {last}"
    if x.is_meta:
        return "is on the meta device, where nothing is computed"
    return None
