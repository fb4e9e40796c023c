"""The GPU measurements on the page: a table for each result of `benchmarks/gpu.py`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.results import Result, Section
from benchmarks.tables import spread, table

WAYS = "fused", "epilogue", "product"
# What torch.compile measures of itself; later phases are parts of earlier ones.
PHASES = {
    "_compile.compile_inner": "compile",
    "bytecode_tracing": "Dynamo",
    "create_aot_dispatcher_function": "AOTAutograd and Inductor",
    "GraphLowering.run": "lowering",
    "Scheduler.codegen": "code",
    "async_compile.wait": "waiting for kernels",
}


def render(results: Sequence[Result]) -> list[str]:
    """A table for each result."""
    tables = {"convolutions": _convolutions, "cold": _cold, "steady": _steady}
    lines: list[str] = []
    for result in results:
        _, what, network = result.name.split("-", 2)
        lines += [f"`{network}` on {result.machine['gpu']}:", "", *tables[what](result.figures), ""]
    return lines[:-1]


def _convolutions(figures: Any) -> list[str]:
    heads = [f"{way} (first)" for way in WAYS]
    rows = []
    for each in figures["problems"]:
        ways = [each["ways"].get(way, {"reason": "not 1x1"}) for way in WAYS]
        problem = each["problem"]
        rows.append([_named(problem), str(problem["calls"]), *map(_way, ways)])
    return table([f"convolution, {figures['batch']} images", "calls", *heads], rows)


def _way(figures: Any) -> str:
    return figures.get("reason") or f"{_median_us(figures)} ({figures['first']:.2f} s)"


def _named(problem: Any) -> str:
    size = "x".join(map(str, problem["size"]))
    place = f"{problem['kernel']}x{problem['kernel']}, stride {problem['stride']}"
    end = ", adds" * problem["adds"] + ", ReLU" * problem["rectifies"]
    return f"{problem['channels']} to {problem['out']}, {size}, {place}{end}"


def _cold(figures: Any) -> list[str]:
    rows = [[side, *_first(runs)] for side, runs in figures["sides"].items()]
    seconds = f"{figures['compiled']:.2f} s"
    text = f"Batch {figures['batch']}. The spec was compiled before, on another machine: {seconds}."
    return [text, "", *table(["side", "first result", "error", *PHASES.values()], rows)]


def _first(runs: Sequence[Any]) -> list[str]:
    """The cells of a side; phases are those of its last run."""
    done = [each for each in runs if "seconds" in each]
    if not done:
        return [runs[0]["reason"], *("-" for _ in ("error", *PHASES))]
    phases = done[-1]["phases"]
    cells = [f"{phases[phase]:.2f} s" if phase in phases else "-" for phase in PHASES]
    return [spread([each["seconds"] for each in done]), f"{done[-1]['error']:.1e}", *cells]


def _steady(figures: Any) -> list[str]:
    rows = [
        [batch, side, *_calls(runs, int(batch))]
        for batch, sides in figures.items()
        for side, runs in sides.items()
    ]
    return table(["batch", "side", "a call", "images a second", "error"], rows, texts=2)


def _calls(figures: Any, batch: int) -> list[str]:
    if "reason" in figures:
        return [figures["reason"], "-", "-"]
    rate = batch / median(figures["seconds"])
    return [_median_us(figures), f"{rate:,.0f}", f"{figures['error']:.1e}"]


def _median_us(figures: Any) -> str:
    return f"{median(figures['seconds']) * 1e6:,.0f} us"


SECTION = Section("gpu", (), render)  # run by hand, where there is a device
