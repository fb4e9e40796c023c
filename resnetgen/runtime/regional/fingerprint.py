"""What a module computes, apart from what its weights hold.

    structure(layer1[1]).key == structure(layer1[2]).key     two equal blocks of a ResNet
    structure(layer1[1]).key != structure(layer2[1]).key     other sizes

Equal keys mean equal code: the same classes with the same numbers in the same places, tensors of the
same types, shared and frozen alike. So code that was compiled for one module is right for the other,
with the other's tensors in its `slots`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Slot = tuple[dict[str, Any], str]  # where a module holds a tensor, which may be replaced there

_PLAIN = (type(None), bool, int, float, complex, str, torch.dtype, torch.device, torch.Size)
_WALKED = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A key, equal where the code is; and where the tensors stand, each once, in a fixed order."""

    key: Hashable
    slots: tuple[Slot, ...]

    def tensors(self) -> list[Tensor]:
        """What the slots hold now."""
        return [held[name] for held, name in self.slots]


def structure(module: nn.Module) -> Fingerprint:
    """The structure of a module and all below it, as they are now."""
    walk = _Walk()
    key = walk.module(module)
    return Fingerprint(key, tuple(walk.slots))


def repeated(model: nn.Module) -> dict[str, Fingerprint]:
    """The largest modules with a class of their own that stand in the model more than once."""
    own = {path: structure(each) for path, each in model.named_modules() if path and _is_own(each)}
    counts = Counter(each.key for each in own.values())
    found: dict[str, Fingerprint] = {}
    for path, each in own.items():  # a module stands before what is inside it
        inside = any(outer in found for outer in _outer(path))
        if counts[each.key] > 1 and each.slots and not inside:
            found[path] = each
    return found


def layers(module: nn.Module) -> int:
    """The modules that hold no others: what compiling costs grows with them."""
    return sum(1 for each in module.modules() if not any(each.children()))


def hooked(model: nn.Module) -> bool:
    """Whether something is called beside the modules."""
    tables = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    return any(vars(each)[name] for each in model.modules() for name in tables)


def _is_own(module: nn.Module) -> bool:
    return not type(module).__module__.startswith("torch.nn")


def _outer(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


class _Walk:
    """Modules and tensors met so far: one met again is told by its number."""

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
                (name, _frozen(value))
                for name, value in vars(module).items()
                if name not in _WALKED and not _is_empty(value)
            ),
            tuple(self.tensors(module._parameters)),
            tuple(self.tensors(module._buffers)),
            tuple((name, each and self.module(each)) for name, each in module._modules.items()),
        )

    def tensors(self, held: dict[str, Any]) -> Iterator[Hashable]:
        for name, tensor in held.items():
            yield name, self.tensor(tensor, (held, name))

    def tensor(self, tensor: Tensor | None, slot: Slot) -> Hashable:
        if tensor is None:
            return None
        if id(tensor) in self.numbers:
            return self.numbers[id(tensor)]
        self.numbers[id(tensor)] = len(self.numbers)
        self.slots.append(slot)
        return type_of(tensor)


def type_of(tensor: Tensor) -> Hashable:
    """What compiled code takes for granted about a tensor."""
    return (
        type(tensor),
        tensor.shape,
        tensor.stride(),
        tensor.dtype,
        tensor.device,
        tensor.requires_grad,
    )


def _is_empty(value: object) -> bool:
    """A table of hooks that has none."""
    return isinstance(value, dict | set) and not value


def _frozen(value: object) -> Hashable:
    """A plain value by what it is, anything else by its identity: nothing unknown is shared."""
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_frozen, value))
    return (type(value), value) if isinstance(value, _PLAIN) else _Same(value)


class _Same:
    """Equal to itself alone; it keeps the value, whose identity then is nobody else's."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
