"""load("resnet50.plan.json") -> the optimized module, from the three files of a saved plan.

    resnetgen.optimize("resnet50", state, x, plan="resnet50.plan.json")     made once, and stored
    resnetgen.load_plan("resnet50.plan.json")                               afterwards

No spec is read and nothing is folded; weights are mapped, not copied. What was edited, or made for
another torch or device, is refused, and of a module nothing is executed but what printed modules
consist of (`compiler/codegen/allowlist.py`). On a CUDA device this was never run.

key(network, state, x) -> Key: what an optimized module is made of and for.

    Key("0.1.0", "2.13.0", "cpu AVX512", "float32", "resnet50", "0123456789abcdef", "27ae41...")

Versions and device are held too, because operators of oneDNN are private to a version of torch, and
which of them exist depends on the processor.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resnetgen._version import __version__
from resnetgen.compiler.codegen.files import WriteError
from resnetgen.compiler.codegen.render import check_printed
from resnetgen.compiler.diagnostics.model import Diagnostic, visible
from resnetgen.compiler.ir.nodes import Network
from resnetgen.runtime.dtypes import dtype_name
from resnetgen.runtime.load import assembled
from resnetgen.weights.plan_file import (
    SUFFIX,
    File,
    Key,
    PlanError,
    SavedPlan,
    as_bytes,
    cause,
    read,
)
from resnetgen.weights.read import read as read_weights
from resnetgen.weights.safetensors_file import ALIGNED, Converted, place
from resnetgen.weights.safetensors_file import SUFFIX as WEIGHTS

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.inference import InferencePlan


def load(path: str | os.PathLike[str], wanted: Key | None = None) -> nn.Module:
    """The module of a saved plan, of this very key where one is given; see `resnetgen.load_plan`.

    Raises PlanError.
    """
    path = Path(path)
    plan = read(path)
    return _loaded(path, plan, asdict(wanted) if wanted else environment(_device(plan.key)))


def _loaded(path: Path, plan: SavedPlan, wanted: Mapping[str, str]) -> nn.Module:
    others = ", ".join(plan.key.differences(wanted))
    if others:
        raise PlanError(path, f"it was made for {others}")
    try:
        with ThreadPoolExecutor(1) as beside:  # the digest of 100 MB takes as long as all the rest
            tensors = beside.submit(_tensors, path, plan.weights)
            source = _source(path, plan.module)
            dtype = getattr(torch, plan.key.dtype)
            module = assembled(source, plan.key.network, tensors.result(), dtype)
        return module.to(_device(plan.key))
    except PlanError:
        raise
    except Exception as error:  # of files that are those of the plan, and yet no module
        what = visible(" ".join(str(error).split()))[:200]
        raise PlanError(path, f"its files make no module: {what}") from error


def _source(path: Path, module: File) -> str:
    """The text of the printed module, of which nothing was executed."""
    with _opened(path, module) as file:
        data = file.read()
    _check(path, module, hashlib.sha256(data).hexdigest())
    source = data.decode()
    check_printed(source)
    return source


def _tensors(path: Path, weights: File) -> Mapping[str, Tensor]:
    """The weights, mapped from the very file whose digest was taken, whoever replaces it meanwhile."""
    with _opened(path, weights) as file:
        _check(path, weights, hashlib.file_digest(file, "sha256").hexdigest())
        named = path.with_name(weights.name)
        tensors = read_weights(named).tensors
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(named)):
            raise PlanError(path, f"`{visible(weights.name)}` was replaced while it was read")
    return {key: _aligned(each) for key, each in tensors.items()}


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor where torch would have put it: its place decides how sums are rounded."""
    return tensor if tensor.data_ptr() % ALIGNED == 0 else tensor.clone()


def _opened(path: Path, file: File) -> BufferedReader:
    try:
        return path.with_name(file.name).open("rb")
    except OSError as error:
        raise PlanError(path, f"`{visible(file.name)}`: {cause(error)}") from None


def _check(path: Path, file: File, sha256: str) -> None:
    if sha256 != file.sha256:
        what = f"`{visible(file.name)}` is not the file of this plan, or was edited"
        raise PlanError(path, what)


def _device(key: Key) -> str:
    """`cpu` of `cpu AVX512`."""
    return key.device.partition(" ")[0]


# --- written


def save(
    path: str | os.PathLike[str], key: Key, module: nn.Module, source: str, printed: InferencePlan
) -> None:
    """Writes NAME.plan.json, NAME.safetensors and NAME.py: all or none.

    Replaced is only what belongs to a plan and was not edited since. Raises WriteError.
    """
    to = _module_path(Path(path))
    weights = files(to, key, module, source, printed)
    if not os.path.lexists(path):
        _refuse_existing(to, weights.path)
    place(weights, to, source)


def files(to: Path, key: Key, module: nn.Module, source: str, printed: InferencePlan) -> Converted:
    """The weights and the plan of an optimized module, to be placed beside NAME.py."""
    weights = Converted.of(module, key.network, to.with_suffix(WEIGHTS))
    held = File.of(to, source.encode()), File.of(weights.path, weights.data)
    return replace(weights, plan=as_bytes(SavedPlan(key, *held), printed))


def _module_path(plan: Path) -> Path:
    """`NAME.py` for `NAME.plan.json`. Raises WriteError for another name."""
    if not plan.name.removesuffix(SUFFIX) or not plan.name.endswith(SUFFIX):
        help = f"name it `NAME{SUFFIX}`"
        message = f"`{visible(str(plan))}` is no name of a plan"
        raise WriteError(Diagnostic("unwritable", message, help=help))
    return plan.with_name(plan.name.removesuffix(SUFFIX) + ".py")


def _refuse_existing(*paths: Path) -> None:
    """Where no plan stands, nothing does that belongs to one, and a checkpoint might."""
    for path in paths:
        if os.path.lexists(path):
            message = f"`{visible(str(path))}` is there already, and belongs to no plan"
            raise WriteError(Diagnostic("file-exists", message, help="name another plan"))


def key(network: Network, state: Mapping[str, Tensor], like: Tensor) -> Key:
    """The key of a network with the weights of a state_dict, for the dtype and device of a tensor."""
    return Key(
        **environment(like.device.type),
        dtype=dtype_name(like.dtype),
        network=network.name,
        spec=network.digest,
        weights=digest(state),
    )


def environment(device: str) -> dict[str, str]:
    """The versions at work, and a kind of device with what it is capable of."""
    versions = {"resnetgen": __version__, "torch": str(torch.__version__)}
    return {**versions, "device": f"{device} {_capability(device)}"}


def digest(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, types, shapes and numbers of a state_dict, in any order.

    A tensor without plain numbers (meta, sparse) counts by its type: nothing is made of it, since
    no network takes it.
    """
    entries = {name: [dtype_name(each.dtype), *each.shape] for name, each in state.items()}
    found = hashlib.sha256(json.dumps(entries, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name].detach()
        if tensor.layout == torch.strided and not tensor.is_meta:
            found.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _capability(device: str) -> str:
    if device == "cpu":
        return torch.backends.cpu.get_cpu_capability()
    if device == "cuda" and torch.cuda.is_available():
        return ".".join(map(str, torch.cuda.get_device_capability()))
    return "unknown"
