"""torch.compile of whole networks against `resnetgen.compile_module` by regions.

cold    a fresh process with empty caches, from the module to the first result (in training the
        first gradients); first a trivial function is compiled, whose time is the toolchain's start-up
steady  one process with both, a step of each in turn

    python -m benchmarks.regions cold resnet20 eval regions     what one process of these measures
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.processes import in_turn, run_module, seconds
from benchmarks.results import Measurement, OnProgress, Result, Section
from benchmarks.tables import ratio, spread, table

BATCH, STEPS = 8, 15
SIDES = "whole", "regions"


@dataclass(frozen=True)
class Case:
    """A network in a mode. If `steady` is false, only the first step is measured."""

    network: str
    mode: str = "eval"
    rounds: int = 1
    steady: bool = True

    @property
    def name(self) -> str:
        """The name of its measurement."""
        return f"regions-{self.network}{'-training' if self.mode == 'train' else ''}"


CASES = (
    Case("resnet152", rounds=3),
    Case("resnet152", "train", rounds=3),
    Case("resnet1202", rounds=3),
    Case("resnet110"),
    Case("resnet110", "train"),
    Case("resnet101", steady=False),
    Case("resnet56", steady=False),
    Case("resnet50", steady=False),
)


def image(network: str) -> tuple[int, ...]:
    """The shape of an image: channels, height, width."""
    from resnetgen import compile_spec

    return compile_spec(network).network.input.shape


# --- in a process of its own


def step_of(network: str, mode: str, side: str) -> Callable[[], None]:
    """One step of a network; the first one compiles it."""
    import torch

    import resnetgen

    torch.manual_seed(0)
    model = resnetgen.load(network).train(mode == "train")
    x = torch.randn(BATCH, *image(network))
    call: Callable[[Any], Any]
    if side == "regions":
        call = resnetgen.compile_by_regions(model, whole=False)
    else:
        call = torch.compile(model, fullgraph=True)

    def step() -> None:
        with torch.set_grad_enabled(mode == "train"):
            result = call(x)
        if mode == "train":
            model.zero_grad(set_to_none=True)
            result.square().mean().backward()

    return step


def cold(network: str, mode: str, side: str) -> dict[str, float]:
    """In a fresh process: the toolchain's start-up, and the first step after it."""
    import torch

    trivial = torch.compile(lambda x: (x + 1).relu(), fullgraph=True)
    started = seconds(lambda: trivial(torch.randn(64, 64)))
    return {"toolchain": started, "cold": seconds(step_of(network, mode, side))}


def steady(network: str, mode: str) -> dict[str, list[float]]:
    """In one process: steps of each side, in turn."""
    steps = {side: step_of(network, mode, side) for side in SIDES}
    for step in steps.values():
        step(), step()
    return in_turn({side: partial(seconds, step) for side, step in steps.items()}, STEPS)


# --- the section


def measure(case: Case, rounds: int, progress: OnProgress) -> Any:
    """`{"image": shape, "cold": {side: [{"toolchain", "cold"}, ...]}, "steady": {side: [seconds, ...]} or null}`."""
    sides = {
        side: partial(run_module, "benchmarks.regions", "cold", case.network, case.mode, side)
        for side in SIDES
    }
    figures = {
        "image": image(case.network),
        "cold": in_turn(sides, rounds, progress),
        "steady": None,
    }
    if case.steady:
        progress("steady")
        figures["steady"] = run_module("benchmarks.regions", "steady", case.network, case.mode)
    return figures


def first_step(result: Result, side: str, toolchain: bool) -> list[float]:
    """The time of the first step in each run, with or without the toolchain's start-up."""
    runs = result.figures["cold"][side]
    return [run["cold"] + (run["toolchain"] if toolchain else 0) for run in runs]


def cold_speedup(result: Result, toolchain: bool) -> float:
    """How many times sooner the first step by regions is done."""
    return ratio(*(first_step(result, side, toolchain) for side in SIDES))


def steady_speed(result: Result) -> float | None:
    """The steady speed by regions, relative to that of the whole graph."""
    times = result.figures["steady"]
    return ratio(*(times[side] for side in SIDES)) if times else None


def render(results: Sequence[Result]) -> list[str]:
    """A row for each case, in the order of CASES."""
    by_name = {result.name: result for result in results}
    rows = [_row(case, by_name[case.name]) for case in CASES if case.name in by_name]
    return table(
        [
            "network, batch of 8",
            "toolchain, both",
            "cold after it, whole",
            "regions",
            "ratio",
            "with the start-up",
            "steady, whole",
            "regions",
            "of the whole graph's speed",
        ],
        rows,
    )


def _row(case: Case, result: Result) -> list[str]:
    size = " x ".join(map(str, result.figures["image"][1:]))
    mode = "training step" if case.mode == "train" else "inference"
    started = [run["toolchain"] for runs in result.figures["cold"].values() for run in runs]
    speed = steady_speed(result)
    return [
        f"`{case.network}`, {size}, {mode}",
        spread(started),
        *(spread(first_step(result, side, toolchain=False)) for side in SIDES),
        f"{cold_speedup(result, toolchain=False):.2f}",
        f"{cold_speedup(result, toolchain=True):.2f}",
        *(spread(result.figures["steady"][side]) if speed else "" for side in SIDES),
        f"{speed:.3f}" if speed else "",
    ]


SECTION = Section(
    "regions",
    tuple(
        Measurement(
            case.name,
            f"torch.compile of {case.network} by regions and whole, {case.mode}",
            case.rounds,
            partial(measure, case),
        )
        for case in CASES
    ),
    render,
)

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["cold", network, mode, side]:
            print(json.dumps(cold(network, mode, side)))
        case ["steady", network, mode]:
            print(json.dumps(steady(network, mode)))
