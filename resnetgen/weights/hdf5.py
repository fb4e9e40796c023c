"""HDF5 files of Keras: both forms read, the one that names its layers written.

    model.save_weights("net.weights.h5")      layers/conv2d/vars/0         ->  conv1_conv.0
    the files of keras.applications (.h5)     conv1_conv/conv1_conv/kernel ->  conv1_conv.kernel

In the first, groups count layers of a class; the name of a layer is an attribute, and its tensors
are numbered. In the second, attributes list the names. Nothing outside the file is followed, and
nothing is read that takes more room than it has in the file.

A damaged file can keep the HDF5 library busy for ever, or end its process. So a file is read in a
process of its own, `python -m resnetgen.weights.hdf5 FILE`, which hands on plain arrays.
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
MOST_MEMBERS = 100_000  # groups and tensors of a file
DEEPEST = 32  # groups in groups
_LAYERS, _VARIABLES, _MODEL = "layers", "vars", "model_weights"
_OPTIMIZER = "optimizer"  # what belongs to training, not to the network
_LAYER_NAMES, _WEIGHT_NAMES = "layer_names", "weight_names"
_NAMES_AT_ONCE = 500  # in one attribute, which holds 64 KiB
_PATIENCE, _BYTES_A_SECOND = 20, 10_000_000  # seconds for any file, and more for a large one
_UNSAFE, _DAMAGED = 3, 4  # how the reading process ends


class UnsafeFile(ValueError):
    """What stands in a file that is not read."""


class DamagedFile(ValueError):
    """What the HDF5 library stumbled over."""


def require_h5py() -> None:
    """Raises WeightsError `no-h5py` where it cannot be imported."""
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

    patience = _PATIENCE + Path(path).stat().st_size / _BYTES_A_SECOND
    # -P: what lies in the working directory is not imported.
    command = [sys.executable, "-P", "-m", __name__, os.fspath(path)]
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(command, env=inherited, capture_output=True, timeout=patience)
    except subprocess.TimeoutExpired:
        raise DamagedFile("reading it comes to no end") from None
    if done.returncode == 0:
        return load(done.stdout)
    text = " ".join(done.stderr.decode(errors="replace").split())
    if done.returncode == _UNSAFE:
        raise UnsafeFile(text)
    raise DamagedFile(text if done.returncode == _DAMAGED else "reading it ends the HDF5 library")


def arrays(path: str | Path) -> dict[str, Any]:
    """The same in this process, as numpy has it. Raises UnsafeFile, and whatever h5py raises."""
    import h5py

    with h5py.File(path, "r") as file:
        walk = _Walk(Path(path).stat().st_size)
        return {key: walk.numbers(each) for key, each in walk.tensors(file)}


def main(path: str) -> int:
    """Hands the tensors of a file to the process that asked; gives the exit status."""
    from safetensors.numpy import save

    try:
        packed = save(arrays(path))
    except UnsafeFile as error:
        print(error, file=sys.stderr)
        return _UNSAFE
    except Exception as error:  # h5py raises whatever it comes upon
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return _DAMAGED
    sys.stdout.buffer.write(packed)
    return 0


class _Walk:
    """One way through a file, which ends where more is claimed than the file can hold."""

    def __init__(self, size: int) -> None:
        self.room = size  # bytes of the file that no tensor has taken yet
        self.members = MOST_MEMBERS

    def tensors(self, file: Any) -> Iterator[tuple[str, Any]]:
        """The datasets of a file, of either form."""
        group = file
        if _MODEL in file and not _name_chunks(file, _LAYER_NAMES):
            group = self.child(file, _MODEL)  # a whole model, saved with its weights
        if _name_chunks(group, _LAYER_NAMES):
            yield from self.named(group)
        else:
            yield from self.numbered(group)

    def named(self, file: Any) -> Iterator[tuple[str, Any]]:
        """Layers and tensors that attributes name."""
        for layer in _names(file, _LAYER_NAMES):
            group = self.child(file, layer)
            for name in _names(group, _WEIGHT_NAMES):
                path = [part for part in name.split("/") if part]
                found = group
                for part in path:
                    found = self.child(found, part)
                inner = path[1:] if path[:1] == [layer] else path
                yield ".".join([layer, *inner]).partition(":")[0], found

    def numbered(self, file: Any) -> Iterator[tuple[str, Any]]:
        """Groups that hold `vars`, whose attribute `name` is that of the layer."""
        todo: list[tuple[Any, tuple[str, ...], int]] = [(file, (), 0)]
        while todo:
            group, names, depth = todo.pop()
            if depth > DEEPEST:
                raise UnsafeFile(f"its groups lie more than {DEEPEST} deep")
            self.count(len(group))
            for key in reversed(list(group)):
                child = self.child(group, key)
                if key == _VARIABLES:
                    self.count(len(child))
                    yield from ((".".join([*names, n]), self.child(child, n)) for n in child)
                elif names or key != _OPTIMIZER:
                    todo.append((child, (*names, *self.name(child, key)), depth + 1))

    def name(self, group: Any, key: str) -> tuple[str, ...]:
        """The name of the layer that a group is; none of the list of all layers."""
        if not _is_group(group):
            raise UnsafeFile(f"`{key}` is no layer")
        if _VARIABLES in group:
            name = self.child(group, _VARIABLES).attrs.get("name")
            return (_text(name) if isinstance(name, str | bytes) else key,)
        return () if key == _LAYERS else (key,)

    def child(self, group: Any, name: str) -> Any:
        """A member that lies in this file."""
        import h5py

        if not _is_group(group):
            raise UnsafeFile(f"a tensor stands where a group with `{name}` is expected")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UnsafeFile(f"`{name}` is missing, or a link to another place")
        return group[name]

    def count(self, members: int) -> None:
        self.members -= members
        if self.members < 0:
            raise UnsafeFile(f"it has more than {MOST_MEMBERS:,} members")

    def numbers(self, dataset: Any) -> Any:
        """A dataset as an array, which has as many bytes in the file."""
        if _is_group(dataset):
            raise UnsafeFile(f"`{dataset.name}` is a group and no tensor")
        if dataset.dtype.kind not in "fiu" or dataset.shape is None:
            raise UnsafeFile(f"`{dataset.name}` is of type {dataset.dtype}, which is no number")
        if dataset.is_virtual or dataset.external:
            raise UnsafeFile(f"`{dataset.name}` lies in another file")
        self.count(1)
        if dataset.id.get_storage_size() < dataset.nbytes:
            raise UnsafeFile(f"`{dataset.name}` is compressed, or was never written")
        self.room -= dataset.nbytes
        if self.room < 0:
            raise UnsafeFile("its tensors are larger than the file")
        return dataset[()].astype(dataset.dtype.newbyteorder("=")).reshape(dataset.shape)


def _is_group(found: Any) -> bool:
    import h5py

    return isinstance(found, h5py.Group)


def _name_chunks(group: Any, key: str) -> list[Any]:
    """The parts of a list of names: one attribute, or several that are numbered."""
    if key in group.attrs:
        return [group.attrs[key]]
    found: list[Any] = []
    while f"{key}{len(found)}" in group.attrs:
        found.append(group.attrs[f"{key}{len(found)}"])
    return found


def _names(group: Any, key: str) -> list[str]:
    return [_text(name) for chunk in _name_chunks(group, key) for name in chunk]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


# --- writing


def as_hdf5(layers: Mapping[str, Mapping[str, torch.Tensor]]) -> bytes:
    """Layers with their tensors, in the order in which Keras numbers them, as a file for `load_weights`.

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
    """As numpy has it; bfloat16, which it lacks, as float32, which holds the same numbers."""
    return tensor.float().numpy() if str(tensor.dtype) == "torch.bfloat16" else tensor.numpy()


def _write_names(group: Any, key: str, names: Sequence[str]) -> None:
    import numpy

    encoded = [name.encode() for name in names]
    if len(encoded) <= _NAMES_AT_ONCE:
        group.attrs[key] = numpy.asarray(encoded)
        return
    for number, start in enumerate(range(0, len(encoded), _NAMES_AT_ONCE)):
        group.attrs[f"{key}{number}"] = numpy.asarray(encoded[start : start + _NAMES_AT_ONCE])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
