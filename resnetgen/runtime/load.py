"""Printed text -> a live module.

    build(source, "resnet50", num_classes=10)  ->  ResNet(...)

The text is registered as a module under a name made from its own hash: tracebacks, `inspect` and
torch.compile show its lines, pickling and `deepcopy` find its classes, and the same text is the
same module.

check(state, x, network): refuses a call of `optimize` for which no module can be made.

    check(state, torch.zeros(2, 3, 224, 224, dtype=torch.int64), network)
        ->  ValueError: `example_input` is of int64; a module is made for float32, bfloat16, ...

Whether the weights fit is said by who fills them in.
"""

from __future__ import annotations

import hashlib
import linecache
import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from resnetgen.compiler.ir.nodes import Network
from resnetgen.runtime.dtypes import dtype_name


def module_of(source: str, name: str) -> ModuleType:
    """The module that the text defines. Raises what the text raises when it is executed."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    # No dot: pickle would look for a package. The name is for people, the hash makes it unique.
    unique = f"_resnetgen_{re.sub(r'[^0-9A-Za-z_]', '_', name)}_{digest}"
    known = sys.modules.get(unique)
    return known if known is not None else _executed(source, unique)


def _executed(source: str, unique: str) -> ModuleType:
    file = f"<{unique}>"
    code = compile(source, file, "exec", dont_inherit=True)
    # No modification time: `linecache.checkcache` then never drops the entry.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    module = ModuleType(unique)
    module.__file__ = file
    sys.modules[unique] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        del sys.modules[unique], linecache.cache[file]
        raise
    return module


def root_class(module: ModuleType) -> type[nn.Module]:
    """The network's class: the nn.Module that `__all__` names."""
    for name in getattr(module, "__all__", ()):
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, nn.Module):
            return found
    raise ValueError("`__all__` names no class that is an nn.Module")


def build(source: str, name: str, **kwargs: Any) -> nn.Module:
    """The network, with its initial weights; `kwargs` go to the root class."""
    return root_class(module_of(source, name))(**kwargs)


def assembled(source: str, name: str, state: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """The network of these very tensors, in evaluation and without gradients; nothing is drawn.

    `dtype` is theirs. Raises RuntimeError unless they are those of the network.
    """
    with torch.device("meta"):
        module = build(source, name)
    if any(key not in state for key, _ in module.named_buffers()):
        module = build(source, name)  # it has computed tensors of its own, which no file holds
    module.load_state_dict(state, assign=True)
    return module.to(dtype).requires_grad_(False).eval()


def build_fake(source: str, name: str, **kwargs: Any) -> nn.Module:
    """The network on fake tensors of the CPU: shapes and types, but no memory and no arithmetic."""
    # It asks for a value, which a fake tensor has not; nothing reads what it would draw.
    undrawn = patch.object(nn.init, "trunc_normal_", lambda tensor, *_, **__: tensor)
    with FakeTensorMode(), undrawn:
        return build(source, name, **kwargs)


DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_AXES = {1: "L", 2: "H, W", 3: "D, H, W"}


def check(state: object, x: object, network: Network) -> None:
    """Raises TypeError for what is no state_dict or no tensor, ValueError for a tensor of no use.

    `x` is to be a batch (N, channels, *size) of any size, of one of DTYPES, on a device that computes.
    """
    if not isinstance(state, Mapping):
        mend = "; pass its `state_dict()`" if isinstance(state, torch.nn.Module) else ""
        raise TypeError(f"`state_dict` is of type {type(state).__name__}, not a mapping{mend}")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"`{key}` in `state_dict` is of type {type(value).__name__}, no tensor")
    if not isinstance(x, Tensor):
        raise TypeError(f"`example_input` is of type {type(x).__name__}, not a tensor")
    if fault := _fault(x, network):
        raise ValueError(f"`example_input` {fault}")


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Raises ValueError for a value that is not finite: a ReLU of oneDNN makes 0 of NaN.

    So a run that diverged would give results that look sound.
    """
    for key, value in state.items():
        # The sum is quick (25 ms for ResNet-152), but finite values may have one that is not.
        if not value.sum().isfinite() and not value.isfinite().all():
            raise ValueError(f"`{key}` in `state_dict` has values that are not finite")


def _fault(x: Tensor, network: Network) -> str | None:
    """What is wrong with an example."""
    channels, axes = network.input.channels, network.axes
    if x.ndim != axes + 2 or x.shape[1] != channels:
        wanted = f"(N, {channels}, {_AXES[axes]})"
        return f"is of shape {tuple(x.shape)}; `{network.name}` takes batches of shape {wanted}"
    if x.dtype not in DTYPES:
        *others, last = map(dtype_name, DTYPES)
        return f"is of {dtype_name(x.dtype)}; a module is made for {', '.join(others)} or {last}"
    if x.is_meta:
        return "is on the meta device, where nothing is computed"
    return None
