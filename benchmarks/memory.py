"""Peak memory of the inference target and of other ways to run a network: `resnetgen bench`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.bench import OURS, case_label, cases, run_bench
from benchmarks.results import Measurement, OnProgress, Result, Section
from benchmarks.tables import table

NETWORK = "resnet50"
SIDES = OURS, "eager", "compile", "onnxruntime"
OPTIONS = "--batch", "1,16", "--dtype", "float32", "--side", ",".join(SIDES)


def measure(rounds: int, progress: OnProgress) -> Any:
    """Runs bench."""
    progress("bench")
    return run_bench(NETWORK, *OPTIONS, "--rounds", str(rounds))


def render(results: Sequence[Result]) -> list[str]:
    """A row for each case, in MiB."""
    rows = [
        [case_label(network, case), *(_mebibytes(case.sides[side].memory) for side in SIDES)]
        for network, case in cases(results)
    ]
    return table(["peak memory, MiB", *SIDES], rows)


def _mebibytes(memory: int | None) -> str:
    return f"{memory / 2**20:.0f}" if memory else "-"


SECTION = Section(
    "memory",
    (Measurement("memory", f"peak memory of {NETWORK}, of each side", 1, measure),),
    render,
    ("onnxruntime",),
)
