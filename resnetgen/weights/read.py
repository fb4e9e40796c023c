"""read(path) -> Checkpoint: the tensors of a file, without running anything that stands in it.

The content decides, not the name: safetensors, what torch.save wrote, today's archives (mapped,
not copied) and the streams of torch before 1.6, or HDF5 of Keras. Pickled objects other than
tensors and plain containers are refused; there is no other way in.
"""

from __future__ import annotations

import os
import pickle
import re
import stat
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from resnetgen.compiler.diagnostics.model import Diagnostic, visible
from resnetgen.weights.errors import WeightsError, require_safetensors
from resnetgen.weights.hdf5 import DamagedFile, UnsafeFile, read_hdf5
from resnetgen.weights.match import TensorEntry

if TYPE_CHECKING:
    import torch

# Under what training scripts keep the weights; the first that is there is taken.
CONTAINERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "model_state",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "state_dict_ema",
    "model_ema",
)
_DEEPEST = 4  # containers in containers
_LONGEST = 1000  # characters of a key
_AGAIN = "save it again: `torch.save(model.state_dict(), FILE)`"
_DOWNLOAD = "the file is cut off or damaged; fetch it again"


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A way in which files hold tensors: what people call it, and what reads it."""

    name: str
    read: Callable[[str | Path], object]


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file under their own keys, and what was unpacked on the way."""

    name: str  # of the file, for messages
    tensors: Mapping[str, torch.Tensor]
    remarks: tuple[str, ...] = ()
    format: str = ""  # what people call it

    @property
    def entries(self) -> dict[str, TensorEntry]:
        """Shapes and types."""
        return {
            key: TensorEntry(tuple(each.shape), _type(each)) for key, each in self.tensors.items()
        }


def read(path: str | Path) -> Checkpoint:
    """The state_dict of a file. Raises WeightsError `unreadable-weights`."""
    name = visible(os.fspath(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its own old formats
            format = _format(path, name)
            found = format.read(path)
    except WeightsError:
        raise
    except Exception as error:  # readers of damaged files raise whatever they come upon
        raise _refused(name, *_reason(error)) from error
    return replace(_unpacked(found, name), format=format.name)


# --- which format it is


def _format(path: str | Path, name: str) -> FileFormat:
    """What reads the file, by what it holds."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        what = "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file"
        raise _refused(name, what, "name the file that holds the weights")
    with open(path, "rb") as file:
        return _format_of(file, name)


def _format_of(file: BinaryIO, name: str) -> FileFormat:
    head = file.read(9)
    if not head:
        raise _refused(name, "it is empty")
    if head.startswith(b"PK"):
        _check_archive(file, name)
        return FileFormat("torch.save", _read_archive)
    if head[8:] == b"{":
        return FileFormat("safetensors", _read_safetensors)
    if head.startswith(b"\x80"):
        return FileFormat("torch.save before 1.6", _read_stream)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return FileFormat("HDF5", read_hdf5)
    raise _refused(name, "it is neither safetensors nor HDF5, nor written by torch.save")


def _check_archive(file: BinaryIO, name: str) -> None:
    """torch maps the tensors of an archive as they are, and looks at no checksum."""
    try:
        archive = zipfile.ZipFile(file)
        _check_members(archive, name)
        if sum(member.file_size for member in archive.infolist()) > os.fstat(file.fileno()).st_size:
            raise zipfile.BadZipFile("members overlap")
        for member in archive.infolist():
            if member.CRC:  # torch.save can be told to write none
                _check_sum(archive, member)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise _refused(name, "it is no sound archive", _DOWNLOAD) from error


def _check_members(archive: zipfile.ZipFile, name: str) -> None:
    members = archive.infolist()
    names = [member.filename.rpartition("/")[2] for member in members]
    if "constants.pkl" in names:
        raise _refused(name, "it is a TorchScript program, not weights", _AGAIN)
    if "data.pkl" not in names:
        raise _refused(name, "it is an archive, but not one of torch.save", _AGAIN)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise _refused(name, "it is a compressed archive, which torch.save never writes", _AGAIN)


def _check_sum(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as part:
        while part.read(1 << 20):
            pass


# --- readers; whatever they raise is the file's fault


def _read_safetensors(path: str | Path) -> object:
    require_safetensors()
    from safetensors.torch import load_file

    return load_file(path)


def _read_archive(path: str | Path) -> object:
    import torch

    return torch.load(os.fspath(path), map_location="cpu", weights_only=True, mmap=True)


def _read_stream(path: str | Path) -> object:
    import torch

    with open(path, "rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=False)


def _reason(error: Exception) -> tuple[str, str | None]:
    """What a reader stumbled over, and the mend."""
    text = " ".join(str(error).split())
    if isinstance(error, UnsafeFile):
        return text, "save it again with `model.save_weights(FILE)`"
    if isinstance(error, DamagedFile):
        return text[:200], _DOWNLOAD
    if isinstance(error, OSError) and error.strerror:
        return error.strerror, None
    if isinstance(error, pickle.UnpicklingError):
        named = re.search(r"GLOBAL ([\w.]+)", text)
        if named:
            return f"it holds a Python object, `{named[1]}`, and only tensors are read", _AGAIN
        return "it holds more than tensors, or is damaged", _AGAIN
    return f"{type(error).__name__}: {text}"[:200], _DOWNLOAD


def _refused(name: str, what: str, help: str | None = None) -> WeightsError:
    message = f"cannot read the weights of `{name}`: {what}"
    return WeightsError(Diagnostic("unreadable-weights", message, help=help))


# --- what was read


def _unpacked(found: object, name: str) -> Checkpoint:
    """The state_dict inside the containers of training scripts."""
    remarks = []
    for _ in range(_DEEPEST):
        key = _container(found)
        if key is None or not isinstance(found, Mapping):
            break
        others = [
            each for each in CONTAINERS if each != key and isinstance(found.get(each), Mapping)
        ]
        besides = f", not from {', '.join(f'`{each}`' for each in others)}" if others else ""
        remarks.append(f"weights taken from `{key}` of the file{besides}")
        found = found[key]
    return Checkpoint(name, _state_dict(found, name), tuple(remarks))


def _container(found: object) -> str | None:
    if not isinstance(found, Mapping):
        return None
    return next((key for key in CONTAINERS if isinstance(found.get(key), Mapping)), None)


def _state_dict(found: object, name: str) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(found, Mapping):
        raise _refused(name, f"it holds no state_dict but an object of type {_kind(found)}", _AGAIN)
    for key, value in found.items():
        if not isinstance(key, str) or len(key) > _LONGEST:
            raise _refused(name, f"it has a key that names no tensor: {_shown(key)}", _AGAIN)
        if not isinstance(value, torch.Tensor):
            what = f"it holds no state_dict: {_shown(key)} is of type {_kind(value)}, not a tensor"
            raise _refused(name, what, _AGAIN)
    if not found:
        raise _refused(name, "it holds no tensors")
    return {key: value.detach() for key, value in found.items()}


def _kind(value: object) -> str:
    return type(value).__name__


def _shown(key: object) -> str:
    """A key for a message; only words and numbers are safe to print."""
    text = str(key)[:80] if isinstance(key, str | int | float) else _kind(key)
    return f"`{visible(text)}`"


def _type(tensor: torch.Tensor) -> str:
    """The dtype as torch names it; with a word before it where the tensor is not a plain one."""
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return f"no data, {dtype}"
    return dtype if tensor.layout == torch.strided else f"sparse {dtype}"
