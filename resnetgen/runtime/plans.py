"""load("resnet50.plan.json") -> the optimized module, from the three files of a saved plan.

    resnetgen.optimize("resnet50", state, x, plan="resnet50.plan.json")     made once, and stored
    resnetgen.load_plan("resnet50.plan.json")                               afterwards

No spec is read and nothing is folded; weights are mapped, not copied. What was edited, or made for
another torch or device, is refused, and of a module nothing is executed but what printed modules
consist of (`codegen/guard.py`). On a CUDA device this was never run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resnetgen.codegen.render import hold_printed
from resnetgen.codegen.write import WriteError
from resnetgen.language.diagnostics import Diagnostic, visible
from resnetgen.runtime.load import assembled
from resnetgen.runtime.plan_key import environment
from resnetgen.weights.place import ALIGNED, Converted, place
from resnetgen.weights.place import SUFFIX as WEIGHTS
from resnetgen.weights.plan_file import SUFFIX, File, Key, Plan, PlanError, as_bytes, cause, read
from resnetgen.weights.read import read as read_weights

if TYPE_CHECKING:
    from resnetgen.codegen.inference import InferencePlan


def load(path: str | os.PathLike[str], wanted: Key | None = None) -> nn.Module:
    """The module of a saved plan, of this very key where one is given; see `resnetgen.load_plan`.

    Raises PlanError.
    """
    path = Path(path)
    plan = read(path)
    return _loaded(path, plan, asdict(wanted) if wanted else environment(_device(plan.key)))


def _loaded(path: Path, plan: Plan, wanted: Mapping[str, str]) -> nn.Module:
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
    hold_printed(source)
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
    return replace(weights, plan=as_bytes(Plan(key, *held), printed))


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
