"""What decides how far a GPU can go, and our figures on one; nothing of this has run on a device yet.

    python -m benchmarks.gpu --prepare FOLDER [--network resnet50]     needs resnetgen's dependencies
    python -m benchmarks.gpu FOLDER [NAME ...] [--device cpu|cuda]     needs torch alone

convolutions   each convolution in cuDNN's fused call, with a compiled epilogue, as a matrix product
cold           the first result of each side in a fresh process, and where torch.compile spends it
steady         all sides in turn, at each batch

Sides: eager; B0, torch.compile; B1, with max-autotune, freezing and CUDA graphs; `regional`,
compiled by regions; and of the folded module `optimized` (what `resnetgen.optimize` gives),
`autotuned` (with max-autotune) and `captured` (not compiled). All but the first three are captured in
one CUDA graph. On a CPU the same runs without graphs, to try the program.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu_prepared import Prepared, prepare
from benchmarks.processes import run_module
from benchmarks.results import FOLDER, Measurement, OnProgress, run, write

SIDES = "eager", "B0", "B1", "regional", "optimized", "captured", "autotuned"
BATCHES = 1, 256


def convolutions(given: argparse.Namespace, rounds: int, say: OnProgress) -> Any:
    """Of the largest batch."""
    batch = max(given.batch)
    place = str(given.folder), given.device, str(batch)
    say(f"batch {batch}")
    problems = run_module("benchmarks.gpu_convolutions", *place, str(rounds))
    return {"batch": batch, "problems": problems}


def cold(given: argparse.Namespace, rounds: int, say: OnProgress) -> Any:
    """Of the smallest batch; sides in turn."""
    batch, facts = min(given.batch), Prepared(given.folder).facts
    found: dict[str, list[Any]] = {side: [] for side in given.side}
    for number in range(rounds):
        for side in found:
            say(f"{side}, round {number + 1} of {rounds}")
            try:
                found[side].append(in_networks(given, "cold", batch, side))
            except subprocess.CalledProcessError as fault:
                found[side].append({"reason": fault.stderr.strip().splitlines()[-1]})
    return {"batch": batch, "compiled": facts["compiled"], "sides": found}


def steady(given: argparse.Namespace, rounds: int, say: OnProgress) -> Any:
    """Of each batch."""
    found = {}
    for batch in given.batch:
        say(f"batch {batch}")
        found[str(batch)] = in_networks(given, "steady", batch, str(rounds), *given.side)
    return found


def in_networks(given: argparse.Namespace, what: str, batch: int, *rest: str) -> Any:
    """What a process of `gpu_networks` finds."""
    place = str(given.folder), given.device, str(batch)
    return run_module("benchmarks.gpu_networks", what, *place, *rest)


MEASURES = {"convolutions": (convolutions, 10), "cold": (cold, 1), "steady": (steady, 20)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepares, or measures and stores what was asked for."""
    given = _parser().parse_args(arguments)
    if given.prepare:
        prepare(given.network, given.folder)
        return
    network = Prepared(given.folder).facts["network"]
    given.results.mkdir(parents=True, exist_ok=True)
    for name in given.names or MEASURES:
        measure, rounds = MEASURES[name]
        about = Measurement(f"gpu-{name}-{network}", "", rounds, partial(measure, given))
        result = run(about, given.rounds, lambda at, name=name: _say(f"{name}: {at}"))
        hardware = {**result.machine, "gpu": _hardware(given.device)}
        path = write(replace(result, machine=hardware), given.results)
        _say(f"{path}, {result.took} s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", choices=[[], *MEASURES], metavar="NAME")
    parser.add_argument("--prepare", action="store_true", help="write FOLDER, measure nothing")
    parser.add_argument("--network", default="resnet50", help="what is prepared")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--batch", type=_numbers, default=BATCHES, help="as in 1,256")
    parser.add_argument("--side", type=_sides, default=SIDES, help=",".join(SIDES))
    parser.add_argument(
        "--rounds", type=int, help="of each measurement, in place of its own number"
    )
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _sides(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if wrong := set(chosen) - set(SIDES):
        raise argparse.ArgumentTypeError(f"no side is named {', '.join(sorted(wrong))}")
    return chosen


def _hardware(device: str) -> str:
    import torch

    if device == "cpu":
        return "no GPU: a trial of the program"
    return f"{torch.cuda.get_device_name()}, cuDNN {torch.backends.cudnn.version()}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
