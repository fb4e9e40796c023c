"""How fast `resnetgen sweep` is, and how much memory it takes at 10,000 and at 100,000 variants.

    python benchmarks/sweep.py

easy       depths of ResNet-50: every node of the network is one that was seen before
adverse    widths of three adjacent stages: each pair of widths is new once
cifar      depths of a CIFAR ResNet, up to 60 blocks a stage
rates      depths of a network whose drop path rates depend on the position of each block
dilation   depths and strides under output_stride
u-net      widths that reach a decoder by concatenation
refused    a quarter of the variants or more are refused

Whole processes, start-up and Pareto front included. The rate is variants a second of processor time
on one core; the seconds beside it are wall time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPECS = ROOT / "tests" / "specs"

# Name: the spec, what varies in 100,000 variants or so, and what of that in a tenth of them.
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
}


def measure(spec: str, vary: list[str], folder: Path) -> tuple[int, float, float, float]:
    """Variants, processor seconds, wall seconds, and peak MiB of one sweep."""
    path = folder / "rows.csv"
    options = [part for each in vary for part in ("--vary", each)]
    command = [
        sys.executable,
        "-m",
        "resnetgen",
        "sweep",
        spec,
        *options,
        "-o",
        str(path),
        "--force",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    assert run.returncode == 0, command
    with path.open("rb") as file:
        rows = sum(1 for _ in file) - 1
    return rows, used.ru_utime + used.ru_stime, seconds, used.ru_maxrss / 1024


def main(names: list[str]) -> None:
    """Runs all sweeps, or those named, and prints a table."""
    print(f"{'sweep':10} {'variants':>9} {'a second':>9} {'wall s':>7} {'MiB':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names or SWEEPS:
            spec, vary, tenth = SWEEPS[name]
            path = tenth.partition("=")[0]
            few = [tenth if each.startswith(f"{path}=") else each for each in vary]
            for each in (few, vary):
                rows, used, seconds, peak = measure(spec, each, Path(folder))
                print(
                    f"{name:10} {rows:>9,} {rows / used:>9,.0f} {seconds:>7.1f} {peak:>6.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
