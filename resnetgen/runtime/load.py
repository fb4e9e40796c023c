"""Printed text -> a live module; and the checks of what `resnetgen.optimize` is given.

    build(source, "resnet50", num_classes=10)            ->  ResNet(...), with initial weights
    build_with_weights(source, "resnet50", state, dtype) ->  the same with these tensors, for inference
    build_fake(source, "resnet50")                       ->  the same on fake tensors, without memory

The text is registered as a module whose name contains its hash: tracebacks, `inspect` and
torch.compile show its lines, pickling and `deepcopy` find its classes, and the same text is the
same module. Executing it is as safe as importing a file: text that does not come from the printer
is checked first, by the caller (`compiler/codegen/allowlist.py`).
"""

from __future__ import annotations

import hashlib
import linecache
import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from resnetgen.runtime.dtypes import dtype_name

if TYPE_CHECKING:
    from resnetgen.compiler.ir.nodes import Network

SUPPORTED_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_SIZES = {1: "L", 2: "H, W", 3: "D, H, W"}  # the spatial part of a shape, by the number of axes

# --- from text to a module


def build(source: str, name: str, **kwargs: Any) -> nn.Module:
    """The network with its initial weights; `kwargs` are passed to the root class.

    Raises what executing the text raises, and ValueError if it defines no network.
    """
    return root_class(module_from_source(source, name))(**kwargs)


def build_with_weights(
    source: str, name: str, state: Mapping[str, Tensor], dtype: torch.dtype
) -> nn.Module:
    """The network with the tensors of `state` themselves, in evaluation mode, without gradients.

    No initial weight is computed. `dtype` is that of the tensors. Raises RuntimeError if `state` has
    other keys or shapes than the network.
    """
    with torch.device("meta"):
        module = build(source, name)
    if any(key not in state for key, _ in module.named_buffers()):
        module = build(source, name)  # some of its buffers are computed, and are in no file
    module.load_state_dict(state, assign=True)
    return module.to(dtype).requires_grad_(False).eval()


def build_fake(source: str, name: str, **kwargs: Any) -> nn.Module:
    """The network on fake tensors of the CPU: shapes and dtypes, but no memory and no arithmetic."""
    # trunc_normal_ reads a value, which a fake tensor does not have; nothing reads what it draws.
    undrawn = patch.object(nn.init, "trunc_normal_", lambda tensor, *_, **__: tensor)
    with FakeTensorMode(), undrawn:
        return build(source, name, **kwargs)


def root_class(module: ModuleType) -> type[nn.Module]:
    """The class of the network: the nn.Module that `__all__` names."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name, None)
        if isinstance(value, type) and issubclass(value, nn.Module):
            return value
    raise ValueError("`__all__` names no class that is an nn.Module")


def module_from_source(source: str, name: str) -> ModuleType:
    """The Python module that the text defines. Raises what executing the text raises."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    # No dot: pickle would look for a package. The name is for people, the hash makes it unique.
    unique = f"_resnetgen_{re.sub(r'[^0-9A-Za-z_]', '_', name)}_{digest}"
    known = sys.modules.get(unique)
    return known if known is not None else _execute(source, unique)


def _execute(source: str, unique: str) -> ModuleType:
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


# --- what `optimize` is given


def check_optimize_inputs(state_dict: object, example: object, network: Network) -> None:
    """Checks the types of a state_dict and of an example input before anything is built.

    The example has to be a batch (N, channels, *size) of any size, in one of SUPPORTED_DTYPES, on a
    device that computes. Raises TypeError if `state_dict` is not a mapping of tensors or `example`
    is not a tensor, ValueError if the tensor is of another kind. Whether the weights fit is checked
    where they are matched with the network (`weights/match.py`).
    """
    if not isinstance(state_dict, Mapping):
        hint = "; pass its `state_dict()`" if isinstance(state_dict, nn.Module) else ""
        raise TypeError(f"`state_dict` is of type {type(state_dict).__name__}, not a mapping{hint}")
    for key, value in state_dict.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise TypeError(f"`{key}` in `state_dict` is of type {kind}, not a tensor")
    if not isinstance(example, Tensor):
        raise TypeError(f"`example_input` is of type {type(example).__name__}, not a tensor")
    if problem := _wrong_example(example, network):
        raise ValueError(f"`example_input` {problem}")


def _wrong_example(example: Tensor, network: Network) -> str | None:
    """What is wrong with an example input; None if nothing is."""
    channels, axes = network.input.channels, network.axes
    if example.ndim != axes + 2 or example.shape[1] != channels:
        expected = f"(N, {channels}, {_SIZES[axes]})"
        shape = tuple(example.shape)
        return f"is of shape {shape}; `{network.name}` accepts batches of shape {expected}"
    if example.dtype not in SUPPORTED_DTYPES:
        *others, last = map(dtype_name, SUPPORTED_DTYPES)
        supported = f"{', '.join(others)} or {last}"
        return f"is of {dtype_name(example.dtype)}; a module is made for {supported}"
    if example.is_meta:
        return "is on the meta device, where nothing is computed"
    return None


def check_finite_weights(state: Mapping[str, Tensor]) -> None:
    """Raises ValueError if a weight is not finite.

    A ReLU of oneDNN turns NaN into 0, so the weights of a diverged run would give plausible results.
    """
    for key, value in state.items():
        # The sum is quick (25 ms for ResNet-152), but may overflow where all values are finite.
        if not value.sum().isfinite() and not value.isfinite().all():
            raise ValueError(f"`{key}` in `state_dict` has values that are not finite")
