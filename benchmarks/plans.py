"""A saved plan against making one: `resnetgen.load_plan` and `resnetgen.optimize`, both cold.

Fresh processes in turn, from torch imported to the first result, importing resnetgen included: one
has the checkpoint in memory, the other reads the plan's files. One image, float32.

    python -m benchmarks.plans store resnet50 FOLDER      writes checkpoint.pt, and a plan beside it
    python -m benchmarks.plans load resnet50 FOLDER       what one process of these measures
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.processes import in_turn, run_module, seconds
from benchmarks.results import Measurement, OnProgress, Result, Section
from benchmarks.tables import ratio, spread, table

NETWORKS = "resnet50", "resnet152"
SIDES = "optimize", "load"
CHECKPOINT, PLAN = "checkpoint.pt", "network.plan.json"


# --- in a process of its own


def image() -> Any:
    """The input of all processes."""
    import torch

    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def store(network: str, folder: str) -> None:
    """Writes a checkpoint, and the plan made from it."""
    import torch

    import resnetgen
    from resnetgen.runtime.compare import randomize_norms

    state = randomize_norms(resnetgen.load(network), image()).state_dict()
    torch.save(state, Path(folder, CHECKPOINT))
    resnetgen.optimize(network, state, image(), plan=Path(folder, PLAN))


def optimize(network: str, folder: str) -> float:
    """Seconds from the checkpoint in memory to the first result."""
    import torch

    x, state = image(), torch.load(Path(folder, CHECKPOINT))

    def first() -> None:
        import resnetgen

        resnetgen.optimize(network, state, x)(x)

    return _without_gradients(first)


def load(network: str, folder: str) -> float:
    """Seconds from the files of the plan to the first result."""
    x = image()

    def first() -> None:
        import resnetgen

        resnetgen.load_plan(Path(folder, PLAN))(x)

    return _without_gradients(first)


def _without_gradients(call: Callable[[], object]) -> float:
    import torch

    with torch.inference_mode():
        return seconds(call)


# --- the section


def measure(network: str, rounds: int, progress: OnProgress) -> Any:
    """`{side: [seconds, ...]}`."""
    with tempfile.TemporaryDirectory() as folder:
        progress("store")
        run_module("benchmarks.plans", "store", network, folder)
        sides = {
            side: partial(run_module, "benchmarks.plans", side, network, folder) for side in SIDES
        }
        return in_turn(sides, rounds, progress)


def render(results: Sequence[Result]) -> list[str]:
    """A row for each network."""
    rows = [
        [
            f"`{each.name.removeprefix('plans-')}`",
            *(spread(each.figures[side]) for side in SIDES),
            f"{ratio(*(each.figures[side] for side in SIDES)):.1f}",
        ]
        for each in results
    ]
    return table(["network", "`optimize`", "`load_plan`", "ratio"], rows)


SECTION = Section(
    "plans",
    tuple(
        Measurement(
            f"plans-{network}",
            f"the first result of a saved plan of {network}, against making it again",
            5,
            partial(measure, network),
        )
        for network in NETWORKS
    ),
    render,
)

if __name__ == "__main__":
    task = {"store": store, "optimize": optimize, "load": load}[sys.argv[1]]
    print(json.dumps(task(*sys.argv[2:])))
