"""Each convolution of a network in the ways that could compute it: which decides where fusing pays.

fused      cuDNN's convolution with bias, ReLU and addend in one call, where it has one
epilogue   convolution, and the rest in one kernel of torch.compile
product    a 1x1 convolution as a matrix product over positions, the rest as in `epilogue`

`first` is the first call: plans and code are made in it. Called with FOLDER DEVICE BATCH ROUNDS.
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
    """For each problem what each way takes, or why it is not there."""
    torch.backends.cudnn.allow_tf32 = False  # the reference is float32
    ones = torch.ones(8, 8, 8, 8, device=device)
    F.conv2d(ones, ones)  # starts the library, which is no part of a first call
    with torch.inference_mode():
        return [
            {"problem": asdict(problem), "ways": compared(problem, device, batch, rounds)}
            for problem in prepared.problems
        ]


def compared(problem: Problem, device: str, batch: int, rounds: int) -> dict[str, dict[str, Any]]:
    """The ways of one problem on the same random values in bfloat16."""
    values = operands(problem, device, batch)
    exact = plain(problem)(*(each if each is None else each.float() for each in values))
    found: dict[str, dict[str, Any]] = {}
    for name, way in ways(problem, device).items():
        try:
            found[name] = timed(partial(way, *values), exact, rounds)
        except Exception as fault:  # an operator that is not there, or not for these sizes
            found[name] = {"reason": error_summary(fault)}
    return found


def operands(
    problem: Problem, device: str, batch: int
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Images, weight, bias, and the addend where there is one; channels_last."""
    torch.manual_seed(0)
    fan = problem.channels // problem.groups * problem.kernel**2

    def drawn(*shape: int) -> Tensor:
        x = torch.randn(shape, device=device, dtype=torch.bfloat16)
        return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x

    x = drawn(batch, problem.channels, *problem.size)
    kernel = problem.kernel, problem.kernel
    weight = drawn(problem.out, problem.channels // problem.groups, *kernel) * fan**-0.5
    bias = drawn(problem.out)
    shape = plain(problem)(x[:1], weight, bias, None).shape[1:]
    return x, weight, bias, drawn(batch, *shape) if problem.adds else None


def ways(problem: Problem, device: str) -> dict[str, Implementation]:
    """What could compute it."""
    found = {"fused": fused(problem), "epilogue": compiled(plain(problem))}
    if problem.is_product:
        found["product"] = compiled(product(problem))
    if device == "cpu":
        found["fused"] = lambda *_: absent("cuDNN needs a CUDA device")
    elif not problem.rectifies:
        found["fused"] = lambda *_: absent("cuDNN's fused calls end in a ReLU")
    return found


def absent(reason: str) -> Tensor:
    """Stands for a way that is not there."""
    raise NotImplementedError(reason)


def compiled(way: Implementation) -> Implementation:
    """Compiled by torch.compile, apart from all others."""
    return torch.compile(with_own_code(way), fullgraph=True, dynamic=False)


def plain(problem: Problem) -> Implementation:
    """A convolution, then what follows."""
    place = problem.stride, problem.padding, problem.dilation, problem.groups

    def way(x: Tensor, weight: Tensor, bias: Tensor, addend: Tensor | None) -> Tensor:
        return ended(F.conv2d(x, weight, bias, *place), addend, problem.rectifies)

    return way


def product(problem: Problem) -> Implementation:
    """A matrix product over positions, then what follows."""
    step = problem.stride

    def way(x: Tensor, weight: Tensor, bias: Tensor, addend: Tensor | None) -> Tensor:
        y = F.linear(x[..., ::step, ::step].permute(0, 2, 3, 1), weight.flatten(1), bias)
        return ended(y.permute(0, 3, 1, 2), addend, problem.rectifies)

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


def ended(y: Tensor, addend: Tensor | None, rectifies: bool) -> Tensor:
    """The addition and the ReLU."""
    y = y if addend is None else y + addend
    return y.relu() if rectifies else y


def timed(call: Callable[[], Tensor], exact: Tensor, rounds: int) -> dict[str, Any]:
    """Seconds of the first call and of each further one, and the error against float32."""
    first = seconds(partial(finished, call, exact.is_cuda))
    error = ((call().float() - exact).norm() / exact.norm()).item()
    return {"first": first, "seconds": repeated(call, exact.is_cuda, rounds), "error": error}


def repeated(call: Callable[[], Tensor], cuda: bool, rounds: int) -> list[float]:
    """Seconds of a call, in each round: on a device in a CUDA graph of many, without launches."""
    if not cuda:
        return [seconds(call) for _ in range(rounds)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            call()
    replay = partial(finished, graph.replay, cuda)
    return [seconds(replay) / REPEATS for _ in range(rounds)]


def finished(call: Callable[[], object], cuda: bool) -> None:
    """A call, until the device has done it."""
    call()
    if cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    folder, device, batch, rounds = sys.argv[1:]
    print(json.dumps(measure(Prepared(Path(folder)), device, int(batch), int(rounds))))
