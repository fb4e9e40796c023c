"""The first result: `resnetgen.optimize` against torch.compile of torchvision's own module.

Fresh processes with empty caches, in turn, from torch imported and the checkpoint in memory to the
first correct result: `resnetgen bench --cold`. One image, float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.bench import OURS, cases, plots, run_bench, unavailable_sides
from benchmarks.results import Measurement, OnProgress, Result, Section
from benchmarks.tables import ratio, spread, table
from resnetgen.runtime.bench.results import SideResult

NETWORKS = "resnet50", "resnet152"
PEER = "torchvision-compile"
OPTIONS = "--cold", "--rounds", "0", "--no-memory", "--batch", "1", "--dtype", "float32"


def measure(network: str, rounds: int, progress: OnProgress) -> Any:
    """Runs bench."""
    progress("bench")
    return run_bench(network, *OPTIONS, "--side", f"{OURS},{PEER}", "--runs", str(rounds))


def speedup(result: Result, toolchain: bool = True) -> float | None:
    """How many times sooner our first result is there, with or without the peer's start-up."""
    [(_, case)] = cases([result])
    other, ours = (_first(case.sides[side], toolchain) for side in (PEER, OURS))
    return ratio(other, ours) if other and ours else None


def render(results: Sequence[Result]) -> list[str]:
    """A row for each network."""
    heads = [
        "network",
        "ours",
        "torch.compile of torchvision's",
        "ratio",
        "after the toolchain's start-up",
        "ratio",
    ]
    return [*table(heads, [_row(each) for each in results]), *unavailable_sides(results)]


def _row(result: Result) -> list[str]:
    [(network, case)] = cases([result])
    cells = [f"`{network}`", spread(_first(case.sides[OURS], toolchain=True))]
    for toolchain in (True, False):
        times = speedup(result, toolchain)
        cells.append(spread(_first(case.sides[PEER], toolchain)))
        cells.append(f"{times:.0f}" if times else "-")
    return cells


def _first(side: SideResult, toolchain: bool) -> list[float]:
    """Seconds to the first result in each run, with or without the toolchain's start-up."""
    return [after + ((start or 0.0) if toolchain else 0.0) for start, after in side.cold]


SECTION = Section(
    "cold",
    tuple(
        Measurement(
            f"cold-{network}",
            f"the first result of {network}, against torch.compile of torchvision's",
            3,
            partial(measure, network),
        )
        for network in NETWORKS
    ),
    render,
    ("torchvision",),
    plots,
)
