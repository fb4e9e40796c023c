"""What is said of tensors in more than one place: memory formats, and names of types."""

from __future__ import annotations

import torch

# By the axes of a batch; with fewer there is no other format than the contiguous one.
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` of `torch.float32`."""
    return str(dtype).removeprefix("torch.")
