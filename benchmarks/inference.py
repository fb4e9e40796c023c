"""The inference target against the other ways to run a network on a CPU: `resnetgen bench`.

Steady time and error at two batch sizes in two dtypes, all sides in turn; for one network, every side
that bench knows. How fast the machine multiplies and adds at all is measured as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

from benchmarks import arithmetic
from benchmarks.bench import OURS, case_label, cases, plots, run_bench, unavailable_sides
from benchmarks.results import Measurement, OnProgress, Result, Section
from benchmarks.tables import ratio, spread, table
from resnetgen.runtime.bench.results import Case

MAIN = "eager", "compile", "freezing", "onnxruntime"
FEW = "--side", ",".join([OURS, *MAIN])
# A network, and further options of bench: one of them is measured on every side.
NETWORKS: dict[str, tuple[str, ...]] = {"resnet18": FEW, "resnet50": (), "resnet152": FEW}
LIMIT = "inference-arithmetic"
CASES = "--batch", "1,16", "--dtype", "float32,bfloat16", "--no-memory"


def measure(network: str, rounds: int, progress: OnProgress) -> Any:
    """Runs bench."""
    progress("bench")
    return run_bench(network, *CASES, *NETWORKS[network], "--rounds", str(rounds))


def relative_time(case: Case, side: str) -> float | None:
    """How many times longer than ours a side takes; None unless both have figures."""
    other, ours = (case.sides[each].steady if each in case.sides else [] for each in (side, OURS))
    return ratio(other, ours) if other and ours else None


def bench_results(results: Sequence[Result]) -> list[Result]:
    """The results of bench: all but the limit of the machine."""
    return [each for each in results if each.name != LIMIT]


def render(results: Sequence[Result]) -> list[str]:
    """The main sides for all networks, the sides that only some have, and shares of the limit."""
    measured = bench_results(results)
    lines = _steady(measured, MAIN)
    for each in filter(_others, measured):
        lines += ["", *_steady([each], _others(each))]
    for each in results:
        if each.name == LIMIT:
            lines += ["", *_shares(each.figures, measured)]
    return [*lines, *unavailable_sides(measured)]


def _shares(limit: arithmetic.Figures, results: Sequence[Result]) -> list[str]:
    """A row for each case: multiply-adds a second, relative to those of a matrix product."""
    sides = OURS, *MAIN
    rows = []
    for network, case in cases(results):
        at_once, most = _multiply_adds(network) * case.batch, arithmetic.rate(limit, case.dtype)
        shares = [_share(case, side, at_once / most) for side in sides]
        rows.append([case_label(network, case), f"{most / 1e9:.0f}", *shares])
    heads = "network, images, type", "matrix product, 10^9 multiply-adds a second"
    return table([*heads, *(f"{side}, of that" for side in sides)], rows)


def _share(case: Case, side: str, least: float) -> str:
    """The time of a matrix product with as many multiply-adds, as a share of a side's time."""
    times = case.sides[side].steady if side in case.sides else []
    return f"{least / median(times):.2f}" if times else "-"


def _multiply_adds(network: str) -> int:
    """For one image."""
    from resnetgen import compile_spec

    return compile_spec(network).cost.macs


def _others(result: Result) -> list[str]:
    """The sides that not every network has."""
    return [side for side in _sides(result) if side not in (OURS, *MAIN)]


def _sides(result: Result) -> list[str]:
    return list(dict.fromkeys(side for _, case in cases([result]) for side in case.sides))


def _steady(results: Sequence[Result], sides: Sequence[str]) -> list[str]:
    """A row for each case: ours, its error, then each side with how many times longer it takes."""
    rows = [
        [case_label(network, case), *_ours(case), *(_cell(case, side) for side in sides)]
        for network, case in cases(results)
    ]
    return table(["network, images, type", "ours", "error", *sides], rows)


def _ours(case: Case) -> list[str]:
    ours = case.sides[OURS]
    return [spread(ours.steady), f"{ours.error.norm:.1e}" if ours.error else "-"]


def _cell(case: Case, side: str) -> str:
    times = relative_time(case, side)
    if times is None:
        return "-"
    middle = spread([median(case.sides[side].steady)])
    return f"{middle} ({times:.2f})"


SECTION = Section(
    "inference",
    (
        Measurement(
            LIMIT,
            "multiply-adds a second of matrix products, which nothing here exceeds by much",
            30,
            arithmetic.measure,
        ),
        *(
            Measurement(
                f"inference-{network}",
                f"steady time of {network} against the other ways to run it on a CPU",
                15,
                partial(measure, network),
            )
            for network in NETWORKS
        ),
    ),
    render,
    ("onnxruntime", "torchvision", "timm"),
    lambda results: plots([each for each in bench_results(results) if _others(each)]),
)
