"""HDF5 of Keras: both forms are read, and nothing in a file is trusted."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from resnetgen.weights import hdf5
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.hdf5 import MAX_MEMBERS, UnsafeFile, read_arrays, to_hdf5
from resnetgen.weights.read import read


def layers() -> dict[str, dict[str, Any]]:
    import torch

    generator = torch.Generator().manual_seed(0)
    return {
        "conv1_conv": {
            "kernel": torch.randn(3, 3, 2, 4, generator=generator),
            "bias": torch.randn(4, generator=generator),
        },
        "predictions": {"kernel": torch.randn(4, 5, generator=generator)},
    }


def make(path: Path, fill: Callable[[Any], None]) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        fill(file)
    return path


def refused(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert caught.value.diagnostic.code == "unreadable-weights"
    assert "\n" not in caught.value.diagnostic.message
    return str(caught.value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    import torch

    (tmp_path / "x").write_bytes(to_hdf5(layers()))
    found = read(tmp_path / "x")
    assert found.format == "HDF5"
    flat = {
        f"{layer}.{name}": each for layer, own in layers().items() for name, each in own.items()
    }
    assert found.tensors.keys() == flat.keys()
    assert all(torch.equal(found.tensors[key], each) for key, each in flat.items())


def test_the_same_tensors_give_the_same_bytes() -> None:
    assert to_hdf5(layers()) == to_hdf5(layers())


def test_many_layers_have_their_names_in_several_attributes(tmp_path: Path) -> None:
    import torch

    many = {f"{'layer' * 20}{number}": {"bias": torch.zeros(1)} for number in range(1200)}
    (tmp_path / "x").write_bytes(to_hdf5(many))
    assert list(read_arrays(tmp_path / "x")) == [f"{name}.bias" for name in many]


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    import torch

    value = torch.full((3,), 1.5, dtype=torch.bfloat16)
    (tmp_path / "x").write_bytes(to_hdf5({"a": {"bias": value}}))
    assert read(tmp_path / "x").tensors["a.bias"].equal(value.float())


def test_the_names_of_keras_2_are_read(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_group("other")  # a whole model that was saved
        model = file.create_group("model_weights")
        model.attrs["layer_names"] = [b"pad", b"a"]
        model.create_group("pad").attrs["weight_names"] = []
        group = model.create_group("a")
        group.attrs["weight_names"] = [b"a/kernel:0", b"b/inner/bias:0"]
        group["a/kernel:0"] = [[1.0]]
        group["b/inner/bias:0"] = [2.0]

    found = read_arrays(make(tmp_path / "x", fill))
    assert list(found) == ["a.kernel", "a.b.inner.bias"]


def test_a_numbered_file_is_read_by_the_names_of_its_layers(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        inner = file.create_group("layers/functional")
        inner.create_group("vars").attrs["name"] = "backbone"
        group = inner.create_group("layers/conv2d/vars")
        group.attrs["name"] = "conv1"
        group["0"], group["1"] = [[1.0]], [2.0]
        file.create_group("optimizer/vars")["0"] = [3.0]

    found = read_arrays(make(tmp_path / "x", fill))
    assert list(found) == ["backbone.conv1.0", "backbone.conv1.1"]


# --- hostile


def claim(file: Any) -> None:
    file.create_group("a/vars").create_dataset("0", shape=(10**6, 10**6), dtype="f4")


def compressed(file: Any) -> None:
    import numpy

    zeros = numpy.zeros((1000, 1000), "f4")
    file.create_group("a/vars").create_dataset("0", data=zeros, compression="gzip")


def external(file: Any) -> None:
    import h5py

    file.create_group("a")["vars"] = h5py.ExternalLink("/etc/passwd", "/")


def soft(file: Any) -> None:
    import h5py

    file.create_group("a/vars")["0"] = h5py.SoftLink("/a")


def raw(file: Any) -> None:
    group = file.create_group("a/vars")
    group.create_dataset("0", shape=(4,), dtype="u1", external=[("/etc/hostname", 0, 4)])


def words(file: Any) -> None:
    file.create_group("a/vars")["0"] = "words"


def objects(file: Any) -> None:
    import h5py

    file.create_group("a/vars").create_dataset("0", shape=(2,), dtype=h5py.ref_dtype)


def circle(file: Any) -> None:
    group = file.create_group("a")
    group["a"] = group


def circle_of_layers(file: Any) -> None:
    group = file.create_group("layers")
    group["layers"] = group


def shared(file: Any) -> None:
    import numpy

    group = file.create_group("a/vars")
    group["0"] = numpy.zeros(10**5, "f4")
    for number in range(1, 100):
        group[str(number)] = group["0"]


def crowd(file: Any) -> None:
    group = file.create_group("a")
    for number in range(MAX_MEMBERS + 1):
        group.create_group(str(number))


def nameless(file: Any) -> None:
    file.attrs["layer_names"] = [b"gone"]


def numbers_as_names(file: Any) -> None:
    file.attrs["layer_names"] = 3


def tensor_as_layer(file: Any) -> None:
    file["a"] = [1.0]


@pytest.mark.parametrize(
    ("fill", "what"),
    [
        (claim, "is compressed, or was never written"),
        (compressed, "is compressed, or was never written"),
        (external, "is missing, or is a link"),
        (soft, "is missing, or is a link"),
        (raw, "is stored in another file"),
        (words, "is not numeric"),
        (objects, "is not numeric"),
        (circle, "nested more than 32 deep"),
        (circle_of_layers, "nested more than 32 deep"),
        (shared, "its tensors are larger than the file"),
        (nameless, "`gone` is missing"),
        (numbers_as_names, "TypeError"),
        (tensor_as_layer, "`a` is not a layer"),
        (lambda file: None, "it contains no tensors"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_hostile_files_are_refused(tmp_path: Path, fill, what: str) -> None:
    assert what in refused(make(tmp_path / "x", fill))


@pytest.mark.slow
def test_a_file_of_100_000_groups_is_refused(tmp_path: Path) -> None:
    assert "more than 100,000 members" in refused(make(tmp_path / "x", crowd))


def test_any_part_of_a_file_is_refused(tmp_path: Path) -> None:
    data = to_hdf5(layers())
    for length in [*range(8, 300, 13), *range(300, len(data) - 1, max(1, len(data) // 50))]:
        (tmp_path / "part").write_bytes(data[:length])
        with pytest.raises(Exception, match=r".") as caught:
            read_arrays(tmp_path / "part")
        assert not isinstance(caught.value, UnsafeFile)


def test_a_truncated_file_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(to_hdf5(layers())[:-100])
    assert "truncated file" in refused(tmp_path / "part")


def test_damage_is_refused_or_gives_numbers(tmp_path: Path) -> None:
    data = to_hdf5(layers())
    choose = random.Random(0)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(choose.choice([1, 3, 9])):
            damaged[choose.randrange(8, len(data))] = choose.randrange(256)
        (tmp_path / "x").write_bytes(damaged)
        with suppress(Exception):
            assert all(each.dtype.kind in "fiu" for each in read_arrays(tmp_path / "x").values())


@pytest.mark.parametrize(
    ("body", "what"),
    [("while True: pass", "does not end"), ("import os; os.abort()", "crashes the HDF5 library")],
)
def test_a_reader_that_hangs_or_crashes_is_reported(
    tmp_path: Path, monkeypatch, body, what: str
) -> None:
    """A file can do that to the HDF5 library; here a package of its name does."""
    (tmp_path / "x").write_bytes(to_hdf5(layers()))
    (tmp_path / "h5py.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hdf5, "_TIMEOUT", 3)
    assert what in refused(tmp_path / "x")


def test_nothing_that_lies_beside_the_file_is_run(tmp_path: Path, monkeypatch) -> None:
    """A folder that came with a checkpoint is not where the reading process looks for modules."""
    file = tmp_path / "given.h5"
    file.write_bytes(to_hdf5(layers()))
    for name in ("h5py", "subprocess", "resnetgen", "numpy"):
        text = f"open({str(tmp_path / 'ran')!r}, 'w')"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert read(file).tensors
    assert not (tmp_path / "ran").exists()


def test_h5py_may_be_missing(tmp_path: Path, monkeypatch) -> None:
    import sys

    (tmp_path / "x").write_bytes(to_hdf5(layers()))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WeightsError, match=r"pip install 'resnetgen\[keras\]'") as caught:
        read(tmp_path / "x")
    assert caught.value.diagnostic.code == "no-h5py"
