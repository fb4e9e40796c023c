"""NAME.plan.json: what an optimized module was made of and for, and what its files hold.

    as_bytes(Plan(key, module, weights), printed) ->  {"plan": 1, "key": {...}, "files": {...}, ...
    read(path)                                    ->  the Plan, or a PlanError that says why not

The module and its weights lie beside the plan. It holds their digests, so that files of two plans
never pass for one. Its steps are for people: nothing reads them. Nothing here knows torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetgen.compiler.diagnostics.model import Diagnostic, visible
from resnetgen.weights.errors import WeightsError

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.inference import InferencePlan
    from resnetgen.compiler.passes.fold import FusedStep

SUFFIX = ".plan.json"
VERSION = 1
_FOLDERS = ("", ".", "..")
_SEPARATORS = frozenset("/\\:\0")  # of any system
_FOREIGN = "it is no plan of resnetgen"
_AGAIN = (
    "make it again: `resnetgen.optimize(SPEC, STATE_DICT, x, plan=FILE)`, or"
    " `resnetgen build SPEC --target inference --weights FILE`"
)


class PlanError(WeightsError):
    """A saved plan that is not loaded, `unfit-plan`; `reason` is why."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        message = f"`{visible(str(path))}` is not loaded: {reason}"
        super().__init__(Diagnostic("unfit-plan", message, help=_AGAIN))


@dataclass(frozen=True, slots=True)
class Key:
    """What a plan was made of and for. Where one of these is another, so is the plan."""

    resnetgen: str
    torch: str
    device: str  # and what it is capable of, such as `cpu AVX512`
    dtype: str
    network: str
    spec: str  # digest of the elaborated spec
    weights: str  # digest of the state_dict

    def differences(self, wanted: Mapping[str, str]) -> Iterator[str]:
        """What is not as wanted: `torch 2.12.0, not 2.13.0`."""
        for name, value in wanted.items():
            own = getattr(self, name)
            if own != value:
                yield f"{name} {visible(own)}, not {visible(value)}"


@dataclass(frozen=True, slots=True)
class File:
    """A file beside the plan."""

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path, data: bytes) -> File:
        """The file that will hold the data."""
        return cls(path.name, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What has to hold for the files of an optimized module."""

    key: Key
    module: File
    weights: File


def cause(error: OSError) -> str:
    """Why a file cannot be read, as part of a sentence."""
    return (error.strerror or str(error)).lower()


def beside(module: Path) -> Path:
    """Where the plan of a module goes."""
    return module.with_suffix(SUFFIX)


# --- written


def as_bytes(plan: SavedPlan, printed: InferencePlan) -> bytes:
    """The file; the same plan gives the same bytes."""
    folded = printed.folded
    about = {
        "plan": VERSION,
        "key": asdict(plan.key),
        "files": {"module": asdict(plan.module), "weights": asdict(plan.weights)},
        "input": list(folded.input.shape),
        "outputs": list(folded.outputs),
        "memory_format": "channels_last" if len(folded.input.size) == 2 else "contiguous",
        "tile": printed.tile,
        "steps": [_described(step) for step in folded.steps],
    }
    laid = {**about, "digest": _digest(about)}
    return (
        "{\n" + ",\n".join(f' "{name}": {_laid(laid[name])}' for name in laid) + "\n}\n"
    ).encode()


def _described(step: FusedStep) -> dict[str, object]:
    """A step in the words of `compiler/passes/fold.py`; what is not so is left out."""
    said = {
        "value": step.name,
        "op": step.node.op,
        "module": step.node.module,
        "inputs": list(step.inputs),
        "addend": step.addend,
        "norm": step.norm and step.norm.module,
        "relu": step.rectifies,
        "overwrites": step.overwrites,
        "type": list(step.type.shape),
    }
    return {name: value for name, value in said.items() if value}


def _laid(value: object) -> str:
    """JSON, with a line for each entry of a map or of a list of maps."""
    if isinstance(value, dict):
        lines = [f'  "{name}": {json.dumps(each)}' for name, each in value.items()]
        return "{\n" + ",\n".join(lines) + "\n }"
    if isinstance(value, list) and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(each)}" for each in value) + "\n ]"
    return json.dumps(value)


def _digest(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


# --- read


def read(path: Path) -> SavedPlan:
    """Raises PlanError where the file is missing, is no plan, or was edited."""
    about = _about(path)
    if about["plan"] != VERSION:
        raise PlanError(path, f"it is a plan of another version than {VERSION}")
    try:
        key, files = about["key"], about["files"]
        _demand_texts(key, *files.values())
        plan = SavedPlan(Key(**key), File(**files["module"]), File(**files["weights"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PlanError(path, _FOREIGN) from None
    for file in (plan.module, plan.weights):
        if file.name in _FOLDERS or _SEPARATORS & {*file.name}:
            raise PlanError(path, f"`{visible(file.name)}` is no name of a file beside it")
    return plan


def is_ours(path: Path) -> bool:
    """Whether resnetgen wrote this plan, in any version, and nobody edited it since."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode) and bool(_about(path))
    except (OSError, PlanError):
        return False


def _about(path: Path) -> dict[str, Any]:
    """What the file says. Raises PlanError unless its digest holds."""
    try:
        about = json.loads(path.read_bytes())
    except OSError as error:
        raise PlanError(path, cause(error)) from None
    except (ValueError, RecursionError):
        raise PlanError(path, "it is no JSON, or is damaged") from None
    if not isinstance(about, dict) or "plan" not in about:
        raise PlanError(path, _FOREIGN)
    if about.pop("digest", None) != _digest(about):
        raise PlanError(path, "it was edited, or is damaged")
    return about


def _demand_texts(*maps: Mapping[str, object]) -> None:
    """Raises ValueError where a value is no text."""
    if not all(isinstance(value, str) for each in maps for value in each.values()):
        raise ValueError
