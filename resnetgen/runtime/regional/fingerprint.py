"""fingerprint(module): what a module computes, without the values of its weights.

    fingerprint(layer1[1]).key == fingerprint(layer1[2]).key     two equal blocks of a ResNet
    fingerprint(layer1[1]).key != fingerprint(layer2[1]).key     other sizes

Equal keys mean equal code: the same classes with the same numbers in the same places, and tensors of
the same types, shared and frozen in the same way. So code that was compiled for one module is right
for the other, with the tensors in the other's `slots`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Slot = tuple[
    dict[str, Any], str
]  # a dict of a module, and the key of a tensor, which may be replaced

_PLAIN = (type(None), bool, int, float, complex, str, torch.dtype, torch.device, torch.Size)
_TRAVERSED = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A key that is equal where the code is; and the slots of the tensors, each once, in a fixed order."""

    key: Hashable
    slots: tuple[Slot, ...]

    def tensors(self) -> list[Tensor]:
        """The tensors that are in the slots now."""
        return [tensors[name] for tensors, name in self.slots]


def fingerprint(module: nn.Module) -> Fingerprint:
    """The fingerprint of a module and everything in it, as they are now."""
    builder = _Fingerprinter()
    key = builder.module(module)
    return Fingerprint(key, tuple(builder.slots))


def repeated_modules(model: nn.Module) -> dict[str, Fingerprint]:
    """The largest modules of a class of their own that occur in the model more than once, by path."""
    own = {
        path: fingerprint(each) for path, each in model.named_modules() if path and _is_own(each)
    }
    counts = Counter(each.key for each in own.values())
    repeated: dict[str, Fingerprint] = {}
    for path, each in own.items():  # a module comes before those inside it
        inside = any(outer in repeated for outer in _enclosing(path))
        if counts[each.key] > 1 and each.slots and not inside:
            repeated[path] = each
    return repeated


def _is_own(module: nn.Module) -> bool:
    return not type(module).__module__.startswith("torch.nn")


def _enclosing(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def count_layers(module: nn.Module) -> int:
    """The number of modules without children, with which the cost of compiling grows."""
    return sum(1 for each in module.modules() if not any(each.children()))


def has_hooks(model: nn.Module) -> bool:
    """Whether a hook of any kind is registered on a module of the model."""
    tables = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    return any(vars(each)[name] for each in model.modules() for name in tables)


def tensor_type(tensor: Tensor) -> Hashable:
    """What compiled code assumes about a tensor."""
    return (
        type(tensor),
        tensor.shape,
        tensor.stride(),
        tensor.dtype,
        tensor.device,
        tensor.requires_grad,
    )


class _Fingerprinter:
    """Numbers the modules and tensors it meets; one that it meets again is represented by its number."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.slots: list[Slot] = []

    def module(self, module: nn.Module) -> Hashable:
        if id(module) in self.numbers:
            return self.numbers[id(module)]
        self.numbers[id(module)] = len(self.numbers)
        return (
            type(module),
            tuple(
                (name, _hashable(value))
                for name, value in vars(module).items()
                if name not in _TRAVERSED and not _is_empty(value)
            ),
            tuple(self.tensors(module._parameters)),
            tuple(self.tensors(module._buffers)),
            tuple((name, each and self.module(each)) for name, each in module._modules.items()),
        )

    def tensors(self, tensors: dict[str, Any]) -> Iterator[Hashable]:
        for name, tensor in tensors.items():
            yield name, self.tensor(tensor, (tensors, name))

    def tensor(self, tensor: Tensor | None, slot: Slot) -> Hashable:
        if tensor is None:
            return None
        if id(tensor) in self.numbers:
            return self.numbers[id(tensor)]
        self.numbers[id(tensor)] = len(self.numbers)
        self.slots.append(slot)
        return tensor_type(tensor)


def _is_empty(value: object) -> bool:
    """Whether it is a table of hooks without entries."""
    return isinstance(value, dict | set) and not value


def _hashable(value: object) -> Hashable:
    """A plain value by what it is, anything else by its identity: nothing unknown counts as equal."""
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_hashable, value))
    return (type(value), value) if isinstance(value, _PLAIN) else _ByIdentity(value)


class _ByIdentity:
    """Equal only for the same object, which it references so that its id is not reused."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
