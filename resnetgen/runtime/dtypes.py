"""Memory formats and names of dtypes. Imports torch alone, which a cold start has imported anyway."""

from __future__ import annotations

import torch

# By the number of axes of a batch; with fewer, the contiguous format is the only one.
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")
