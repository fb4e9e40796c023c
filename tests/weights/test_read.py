"""Files of weights: every format that is read, and one coded error for everything else."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from resnetgen.weights.errors import WeightsError
from resnetgen.weights.read import read


def tensors() -> dict[str, Any]:
    import torch

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    return dict(model.state_dict())


def as_archive(path: Path, content: object) -> None:
    import torch

    torch.save(content, path)


def as_stream(path: Path, content: object) -> None:
    import torch

    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_safetensors(path: Path, content: Any) -> None:
    from safetensors.torch import save_file

    save_file(content, path)


FORMATS: dict[str, Callable[[Path, Any], None]] = {
    "archive": as_archive,
    "stream": as_stream,
    "safetensors": as_safetensors,
}
every_format = pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
of_torch = pytest.mark.parametrize("write", [as_archive, as_stream], ids=["archive", "stream"])


def refused(path: Path | str) -> str:
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert caught.value.diagnostic.code == "unreadable-weights"
    assert "\n" not in caught.value.diagnostic.message
    return str(caught.value)


@every_format
@pytest.mark.parametrize("name", ["net.pth", "net.bin", "net"])
def test_the_content_decides_not_the_name(tmp_path: Path, write, name: str) -> None:
    import torch

    expected = tensors()
    write(tmp_path / name, expected)
    checkpoint = read(tmp_path / name)
    assert checkpoint.tensors.keys() == expected.keys()
    assert all(torch.equal(checkpoint.tensors[key], expected[key]) for key in expected)
    assert not checkpoint.remarks
    assert checkpoint.entries["0.weight"].shape == (4, 3, 3, 3)
    assert checkpoint.entries["1.num_batches_tracked"].dtype == "int64"


@of_torch
@pytest.mark.parametrize(
    "key", ["state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema"]
)
def test_containers_are_opened(tmp_path: Path, write, key: str) -> None:
    write(tmp_path / "x", {"epoch": 3, key: OrderedDict(tensors()), "optimizer": {"state": {}}})
    checkpoint = read(tmp_path / "x")
    assert checkpoint.tensors.keys() == tensors().keys()
    assert checkpoint.remarks == (f"weights taken from `{key}` of the file",)


def test_of_two_containers_the_plain_one_is_read_and_reported(tmp_path: Path) -> None:
    as_archive(tmp_path / "x", {"state_dict_ema": {}, "state_dict": tensors()})
    [remark] = read(tmp_path / "x").remarks
    assert remark == "weights taken from `state_dict` of the file, not from `state_dict_ema`"


def test_containers_may_lie_in_each_other(tmp_path: Path) -> None:
    as_archive(tmp_path / "x", {"model": {"state_dict": tensors()}})
    assert len(read(tmp_path / "x").remarks) == 2


def test_a_container_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    as_archive(tmp_path / "x", content)
    assert "a value that is too large, too deep, or inside itself" in refused(tmp_path / "x")


def test_a_module_may_be_called_model(tmp_path: Path) -> None:
    import torch

    as_archive(tmp_path / "x", {"model": torch.zeros(2), "weights": torch.zeros(2)})
    assert read(tmp_path / "x").tensors.keys() == {"model", "weights"}


def test_parameters_are_read_without_gradients(tmp_path: Path) -> None:
    import torch

    as_archive(tmp_path / "x", {"w": torch.nn.Parameter(torch.zeros(2))})
    assert not read(tmp_path / "x").tensors["w"].requires_grad


# --- hostile


class Payload:
    """Its pickle makes the folder `owned` when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("owned",)


@of_torch
def test_a_pickle_runs_nothing(tmp_path: Path, monkeypatch, write) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    write(tmp_path / "x", {"a": tensors(), "b": Payload()})
    text = refused("x")
    assert "it contains a Python object, `posix.mkdir`" in text or "nt.mkdir" in text
    assert os.listdir() == ["x"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_runs_nothing(tmp_path: Path, monkeypatch, protocol: int) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_bytes(pickle.dumps(Payload(), protocol))
    refused("x")
    assert os.listdir() == ["x"]


@of_torch
def test_objects_are_named(tmp_path: Path, write) -> None:
    write(tmp_path / "x", {"state_dict": tensors(), "args": argparse.Namespace(lr=1)})
    text = refused(tmp_path / "x")
    assert "it contains a Python object, `argparse.Namespace`; only tensors are read" in text
    assert "torch.save(model.state_dict(), FILE)" in text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([1, 2], id="list"),
        pytest.param({}, id="nothing"),
        pytest.param({"a": {"b": 1}}, id="maps"),
        pytest.param({"a": "\x1b[31m"}, id="words"),
        pytest.param({1: 2}, id="numbers"),
        pytest.param({("a", "b"): 2}, id="tuples"),
        pytest.param({"x" * 1001: 2}, id="long"),
        pytest.param(None, id="none"),
    ],
)
@of_torch
def test_what_is_not_a_state_dict_is_refused(tmp_path: Path, write, content: object) -> None:
    write(tmp_path / "x", content)
    assert "\x1b" not in refused(tmp_path / "x")


# --- damaged files and other formats


@every_format
def test_any_part_of_a_file_is_refused(tmp_path: Path, write) -> None:
    write(tmp_path / "whole", tensors())
    data = (tmp_path / "whole").read_bytes()
    for length in [*range(0, 200, 7), *range(200, len(data) - 1, max(1, len(data) // 50))]:
        (tmp_path / "part").write_bytes(data[:length])
        refused(tmp_path / "part")


@every_format
def test_damage_is_refused_or_gives_tensors(tmp_path: Path, write) -> None:
    write(tmp_path / "whole", tensors())
    data = (tmp_path / "whole").read_bytes()
    choose = random.Random(0)
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(choose.choice([1, 3])):
            damaged[choose.randrange(len(data))] = choose.randrange(256)
        (tmp_path / "x").write_bytes(damaged)
        with suppress(WeightsError):
            assert read(tmp_path / "x").entries


def test_a_changed_number_in_an_archive_is_found(tmp_path: Path) -> None:
    import torch

    as_archive(tmp_path / "x", {"w": torch.full((4096,), 1.5)})
    data = bytearray((tmp_path / "x").read_bytes())
    data[data.index(b"\0\0\xc0\x3f" * 100) + 2] ^= 1
    (tmp_path / "x").write_bytes(data)
    assert "it is not a valid archive" in refused(tmp_path / "x")


def test_an_archive_without_checksums_is_read(tmp_path: Path, monkeypatch) -> None:
    import torch

    torch.serialization.set_crc32_options(False)
    try:
        as_archive(tmp_path / "x", tensors())
    finally:
        torch.serialization.set_crc32_options(True)
    assert read(tmp_path / "x").tensors.keys() == tensors().keys()


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    as_archive(tmp_path / "x", tensors())
    with (
        zipfile.ZipFile(tmp_path / "x") as old,
        zipfile.ZipFile(tmp_path / "y", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "it is a compressed archive" in refused(tmp_path / "y")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty"),
        (b"hello", "it is neither safetensors nor HDF5, nor written by torch.save"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "the file is cut off or damaged; download it again"),
        (b"\xff" * 8 + b"{" + b"}" * 20, "its header has more than"),
        (b"\x80\x02\x85", "the file is cut off or damaged; download it again"),
        (b"PK\x03\x04", "it is not a valid archive"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "x").write_bytes(data)
    assert what in refused(tmp_path / "x")


def test_another_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("a.npy", b"x")
    assert "it is an archive, but not one of torch.save" in refused(tmp_path / "x")


def test_a_program_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("x/data.pkl", b"x")
        archive.writestr("x/constants.pkl", b"x")
    assert "it is a TorchScript program, not weights" in refused(tmp_path / "x")


@pytest.mark.parametrize("path", ["missing.pth", ".", "a\0b", "x" * 5000, "", "/dev/null"])
def test_what_is_not_a_file_is_refused(path: str) -> None:
    assert "\0" not in refused(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    assert "it is not a regular file" in refused(tmp_path / "x")


def test_tensors_that_are_not_dense_are_marked(tmp_path: Path) -> None:
    import torch

    content = {
        "sparse": torch.zeros(3).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
        "half": torch.zeros(3, dtype=torch.bfloat16),
    }
    as_archive(tmp_path / "x", content)
    types = {key: entry.dtype for key, entry in read(tmp_path / "x").entries.items()}
    assert types == {"sparse": "sparse float32", "meta": "no data, float32", "half": "bfloat16"}
