"""Times the inference target on a CPU against eager execution and torch.compile; prints tables.

    python benchmarks/inference.py [NETWORK/BATCH/DTYPE ...]     e.g. resnet50/1/float32

steady  one process that holds all sides and runs a batch of each in turn; torch's sides have their
        weights and images in channels_last, which suits them best
cold    fresh processes with empty caches: from torch and torchvision imported and the checkpoint in
        memory to the first result; nothing of resnetgen is imported before

All networks are torchvision's weights, random, with norm statistics of a forward pass. The error is
the greatest difference from float32 eager, relative to the largest output.
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
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CASES = [f"resnet50/{batch}/{dtype}" for batch in (1, 16) for dtype in ("float32", "bfloat16")]
COLD = ("resnet50", "resnet152")
ROUNDS = 15
SIDES = "ours", "eager", "compile", "freezing"


def peer(network: str) -> Any:
    """Torchvision's network, with weights under which it computes something."""
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    from peers import import_torchvision

    torch.manual_seed(0)
    model = getattr(import_torchvision().models, network)()
    norms = [each for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.randn(4, 3, 224, 224))
    return model.eval()


def sides(network: str, batch: int, dtype: str) -> dict[str, Callable[[], Any]]:
    """A call of each side with the same images."""
    import copy

    import torch

    import resnetgen

    model = peer(network)
    images = torch.randn(batch, 3, 224, 224)
    x = images.to(getattr(torch, dtype))
    ours = resnetgen.optimize(network, model.state_dict(), x)
    last = x.contiguous(memory_format=torch.channels_last)
    eager = copy.deepcopy(model).to(last.dtype).to(memory_format=torch.channels_last)
    compiled = torch.compile(copy.deepcopy(eager), fullgraph=True)
    frozen = torch.compile(copy.deepcopy(eager), fullgraph=True, options={"freezing": True})
    return {
        "exact": lambda: model(images),
        "ours": lambda: ours(x),
        "eager": lambda: eager(last),
        "compile": lambda: compiled(last),
        "freezing": lambda: frozen(last),
    }


def steady(network: str, batch: int, dtype: str) -> dict[str, list[float]]:
    """Seconds of each call, and the error of ours."""
    import torch

    with torch.inference_mode():
        calls = sides(network, batch, dtype)
        exact = calls.pop("exact")()
        found = {side: [] for side in calls}
        for call in calls.values():
            call(), call()
        for _ in range(ROUNDS):
            for side, call in calls.items():
                found[side].append(seconds(call))
        error = (calls["ours"]().float() - exact).abs().max() / exact.abs().max()
    return {**found, "error": [error.item()]}


def cold(network: str, side: str) -> dict[str, list[float]]:
    """Seconds from the checkpoint in memory to the first result."""
    import torch

    model = peer(network)
    state, x = model.state_dict(), torch.randn(1, 3, 224, 224)

    def ours() -> Any:
        import resnetgen

        return resnetgen.optimize(network, state, x)(x)

    with torch.inference_mode():
        first = ours if side == "ours" else lambda: torch.compile(model, fullgraph=True)(x)
        return {side: [seconds(first)]}


def seconds(call: Callable[[], object]) -> float:
    """The wall time of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def fresh(*arguments: str) -> dict[str, list[float]]:
    """What a process of its own measures, with empty caches."""
    with tempfile.TemporaryDirectory() as caches:
        done = subprocess.run(
            [sys.executable, __file__, "--one", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TORCHINDUCTOR_CACHE_DIR": caches},
            capture_output=True,
            text=True,
            check=True,
        )
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def tell_steady(cases: list[str]) -> None:
    """A table of medians, with ratios to ours."""
    print("| case | ours | eager | torch.compile | freezing | error |\n|---|---|---|---|---|---|")
    for case in cases:
        found = fresh("steady", *case.split("/"))
        medians = {side: statistics.median(found[side]) for side in SIDES}
        cells = [f"{medians['ours'] * 1e3:.1f} ms"]
        cells += [
            f"{medians[side] * 1e3:.1f} ms ({medians[side] / medians['ours']:.2f})"
            for side in SIDES[1:]
        ]
        print(f"| {case} | {' | '.join(cells)} | {found['error'][0]:.1e} |", flush=True)


def tell_cold() -> None:
    """A table of first results, float32, one image."""
    print("\n| network, cold | ours | torch.compile | ratio |\n|---|---|---|---|")
    for network in COLD:
        ours = statistics.median(fresh("cold", network, "ours")["ours"][0] for _ in range(3))
        other = fresh("cold", network, "compile")["compile"][0]
        print(f"| {network} | {ours:.2f} s | {other:.1f} s | {other / ours:.0f} |", flush=True)


def main(arguments: list[str]) -> None:
    """Both tables, or what one process measures."""
    match arguments:
        case ["--one", "steady", network, batch, dtype]:
            print(json.dumps(steady(network, int(batch), dtype)))
        case ["--one", "cold", network, side]:
            print(json.dumps(cold(network, side)))
        case cases:
            print(
                f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
            )
            tell_steady(cases or CASES)
            tell_cold()


if __name__ == "__main__":
    main(sys.argv[1:])
