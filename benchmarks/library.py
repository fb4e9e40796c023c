"""The error of the inference target against float32 eager, over every network of the library.

`python -m tests.inference.library --format json` measures it, and writes a line for each network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

from benchmarks.processes import ROOT, environment
from benchmarks.results import Measurement, OnProgress, Result, Section
from benchmarks.tables import table
from resnetgen.compiler.frontend.library import network_files

BOUNDS = {"float32": 1e-5, "bfloat16": 1e-2}


def measure(names: Sequence[str], rounds: int, progress: OnProgress) -> Any:
    """An object for each network. Raises CalledProcessError if some are missing."""
    command = [sys.executable, "-m", "tests.inference.library", *names, "--format", "json"]
    rows = []
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            rows.append(json.loads(line))
            progress(f"{rows[-1]['network']}, {len(rows)} of {len(names)}")
    if [each["network"] for each in rows] != list(names):  # its status is 1 if a bound is missed
        raise subprocess.CalledProcessError(process.returncode, command)
    return rows


def errors(result: Result, dtype: str) -> Iterator[tuple[str, float]]:
    """The error of each network in a dtype."""
    for each in result.figures:
        yield each["network"], each[dtype]


def render(results: Sequence[Result]) -> list[str]:
    """A row for each dtype, then the networks that are over a bound."""
    [result] = results
    heads = ["type", "networks", "largest", "of", "median", "over the bound"]
    lines = table([*heads, "eager: median", "over it"], [_row(result, each) for each in BOUNDS])
    over = [each for each in result.figures if any(_over(each[dtype], dtype) for dtype in BOUNDS)]
    if not over:
        return lines
    heads = ["over a bound", "float32", "of eager", "bfloat16", "of eager"]
    return [*lines, "", *table(heads, [_figures(each) for each in over])]


def _row(result: Result, dtype: str) -> list[str]:
    by_network = dict(errors(result, dtype))
    worst = max(by_network, key=by_network.__getitem__)
    cells = [dtype, str(len(by_network)), f"{by_network[worst]:.1e}", f"`{worst}`"]
    for key in (dtype, f"eager_{dtype}"):
        all_errors = [each[key] for each in result.figures]
        over = sum(_over(error, dtype) for error in all_errors)
        cells += [f"{median(all_errors):.1e}", f"{over} over {BOUNDS[dtype]:.0e}"]
    return cells


def _over(error: float, dtype: str) -> bool:
    return not error <= BOUNDS[dtype]  # not a number is


def _figures(figures: Mapping[str, Any]) -> list[str]:
    errors = [figures[key] for dtype in BOUNDS for key in (dtype, f"eager_{dtype}")]
    return [f"`{figures['network']}`", *(f"{each:.1e}" for each in errors)]


SECTION = Section(
    "library",
    (
        Measurement(
            "library",
            "the error of the inference target, every network of the library",
            1,
            partial(measure, [path.stem for path in network_files()]),
        ),
    ),
    render,
)
