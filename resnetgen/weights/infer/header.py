"""header(path) -> {key: shape}: what a file of safetensors holds, from its first bytes, without torch.

A file is 8 bytes that say how long the header is, a header in JSON, and the numbers
(https://github.com/huggingface/safetensors#format). None is the answer for any other file and for
one whose header is not sound; `weights/read.py` says then what is wrong with it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from resnetgen.weights.fit import Shape

_LONGEST = 100_000_000  # bytes of a header, as in safetensors itself
_METADATA = "__metadata__"


def header(path: str | Path) -> dict[str, Shape] | None:
    """The tensors in the order of the file. Raises OSError."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        return None
    with open(path, "rb") as file:
        length, brace = int.from_bytes(file.read(8), "little"), file.read(1)
        if brace != b"{" or length > _LONGEST:
            return None
        text = brace + file.read(length - 1)
        numbers = os.fstat(file.fileno()).st_size - 8 - length
    return _shapes(text, numbers)


def _shapes(text: bytes, numbers: int) -> dict[str, Shape] | None:
    """The shapes of a header before so many bytes of numbers."""
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found.pop(_METADATA, None)
    if not found or not all(map(_is_sound, found.values())):
        return None
    if max(entry["data_offsets"][1] for entry in found.values()) != numbers:
        return None
    return {key: tuple(entry["shape"]) for key, entry in found.items()}


def _is_sound(entry: object) -> bool:
    """Whether an entry says a shape, and where its numbers stand."""
    if not isinstance(entry, dict):
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        return False
    return all(type(each) is int and each >= 0 for each in (*shape, *offsets))
