"""read(path) -> Checkpoint: the tensors of a file, without running any code that it contains.

The content decides on the format, not the name: safetensors; torch.save, both the archives of today
(mapped, not copied) and the streams of torch before 1.6; HDF5 of Keras. Pickled objects other than
tensors and plain containers are refused, and there is no option to allow them.
"""

from __future__ import annotations

import errno
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from resnetgen.compiler.diagnostics.model import Diagnostic, escape_invisible
from resnetgen.compiler.frontend.input_file import FileTooLarge, open_regular
from resnetgen.weights.errors import WeightsError, require_safetensors
from resnetgen.weights.hdf5 import DamagedFile, UnsafeFile, read_hdf5
from resnetgen.weights.keys import MAX_TENSORS, keys_error
from resnetgen.weights.match import TensorEntry
from resnetgen.weights.pickle_scan import MAX_PICKLE, RefusedPickle, scan_pickle
from resnetgen.weights.safetensors_file import (
    MAX_BYTES,
    HeaderTooLarge,
    read_header,
    starts_like_safetensors,
)

if TYPE_CHECKING:
    import torch

# The keys under which training scripts save the weights; the first that exists is used.
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
_MAX_NESTING = 4  # containers in containers
_SAVE_AGAIN = "save it again: `torch.save(model.state_dict(), FILE)`"
_NAME_A_FILE = "name the file that contains the weights"
_MAX_COPIED = 1 << 32  # bytes of a file whose tensors are copied, not mapped
_MAX_DIRECTORY, _DIRECTORY_SIZE = 1 << 23, 5  # bytes of an archive's list of members; where it is
_DOWNLOAD_AGAIN = "the file is cut off or damaged; download it again"


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format of checkpoints: what people call it, and its reader."""

    name: str
    read: Callable[[str | Path], object]
    copies: bool = False  # whether it reads the whole file into memory


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file under their own keys, and what was unpacked on the way."""

    name: str  # of the file, for messages
    tensors: Mapping[str, torch.Tensor]
    remarks: tuple[str, ...] = ()
    format: str = ""  # what people call it

    @property
    def entries(self) -> dict[str, TensorEntry]:
        """Shapes and dtypes."""
        return {
            key: TensorEntry(tuple(tensor.shape), _dtype_text(tensor))
            for key, tensor in self.tensors.items()
        }


def read(path: str | Path) -> Checkpoint:
    """The state_dict of a file. Raises WeightsError `unreadable-weights`."""
    name = escape_invisible(os.fspath(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its own old formats
            format = _format(path, name)
            content = format.read(path)
    except WeightsError:
        raise
    except Exception as error:  # readers of damaged files raise whatever they come upon
        raise _unreadable(name, *_reason(error)) from error
    return replace(_unpack(content, name), format=format.name)


def _unreadable(name: str, reason: str, help: str | None = None) -> WeightsError:
    message = f"cannot read the weights of `{name}`: {reason}"
    return WeightsError(Diagnostic("unreadable-weights", message, help=help))


# --- the format


def _format(path: str | Path, name: str) -> FileFormat:
    with open_regular(path, MAX_BYTES) as file:
        format = _format_of(file, name)
        if format.copies and os.fstat(file.fileno()).st_size > _MAX_COPIED:
            raise FileTooLarge(path, _MAX_COPIED)
        return format


def _format_of(file: BinaryIO, name: str) -> FileFormat:
    start = file.read(9)
    if not start:
        raise _unreadable(name, "it is empty")
    if start.startswith(b"PK"):
        _check_archive(file, name)
        return FileFormat("torch.save", _read_archive)
    if starts_like_safetensors(start):
        return FileFormat("safetensors", _read_safetensors)
    if start.startswith(b"\x80"):
        return FileFormat("torch.save before 1.6", _read_stream, copies=True)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return FileFormat("HDF5", read_hdf5, copies=True)
    raise _unreadable(name, "it is neither safetensors nor HDF5, nor written by torch.save")


def _check_archive(file: BinaryIO, name: str) -> None:
    """torch maps the tensors of an archive as they are, and checks no checksum."""
    try:
        end: Any = zipfile._EndRecData(file)  # type: ignore[attr-defined]
        if end and end[_DIRECTORY_SIZE] > _MAX_DIRECTORY:
            raise _unreadable(name, f"it has more than {MAX_TENSORS:,} tensors")
        archive = zipfile.ZipFile(file)
        _check_members(archive, name)
        if sum(member.file_size for member in archive.infolist()) > os.fstat(file.fileno()).st_size:
            raise zipfile.BadZipFile("members overlap")
        for member in archive.infolist():
            if member.CRC:  # torch.save has an option to write none
                _check_sum(archive, member)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise _unreadable(name, "it is not a valid archive", _DOWNLOAD_AGAIN) from error


def _check_members(archive: zipfile.ZipFile, name: str) -> None:
    members = archive.infolist()
    if len(members) > MAX_TENSORS:
        raise _unreadable(name, f"it has more than {MAX_TENSORS:,} tensors")
    names = [member.filename.rpartition("/")[2] for member in members]
    if "constants.pkl" in names:
        raise _unreadable(name, "it is a TorchScript program, not weights", _SAVE_AGAIN)
    if "data.pkl" not in names:
        raise _unreadable(name, "it is an archive, but not one of torch.save", _SAVE_AGAIN)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        reason = "it is a compressed archive, which torch.save never writes"
        raise _unreadable(name, reason, _SAVE_AGAIN)


def _check_sum(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as part:
        while part.read(1 << 20):
            pass


# --- readers; whatever they raise is an error in the file


def _read_safetensors(path: str | Path) -> object:
    require_safetensors()
    from safetensors.torch import load_file

    with open_regular(path, MAX_BYTES) as file:
        read_header(file)  # it is small enough
    return load_file(path)


def _read_archive(path: str | Path) -> object:
    import torch

    reader: Any = torch._C.PyTorchFileReader(os.fspath(path))  # torch and zipfile may disagree
    if reader.get_record_size("data.pkl") > MAX_PICKLE:
        raise RefusedPickle("a pickle that is too large")

    def check_storage(key: str | int, size: int) -> None:
        if reader.get_record_size(f"data/{key}") != size:
            raise RefusedPickle("a storage of another size")

    scan_pickle(reader.get_record("data.pkl"), 0, check_storage)
    return torch.load(os.fspath(path), map_location="cpu", weights_only=True, mmap=True)


def _read_stream(path: str | Path) -> object:
    import torch

    with open_regular(path, _MAX_COPIED) as file:
        _check_stream(file)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=False)


def _check_stream(file: BinaryIO) -> None:
    """Scans the pickles of a stream: magic number, version, system, content, keys of storages."""
    room = os.fstat(file.fileno()).st_size

    def check_storage(key: str | int, size: int) -> None:
        nonlocal room
        room -= size
        if room < 0:
            raise RefusedPickle("storages that are larger than the file")

    data, end = file.read(MAX_PICKLE), 0
    for _ in range(5):
        end = scan_pickle(data, end, check_storage)


def _reason(error: Exception) -> tuple[str, str | None]:
    """What a reader failed on, and the suggested fix."""
    text = " ".join(str(error).split())
    if isinstance(error, UnsafeFile):
        return text, "save it again with `model.save_weights(FILE)`"
    if isinstance(error, DamagedFile):
        return text[:200], _DOWNLOAD_AGAIN
    if isinstance(error, HeaderTooLarge):
        return str(error), None
    if isinstance(error, OSError) and error.strerror:
        return error.strerror, _NAME_A_FILE if error.errno in (errno.EISDIR, errno.EINVAL) else None
    if isinstance(error, pickle.UnpicklingError):
        global_name = re.search(r"GLOBAL ([\w.]+)", text)
        if global_name:
            reason = f"it contains a Python object, `{global_name[1]}`; only tensors are read"
            return reason, _SAVE_AGAIN
        found = f": {text}" if isinstance(error, RefusedPickle) else ""
        return f"it contains more than tensors, or is damaged{found}", _SAVE_AGAIN
    return f"{type(error).__name__}: {text}"[:200], _DOWNLOAD_AGAIN


# --- the state_dict in what was read


def _unpack(content: object, name: str) -> Checkpoint:
    """The state_dict inside the containers of training scripts."""
    remarks = []
    for _ in range(_MAX_NESTING):
        key = _container(content)
        if key is None or not isinstance(content, Mapping):
            break
        others = [
            each for each in CONTAINERS if each != key and isinstance(content.get(each), Mapping)
        ]
        ignored = f", not from {', '.join(f'`{each}`' for each in others)}" if others else ""
        remarks.append(f"weights taken from `{key}` of the file{ignored}")
        content = content[key]
    return Checkpoint(name, _state_dict(content, name), tuple(remarks))


def _container(content: object) -> str | None:
    if not isinstance(content, Mapping):
        return None
    return next((key for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)


def _state_dict(content: object, name: str) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(content, Mapping):
        reason = f"it contains an object of type {_type_name(content)}, not a state_dict"
        raise _unreadable(name, reason, _SAVE_AGAIN)
    for key, value in content.items():
        if not isinstance(key, str):
            raise _unreadable(name, f"it has a key that is not a name: {_quoted(key)}", _SAVE_AGAIN)
        if not isinstance(value, torch.Tensor):
            reason = (
                f"not a state_dict: {_quoted(key)} is of type {_type_name(value)}, not a tensor"
            )
            raise _unreadable(name, reason, _SAVE_AGAIN)
    if not content:
        raise _unreadable(name, "it contains no tensors")
    if error := keys_error(content):
        raise _unreadable(name, error)
    return {key: value.detach() for key, value in content.items()}


def _type_name(value: object) -> str:
    return type(value).__name__


def _quoted(key: object) -> str:
    """A key for a message; only words and numbers are safe to print."""
    text = str(key)[:80] if isinstance(key, str | int | float) else _type_name(key)
    return f"`{escape_invisible(text)}`"


def _dtype_text(tensor: torch.Tensor) -> str:
    """The dtype as torch names it, with a word before it if the tensor is not dense or has no data."""
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return f"no data, {dtype}"
    return dtype if tensor.layout == torch.strided else f"sparse {dtype}"
