"""How fast a GPU could run a network, and how fast it does; this has never been run on a device.

    python -m benchmarks.gpu --prepare FOLDER [--network resnet50]     needs resnetgen's dependencies
    python -m benchmarks.gpu FOLDER [NAME ...] [--device cpu|cuda]     needs torch alone

convolutions   each convolution in cuDNN's fused call, with a compiled epilogue, as a matrix product
cold           the first result of each side in a fresh process, and the phases of torch.compile
steady         all sides in turn, at each batch

Sides: eager; B0, torch.compile; B1, with max-autotune, freezing and CUDA graphs; `regional`,
compiled by regions; and of the folded module `optimized` (what `resnetgen.optimize` returns),
`autotuned` (with max-autotune) and `captured` (not compiled). All but the first three are captured in
one CUDA graph. On a CPU everything runs without graphs, to test this program.
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


def convolutions(options: argparse.Namespace, rounds: int, progress: OnProgress) -> Any:
    """Each convolution, for the largest batch."""
    batch = max(options.batch)
    place = str(options.folder), options.device, str(batch)
    progress(f"batch {batch}")
    problems = run_module("benchmarks.gpu_convolutions", *place, str(rounds))
    return {"batch": batch, "problems": problems}


def cold(options: argparse.Namespace, rounds: int, progress: OnProgress) -> Any:
    """The first result, for the smallest batch; sides in turn."""
    batch, prepared = min(options.batch), Prepared(options.folder).description
    runs: dict[str, list[Any]] = {side: [] for side in options.side}
    for number in range(rounds):
        for side in runs:
            progress(f"{side}, round {number + 1} of {rounds}")
            try:
                runs[side].append(run_networks(options, "cold", batch, side))
            except subprocess.CalledProcessError as error:
                runs[side].append({"reason": error.stderr.strip().splitlines()[-1]})
    return {"batch": batch, "compiled": prepared["compiled"], "sides": runs}


def steady(options: argparse.Namespace, rounds: int, progress: OnProgress) -> Any:
    """The time of a call, for each batch."""
    figures = {}
    for batch in options.batch:
        progress(f"batch {batch}")
        figures[str(batch)] = run_networks(options, "steady", batch, str(rounds), *options.side)
    return figures


def run_networks(options: argparse.Namespace, what: str, batch: int, *rest: str) -> Any:
    """The figures that a process of `gpu_networks` measures."""
    place = str(options.folder), options.device, str(batch)
    return run_module("benchmarks.gpu_networks", what, *place, *rest)


MEASURES = {"convolutions": (convolutions, 10), "cold": (cold, 1), "steady": (steady, 20)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepares a network, or measures and stores."""
    options = _parser().parse_args(arguments)
    if options.prepare:
        prepare(options.network, options.folder)
        return
    network = Prepared(options.folder).description["network"]
    options.results.mkdir(parents=True, exist_ok=True)
    for name in options.names or MEASURES:
        measure, rounds = MEASURES[name]
        about = Measurement(f"gpu-{name}-{network}", "", rounds, partial(measure, options))
        result = run(about, options.rounds, lambda at, name=name: _print_progress(f"{name}: {at}"))
        hardware = {**result.machine, "gpu": _hardware(options.device)}
        path = write(replace(result, machine=hardware), options.results)
        _print_progress(f"{path}, {result.took} s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", choices=[[], *MEASURES], metavar="NAME")
    parser.add_argument("--prepare", action="store_true", help="only write FOLDER")
    parser.add_argument("--network", default="resnet50", help="the network to prepare")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--batch", type=_numbers, default=BATCHES, help="as in 1,256")
    parser.add_argument("--side", type=_sides, default=SIDES, help=",".join(SIDES))
    parser.add_argument("--rounds", type=int, help="of each measurement, instead of its own number")
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
        return "no GPU: a test of the program"
    return f"{torch.cuda.get_device_name()}, cuDNN {torch.backends.cudnn.version()}"


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
