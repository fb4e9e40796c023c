"""The loop of a saved plan against the printed file of the same steps, and that against itself.

Each row is a process of its own with three modules, which have their own weights: a module of each
side, and a second printed one as the control. They are called in turn, each first in every third
round. Their results are equal to the bit, or the process fails.

    python -m benchmarks.loop resnet50 16 bfloat16 20       what one process of these measures
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.processes import run_module, seconds
from benchmarks.results import Measurement, OnProgress, Result, Section
from benchmarks.tables import ratio, spread, table

NETWORKS = "resnet18", "resnet50", "resnet152"
DTYPES = "float32", "bfloat16"
BATCHES = {"1": 10, "16": 1}  # images -> rounds, for each round that is asked for
SIDES = "printed", "loop", "control"


def turns(network: str, images: str, dtype: str, rounds: str) -> dict[str, list[float]]:
    """The seconds of the calls of each side."""
    import torch

    from resnetgen.pipeline import compile_spec
    from resnetgen.runtime.inference import inference_module
    from resnetgen.runtime.load import build
    from resnetgen.runtime.planned_module import PlannedModule

    compiled = compile_spec(network)
    plan, type = compiled.inference_plan, getattr(torch, dtype)
    state = build(compiled.source, network).state_dict()
    loop = PlannedModule(plan.forward)
    modules = {
        side: inference_module(plan, compiled.inference_source, state, type) for side in SIDES
    }
    loop.assign(modules["loop"].state_dict(), type)
    modules["loop"] = loop
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(int(images), *compiled.network.input.shape, generator=generator).to(type)
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    with torch.inference_mode():
        results = [module(x) for module in modules.values() for _ in range(2)]
        if not all(torch.equal(each, results[0]) for each in results):
            raise ValueError("the loop and the printed file differ")
        for number in range(int(rounds)):
            for place in range(len(SIDES)):
                side = SIDES[(number + place) % len(SIDES)]
                times[side].append(seconds(partial(modules[side], x)))
    return times


def measure(network: str, rounds: int, progress: OnProgress) -> Any:
    """`{images dtype: {side: [seconds, ...]}}`."""
    figures = {}
    for images, times in BATCHES.items():
        for dtype in DTYPES:
            progress(f"{images} x {dtype}")
            arguments = network, images, dtype, str(times * rounds)
            figures[f"{images} {dtype}"] = run_module("benchmarks.loop", *arguments)
    return figures


def render(results: Sequence[Result]) -> list[str]:
    """A row for each network, batch and type."""
    rows = [
        [
            f"`{each.name.removeprefix('loop-')}`, {row.replace(' ', ', ')}",
            *(spread(sides[side]) for side in ("printed", "loop")),
            f"{ratio(sides['loop'], sides['printed']):.4f}",
            f"{ratio(sides['control'], sides['printed']):.4f}",
        ]
        for each in results
        for row, sides in each.figures.items()
    ]
    heads = ["network, images, type", "printed file", "loop", "loop / printed", "control / printed"]
    return table(heads, rows)


SECTION = Section(
    "loop",
    tuple(
        Measurement(
            f"loop-{network}",
            f"the loop of a saved plan of {network} against its printed file",
            15,
            partial(measure, network),
        )
        for network in NETWORKS
    ),
    render,
)

if __name__ == "__main__":
    print(json.dumps(turns(*sys.argv[1:])))
