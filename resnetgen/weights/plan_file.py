"""NAME.plan.json: what an optimized module was made from, and what its two other files contain.

    to_json(SavedPlan(key, module, weights), printed) ->  {"plan": 1, "key": {...}, "files": {...}, ...
    read_plan(path)                                   ->  the SavedPlan, or a PlanError with the reason

The module and its weights lie beside the plan, which has their digests, so that files of two plans
are never mixed up. Its steps are for people: nothing reads them. This module does not import torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetgen.compiler.codegen.files import Stamp
from resnetgen.compiler.diagnostics.model import Diagnostic, visible
from resnetgen.weights.errors import WeightsError

if TYPE_CHECKING:
    from resnetgen.compiler.codegen.inference import InferencePlan
    from resnetgen.compiler.passes.fold import FusedStep

SUFFIX = ".plan.json"
VERSION = 1
_FOLDERS = ("", ".", "..")
_SEPARATORS = frozenset("/\\:\0")  # of any system
_NOT_A_PLAN = "it is not a plan written by resnetgen"
_HELP = (
    "make it again: `resnetgen.optimize(SPEC, STATE_DICT, x, plan=FILE)`, or"
    " `resnetgen build SPEC --target inference --weights FILE`"
)


class PlanError(WeightsError):
    """A saved plan that is not loaded, `unfit-plan`; `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        message = f"`{visible(str(path))}` is not loaded: {reason}"
        super().__init__(Diagnostic("unfit-plan", message, help=_HELP))


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan was made from and for: if one of these differs, another plan is needed."""

    resnetgen: str
    torch: str
    device: str  # and what it is capable of, such as `cpu AVX512`
    dtype: str
    network: str
    spec: str  # digest of the elaborated spec
    weights: str  # digest of the state_dict

    def differences(self, wanted: Mapping[str, str]) -> Iterator[str]:
        """What differs from the wanted values: `torch 2.12.0, not 2.13.0`."""
        for name, value in wanted.items():
            stored = getattr(self, name)
            if stored != value:
                yield f"{name} {visible(stored)}, not {visible(value)}"


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file beside the plan, and the digest of its content."""

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path, data: bytes) -> FileDigest:
        """For a file that will contain the data."""
        return cls(path.name, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What has to be true of the files of an optimized module, so that they are loaded."""

    key: PlanKey
    module: FileDigest
    weights: FileDigest


def plan_path(module: Path) -> Path:
    """NAME.plan.json, for NAME.py."""
    return module.with_suffix(SUFFIX)


# --- writing


def to_json(plan: SavedPlan, printed: InferencePlan) -> bytes:
    """The bytes of the file; the same plan gives the same bytes."""
    folded = printed.folded
    content = {
        "plan": VERSION,
        "key": asdict(plan.key),
        "files": {"module": asdict(plan.module), "weights": asdict(plan.weights)},
        "input": list(folded.input.shape),
        "outputs": list(folded.outputs),
        "memory_format": "channels_last" if len(folded.input.size) == 2 else "contiguous",
        "tile": printed.tile,
        "steps": [_step_entry(step) for step in folded.steps],
    }
    signed = {**content, "digest": _digest(content)}
    entries = (f' "{name}": {_format(value)}' for name, value in signed.items())
    return ("{\n" + ",\n".join(entries) + "\n}\n").encode()


def _step_entry(step: FusedStep) -> dict[str, object]:
    """A step in the terms of `compiler/passes/fold.py`, without what does not apply to it."""
    entry = {
        "value": step.name,
        "op": step.node.op,
        "module": step.node.module,
        "inputs": list(step.inputs),
        "addend": step.addend,
        "norm": step.norm and step.norm.module,
        "relu": step.relu,
        "overwrites": step.overwrites,
        "type": list(step.type.shape),
    }
    return {name: value for name, value in entry.items() if value}


def _format(value: object) -> str:
    """JSON, with a line for each entry of a map or of a list of maps."""
    if isinstance(value, dict):
        lines = [f'  "{name}": {json.dumps(each)}' for name, each in value.items()]
        return "{\n" + ",\n".join(lines) + "\n }"
    if isinstance(value, list) and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(each)}" for each in value) + "\n ]"
    return json.dumps(value)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# --- reading


def read_plan(path: Path) -> SavedPlan:
    """Raises PlanError if the file is missing, is not a plan, or was edited."""
    content = _read(path)
    if content["plan"] != VERSION:
        raise PlanError(path, f"it is a plan of another version than {VERSION}")
    try:
        key, files = content["key"], content["files"]
        _check_strings(key, *files.values())
        module, weights = FileDigest(**files["module"]), FileDigest(**files["weights"])
        plan = SavedPlan(PlanKey(**key), module, weights)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PlanError(path, _NOT_A_PLAN) from None
    for file in (plan.module, plan.weights):
        if file.name in _FOLDERS or _SEPARATORS & {*file.name}:
            raise PlanError(path, f"`{visible(file.name)}` is not the name of a file beside it")
    return plan


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_bytes())
    except OSError as error:
        raise PlanError(path, os_error_reason(error)) from None
    except ValueError as error:
        raise PlanError(path, str(error)) from None


def os_error_reason(error: OSError) -> str:
    """Why a file cannot be read, as part of a sentence."""
    return (error.strerror or str(error)).lower()


def _parse(data: bytes) -> dict[str, Any]:
    """The content of a plan of any version. Raises ValueError, with the reason, if it was edited."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON, or is damaged") from None
    if not isinstance(content, dict) or "plan" not in content:
        raise ValueError(_NOT_A_PLAN)
    if content.pop("digest", None) != _digest(content):
        raise ValueError("it was edited, or is damaged")
    return content


def _check_strings(*maps: Mapping[str, object]) -> None:
    """Raises ValueError if a value is not a string."""
    if not all(isinstance(value, str) for each in maps for value in each.values()):
        raise ValueError


PLAN = Stamp(lambda file: bool(_parse(file.read())), printable=False)
