"""safetensors: headers read without torch, and the weights of a network written beside its module.

    read_shapes("net.safetensors")       {"conv1.weight": (64, 3, 7, 7), ...}
    to_safetensors(state, "resnet50")    the bytes of a file, stamped with their digest
    write_with_module(weights, ...)      module, weights and plan: all or none

A file is eight bytes with the length of the header, the header in JSON, and the values of the tensors
(https://github.com/huggingface/safetensors#format). `read_header` is the only reader of a header.
The values are read by safetensors itself, in `weights/read.py`, which also says what is wrong with a
file for which the answer here is None.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from resnetgen.compiler.codegen.files import (
    MODULE,
    Stamp,
    WriteError,
    refuse_to_overwrite,
    restored_on_error,
    write_atomically,
)
from resnetgen.compiler.diagnostics.model import Diagnostic
from resnetgen.compiler.frontend.input_file import open_regular
from resnetgen.weights import plan_file
from resnetgen.weights.errors import require_safetensors
from resnetgen.weights.keys import MAX_TENSORS, keys_error
from resnetgen.weights.match import Shape

if TYPE_CHECKING:
    import torch
    from torch import nn

SUFFIX = ".safetensors"
ALIGNMENT = 64  # bytes, as in torch: at another alignment MKL sums in another order
MAX_BYTES = 1 << 34  # of a checkpoint: four times the weights of the largest residual networks
_MAX_HEADER = 1 << 23  # bytes, 200 for each tensor
_MAX_VALUES = 32 * MAX_TENSORS  # of the header; a tensor has about ten
_METADATA = "__metadata__"
_DIGEST = "resnetgen"  # its key in the metadata


# --- the header


class HeaderTooLarge(ValueError):
    """A header that is not parsed; the message says why."""


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """The header of a file as it stands there: the entries are not checked."""

    entries: dict[str, Any]  # tensor -> {"dtype": "F32", "shape": [...], "data_offsets": [a, b]}
    metadata: Any  # a map of texts in a valid file; {} if there is none
    data_start: int  # where the values start; offsets count from here


def starts_like_safetensors(start: bytes) -> bool:
    """Whether the first nine bytes of a file are a length and the brace of a header."""
    return start[8:9] == b"{"


def read_header(file: BinaryIO) -> SafetensorsHeader | None:
    """The header of an open file, which is left where the values start; None if there is none.

    Raises HeaderTooLarge.
    """
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if not starts_like_safetensors(start) or length == 0:
        return None
    if length > _MAX_HEADER:
        raise HeaderTooLarge(f"its header has more than {_MAX_HEADER:,} bytes")
    text = start[8:] + file.read(length - 1)
    if text.count(b'"data_offsets"') > MAX_TENSORS or sum(map(text.count, b",[{")) > _MAX_VALUES:
        raise HeaderTooLarge(f"it has more than {MAX_TENSORS:,} tensors")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return None
    metadata = entries.pop(_METADATA, {})
    return SafetensorsHeader(entries, metadata, 8 + length)


def read_shapes(path: str | Path) -> dict[str, Shape] | None:
    """The tensors in the order of the file; None if it is not a valid one, or cannot be read."""
    try:
        with open_regular(path, MAX_BYTES) as file:
            header = read_header(file)
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        return None
    if not header or not header.entries or not all(map(_is_valid, header.entries.values())):
        return None
    if keys_error(header.entries):
        return None
    if header.data_start + max(each["data_offsets"][1] for each in header.entries.values()) != size:
        return None
    return {key: tuple(entry["shape"]) for key, entry in header.entries.items()}


def _is_valid(entry: object) -> bool:
    """Whether an entry has a shape, and says where its values are."""
    if not isinstance(entry, dict):
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        return False
    return all(type(each) is int and each >= 0 for each in (*shape, *offsets))


# --- the bytes of a file, and its stamp


def to_safetensors(state: Mapping[str, torch.Tensor], network: str) -> bytes:
    """A state_dict as a file; the same tensors give the same bytes."""
    require_safetensors()
    from safetensors.torch import save

    packed = save({key: tensor.contiguous() for key, tensor in state.items()})
    written = read_header(BytesIO(packed))
    assert written is not None
    entries, data = _align(written.entries, memoryview(packed)[written.data_start :])
    digest = _digest_of(entries)
    digest.update(data)
    metadata = {"format": "pt", "network": network, _DIGEST: digest.hexdigest()}
    header = json.dumps({_METADATA: metadata, **entries}, separators=(",", ":")).encode()
    header += b" " * (-(8 + len(header)) % ALIGNMENT)
    return b"".join((len(header).to_bytes(8, "little"), header, data))


def _align(entries: Mapping[str, Any], data: memoryview) -> tuple[dict[str, Any], bytes]:
    """Entries and values with tensors of odd length last, so that all others are aligned."""
    tensors = {key: data[slice(*entry["data_offsets"])] for key, entry in entries.items()}
    order = sorted(tensors, key=lambda key: len(tensors[key]) % ALIGNMENT != 0)
    ends = list(accumulate((len(tensors[key]) for key in order), initial=0))
    moved = {
        key: {**entries[key], "data_offsets": list(offsets)}
        for key, offsets in zip(order, pairwise(ends), strict=True)
    }
    return moved, b"".join(tensors[key] for key in order)


def _digest_of(entries: Mapping[str, Any]) -> Any:
    """The digest of names, shapes and dtypes, to be updated with the values."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode())


def _is_untouched(file: BinaryIO) -> bool:
    header = read_header(file)
    if header is None:
        return False
    expected, digest = header.metadata[_DIGEST], _digest_of(header.entries)
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return bool(digest.hexdigest() == expected)


WEIGHTS = Stamp(_is_untouched, printable=False)


# --- beside the module


@dataclass(frozen=True)
class WeightsFile:
    """The weights of a network as a file that is not written yet, and the plan if it has one."""

    path: Path
    data: bytes
    tensors: int
    plan: bytes | None = None  # NAME.plan.json, of a module for inference

    @classmethod
    def from_module(cls, module: nn.Module, network: str, path: Path) -> WeightsFile:
        """The state_dict of a module."""
        state = module.state_dict()
        return cls(path, to_safetensors(state, network), len(state))


def weights_path(module: Path, force: bool = False) -> Path:
    """NAME.safetensors, for the weights of NAME.py. Raises WriteError if it must not be written."""
    path = module.with_suffix(SUFFIX)
    if path == module:
        message = f"`{path}` is where the weights go, not the module"
        help = "name the module, such as `-o NAME.py`"
        raise WriteError(Diagnostic("unwritable", message, help=help))
    refuse_to_overwrite(path, WEIGHTS, force)
    return path


def write_with_module(
    weights: WeightsFile, module: Path, source: str, *, force: bool = False
) -> None:
    """Writes plan, weights and module: all or none. Raises WriteError; then nothing has changed.

    The plan comes first: until the other two are its own, it is refused when it is loaded.
    """
    plan = plan_file.plan_path(module)
    refuse_to_overwrite(module, MODULE, force)
    refuse_to_overwrite(weights.path, WEIGHTS, force)
    if weights.plan is not None:
        refuse_to_overwrite(plan, plan_file.PLAN, force)
    with restored_on_error(plan), restored_on_error(weights.path):
        if weights.plan is not None:
            write_atomically(plan, weights.plan)
        write_atomically(weights.path, weights.data)
        write_atomically(module, source.encode())
