"""A whole network on a device, in bfloat16 and channels_last: its first result, and steady times.

    python -m benchmarks.gpu_networks cold FOLDER DEVICE BATCH SIDE
    python -m benchmarks.gpu_networks steady FOLDER DEVICE BATCH ROUNDS SIDE [SIDE ...]

cold    from torch imported and the network on the device to the first result, and what of it
        torch.compile spent where; what the compiler of the spec took is not in it
steady  all sides in one process, a call of each in turn
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


def recorded(call: Call, x: Tensor) -> Call:
    """In one CUDA graph, where there is a device."""
    return CapturedCall(call, x) if x.is_cuda else call


def frozen(module: nn.Module, x: Tensor) -> Call:
    """Kernels chosen by trial, CUDA graphs of torch.compile, weights as constants of the code."""
    call = compiled(module, mode="max-autotune")
    with torch._inductor.config.patch(freezing=True):
        call(x)
    return call


# Of the network in bfloat16 ...
PLAIN: dict[str, Callable[[nn.Module, Tensor], Call]] = {
    "eager": lambda module, x: module,
    "B0": lambda module, x: compiled(module),
    "B1": frozen,
    "regional": lambda module, x: recorded(compile_by_regions(module, whole=False), x),
}
# ... and of its folded module.
FOLDED: dict[str, Callable[[nn.Module, Tensor], Call]] = {
    "optimized": use_cuda_graph,
    "captured": recorded,
    "autotuned": lambda module, x: recorded(compiled(module, mode="max-autotune-no-cudagraphs"), x),
}
SIDES = (*PLAIN, *FOLDED)


def call_of(side: str, prepared: Prepared, model: nn.Module, x: Tensor) -> Call:
    """The call of a side for a float32 network and images; what is compiled may be at the first call."""
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
        results.append(call_of(side, prepared, model, x)(x))
        finish(x)

    finish(x)
    took = seconds(first)
    phases = {
        name: float(value)
        for name, value in zip(*compile_times("csv", aggregate=True), strict=True)
    }
    return {"seconds": took, "error": error(results[0], exact), "phases": phases}


def steady(
    prepared: Prepared, device: str, batch: int, rounds: int, sides: list[str]
) -> dict[str, Any]:
    """Seconds of each call of each side; the error on images that it has not seen."""
    model, images = prepared.plain(device), prepared.images(batch, device, seed=1)
    x, exact = images.to(DTYPE), model(images)
    other = prepared.images(batch, device, seed=2).to(DTYPE)
    found: dict[str, dict[str, Any]] = {}
    timed: dict[str, Callable[[], float]] = {}
    for side in sides:
        try:
            call = call_of(side, prepared, prepared.plain(device), other)
            for _ in range(WARM_UP):
                call(other)
            found[side] = {"error": error(call(x), exact)}
            timed[side] = partial(seconds, partial(finished, call, x))
        except Exception as fault:  # torch's compilers fail in many classes; the other sides go on
            found[side] = {"reason": error_summary(fault)}
    for side, times in in_turn(timed, rounds).items():
        found[side]["seconds"] = times
    return found


def finished(call: Call, x: Tensor) -> None:
    """A call, until the device has done it."""
    call(x)
    finish(x)


def finish(x: Tensor) -> None:
    """Waits for the device."""
    if x.is_cuda:
        torch.cuda.synchronize()


def error(result: Tensor, exact: Tensor) -> float:
    """||result - exact|| / ||exact||, `exact` being float32 eager execution."""
    return ((result.float() - exact).norm() / exact.norm()).item()


def main(arguments: list[str]) -> None:
    """Prints figures as JSON."""
    what, folder, device, batch, *rest = arguments
    torch.backends.cudnn.allow_tf32 = False  # the reference is float32
    with torch.no_grad():
        given = Prepared(Path(folder)), device, int(batch)
        if what == "cold":
            found = cold(*given, *rest)
        else:
            found = steady(*given, int(rest[0]), rest[1:])
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
