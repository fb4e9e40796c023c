"""Optimized modules in files: NAME.plan.json, NAME.safetensors, and NAME.py for people.

    save_plan(path, key, module, source, forward)    writes the three files
    load_plan("resnet50.plan.json")                  ->  the module
    plan_key(network, state, x)                      ->  PlanKey("0.1.0", "2.13.0", "cpu AVX512",
                                    "float32", "resnet50", "0123456789abcdef", "27ae41...")

Loading reads no spec and folds nothing; weights are mapped, not copied. A plan that was edited, or
made for something else, is refused. A plan is data: the module is `planned_module.py` with the steps
of the plan, and NAME.py is not read. On a CUDA device this has never been run.

The key is what a module was made from and for. It contains versions and the device because the
operators of oneDNN are private to a version of torch, and which of them exist depends on the
processor.
"""

from __future__ import annotations

import hashlib
import json
import math
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
from resnetgen.compiler.codegen.files import WriteError, refuse_to_overwrite
from resnetgen.compiler.diagnostics.model import Diagnostic, escape_invisible
from resnetgen.compiler.frontend.input_file import open_regular
from resnetgen.runtime.dtypes import dtype_name
from resnetgen.runtime.load import SUPPORTED_DTYPES
from resnetgen.runtime.planned_module import PlannedModule
from resnetgen.weights.plan_file import (
    PLAN,
    SUFFIX,
    FileDigest,
    PlanError,
    PlanKey,
    SavedPlan,
    os_error_reason,
    read_plan,
    to_json,
)
from resnetgen.weights.plan_steps import expected_tensors
from resnetgen.weights.read import read as read_weights
from resnetgen.weights.safetensors_file import (
    ALIGNMENT,
    WeightsFile,
    read_header,
    write_with_module,
)
from resnetgen.weights.safetensors_file import SUFFIX as WEIGHTS_SUFFIX

if TYPE_CHECKING:
    from resnetgen.compiler.ir.nodes import Network
    from resnetgen.compiler.passes.forward_plan import ForwardPlan

_MAX_WEIGHTS = 1 << 40  # bytes
_DEVICES = ("cpu", "cuda")  # that modules are made for

# --- the key


def plan_key(network: Network, state: Mapping[str, Tensor], like: Tensor) -> PlanKey:
    """The key of a network with the weights of a state_dict, for the dtype and device of a tensor."""
    return PlanKey(
        **versions_and_device(like.device.type),
        dtype=dtype_name(like.dtype),
        network=network.name,
        spec=network.digest,
        weights=weights_digest(state),
    )


def versions_and_device(device: str) -> dict[str, str]:
    """The versions in use, and a type of device with its capability, such as `cpu AVX512`."""
    versions = {"resnetgen": __version__, "torch": str(torch.__version__)}
    return {**versions, "device": f"{device} {_capability(device)}"}


def _capability(device: str) -> str:
    if device == "cpu":
        return torch.backends.cpu.get_cpu_capability()
    if device == "cuda" and torch.cuda.is_available():
        return ".".join(map(str, torch.cuda.get_device_capability()))
    return "unknown"


def _device_type(key: PlanKey) -> str:
    """`cpu` for `cpu AVX512`."""
    return key.device.partition(" ")[0]


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, dtypes, shapes and values of a state_dict, in any order.

    A tensor without plain values (meta, sparse) counts by its type: no network accepts it, so nothing
    is made from it.
    """
    entries = {name: [dtype_name(each.dtype), *each.shape] for name, each in state.items()}
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name].detach()
        if tensor.layout == torch.strided and not tensor.is_meta:
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


# --- loading


def load_plan(path: str | os.PathLike[str], expected: PlanKey | None = None) -> nn.Module:
    """The module of a saved plan, as `resnetgen.load_plan`; if a key is given, only a plan of that key.

    Raises PlanError.
    """
    path = Path(path)
    plan = read_plan(path)
    device = _device_type(plan.key)
    wanted = asdict(expected) if expected else versions_and_device(device)
    differences = ", ".join(plan.key.differences(wanted))
    if differences:
        raise PlanError(path, f"it was made for {differences}")
    if device not in _DEVICES:
        raise PlanError(path, f"no module is made for {escape_invisible(device)}")
    try:
        dtype = _dtype(path, plan.key)
        with _open_weights(path, plan, dtype) as file, ThreadPoolExecutor(1) as other:
            # The digest of 100 MB takes as long as all the rest.
            tensors = other.submit(_load_tensors, path, plan.weights, file)
            module = PlannedModule(plan.forward)
            module.assign(tensors.result(), dtype)
        return module.to(device)
    except PlanError:
        raise
    except Exception as error:  # the files are those of the plan, and still do not make a module
        reason = escape_invisible(" ".join(str(error).split()))[:200]
        raise PlanError(path, f"its files make no module: {reason}") from error


def _dtype(path: Path, key: PlanKey) -> torch.dtype:
    """The type of the weights."""
    for dtype in SUPPORTED_DTYPES:
        if dtype_name(dtype) == key.dtype:
            return dtype
    raise PlanError(path, f"there is no module in {escape_invisible(key.dtype)}")


def _open_weights(path: Path, plan: SavedPlan, dtype: torch.dtype) -> BufferedReader:
    """The file of the weights, which has the tensors of the steps and the size of these."""
    weights, shapes = plan.weights, expected_tensors(plan.forward)
    file = _open(path, weights)
    header = read_header(file)
    if header is None:
        raise PlanError(path, f"`{escape_invisible(weights.name)}` is not a file of safetensors")
    size = header.data_start + dtype.itemsize * sum(map(math.prod, shapes.values()))
    if header.entries.keys() != shapes.keys() or os.fstat(file.fileno()).st_size != size:
        raise PlanError(
            path, f"`{escape_invisible(weights.name)}` does not have the tensors of the steps"
        )
    file.seek(0)
    return file


def _load_tensors(path: Path, weights: FileDigest, file: BufferedReader) -> Mapping[str, Tensor]:
    """The weights, mapped from the very file whose digest was checked, even if it is replaced meanwhile."""
    _check_digest(path, weights, hashlib.file_digest(file, "sha256").hexdigest())
    named = path.with_name(weights.name)
    tensors = read_weights(named).tensors
    if not os.path.samestat(os.fstat(file.fileno()), os.stat(named)):
        raise PlanError(path, f"`{escape_invisible(weights.name)}` was replaced while it was read")
    return {key: _aligned(each) for key, each in tensors.items()}


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor at an address such as torch would choose: it decides how sums are rounded."""
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def _open(path: Path, file: FileDigest) -> BufferedReader:
    """Opens a file beside the plan."""
    try:
        return open_regular(path.with_name(file.name), _MAX_WEIGHTS)
    except OSError as error:
        raise PlanError(
            path, f"`{escape_invisible(file.name)}`: {os_error_reason(error)}"
        ) from None


def _check_digest(path: Path, file: FileDigest, sha256: str) -> None:
    if sha256 != file.sha256:
        reason = f"`{escape_invisible(file.name)}` is not the file of this plan, or was edited"
        raise PlanError(path, reason)


# --- saving


def save_plan(
    path: str | os.PathLike[str],
    key: PlanKey,
    module: nn.Module,
    source: str,
    forward: ForwardPlan,
) -> None:
    """Writes NAME.plan.json, NAME.safetensors and NAME.py: all or none.

    Replaces only files that belong to a plan and were not edited. Raises WriteError.
    """
    module_path = _module_path(Path(path))
    refuse_to_overwrite(Path(path), PLAN)  # first: this is the name that the caller gave
    weights = plan_files(module_path, key, module, forward)
    if not os.path.lexists(path):
        _refuse_existing(module_path, weights.path)
    write_with_module(weights, module_path, source)


def plan_files(
    module_path: Path, key: PlanKey, module: nn.Module, forward: ForwardPlan
) -> WeightsFile:
    """The weights and the plan of an optimized module, to be written beside NAME.py."""
    weights_path = module_path.with_suffix(WEIGHTS_SUFFIX)
    weights = WeightsFile.from_module(module, key.network, weights_path)
    digest = FileDigest.of(weights_path, weights.data)
    return replace(weights, plan=to_json(SavedPlan(key, digest, forward)))


def _module_path(plan: Path) -> Path:
    """`NAME.py` for `NAME.plan.json`. Raises WriteError for another name."""
    if not plan.name.removesuffix(SUFFIX) or not plan.name.endswith(SUFFIX):
        help = f"name it `NAME{SUFFIX}`"
        message = f"`{escape_invisible(str(plan))}` is not a name for a plan"
        raise WriteError(Diagnostic("unwritable", message, help=help))
    return plan.with_name(plan.name.removesuffix(SUFFIX) + ".py")


def _refuse_existing(*paths: Path) -> None:
    """If there is no plan, files with these names are not part of one; one might be a checkpoint."""
    for path in paths:
        if os.path.lexists(path):
            message = f"`{escape_invisible(str(path))}` already exists, and belongs to no plan"
            raise WriteError(Diagnostic("file-exists", message, help="name another plan"))
