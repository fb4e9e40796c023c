"""Times torch.compile of whole networks against `resnetgen.compile_module`; prints a table.

    python benchmarks/regions.py [RUNS] [NETWORK/MODE ...]     e.g. 3 resnet152/eval resnet110/train

cold    a fresh process with empty caches, from the module to the first result (in training the
        first gradients); first a trivial function is compiled, whose time is the toolchain's start-up
steady  one process that holds both, a step of each in turn

ResNet-1202 whole takes minutes to compile, in training more: it runs where it is named.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BATCH, STEPS = 8, 15
SIZES = {"resnet110": 32, "resnet1202": 32, "resnet20": 32, "resnet56": 32}  # others: 224
NAMED = [
    f"{network}/{mode}" for network in ("resnet152", "resnet110") for mode in ("eval", "train")
]
SIDES = "whole", "regions"


def step_of(network: str, mode: str, side: str) -> Callable[[], None]:
    """One step of a network that is compiled at the first."""
    import torch

    import resnetgen

    torch.manual_seed(0)
    model = resnetgen.load(network).train(mode == "train")
    size = SIZES.get(network, 224)
    x = torch.randn(BATCH, 3, size, size)
    if side == "regions":
        call = resnetgen.compile_module(model, whole=False)
    else:
        call = torch.compile(model, fullgraph=True)

    def step() -> None:
        with torch.set_grad_enabled(mode == "train"):
            result = call(x)
        if mode == "train":
            model.zero_grad(set_to_none=True)
            result.square().mean().backward()

    return step


def seconds(call: Callable[[], object]) -> float:
    """The wall time of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def cold(network: str, mode: str, side: str) -> dict[str, float]:
    """In a fresh process: the toolchain's start-up, and the first step after it."""
    import torch

    trivial = torch.compile(lambda x: (x + 1).relu(), fullgraph=True)
    started = seconds(lambda: trivial(torch.randn(64, 64)))
    return {"toolchain": started, "cold": seconds(step_of(network, mode, side))}


def steady(network: str, mode: str) -> dict[str, float]:
    """In one process: the median step of each side, in turn."""
    steps = {side: step_of(network, mode, side) for side in SIDES}
    for step in steps.values():
        step(), step()
    rows = [{side: seconds(step) for side, step in steps.items()} for _ in range(STEPS)]
    return {side: statistics.median(row[side] for row in rows) for side in SIDES}


def in_process(*arguments: str) -> dict[str, float]:
    """What a fresh process with empty caches finds."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TORCHINDUCTOR_CACHE_DIR": folder,
            "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        }
        command = [sys.executable, __file__, "--one", *arguments]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(runs: int, named: list[str]) -> None:
    """Runs both sides in turn and prints medians with the least and the most."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; seconds")
    print(f"{'':18} {'side':8} {'toolchain':>18} {'cold after it':>21} {'steady':>8}")
    for name in named:
        network, mode = name.split("/")
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(runs):
            for side in SIDES:
                found[side].append(in_process("cold", network, mode, side))
        step = in_process("steady", network, mode)
        for side in SIDES:
            started, first = ([row[key] for row in found[side]] for key in ("toolchain", "cold"))
            print(f"{name:18} {side:8} {spread(started):>18} {spread(first):>21} {step[side]:8.3f}")
        print(f"{name:18} whole / regions, cold {ratio(found, 'cold'):.2f} after the start-up,")
        print(f"{'':18} {ratio(found, 'cold', 'toolchain'):.2f} with it; steady", end=" ")
        print(f"{step['whole'] / step['regions']:.3f}", flush=True)


def ratio(found: dict[str, list[dict[str, float]]], *keys: str) -> float:
    """Whole against regions, of the medians of what the keys add up to."""
    whole, regions = (
        statistics.median(sum(row[key] for key in keys) for row in found[side]) for side in SIDES
    )
    return whole / regions


def spread(times: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(times):.1f} ({min(times):.1f}-{max(times):.1f})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps({"cold": cold, "steady": steady}[sys.argv[2]](*sys.argv[3:])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:] or NAMED)
