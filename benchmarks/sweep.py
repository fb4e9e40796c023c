"""How fast `resnetgen sweep` is, and how much memory it needs for 10,000 and for 100,000 variants.

easy       depths of ResNet-50: nearly every node of a variant was seen before
adverse    widths of three adjacent stages: each pair of widths is new once
cifar      depths of a CIFAR ResNet, up to 60 blocks a stage
rates      depths of a network whose drop path rates depend on the position of each block
dilation   depths and strides under output_stride
u-net      widths that reach a decoder by concatenation
refused    97 of 100 widths are errors
new        every variant is new in every stage

Whole processes, including start-up and the Pareto front. The rate is variants per second of
processor time on one core.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.processes import ROOT, environment, in_turn, resnetgen
from benchmarks.results import Measurement, OnProgress, Result, Section
from benchmarks.tables import table

SPECS = ROOT / "tests" / "specs"

# Name: the spec, what varies in about 100,000 variants, and what replaces one of that for a tenth.
SWEEPS: dict[str, tuple[str, list[str], str]] = {
    "easy": (
        "resnet50",
        ["layer1.blocks=1..10", "layer2.blocks=1..100", "layer3.blocks=1..100"],
        "layer1.blocks=1",
    ),
    "adverse": (
        "resnet50",
        [f"layer{stage}.width=16..196..4" for stage in (1, 2, 3)],
        "layer1.width=16..32..4",
    ),
    "cifar": (
        "resnet110",
        ["layer1.blocks=1..28", "layer2.blocks=1..60", "layer3.blocks=1..60"],
        "layer1.blocks=1..3",
    ),
    "rates": (
        str(SPECS / "resnet50_dp.yaml"),
        ["layer1.blocks=1..10", "layer2.blocks=1..100", "layer3.blocks=1..100"],
        "layer1.blocks=5",
    ),
    "dilation": (
        str(SPECS / "resnet50_os8.yaml"),
        ["layer3.stride=1,2", "layer1.blocks=1..10", "layer2.blocks=1..50", "layer3.blocks=1..100"],
        "layer1.blocks=5",
    ),
    "u-net": (
        str(SPECS / "unet_resnet34.yaml"),
        ["layer1.width=8..80..8", "layer3.width=8..800..8", "nodes.decoder.blocks.2.width=1..100"],
        "layer1.width=64",
    ),
    "refused": (
        "resnet50_gn",
        ["layer1.blocks=1..10", "layer2.width=61..160", "layer3.blocks=1..100"],
        "layer1.blocks=5",
    ),
    "new": (
        "resnet50",
        ["block.groups=1,2,4,8,16", "block.base_width=4..400..4"],
        "block.groups=1",
    ),
}
LABELS = {
    "easy": "ResNet-50, four depths",
    "adverse": "adverse: widths of three adjacent stages",
    "cifar": "CIFAR, three depths",
    "rates": "drop path by position",
    "dilation": "`output_stride: 8`",
    "u-net": "U-Net, widths",
    "refused": "group norm, nearly all widths refused",
    "new": "every variant new in every stage: `block.groups` by `block.base_width`",
}


def run_sweep(spec: str, vary: Sequence[str], folder: Path) -> dict[str, float]:
    """Variants, processor and wall seconds, and peak MiB of one sweep, as a process."""
    path = folder / "rows.csv"
    options = [part for each in vary for part in ("--vary", each)]
    command = resnetgen("sweep", spec, *options, "-o", str(path), "--force")
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    with path.open("rb") as file:
        rows = sum(1 for _ in file) - 1
    processor = used.ru_utime + used.ru_stime
    return {"variants": rows, "processor": processor, "wall": wall, "peak": used.ru_maxrss / 1024}


def measure(names: Sequence[str], rounds: int, say: OnProgress) -> Any:
    """`{sweep: {"tenth": a run, "all": [a run, ...]}}`."""
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            spec, vary, tenth = SWEEPS[name]
            path = tenth.partition("=")[0]
            few = [tenth if each.startswith(f"{path}=") else each for each in vary]
            say(f"{name}, a tenth")
            least = run_sweep(spec, few, Path(folder))
            sides = {name: partial(run_sweep, spec, vary, Path(folder))}
            runs[name] = {"tenth": least, "all": in_turn(sides, rounds, say)[name]}
    return runs


def rate(runs: Sequence[dict[str, float]]) -> float:
    """Variants per second of processor time, the median of some runs."""
    return median(run["variants"] / run["processor"] for run in runs)


def render(results: Sequence[Result]) -> list[str]:
    """One row per sweep."""
    [result] = results
    rows = []
    for name, figures in result.figures.items():
        runs = figures["all"]
        peaks = figures["tenth"]["peak"], median(run["peak"] for run in runs)
        cells = (
            f"{runs[0]['variants']:,}",
            f"{rate(runs):,.0f}",
            " / ".join(f"{each:.0f}" for each in peaks),
        )
        rows.append([LABELS[name], *cells])
    return table(["sweep", "variants", "a second", "peak MiB at a tenth / at all"], rows)


SECTION = Section(
    "sweep",
    (
        Measurement(
            "sweep",
            "variants a second of processor time, and memory, in eight sweeps",
            1,
            partial(measure, tuple(SWEEPS)),
        ),
    ),
    render,
)
