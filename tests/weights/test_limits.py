"""Checkpoints of many tensors: refused before they are parsed, or read without compiling a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetgen.weights import dialects, keys, library_index, read, safetensors_file
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.identify import identify
from resnetgen.weights.infer.checkpoint import unwrap_checkpoint
from resnetgen.weights.infer.design import DesignCompiler
from resnetgen.weights.infer.search import infer
from resnetgen.weights.library_index import NetworkIndex, is_library_key
from resnetgen.weights.match import Shape, TensorEntry
from resnetgen.weights.safetensors_file import read_shapes

ENTRY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}


def place(folder: Path, header: bytes) -> Path:
    path = folder / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


def refused(path: Path) -> str:
    assert read_shapes(path) is None
    with pytest.raises(WeightsError) as caught:
        read.read(path)
    assert caught.value.diagnostic.code == "unreadable-weights"
    return caught.value.diagnostic.message


# --- headers and keys


def test_a_header_of_as_many_tensors_as_allowed_is_read(tmp_path: Path) -> None:
    entries = {f"w{at}": ENTRY for at in range(keys.MAX_TENSORS)}
    shapes = read_shapes(place(tmp_path, json.dumps(entries).encode()))
    assert shapes is not None
    assert len(shapes) == keys.MAX_TENSORS


def _many(of: bytes) -> bytes:
    return b'{"__metadata__":{},"a":[' + b",".join([of] * 1_700_000) + b"]}"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (
            lambda: json.dumps({f"w{at}": ENTRY for at in range(keys.MAX_TENSORS + 1)}).encode(),
            "it has more than 30,000 tensors",
        ),
        (lambda: b"{" + b" " * (1 << 23) + b"}", "its header has more than 8,388,608 bytes"),
        (lambda: _many(b"[]"), "it has more than 30,000 tensors"),
        (lambda: _many(b"1"), "it has more than 30,000 tensors"),
    ],
    ids=["tensors", "bytes", "lists", "numbers"],
)
def test_a_header_is_not_parsed_if_it_is_too_large(
    header: Callable[[], bytes], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place(tmp_path, header())
    monkeypatch.setattr(safetensors_file.json, "loads", pytest.fail)
    assert reason in refused(path)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["x" * 501], "it has a key of more than 500 characters"),
        (["a." * 64 + "b"], "its keys have too many parts"),
        ([f"{at}" + ".a" * 40 for at in range(15_000)], "its keys have too many parts"),
    ],
)
def test_keys_are_short(names: list[str], reason: str, tmp_path: Path) -> None:
    header = json.dumps(dict.fromkeys(names, ENTRY)).encode()
    assert reason in refused(place(tmp_path, header))


def test_an_archive_of_many_members_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    torch.save({f"w{at}": torch.zeros(1) for at in range(40)}, tmp_path / "x")
    assert len(read.read(tmp_path / "x").tensors) == 40
    monkeypatch.setattr(read, "MAX_TENSORS", 40)
    with pytest.raises(WeightsError, match="it has more than 40 tensors"):
        read.read(tmp_path / "x")
    monkeypatch.setattr(read, "_MAX_DIRECTORY", 1000)
    monkeypatch.setattr(read.zipfile, "ZipFile", pytest.fail)
    with pytest.raises(WeightsError, match="it has more than 40 tensors"):
        read.read(tmp_path / "x")


# --- tensors that no network can have


def test_every_key_of_the_library_consists_of_its_words() -> None:
    networks = NetworkIndex()
    assert all(is_library_key(key) for spec in networks.specs for key in networks.shapes(spec))
    assert not any(map(is_library_key, ("weight", "blocks.0.attn.qkv.weight", "conv1.other", "")))


ALIEN: dict[str, dict[str, Shape]] = {
    "one": {"encoder.0.attn.qkv.weight": (12, 4)},
    "many": {f"encoder{at % 50}.attn.qkv{at}.weight": (2, 2, 3, 3) for at in range(2000)},
}


@pytest.mark.parametrize("shapes", ALIEN.values(), ids=ALIEN)
def test_no_network_is_compiled_for_tensors_that_none_has(
    shapes: dict[str, Shape], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_index, "_CompiledNetwork", pytest.fail)
    monkeypatch.setattr(library_index, "_library_network", pytest.fail)
    result = infer(unwrap_checkpoint("x", shapes), DesignCompiler())
    assert (result.candidates, result.nearest) == ((), None)
    entries = {key: TensorEntry(shape) for key, shape in shapes.items()}
    found = identify(entries, "x", NetworkIndex())
    assert (found.matches, found.nearest) == ((), None)


def test_a_renaming_is_compared_only_with_names_of_its_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    original = dialects.Renaming.to_network

    def counted(renaming: dialects.Renaming, path: str) -> str | None:
        calls.append(path)
        return original(renaming, path)

    monkeypatch.setattr(dialects.Renaming, "to_network", counted)
    dialect = dialects.load_dialect("detectron2")
    assert dialect.to_network("res2.0.conv2.norm") == "layer1.0.bn2"
    assert dialect.to_network("encoder0.attn") is None
    assert set(calls) == {"res2.0.conv2.norm"}


def test_few_prefixes_of_many_keys_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetgen.weights import identify as module

    names = [f"a.b.c.d.weight{at}" for at in range(100)]
    assert module._shared_prefixes(names) == ["", "a.", "a.b.", "a.b.c.", "a.b.c.d."]
    monkeypatch.setattr(module, "_MAX_READ", 250)
    assert module._shared_prefixes(names) == ["", "a."]
