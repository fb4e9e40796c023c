"""Each convolution of a network, computed in several ways, to decide where fusing pays.

fused      cuDNN's convolution with bias, ReLU and addend in one call, if it has one
epilogue   convolution, and the rest in one kernel of torch.compile
product    a 1x1 convolution as a matrix product over positions, the rest as in `epilogue`

`first` is the first call, which includes planning and compiling. Called with FOLDER DEVICE BATCH
ROUNDS. It has never been run on a device.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu_prepared import Prepared, Problem
from benchmarks.processes import seconds
from resnetgen.runtime.errors import error_summary
from resnetgen.runtime.trace import with_own_code

REPEATS = 20  # calls in a CUDA graph, so that launches do not count

Implementation = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def measure(prepared: Prepared, device: str, batch: int, rounds: int) -> list[dict[str, Any]]:
    """For each problem the times of each way to compute it, or why there are none."""
    torch.backends.cudnn.allow_tf32 = False  # the reference is float32
    ones = torch.ones(8, 8, 8, 8, device=device)
    F.conv2d(ones, ones)  # starts the library, which is not part of a first call
    with torch.inference_mode():
        return [
            {"problem": asdict(problem), "ways": measure_problem(problem, device, batch, rounds)}
            for problem in prepared.problems
        ]


def measure_problem(
    problem: Problem, device: str, batch: int, rounds: int
) -> dict[str, dict[str, Any]]:
    """All ways to compute one problem, on the same random values in bfloat16."""
    values = operands(problem, device, batch)
    exact = plain(problem)(*(each if each is None else each.float() for each in values))
    figures: dict[str, dict[str, Any]] = {}
    for name, way in implementations(problem, device).items():
        try:
            figures[name] = timings(partial(way, *values), exact, rounds)
        except Exception as error:  # an operator that does not exist, or not for these sizes
            figures[name] = {"reason": error_summary(error)}
    return figures


def operands(
    problem: Problem, device: str, batch: int
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Images, weight, bias, and the addend if there is one; in channels_last."""
    torch.manual_seed(0)
    fan = problem.channels // problem.groups * problem.kernel**2

    def draw(*shape: int) -> Tensor:
        x = torch.randn(shape, device=device, dtype=torch.bfloat16)
        return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x

    x = draw(batch, problem.channels, *problem.size)
    kernel = problem.kernel, problem.kernel
    weight = draw(problem.out, problem.channels // problem.groups, *kernel) * fan**-0.5
    bias = draw(problem.out)
    shape = plain(problem)(x[:1], weight, bias, None).shape[1:]
    return x, weight, bias, draw(batch, *shape) if problem.adds else None


def implementations(problem: Problem, device: str) -> dict[str, Implementation]:
    """The ways to compute a problem, by name."""
    known = {"fused": fused(problem), "epilogue": compiled(plain(problem))}
    if problem.is_product:
        known["product"] = compiled(product(problem))
    if device == "cpu":
        known["fused"] = lambda *_: unavailable("cuDNN needs a CUDA device")
    elif not problem.rectifies:
        known["fused"] = lambda *_: unavailable("cuDNN's fused calls end in a ReLU")
    return known


def unavailable(reason: str) -> Tensor:
    """Raises NotImplementedError: in place of a way that does not exist."""
    raise NotImplementedError(reason)


def compiled(way: Implementation) -> Implementation:
    """Compiled by torch.compile, with a cache of its own."""
    return torch.compile(with_own_code(way), fullgraph=True, dynamic=False)


def plain(problem: Problem) -> Implementation:
    """A convolution, then what follows."""
    place = problem.stride, problem.padding, problem.dilation, problem.groups

    def way(x: Tensor, weight: Tensor, bias: Tensor, addend: Tensor | None) -> Tensor:
        return epilogue(F.conv2d(x, weight, bias, *place), addend, problem.rectifies)

    return way


def product(problem: Problem) -> Implementation:
    """A matrix product over positions, then what follows."""
    step = problem.stride

    def way(x: Tensor, weight: Tensor, bias: Tensor, addend: Tensor | None) -> Tensor:
        y = F.linear(x[..., ::step, ::step].permute(0, 2, 3, 1), weight.flatten(1), bias)
        return epilogue(y.permute(0, 3, 1, 2), addend, problem.rectifies)

    return way


def fused(problem: Problem) -> Implementation:
    """One call of cuDNN."""
    place = [[each] * 2 for each in (problem.stride, problem.padding, problem.dilation)]

    def way(x: Tensor, weight: Tensor, bias: Tensor, addend: Tensor | None) -> Tensor:
        ops, end = torch.ops.aten, (bias, *place, problem.groups)
        if addend is None:
            return ops.cudnn_convolution_relu(x, weight, *end)
        return ops.cudnn_convolution_add_relu(x, weight, addend, 1.0, *end)

    return way


def epilogue(y: Tensor, addend: Tensor | None, rectifies: bool) -> Tensor:
    """The addition and the ReLU."""
    y = y if addend is None else y + addend
    return y.relu() if rectifies else y


def timings(call: Callable[[], Tensor], exact: Tensor, rounds: int) -> dict[str, Any]:
    """Seconds of the first call and of each further one, and the error against float32."""
    first = seconds(partial(call_and_wait, call, exact.is_cuda))
    error = ((call().float() - exact).norm() / exact.norm()).item()
    return {
        "first": first,
        "seconds": repeated_seconds(call, exact.is_cuda, rounds),
        "error": error,
    }


def repeated_seconds(call: Callable[[], Tensor], cuda: bool, rounds: int) -> list[float]:
    """Seconds of a call, in each round: on a device in a CUDA graph of many, without launches."""
    if not cuda:
        return [seconds(call) for _ in range(rounds)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            call()
    replay = partial(call_and_wait, graph.replay, cuda)
    return [seconds(replay) / REPEATS for _ in range(rounds)]


def call_and_wait(call: Callable[[], object], cuda: bool) -> None:
    """A call, until the device has done it."""
    call()
    if cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    folder, device, batch, rounds = sys.argv[1:]
    print(json.dumps(measure(Prepared(Path(folder)), device, int(batch), int(rounds))))
