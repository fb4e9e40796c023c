"""Processes that measure: each is a fresh one, and both sides of a comparison run in turn.

measured("benchmarks.cold", "first", "resnet50", "optimize")   ->  {"seconds": 0.39, ...}
in_turn({"ours": f, "other": g}, 3)                            ->  {"ours": [...], "other": [...]}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.results import OnProgress

ROOT = Path(__file__).resolve().parents[1]
STARTUP = ROOT / "benchmarks" / "startup"

Figure = TypeVar("Figure")


def environment(caches: str | None = None, peers: bool = False) -> dict[str, str]:
    """The environment of a child: this checkout, run from bytecode as if it were installed.

    With a folder for `caches`, the compilers of torch use it. With `peers`, torchvision can be
    imported even if its operators cannot be loaded.
    """
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own["PYTHONPATH"] = os.pathsep.join([*([str(STARTUP)] if peers else []), str(ROOT)])
    if caches:
        own |= {"TORCHINDUCTOR_CACHE_DIR": caches, "TRITON_CACHE_DIR": caches}
    return own


def resnetgen(*arguments: str) -> list[str]:
    """A command of this checkout."""
    return [sys.executable, "-m", "resnetgen", *arguments]


def run_module(module: str, *arguments: str) -> Any:
    """The JSON in the last line that `python -m MODULE ARGUMENTS` prints, with empty caches.

    Raises CalledProcessError with the stderr of the child.
    """
    with tempfile.TemporaryDirectory() as caches:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=environment(caches),
            capture_output=True,
            text=True,
            check=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


def in_turn(
    sides: Mapping[str, Callable[[], Figure]], rounds: int, progress: OnProgress = lambda _: None
) -> dict[str, list[Figure]]:
    """The result of each side in each round; in a round, one side runs after the other."""
    results: dict[str, list[Figure]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, call in sides.items():
            progress(f"{side}, round {number + 1} of {rounds}")
            results[side].append(call())
    return results


def seconds(call: Callable[[], object]) -> float:
    """The wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
