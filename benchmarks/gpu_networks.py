"""A whole network on a device, in bfloat16 and channels_last: its first result, and steady times.

    python -m benchmarks.gpu_networks cold FOLDER DEVICE BATCH SIDE
    python -m benchmarks.gpu_networks steady FOLDER DEVICE BATCH ROUNDS SIDE [SIDE ...]

cold    from torch imported and the network on the device to the first result, and how long each phase
        of torch.compile took; compiling the spec is not included
steady  all sides in one process, a call of each in turn

It has never been run on a device.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu_prepared import Prepared
from benchmarks.processes import in_turn, seconds
from resnetgen.runtime.cuda_graph import CapturedCall, use_cuda_graph
from resnetgen.runtime.errors import error_summary
from resnetgen.runtime.regional.compile import compile_by_regions
from resnetgen.runtime.trace import with_own_code

DTYPE = torch.bfloat16
WARM_UP = 3

Call = Callable[[Tensor], Tensor]


def compiled(module: nn.Module, **options: Any) -> Call:
    """Compiled whole by torch.compile."""
    return torch.compile(with_own_code(module), fullgraph=True, dynamic=False, **options)


def captured(call: Call, x: Tensor) -> Call:
    """In one CUDA graph, if there is a device."""
    return CapturedCall(call, x) if x.is_cuda else call


def frozen(module: nn.Module, x: Tensor) -> Call:
    """With max-autotune, the CUDA graphs of torch.compile, and weights as constants of the code."""
    call = compiled(module, mode="max-autotune")
    with torch._inductor.config.patch(freezing=True):
        call(x)
    return call


# Calls of the network in bfloat16 ...
PLAIN: dict[str, Callable[[nn.Module, Tensor], Call]] = {
    "eager": lambda module, x: module,
    "B0": lambda module, x: compiled(module),
    "B1": frozen,
    "regional": lambda module, x: captured(compile_by_regions(module, whole=False), x),
}
# ... and calls of its folded module.
FOLDED: dict[str, Callable[[nn.Module, Tensor], Call]] = {
    "optimized": use_cuda_graph,
    "captured": captured,
    "autotuned": lambda module, x: captured(compiled(module, mode="max-autotune-no-cudagraphs"), x),
}
SIDES = (*PLAIN, *FOLDED)


def build_side(side: str, prepared: Prepared, model: nn.Module, x: Tensor) -> Call:
    """The call of a side for a float32 network and images; it may compile when it is first called."""
    if side in PLAIN:
        return PLAIN[side](model.to(DTYPE), x)
    folded = prepared.folded(model, DTYPE).to(memory_format=torch.channels_last)
    return FOLDED[side](folded, x)


def cold(prepared: Prepared, device: str, batch: int, side: str) -> dict[str, Any]:
    """Seconds to the first result, its error, and seconds of each phase of torch.compile."""
    from torch._dynamo.utils import compile_times

    model, images = prepared.plain(device), prepared.images(batch, device, seed=1)
    x = images.to(DTYPE)
    exact = model(images)
    results: list[Tensor] = []

    def first() -> None:
        results.append(build_side(side, prepared, model, x)(x))
        wait_for_device(x)

    wait_for_device(x)
    duration = seconds(first)
    phases = {
        name: float(value)
        for name, value in zip(*compile_times("csv", aggregate=True), strict=True)
    }
    return {"seconds": duration, "error": relative_error(results[0], exact), "phases": phases}


def steady(
    prepared: Prepared, device: str, batch: int, rounds: int, sides: list[str]
) -> dict[str, Any]:
    """Seconds of each call of each side; the error on images that it has not been built with."""
    model, images = prepared.plain(device), prepared.images(batch, device, seed=1)
    x, exact = images.to(DTYPE), model(images)
    other = prepared.images(batch, device, seed=2).to(DTYPE)
    figures: dict[str, dict[str, Any]] = {}
    timed: dict[str, Callable[[], float]] = {}
    for side in sides:
        try:
            call = build_side(side, prepared, prepared.plain(device), other)
            for _ in range(WARM_UP):
                call(other)
            figures[side] = {"error": relative_error(call(x), exact)}
            timed[side] = partial(seconds, partial(call_and_wait, call, x))
        except Exception as error:  # torch's compilers fail in many classes; the other sides go on
            figures[side] = {"reason": error_summary(error)}
    for side, times in in_turn(timed, rounds).items():
        figures[side]["seconds"] = times
    return figures


def call_and_wait(call: Call, x: Tensor) -> None:
    """A call, until the device has done it."""
    call(x)
    wait_for_device(x)


def wait_for_device(x: Tensor) -> None:
    """Waits for the device."""
    if x.is_cuda:
        torch.cuda.synchronize()


def relative_error(result: Tensor, exact: Tensor) -> float:
    """||result - exact|| / ||exact||, `exact` being float32 eager execution."""
    return ((result.float() - exact).norm() / exact.norm()).item()


def main(arguments: list[str]) -> None:
    """Prints figures as JSON."""
    what, folder, device, batch, *rest = arguments
    torch.backends.cudnn.allow_tf32 = False  # the reference is float32
    with torch.no_grad():
        setup = Prepared(Path(folder)), device, int(batch)
        if what == "cold":
            figures = cold(*setup, *rest)
        else:
            figures = steady(*setup, int(rest[0]), rest[1:])
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
