"""A network's weights as a file beside its module: whole or not at all, over nothing foreign.

The header of the file holds the digest of what follows, so that an edited file is recognised.

header(path) -> {key: shape}: what a file of safetensors holds, from its first bytes, without torch.

A file is 8 bytes that say how long the header is, a header in JSON, and the numbers
(https://github.com/huggingface/safetensors#format). None is the answer for any other file and for
one whose header is not sound; `weights/read.py` says then what is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetgen.compiler.codegen.files import (
    WriteError,
    refuse_to_overwrite,
    write_atomically,
    write_source,
)
from resnetgen.compiler.diagnostics.model import Diagnostic
from resnetgen.weights import plan_file
from resnetgen.weights.errors import require_safetensors
from resnetgen.weights.match import Shape

if TYPE_CHECKING:
    import torch
    from torch import nn

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


SUFFIX = ".safetensors"
_MARK = "resnetgen"  # the key of the digest
_LARGEST_HEADER = 100_000_000  # as safetensors has it
ALIGNED = 64  # bytes, as torch has it: elsewhere MKL adds up in another order


def beside(module: Path, checkpoint: str, force: bool = False) -> Path:
    """Where the weights of a module go: `NAME.safetensors`. Raises WriteError where they cannot."""
    path = module.with_suffix(SUFFIX)
    if path == module:
        help = "name the module, such as `-o NAME.py`"
        raise WriteError(
            Diagnostic("unwritable", f"`{path}` is the place of the weights", help=help)
        )
    refuse_itself(path, checkpoint)
    refuse_foreign_weights(path, force)
    return path


def refuse_itself(path: Path, checkpoint: str) -> None:
    """Raises WriteError where a file would be written over the checkpoint that it is made of."""
    with suppress(OSError, ValueError):
        if os.path.samefile(path, checkpoint):
            help = "name another place with `-o`"
            message = f"`{path}` is the checkpoint itself and would be replaced"
            raise WriteError(Diagnostic("file-exists", message, help=help))


def refuse_foreign_weights(path: Path, force: bool = False) -> None:
    """Raises WriteError if something stands there that must not be replaced, as `refuse_foreign`."""
    refuse_to_overwrite(path, force or _is_ours(path))


def refuse_foreign_plan(path: Path, force: bool = False) -> None:
    """Raises WriteError if something stands there that must not be replaced, as `refuse_foreign`."""
    refuse_to_overwrite(path, force or plan_file.is_ours(path))


@dataclass(frozen=True)
class Converted:
    """The file of a network's weights, to be placed."""

    path: Path
    data: bytes
    tensors: int
    plan: bytes | None = None  # NAME.plan.json, of a module for inference

    @classmethod
    def of(cls, module: nn.Module, network: str, path: Path) -> Converted:
        """All that the state_dict of a module holds."""
        state = module.state_dict()
        return cls(path, as_safetensors(state, network), len(state))


def place(weights: Converted, module: Path, source: str, *, force: bool = False) -> None:
    """Places weights, plan and module: all or none.

    The plan comes first: it refuses the others until they are its own. Raises WriteError; then the
    folder is as it was.
    """
    plan = plan_file.beside(module)
    refuse_to_overwrite(module, force)
    refuse_foreign_weights(weights.path, force)
    if weights.plan is not None:
        refuse_foreign_plan(plan, force)
    with _restored(plan), _restored(weights.path):
        if weights.plan is not None:
            write_atomically(plan, weights.plan)
        write_atomically(weights.path, weights.data)
        write_source(module, source, force)


@contextmanager
def _restored(path: Path) -> Iterator[None]:
    """Whatever is raised inside, the file that stood at the path stands there again."""
    saved = path.parent / f".resnetgen-{os.urandom(6).hex()}.tmp"
    existed = os.path.lexists(path)
    try:
        if existed:
            _save(path, saved)
        yield
    except BaseException:
        with suppress(OSError):
            if existed:
                os.replace(saved, path)
            else:
                path.unlink(missing_ok=True)
        raise
    finally:
        with suppress(OSError):
            saved.unlink(missing_ok=True)


def _save(path: Path, saved: Path) -> None:
    try:
        os.link(path, saved, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without hard links
        shutil.copy2(path, saved, follow_symlinks=False)


# --- the bytes


def as_safetensors(state: Mapping[str, torch.Tensor], network: str) -> bytes:
    """A state_dict as a file of safetensors; the same tensors give the same bytes."""
    require_safetensors()
    from safetensors.torch import save

    packed = memoryview(save({key: each.contiguous() for key, each in state.items()}))
    start = 8 + int.from_bytes(packed[:8], "little")
    entries, body = _aligned(json.loads(bytes(packed[8:start])), packed[start:])
    digest = _begun(entries)
    digest.update(body)
    about = {"format": "pt", "network": network, _MARK: digest.hexdigest()}
    header = json.dumps({"__metadata__": about, **entries}, separators=(",", ":")).encode()
    header += b" " * (-(8 + len(header)) % ALIGNED)
    return b"".join((len(header).to_bytes(8, "little"), header, body))


def _aligned(entries: Mapping[str, Any], body: memoryview) -> tuple[dict[str, Any], bytes]:
    """Header and numbers, tensors of odd length last, so that all others are aligned in the file."""
    held = {key: body[slice(*entry["data_offsets"])] for key, entry in entries.items()}
    order = sorted(held, key=lambda key: len(held[key]) % ALIGNED != 0)
    ends = list(accumulate((len(held[key]) for key in order), initial=0))
    places = zip(order, pairwise(ends), strict=True)
    moved = {key: {**entries[key], "data_offsets": list(place)} for key, place in places}
    return moved, b"".join(held[key] for key in order)


def _begun(entries: Mapping[str, Any]) -> Any:
    """The digest of names, shapes and types, to be continued with the numbers."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode())


def _is_ours(path: Path) -> bool:
    """Whether resnetgen wrote these weights and nobody edited them since."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length)) if length <= _LARGEST_HEADER else {}
            mark = entries.pop("__metadata__")[_MARK]
            digest = _begun(entries)
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            return bool(mark == digest.hexdigest())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
