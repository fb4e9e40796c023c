"""HDF5 files of Keras: both forms are read, the one that names its layers is written.

    model.save_weights("net.weights.h5")      layers/conv2d/vars/0         ->  conv1_conv.0
    the files of keras.applications (.h5)     conv1_conv/conv1_conv/kernel ->  conv1_conv.kernel

In the first form, groups count the layers of a class; the name of a layer is an attribute, and its
tensors are numbered. In the second, attributes list the names. Links out of the file are not followed,
and no tensor is read that takes more room in memory than in the file.

A damaged file can hang or crash the HDF5 library. So a file is read in a process of its own,
`python -m resnetgen.weights.hdf5 FILE`, which passes plain arrays back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetgen.compiler.diagnostics.model import Diagnostic
from resnetgen.weights.errors import WeightsError, require_safetensors

if TYPE_CHECKING:
    import torch

SUFFIXES = (".h5", ".hdf5")
MAX_MEMBERS = 100_000  # groups and tensors of a file
MAX_DEPTH = 32  # groups in groups
_LAYERS, _VARIABLES, _MODEL = "layers", "vars", "model_weights"
_OPTIMIZER = "optimizer"  # what belongs to training, not to the network
_LAYER_NAMES, _WEIGHT_NAMES = "layer_names", "weight_names"
_MAX_NAMES = 500  # in one attribute, which has room for 64 KiB
_TIMEOUT, _BYTES_PER_SECOND = 20, 10_000_000  # seconds for any file, and more for a large one
_UNSAFE, _DAMAGED = 3, 4  # exit statuses of the reading process


class UnsafeFile(ValueError):
    """A file with something that is not read; the message says what."""


class DamagedFile(ValueError):
    """A file that the HDF5 library cannot read; the message is the library's."""


def require_h5py() -> None:
    """Raises WeightsError `no-h5py` if h5py cannot be imported."""
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        message = f"h5py cannot be imported: {error}"
        help = "install it with `pip install 'resnetgen[keras]'`"
        raise WeightsError(Diagnostic("no-h5py", message, help=help)) from error


# --- reading


def read_hdf5(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by layer and name, or by layer and number.

    Raises WeightsError `no-h5py` and `no-safetensors`, UnsafeFile and DamagedFile.
    """
    require_h5py()
    require_safetensors()
    from safetensors.torch import load

    timeout = _TIMEOUT + Path(path).stat().st_size / _BYTES_PER_SECOND
    # -P: nothing is imported from the working directory.
    command = [sys.executable, "-P", "-m", __name__, os.fspath(path)]
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(command, env=inherited, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise DamagedFile("reading it does not end") from None
    if done.returncode == 0:
        return load(done.stdout)
    text = " ".join(done.stderr.decode(errors="replace").split())
    if done.returncode == _UNSAFE:
        raise UnsafeFile(text)
    raise DamagedFile(
        text if done.returncode == _DAMAGED else "reading it crashes the HDF5 library"
    )


def read_arrays(path: str | Path) -> dict[str, Any]:
    """The same in this process, as numpy arrays. Raises UnsafeFile, and whatever h5py raises."""
    import h5py

    with h5py.File(path, "r") as file:
        reader = _Reader(Path(path).stat().st_size)
        return {key: reader.array(dataset) for key, dataset in reader.datasets(file)}


def main(path: str) -> int:
    """Writes the tensors of a file to stdout, for the process that asked; returns the exit status."""
    from safetensors.numpy import save

    try:
        packed = save(read_arrays(path))
    except UnsafeFile as error:
        print(error, file=sys.stderr)
        return _UNSAFE
    except Exception as error:  # h5py raises whatever it comes upon
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return _DAMAGED
    sys.stdout.buffer.write(packed)
    return 0


class _Reader:
    """One pass over a file, which ends if the file claims more than it has room for."""

    def __init__(self, size: int) -> None:
        self.room = size  # bytes of the file that no tensor has used yet
        self.members = MAX_MEMBERS

    def datasets(self, file: Any) -> Iterator[tuple[str, Any]]:
        """The datasets of a file in either form, by key."""
        group = file
        if _MODEL in file and not _name_chunks(file, _LAYER_NAMES):
            group = self.child(file, _MODEL)  # a whole model, saved with its weights
        if _name_chunks(group, _LAYER_NAMES):
            yield from self.named(group)
        else:
            yield from self.numbered(group)

    def named(self, file: Any) -> Iterator[tuple[str, Any]]:
        """Layers and tensors whose names are listed in attributes."""
        for layer in _names(file, _LAYER_NAMES):
            group = self.child(file, layer)
            for name in _names(group, _WEIGHT_NAMES):
                path = [part for part in name.split("/") if part]
                dataset = group
                for part in path:
                    dataset = self.child(dataset, part)
                inner = path[1:] if path[:1] == [layer] else path
                yield ".".join([layer, *inner]).partition(":")[0], dataset

    def numbered(self, file: Any) -> Iterator[tuple[str, Any]]:
        """Groups with a group `vars`, whose attribute `name` is that of the layer."""
        todo: list[tuple[Any, tuple[str, ...], int]] = [(file, (), 0)]
        while todo:
            group, names, depth = todo.pop()
            if depth > MAX_DEPTH:
                raise UnsafeFile(f"its groups are nested more than {MAX_DEPTH} deep")
            self.count(len(group))
            for key in reversed(list(group)):
                child = self.child(group, key)
                if key == _VARIABLES:
                    self.count(len(child))
                    yield from ((".".join([*names, n]), self.child(child, n)) for n in child)
                elif names or key != _OPTIMIZER:
                    todo.append((child, (*names, *self.layer_name(child, key)), depth + 1))

    def layer_name(self, group: Any, key: str) -> tuple[str, ...]:
        """The name of the layer that a group is for; empty for the group of all layers."""
        if not _is_group(group):
            raise UnsafeFile(f"`{key}` is not a layer")
        if _VARIABLES in group:
            name = self.child(group, _VARIABLES).attrs.get("name")
            return (_text(name) if isinstance(name, str | bytes) else key,)
        return () if key == _LAYERS else (key,)

    def child(self, group: Any, name: str) -> Any:
        """A member of a group, if it is stored in this file."""
        import h5py

        if not _is_group(group):
            raise UnsafeFile(f"a tensor was found instead of a group with `{name}`")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UnsafeFile(f"`{name}` is missing, or is a link")
        return group[name]

    def count(self, members: int) -> None:
        self.members -= members
        if self.members < 0:
            raise UnsafeFile(f"it has more than {MAX_MEMBERS:,} members")

    def array(self, dataset: Any) -> Any:
        """A dataset as an array, which has as many bytes in the file."""
        if _is_group(dataset):
            raise UnsafeFile(f"`{dataset.name}` is a group, not a tensor")
        if dataset.dtype.kind not in "fiu" or dataset.shape is None:
            raise UnsafeFile(f"`{dataset.name}` is of type {dataset.dtype}, which is not numeric")
        if dataset.is_virtual or dataset.external:
            raise UnsafeFile(f"`{dataset.name}` is stored in another file")
        self.count(1)
        if dataset.id.get_storage_size() < dataset.nbytes:
            raise UnsafeFile(f"`{dataset.name}` is compressed, or was never written")
        self.room -= dataset.nbytes
        if self.room < 0:
            raise UnsafeFile("its tensors are larger than the file")
        return dataset[()].astype(dataset.dtype.newbyteorder("=")).reshape(dataset.shape)


def _is_group(member: Any) -> bool:
    import h5py

    return isinstance(member, h5py.Group)


def _name_chunks(group: Any, key: str) -> list[Any]:
    """The parts of a list of names: one attribute, or several numbered ones."""
    if key in group.attrs:
        return [group.attrs[key]]
    chunks: list[Any] = []
    while f"{key}{len(chunks)}" in group.attrs:
        chunks.append(group.attrs[f"{key}{len(chunks)}"])
    return chunks


def _names(group: Any, key: str) -> list[str]:
    return [_text(name) for chunk in _name_chunks(group, key) for name in chunk]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


# --- writing


def to_hdf5(layers: Mapping[str, Mapping[str, torch.Tensor]]) -> bytes:
    """The bytes of a file for `load_weights`: layers in the order of Keras, with their tensors.

    The same tensors give the same bytes. Raises WeightsError `no-h5py`.
    """
    require_h5py()
    import h5py

    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        _write_names(file, _LAYER_NAMES, list(layers))
        for layer, tensors in layers.items():
            group = file.create_group(layer)
            _write_names(group, _WEIGHT_NAMES, [f"{layer}/{name}" for name in tensors])
            for name, tensor in tensors.items():
                group.create_dataset(f"{layer}/{name}", data=_array(tensor), track_times=False)
    return buffer.getvalue()


def _array(tensor: torch.Tensor) -> Any:
    """A numpy array; bfloat16, which numpy lacks, as float32, which has the same values."""
    return tensor.float().numpy() if str(tensor.dtype) == "torch.bfloat16" else tensor.numpy()


def _write_names(group: Any, key: str, names: Sequence[str]) -> None:
    import numpy

    encoded = [name.encode() for name in names]
    if len(encoded) <= _MAX_NAMES:
        group.attrs[key] = numpy.asarray(encoded)
        return
    for number, start in enumerate(range(0, len(encoded), _MAX_NAMES)):
        group.attrs[f"{key}{number}"] = numpy.asarray(encoded[start : start + _MAX_NAMES])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
