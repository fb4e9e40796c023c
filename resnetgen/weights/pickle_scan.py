"""scan_pickle(data, start, storage) -> where a pickle of torch.save ends; RefusedPickle if hostile.

    the data.pkl of ResNet-50                                 its length
    a key that is a tuple in a tuple, 2,000,000 times         RefusedPickle
    _rebuild_tensor_v2(a storage of 4 numbers, 0, (9,), ...)  RefusedPickle

torch's own unpickler calls only functions that it knows, but believes every size: the hash of a deep
tuple overflows the stack, a tuple of twice the same tuple doubles with each opcode, and a storage
grows until a tensor fits. So its opcodes are followed here first, on a stack of sizes, and calls are
compared with a list. Within the limits below, torch's work is linear in the size of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pickle import UnpicklingError
from typing import Any

MAX_PICKLE = 1 << 24  # bytes; 30,000 tensors have 3 million
_MAX_OPS = 2_000_000  # 30,000 tensors have 1,000,000
_MAX_MEMO = 1_000_000  # 240,000
_MAX_NAMES = 100  # of types and functions
_MAX_SIZE = (
    1 << 24
)  # values in a value, those that are shared counted each time; hashed, walked over
_MAX_DEPTH = 100
# Keys that can be chosen so that all have one hash: then each is compared with all others.
_MAX_COLLIDING = 1_000
_PRIME = (1 << 61) - 1  # the hash of an integer is its remainder (sys.hash_info)
_MAX_GIVEN = 20_000  # values in the arguments of a call that hashes them
_DENSE = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor")
_DENSE_CALLS = {f"torch._utils.{name}" for name in _DENSE}
_BYTES_CALLS = ("_codecs.encode", "builtins.bytearray", "__builtin__.bytearray")
_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"  # calls another one
_STATEFUL = ("collections.OrderedDict", "collections.Counter")
_HASHING = (*_STATEFUL, "builtins.set", "__builtin__.set")
_OTHER_CALLS = {
    *_STATEFUL,
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "complex")),
    *(f"torch._utils._rebuild_parameter{end}" for end in ("", "_with_state")),
    *(f"torch._utils._rebuild_{kind}" for kind in ("meta_tensor_no_storage", "sparse_tensor")),
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
    "torch.Size",
    "torch.device",
}
_CALLS = {*_DENSE_CALLS, *_BYTES_CALLS, _FROM_TYPE, *_OTHER_CALLS}
_TYPES = ("torch", "torch.cuda", "torch.storage")  # modules of storages and dtypes


class RefusedPickle(UnpicklingError):
    """A pickle that is not given to torch; the message says what it has."""


StorageCheck = Callable[[str | int, int], None]


@dataclass(slots=True)
class _Node:
    """A value that is not a number or a text: what it is, and how large it is by now."""

    kind: str  # `tuple`, `list`, `dict`, `storage`, `global`, or the function that made it
    items: Sequence[Any] = ()  # of a tuple; bytes of an element and of all, of a storage
    size: int = 1
    depth: int = 0
    placed: bool = False  # inside another value, which has counted it as it is


def scan_pickle(data: bytes, start: int, storage: StorageCheck) -> int:
    """Where the pickle that begins at `start` ends.

    `storage` gets the key and the bytes of each storage, and raises RefusedPickle if the file does
    not have them. Whatever else is raised says that the pickle is damaged.
    """
    return _Scan(data, start, storage).run()


class _Scan:
    """A stack of sizes, and what torch's unpickler does with its stack."""

    def __init__(self, data: bytes, start: int, storage: StorageCheck) -> None:
        self.data, self.at = data, start
        self.check_storage = storage
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks before each mark
        self.memo: dict[int, Any] = {}
        self.names: dict[str, _Node] = {}
        self.storages: dict[str | int, tuple[int, int]] = {}
        self.work = 0
        self.colliding = 0

    def run(self) -> int:
        for _ in range(_MAX_OPS):
            op = self.data[self.at]
            self.at += 1
            if op == _STOP:
                self.stack.pop()
                return self.at
            if op in _ATOMS:
                length, decode = _ATOMS[op]
                self.stack.append(decode(self.read(length)))
            elif op in _OPS:
                _OPS[op](self)
            else:
                raise RefusedPickle("an opcode that torch does not know")
        raise RefusedPickle("too many opcodes")

    def read(self, length: int) -> bytes:
        part = self.data[self.at : self.at + length]
        if len(part) < length:
            raise EOFError("the pickle is cut off")
        self.at += length
        return part

    def number(self, length: int) -> int:
        return int.from_bytes(self.read(length), "little")

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    def name(self) -> None:
        end = self.data.index(b"\n", self.data.index(b"\n", self.at) + 1)
        module, name = self.data[self.at : end].decode().split("\n")
        self.at = end + 1
        if f"{module}.{name}" not in _CALLS and module not in _TYPES:
            raise RefusedPickle(f"GLOBAL {module}.{name}")
        full = f"{module}.{name}"
        self.stack.append(self.names.setdefault(full, _Node("global", (full,))))
        if len(self.names) > _MAX_NAMES:
            raise RefusedPickle("too many types")

    # --- values in values

    def put(self, node: _Node, items: Sequence[Any]) -> None:
        """Puts items into a value, which gets larger and deeper; later it may not."""
        for item in items:
            if isinstance(item, _Node):
                item.placed = True
                node.size += item.size
                node.depth = max(node.depth, item.depth + 1)
            else:
                node.size += 1 + (len(item) // 16 if isinstance(item, str | bytes) else 0)
                self.colliding += type(item) is int and abs(item) >= _PRIME
        if self.colliding > _MAX_COLLIDING:
            raise RefusedPickle("too many keys that may collide")
        if node.size > _MAX_SIZE or node.depth > _MAX_DEPTH or node.placed:
            raise RefusedPickle("a value that is too large, too deep, or inside itself")

    def push(self, kind: str, items: Sequence[Any]) -> None:
        node = _Node(kind, items)
        self.put(node, items)
        self.stack.append(node)

    def push_last(self, length: int) -> None:
        self.push("tuple", [self.stack.pop() for _ in range(length)][::-1])

    def append(self, items: list[Any]) -> None:
        self.put(_of_kind(self.stack[-1], "list"), items)

    def set_items(self, items: list[Any]) -> None:
        self.put(_of_kind(self.stack[-1], "dict", *_STATEFUL), items)
        for key in items[::2]:  # they are hashed
            self.charge(key)
            self.colliding += isinstance(key, _Node) and key.kind == "tuple"

    def charge(self, item: Any) -> None:
        if isinstance(item, _Node):
            self.work += item.size
        if self.work > _MAX_SIZE:
            raise RefusedPickle("too much work")

    # --- calls

    def call(self) -> None:
        arguments, function = self.stack.pop(), _of_kind(self.stack.pop(), "global")
        self.charge(arguments)
        self.check_call(function.items[0], _of_kind(arguments, "tuple").items)
        self.push(function.items[0], [arguments])

    def check_call(self, name: str, items: Sequence[Any]) -> None:
        if name in _DENSE_CALLS:
            self.check_tensor(name, items)
        elif name in _BYTES_CALLS:  # other encodings are programs, and a number is a length
            text = [each for each in items if getattr(each, "kind", "") != "_codecs.encode"]
            if text and (type(text[0]) is not str or text[1:] not in (["latin1"], ["latin-1"])):
                raise RefusedPickle("bytes in another encoding")
        elif name == _FROM_TYPE:
            inner = _of_kind(items[0], "global").items[0]
            if inner != name:
                self.check_call(inner, _of_kind(items[2], "tuple").items)
        elif name not in _OTHER_CALLS:
            raise RefusedPickle(f"GLOBAL {name}")
        elif name in _HASHING and sum(getattr(each, "size", 1) for each in items) > _MAX_GIVEN:
            raise RefusedPickle("too many values that are hashed")

    def check_tensor(self, name: str, items: Sequence[Any]) -> None:
        """A tensor has to lie inside its storage."""
        itemsize, room = _of_kind(items[0], "storage").items
        sizes, strides = (_numbers(each) for each in items[2:4])
        (offset,) = _counts([items[1]])
        if name.endswith("v3"):
            itemsize = _itemsize(_of_kind(items[6], "global").items[0])
        last = sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
        if name.endswith("qtensor"):  # made with strides of its own first
            last = max(last, prod(sizes) - 1)
        if 0 not in sizes and (offset + last + 1) * itemsize > room:
            raise RefusedPickle("a tensor that is larger than its storage")

    def persistent(self) -> None:
        """A storage: `storage`, type, key, device, elements; in a stream also a view of it."""
        word, kind, key, _, elements, *view = _of_kind(self.stack.pop(), "tuple").items
        itemsize = _itemsize(_of_kind(kind, "global").items[0])
        bytes_ = itemsize * _counts([elements])[0]
        if word != "storage" or type(key) not in (str, int):
            raise RefusedPickle("an object that is not a storage")
        if key not in self.storages:
            self.check_storage(key, bytes_)
        if self.storages.setdefault(key, (itemsize, bytes_)) != (itemsize, bytes_):
            raise RefusedPickle("two storages with one key")
        if view and view[0] is not None:
            name, *place = _of_kind(view[0], "tuple").items
            start, length = (itemsize * each for each in _counts(place))
            if type(name) not in (str, int) or start + length > bytes_:
                raise RefusedPickle("a view that is larger than its storage")
            bytes_ = length
        self.stack.append(_Node("storage", (itemsize, bytes_)))

    def build(self) -> None:
        state = self.stack.pop()
        self.put(_of_kind(self.stack[-1], *_STATEFUL), [state])
        self.charge(state)


def _of_kind(value: Any, *kinds: str) -> _Node:
    if not isinstance(value, _Node) or value.kind not in kinds:
        raise RefusedPickle(f"not a {kinds[0]}")
    return value


def _numbers(value: Any) -> Sequence[int]:
    """The sizes in a tuple, or in a `torch.Size` of one."""
    node = _of_kind(value, "tuple", "torch.Size")
    while node.kind == "torch.Size":
        node = _of_kind(_of_kind(node.items[0], "tuple").items[0], "tuple", "torch.Size")
    return _counts(node.items)


def _counts(values: Sequence[Any]) -> Sequence[int]:
    for each in values:
        if type(each) is not int or each < 0:
            raise RefusedPickle("not sizes")
    return values


@cache
def _itemsize(name: str) -> int:
    """The bytes of an element of `torch.FloatStorage` or `torch.float32`."""
    import torch

    kind: Any = getattr(torch, name.rpartition(".")[2], None)
    if kind is torch.UntypedStorage:
        return 1
    dtype = kind if isinstance(kind, torch.dtype) else getattr(kind, "dtype", None)
    if not isinstance(dtype, torch.dtype):
        raise RefusedPickle(f"GLOBAL {name}")
    return dtype.itemsize


def _remember(scan: _Scan, length: int) -> None:
    scan.memo[scan.number(length)] = scan.stack[-1]
    if len(scan.memo) > _MAX_MEMO:
        raise RefusedPickle("too many remembered values")


# --- opcodes, those of torch/_weights_only_unpickler.py

_STOP = ord(".")
_NO_ITEMS = _Node("tuple")
_ATOMS: dict[int, tuple[int, Callable[[bytes], object]]] = {
    ord("N"): (0, lambda _: None),
    0x88: (0, lambda _: True),
    0x89: (0, lambda _: False),
    ord("J"): (4, lambda data: int.from_bytes(data, "little", signed=True)),
    ord("K"): (1, lambda data: data[0]),
    ord("M"): (2, lambda data: int.from_bytes(data, "little")),
    ord("G"): (8, lambda data: struct.unpack(">d", data)[0]),
    ord(")"): (0, lambda _: _NO_ITEMS),
    ord("]"): (0, lambda _: _Node("list")),
    ord("}"): (0, lambda _: _Node("dict")),
    0x8F: (0, lambda _: _Node("set")),
}
_OPS: dict[int, Callable[[_Scan], object]] = {
    ord("X"): lambda s: s.stack.append(s.read(s.number(4)).decode("utf-8", "surrogatepass")),
    ord("U"): lambda s: s.stack.append(s.read(s.number(1)).decode("utf-8")),
    0x8A: lambda s: s.stack.append(int.from_bytes(s.read(s.number(1)), "little", signed=True)),
    0x80: lambda s: s.read(1),
    ord("q"): lambda s: _remember(s, 1),
    ord("r"): lambda s: _remember(s, 4),
    ord("h"): lambda s: s.stack.append(s.memo[s.number(1)]),
    ord("j"): lambda s: s.stack.append(s.memo[s.number(4)]),
    ord("("): _Scan.mark,
    ord("t"): lambda s: s.push("tuple", s.marked()),
    0x85: lambda s: s.push_last(1),
    0x86: lambda s: s.push_last(2),
    0x87: lambda s: s.push_last(3),
    ord("a"): lambda s: s.append([s.stack.pop()]),
    ord("e"): lambda s: s.append(s.marked()),
    ord("s"): lambda s: s.set_items([s.stack.pop(), s.stack.pop()][::-1]),
    ord("u"): lambda s: s.set_items(s.marked()),
    ord("c"): _Scan.name,
    ord("R"): _Scan.call,
    0x81: _Scan.call,
    ord("Q"): _Scan.persistent,
    ord("b"): _Scan.build,
}
