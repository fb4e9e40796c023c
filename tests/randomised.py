"""Weights for comparisons that could fail: no branch is cut off, and no activation is dead.

    randomise(module.state_dict())

Fresh norms hide mistakes: a shift of 0 and a scale of 1 are equal whichever norm they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def randomise(state: Mapping[str, torch.Tensor], seed: int = 1) -> None:
    """Sets scales, shifts and statistics of norms, and all other biases, in place."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in state.items():
            if key.endswith(("running_mean", "bias")):
                value.uniform_(-0.2, 0.2, generator=generator)
            elif key.endswith("running_var") or (key.endswith("weight") and value.ndim == 1):
                value.uniform_(0.5, 1.5, generator=generator)
            elif key.endswith("num_batches_tracked"):
                value.fill_(7)
