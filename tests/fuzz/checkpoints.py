"""Checkpoints that nobody should send: each is read or refused, in a child with limits.

    tried(archive(b"\\x80\\x02})" + b"\\x85" * 2_000_000 + b"K\\x01s."))  ->  "unreadable-weights"

By hand: what overflows the stack, doubles with every opcode, or is larger than its file. By mutation:
opcodes of good pickles left out, repeated, swapped, inserted, with other numbers; in archives and in
the streams of torch before 1.6. What must hold: no signal, two seconds, 300 MB, one error with a code;
and what is read lies inside its storage.
"""

from __future__ import annotations

import io
import os
import pickletools
import random
import struct
import tempfile
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from fuzz.forked import DONE, MEGABYTE, Limits, run
from fuzz.tally import Tally, share, watched

KIND = "checkpoints"
MEMORY = 300 * MEGABYTE
LIMITS = Limits(memory=4096 * MEGABYTE, cpu=30)
_STORAGES = {str(key): bytes(64) for key in range(12)}


def archive(content: bytes, storages: Mapping[str, bytes] = _STORAGES) -> bytes:
    """An archive as torch.save writes it, around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("x/data.pkl", content)
        members.writestr("x/byteorder", "little")
        for key, data in storages.items():
            members.writestr(f"x/data/{key}", data)
        members.writestr("x/version", "3\n")
    return file.getvalue()


# --- good ones


def _contents() -> Iterator[Any]:
    import torch

    weight = torch.arange(16.0).reshape(2, 2, 2, 2)
    state = OrderedDict({"conv.weight": weight, "bn.num_batches_tracked": torch.tensor(3)})
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    yield state
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": weight.half()}}
    groups = [{"lr": 0.1, "betas": (0.9, 0.99), "foreach": None, "params": [0, 1, -7, 1 << 40]}]
    yield {
        "state_dict": state,
        "optimizer": {"state": moments, "param_groups": groups},
        "n": {1, 2},
    }
    yield {
        "view": weight[1], "turned": weight.permute(3, 1, 0, 2), "wide": torch.ones(1).expand(9),
        "parameter": torch.nn.Parameter(weight), "sparse": torch.eye(3).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
    }  # fmt: skip


@dataclass(frozen=True)
class Good:
    """A checkpoint in parts: `around` makes a file of its pickle."""

    pickle: bytes
    around: Callable[[bytes], bytes]


@cache
def good() -> tuple[Good, ...]:
    """Checkpoints that are read, as archives and as streams."""
    import torch

    made = []
    for content in _contents():
        file = io.BytesIO()
        torch.save(content, file)
        with zipfile.ZipFile(file) as members:
            parts = {name.partition("/")[2]: members.read(name) for name in members.namelist()}
        storages = {
            name.removeprefix("data/"): data
            for name, data in parts.items()
            if name.startswith("data/")
        }
        made.append(Good(parts["data.pkl"], partial(archive, storages=storages)))
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=False)
        data = stream.getvalue()
        starts = [0, *_ends(data)]
        before, own, after = data[: starts[3]], data[starts[3] : starts[4]], data[starts[4] :]
        made.append(Good(own, partial(_around, before, after)))
    return tuple(made)


def _ends(data: bytes) -> Iterator[int]:
    """Where the pickles of a stream end."""
    file = io.BytesIO(data)
    for _ in range(5):
        for _op, _value, _at in pickletools.genops(file):
            pass
        yield file.tell()


def _around(before: bytes, after: bytes, pickle: bytes) -> bytes:
    return before + pickle + after


# --- by hand

_TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
_STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0%cX\x03\0\0\0cpu%stQ"


def _number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tensor(
    elements: int = 16,
    offset: int = 0,
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
) -> bytes:
    """The opcodes of a tensor in storage 0, which has 16 elements."""
    sizes, strides = (b"(" + b"".join(map(_number, each)) + b"t" for each in (size, stride))
    storage = _STORAGE % (b"0", _number(elements))
    arguments = storage + _number(offset) + sizes + strides + b"\x89ccollections\nOrderedDict\n)R"
    return _TENSOR + b"(" + arguments + b"tR"


def _dict(value: bytes, key: bytes = b"X\x01\0\0\0w") -> bytes:
    return b"\x80\x02}" + key + value + b"s."


@cache
def by_hand() -> tuple[bytes, ...]:
    """Pickles that no library writes."""
    return tuple(_by_hand())


def _by_hand() -> Iterator[bytes]:
    many = 2_000_000
    twice = b"h\0h\0\x86q\0"
    yield _dict(b"K\1", b")" + b"\x85" * many)  # hashed to the ground
    yield _dict(b"K\1", b")q\0" + twice * 60)  # hashed 2^60 times
    yield b"\x80\x02}" + b")q\0" + twice * 22 + b"(" + b"h\0K\1" * 1000 + b"u."
    yield _dict(b"]q\0" + b"h\0" + b"]q\1h\0ah\1h\0\x86q\0" * 60)
    for opener, closer in ((b"(", b"t"), (b"](", b"e"), (b"}(K\1", b"u")):
        yield _dict(opener * 500_000 + closer * 500_000)
    yield _dict(b"cbuiltins\nset\n]q\0(" + b")" + b"\x85" * 1000 + b"eh\0\x85R")
    yield _dict(b"]q\0q\1(" + b"cbuiltins\nset\nh\1\x85R" * 100_000 + b"e")
    yield _dict(b"(" + b")" * many + b"t")
    yield _dict(b"(" + b"]" * many + b"t")
    yield _dict(b"(" + b"".join(b"ctorch\na%d\n" % at for at in range(200_000)) + b"t")
    yield _dict(b"".join(b"Nr" + struct.pack("<I", at) + b"0" for at in range(300_000)) + b"N")
    yield _dict(b"N" + b"".join(b"r" + struct.pack("<I", at) for at in range(many)))
    yield _dict(b"\x8b\0\0\0\x40" + bytes(1000))  # an integer of a gigabyte
    yield _dict(b"X\xff\xff\xff\xff")
    yield _dict(b"cbuiltins\nbytearray\n" + _number(1 << 40) + b"\x85R")
    yield _dict(b"c_codecs\nencode\nX\1\0\0\0aX\4\0\0\0idna\x86R")
    yield _dict(b"ctorch\nFloatTensor\n" + _number(1 << 40) + b"\x85R")
    yield _dict(b"ctorch\nTensor\n" + _number(1 << 33) + b"\x85\x81")
    yield _dict(b"ctorch._utils\n_rebuild_nested_tensor\n(ttR")
    yield _dict(_TENSOR + b")R)b")
    huge = (1 << 40, 1 << 62, (1 << 63) - 1, 1 << 64, 1 << 1000)
    for value in (*huge, -1, -(1 << 63)):
        yield _dict(tensor(elements=value))
        yield _dict(tensor(offset=value))
        yield _dict(tensor(size=(value,)))
        yield _dict(tensor(size=(2,), stride=(value,)))
        yield _dict(tensor(size=(value, value), stride=(0, 0)))
        yield _dict(tensor(elements=value, size=(value,)))
    yield _dict(tensor(size=(17,)))
    yield _dict(tensor(offset=13))
    yield _dict(tensor(size=(1 << 20,)))
    yield _dict(tensor(elements=15) + b"0" + tensor(elements=16))
    yield _dict(tensor(size=(1,) * 100, stride=(1,) * 100))
    yield _dict(tensor(size=(1 << 40,), stride=(0,)))
    yield b"\x80\x02}(" + b"".join(
        b"X\5\0\0\0%05d" % at + tensor() for at in range(3_000)
    ) + b"u."  # fmt: skip


# --- by mutation


def mutated(rng: random.Random, pickle: bytes) -> bytes:
    """A pickle with some opcodes left out, repeated, swapped, inserted or changed."""
    positions = [at for _, _, at in pickletools.genops(pickle) if at is not None]
    ops = [pickle[a:b] for a, b in zip(positions, [*positions[1:], len(pickle)], strict=True)]
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(ops))
        how = rng.randrange(7)
        if how == 0:
            del ops[at : at + rng.choice((1, 1, 3))]
        elif how == 1:
            ops[at:at] = ops[at : at + rng.choice((1, 2, 8))] * rng.choice((1, 2, 100, 20_000))
        elif how == 2:
            other = rng.randrange(len(ops))
            ops[at], ops[other] = ops[other], ops[at]
        elif how == 3:
            ops.insert(at, rng.choice(_INSERTED))
        elif how == 4:
            ops[at] = rng.choice(_INSERTED)
        elif how == 5:
            numbers = [each for each, op in enumerate(ops) if op[:1] in b"JKM\x8a"]
            if numbers:
                ops[rng.choice(numbers)] = _number(rng.choice(_NUMBERS) + rng.randrange(-2, 3))
        else:
            op = bytearray(ops[at])
            op[rng.randrange(len(op))] = rng.randrange(256)
            ops[at] = bytes(op)
        ops = ops or [b"."]
    return b"".join(ops)


_NUMBERS = (0, 1, 4, 16, 255, 1 << 16, 1 << 31, 1 << 40, 1 << 62, 1 << 64, 1 << 200)
_INSERTED = (
    *(bytes([op]) for op in b"(.012NQRabedst)]}lu\x81\x85\x86\x87\x88\x89\x8e\x8f\x90\x93\x94"),
    b"h\0h\0\x86q\0" * 40, b")" + b"\x85" * 300_000, b"h\0", b"h\1", b"q\0", b"j\0\0\0\0",
    b"cbuiltins\nset\n", b"cbuiltins\nbytearray\n", b"c_codecs\nencode\n", b"ctorch\nFloatTensor\n",
    b"ctorch\nTensor\n", b"ctorch._utils\n_rebuild_qtensor\n", b"ctorch\nSize\n", b"cos\nsystem\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n", _TENSOR, tensor(), b"X\xff\xff\xff\xff", b"(" * 5000,
)  # fmt: skip


# --- what must hold


@dataclass(frozen=True)
class Case:
    """A seed, or the number of a file made by hand and whether it is a stream."""

    number: int
    by_hand: bool = False
    stream: bool = False

    def data(self) -> bytes:
        """The file."""
        if self.by_hand:
            pickle = by_hand()[self.number]
            return _stream()(pickle) if self.stream else archive(pickle)
        rng = random.Random(self.number)
        chosen = rng.choice(good())
        return chosen.around(mutated(rng, chosen.pickle))


def _stream() -> Callable[[bytes], bytes]:
    return good()[1].around


def tried(case: Case) -> str:
    """`read`, or the code of an error. Raises AssertionError if a tensor does not lie inside its storage."""
    return holds(case.data())


def holds(data: bytes) -> str:
    """What must hold of a file, apart from time and memory."""
    from resnetgen.weights.errors import WeightsError
    from resnetgen.weights.read import read

    handle, path = tempfile.mkstemp(prefix="fuzz-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        try:
            checkpoint = read(path)
        except WeightsError as error:
            return error.diagnostic.code
        for each in checkpoint.tensors.values():
            _lies_inside(each)
        return "read"
    finally:
        Path(path).unlink()


def _lies_inside(tensor: Any) -> None:
    import torch

    if tensor.layout != torch.strided or tensor.is_meta or 0 in tensor.shape:
        return
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = tensor.storage_offset() + sum((size - 1) * step for size, step in steps)
    storage = tensor.untyped_storage()
    assert (last + 1) * tensor.element_size() <= storage.nbytes(), "a tensor outside its storage"
    bytes(storage[: 1 << 16])  # where it says that it is, there is memory


# --- the figures


def search(count: int, seed: int, jobs: int, most: float) -> Tally:
    """The figures of `count` hostile checkpoints, those by hand among them; `most` seconds for each."""
    tally = Tally("Checkpoints")
    for each in good():
        assert holds(each.around(each.pickle)) == "read"  # warm, and really good
    known = len(by_hand())
    cases = [Case(at, True, stream) for at in range(known) for stream in (False, True)]
    cases += [Case(seed * 1_000_000 + at) for at in range(max(0, count - len(cases)))]
    ended, slowest, largest = Counter[str](), 0.0, 0
    outcomes = run(cases, tried, limits=LIMITS, jobs=jobs, batch=10)
    for outcome in watched(outcomes, len(cases), "checkpoints"):
        slowest, largest = max(slowest, outcome.cpu), max(largest, outcome.peak)
        ended[outcome.value or outcome.ended] += 1
        wrong = None if outcome.ended == DONE else outcome.ended
        if outcome.cpu > most:
            wrong = wrong or f"{outcome.cpu:.1f} s of processor time"
        if outcome.peak > MEMORY:
            wrong = wrong or f"{outcome.peak / MEGABYTE:,.0f} MB"
        if wrong:
            tally.find(KIND, f"{outcome.case}: {wrong}", b"")
    tally.figures |= {
        "checkpoints": f"{len(cases):,}, of these {2 * known:,} by hand",
        "refused, with a code": share(ended["unreadable-weights"], len(cases)),
        "read, every tensor inside its storage": share(ended["read"], len(cases)),
        "slowest": f"{slowest:.2f} s of processor time",
        "largest": f"{largest / MEGABYTE:,.0f} MB",
    }
    return tally
