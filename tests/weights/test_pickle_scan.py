"""Hostile pickles are refused before torch sees them; what torch.save writes is let through."""

from __future__ import annotations

import io
import pickle
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest
from fuzz import checkpoints
from fuzz.checkpoints import archive, tensor
from fuzz.forked import DONE, alone

from resnetgen.weights.errors import WeightsError
from resnetgen.weights.pickle_scan import RefusedPickle, scan_pickle
from resnetgen.weights.read import read


def scanned(data: bytes, **storages: int) -> int:
    def check(key: str | int, size: int) -> None:
        storages[f"s{key}"] = size

    return scan_pickle(data, 0, check)


def value(ops: bytes) -> bytes:
    return b"\x80\x02}X\x01\0\0\0w" + ops + b"s."


def key(ops: bytes) -> bytes:
    return b"\x80\x02}" + ops + b"K\1s."


LARGE = [number * ((1 << 61) - 1) for number in range(1, 2000)]  # integers whose hash is 0
COLLIDING = b"".join(b"\x8a\x09" + each.to_bytes(9, "little") for each in LARGE)
NESTED = b")" + b"\x85" * 2_000_000
TWICE = b")q\0" + b"h\0h\0\x86q\0" * 60


@pytest.mark.parametrize("data", [key(NESTED), key(TWICE)], ids=["nested", "twice"])
def test_a_key_that_torch_cannot_hash_does_no_harm(data: bytes) -> None:
    outcome = alone(archive(data), checkpoints.holds, checkpoints.LIMITS)
    assert (outcome.ended, outcome.value) == (DONE, "unreadable-weights")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (key(NESTED), "too deep"),
        (value(NESTED), "too deep"),
        (value(b"]" * 1000 + b"a" * 999), "too deep"),
        (value(TWICE), "too large"),
        (value(b"}(" + COLLIDING + b"N" + b"u"), "may collide"),
        (value(b"cbuiltins\nset\n](" + COLLIDING + b"e\x85R"), "may collide"),
        (value(b"cbuiltins\nset\n](" + b"K\1\x85" * 10_001 + b"e\x85R"), "that are hashed"),
        (value(b"]q\0h\0a"), "inside itself"),
        (value(b"]q\0]q\1h\0ah\1ah\0h\1a"), "inside itself"),
        (value(b"cbuiltins\nbytearray\nJ\0\0\0\x40\x85R"), "bytes in another encoding"),
        (value(b"c_codecs\nencode\nX\1\0\0\0aX\4\0\0\0idna\x86R"), "bytes in another encoding"),
        (value(b"ctorch\nFloatTensor\nJ\0\0\0\x40\x85R"), "GLOBAL torch.FloatTensor"),
        (value(b"cos\nsystem\n"), "GLOBAL os.system"),
        (value(b"ctorch._utils\n_rebuild_nested_tensor\n"), "GLOBAL torch._utils._rebuild_nested"),
        (value(b"\x8b\0\0\0\x40"), "an opcode that torch does not know"),
        (value(b"N0" * 2_000_000), "an opcode that torch does not know"),
        (value(b"Nq\0" * 1_000_001), "too many opcodes"),
        (value(tensor(size=(17,))), "larger than its storage"),
        (value(tensor(offset=13)), "larger than its storage"),
        (value(tensor(size=(2,), stride=(16,))), "larger than its storage"),
        (value(tensor(size=(-1,))), "not sizes"),
        (value(tensor() + b"\x85" + tensor(elements=17) + b"\x86"), "two storages with one key"),
    ],
)
def test_what_is_hostile_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RefusedPickle, match=reason):
        scanned(data)


def test_a_tensor_may_fill_its_storage_and_repeat_it() -> None:
    for each in (tensor(size=(16,)), tensor(offset=12), tensor(size=(9, 4), stride=(0, 5))):
        data = value(each)
        assert scanned(data) == len(data)


def test_storages_are_checked_with_their_bytes() -> None:
    found: dict[str | int, int] = {}
    scan_pickle(value(tensor(elements=16)), 0, found.__setitem__)
    assert found == {"0": 64}


@pytest.mark.parametrize("size", [60, 68])
def test_a_storage_has_to_have_the_bytes_of_its_member(size: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(archive(value(tensor(elements=16)), {"0": bytes(size)}))
    with pytest.raises(WeightsError, match="a storage of another size"):
        read(tmp_path / "x")


def test_a_stream_is_not_larger_than_its_file(tmp_path: Path) -> None:
    import torch

    file = io.BytesIO()
    torch.save({"w": torch.zeros(4)}, file, _use_new_zipfile_serialization=False)
    for old, new, reason in (
        (b"K\4Ntq\7Q", b"J\0\0\0\x7fNtq\7Q", "storages that are larger than the file"),
        (b"K\4\x85", b"K\5\x85", "a tensor that is larger than its storage"),
    ):
        assert file.getvalue().count(old) == 1
        (tmp_path / "x").write_bytes(file.getvalue().replace(old, new))
        with pytest.raises(WeightsError, match=reason):
            read(tmp_path / "x")


def _contents() -> dict[str, Any]:
    import torch

    weight = torch.zeros(4, 3)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(2, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 1, 3])
    parameter = torch.nn.Parameter(weight)
    parameter.tag = "mine"  # type: ignore[attr-defined]
    return {
        "training": {
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": {
                key: each for key, each in scheduler.state_dict().items() if key[0] != "_"
            },
            "rng": torch.get_rng_state(),
            "random": (3, tuple(range(625)), None),
        },
        "types": {
            str(dtype): torch.zeros(2, dtype=dtype)
            for dtype in (torch.bool, torch.float64, torch.bfloat16, torch.uint16, torch.complex64)
        },
        "parameters": [parameter, torch.nn.Parameter(weight), weight.to_sparse(), weight.t()],
        "quantized": torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        "plain": [1 << 70, -1, 1.5, None, b"bytes", bytearray(b"x"), {1, 2}, 2j, Counter("aa")],
        "ordered": OrderedDict({(1, "a"): {2: [()]}}),
        "more": {"size": weight.size(), "dtype": torch.float16, "device": torch.device("cpu")},
    }


@pytest.mark.parametrize("name", _contents())
@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "stream"])
def test_what_torch_reads_is_let_through(name: str, zipped: bool) -> None:
    import torch

    file = io.BytesIO()
    content = _contents()[name]
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    if not zipped:
        end = 0
        for _ in range(5):
            end = scan_pickle(file.getvalue(), end, lambda key, size: None)
        return
    torch.load(file, weights_only=True)
    file.seek(0)
    data = torch._C.PyTorchFileReader(file).get_record("data.pkl")
    assert scanned(data) == len(data)


def test_a_pickle_of_python_2_is_let_through() -> None:
    content = OrderedDict([("a", 1), ("b", 2)])
    data = pickle.dumps(content, 2)
    old = b"\x80\x02ccollections\nOrderedDict\nq\0]q\1(]q\2(U\1aK\1e]q\3(U\1bK\2ee\x85Rq\4."
    assert pickle.loads(old) == content
    assert scanned(old) == len(old)
    assert scanned(data) == len(data)
