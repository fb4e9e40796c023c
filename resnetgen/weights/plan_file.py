"""NAME.plan.json: what an optimized module was made from, and the steps that it executes.

    to_json(SavedPlan(key, weights, forward))   ->  {"plan": 2, "key": {...}, "steps": [...], ...
    read_plan(path)                             ->  the SavedPlan, or a PlanError with the reason

The weights lie beside the plan, which has their digest, so that files of two plans are never mixed
up. A digest protects from mistakes, not from people: what the steps may be is checked in
`plan_steps.py`. This module does not import torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from resnetgen.compiler.codegen.files import Stamp
from resnetgen.compiler.diagnostics.model import Diagnostic, escape_invisible
from resnetgen.compiler.frontend.input_file import read_regular
from resnetgen.compiler.passes.forward_plan import ForwardPlan
from resnetgen.weights.errors import WeightsError
from resnetgen.weights.plan_steps import WrongPlan, check_map, forward_entries, read_forward

SUFFIX = ".plan.json"
VERSION = 2
MAX_BYTES = 1 << 22
_FOLDERS = ("", ".", "..")
_SEPARATORS = frozenset("/\\:\0")  # of any system
_HELP = (
    "make it again: `resnetgen.optimize(SPEC, STATE_DICT, x, plan=FILE)`, or"
    " `resnetgen build SPEC --target inference --weights FILE`"
)


class PlanError(WeightsError):
    """A saved plan that is not loaded, `unfit-plan`; `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        message = f"`{escape_invisible(str(path))}` is not loaded: {reason}"
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
                yield f"{name} {escape_invisible(stored)}, not {escape_invisible(value)}"


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
    """The key of an optimized module, its weights and its steps."""

    key: PlanKey
    weights: FileDigest
    forward: ForwardPlan


def plan_path(module: Path) -> Path:
    """NAME.plan.json, for NAME.py."""
    return module.with_suffix(SUFFIX)


# --- writing


def to_json(plan: SavedPlan) -> bytes:
    """The bytes of the file; the same plan gives the same bytes."""
    content = {
        "plan": VERSION,
        "key": asdict(plan.key),
        "weights": asdict(plan.weights),
        **forward_entries(plan.forward),
    }
    signed = {**content, "digest": _digest(content)}
    entries = (f' "{name}": {_format(value)}' for name, value in signed.items())
    return ("{\n" + ",\n".join(entries) + "\n}\n").encode()


def _format(value: object) -> str:
    """JSON, with a line for each entry of a map or of a list of maps."""
    if isinstance(value, dict):
        lines = [f'  "{name}": {json.dumps(each)}' for name, each in value.items()]
        return "{\n" + ",\n".join(lines) + "\n }"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(each)}" for each in value) + "\n ]"
    return json.dumps(value)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# --- reading


def read_plan(path: Path) -> SavedPlan:
    """Raises PlanError if the file is missing, was edited, or is not a plan that can be executed."""
    try:
        return _plan(_parse(read_regular(path, MAX_BYTES)))
    except OSError as error:
        raise PlanError(path, os_error_reason(error)) from None
    except WrongPlan as error:
        raise PlanError(path, str(error)) from None


def os_error_reason(error: OSError) -> str:
    """Why a file cannot be read, as part of a sentence."""
    return (error.strerror or str(error)).lower()


def _parse(data: bytes) -> dict[str, Any]:
    """The content of a plan of any version. Raises WrongPlan if it was edited."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise WrongPlan("it is not JSON, or is damaged") from None
    if not isinstance(content, dict) or "plan" not in content:
        raise WrongPlan("it is not a plan written by resnetgen")
    if content.pop("digest", None) != _digest(content):
        raise WrongPlan("it was edited, or is damaged")
    return content


PLAN = Stamp(lambda file: bool(_parse(file.read(MAX_BYTES))), printable=False)


def _plan(content: dict[str, Any]) -> SavedPlan:
    if content["plan"] != VERSION:
        raise WrongPlan(f"it is a plan of another version than {VERSION}")
    key, weights = content.pop("key", None), content.pop("weights", None)
    check_map(key, "its `key`", {each.name: str for each in fields(PlanKey)})
    check_map(weights, "its `weights`", {each.name: str for each in fields(FileDigest)})
    if weights["name"] in _FOLDERS or _SEPARATORS & {*weights["name"]}:
        raise WrongPlan(
            f"`{escape_invisible(weights['name'])}` is not the name of a file beside it"
        )
    del content["plan"]
    return SavedPlan(PlanKey(**key), FileDigest(**weights), read_forward(content))
