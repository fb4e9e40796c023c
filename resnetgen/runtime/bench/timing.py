"""What a worker measures of sides; `results.py` defines each figure.

    steady(request, progress)  ->  {"eager": {"layout": "channels_last", "steady": [0.061, ...], ...}, ...}
    cold(request, progress)    ->  {"eager": {"cold": [[None, 0.3]], "error": {...}}}
    memory(request, progress)  ->  {"eager": {"memory": 125829120}}

A side that fails has {"reason": "..."}. Times are in seconds, sizes in bytes. Nothing of the compiler
is imported at the top: a cold start times that import.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from resnetgen.runtime.bench.build import BUILDERS, Call, SideSetup, SideUnavailable, layouts
from resnetgen.runtime.bench.process import Request
from resnetgen.runtime.bench.sides import Side
from resnetgen.runtime.dtypes import dtype_name

OnProgress = Callable[..., None]
Figures = dict[str, dict[str, Any]]  # by side

# Norm-wise errors from which on a side computes something else; rounding stays far below.
_MAX_ERROR = {"float32": 1e-2, "bfloat16": 0.5}
_WARM_UP = 2  # calls after the first
_TRIALS = 3  # calls by which a memory format is chosen
_SHORT = 0.25  # seconds; shorter calls suffer from caches that the other sides have emptied

# --- tasks


def steady(request: Request, progress: OnProgress) -> Figures:
    """The times of all sides in turn, their errors and memory formats."""
    setup, expected = _load_setup(request)
    figures: Figures = {}
    running: dict[str, RunningSide] = {}
    for side in request.sides:
        progress("building and warming up", side.name)
        try:
            fastest, error = _in_fastest_layout(replace(setup, side=side), expected)
        except Exception as failure:  # libraries fail in many ways; the other sides go on
            figures[side.name] = {"reason": _reason(failure)}
        else:
            running[side.name] = fastest
            figures[side.name] = {"layout": fastest.setup.layout, "error": error, "steady": []}
    for number in range(request.rounds):
        progress(f"round {number + 1} of {request.rounds}")
        for name in sorted(running, key=list(running).index, reverse=bool(number % 2)):
            figures[name]["steady"].append(running[name].seconds())
    return figures


def cold(request: Request, progress: OnProgress) -> Figures:
    """The time to the first output of one side, after that of the toolchain if the side needs it."""
    setup, expected = _load_setup(request)
    (side,) = request.sides
    toolchain = _toolchain_seconds() if side.compiles else None
    start = time.perf_counter()
    try:
        _, output = _start(_in_first_layout(setup, side))
        seconds = time.perf_counter() - start
        error = _output_error(expected, output, request.dtype)
    except Exception as failure:
        return {side.name: {"reason": _reason(failure)}}
    return {side.name: {"cold": [[toolchain, seconds]], "error": error}}


def memory(request: Request, progress: OnProgress) -> Figures:
    """The peak memory of one side while it runs, in a memory format that was chosen before."""
    setup, _ = _load_setup(request)
    (side,) = request.sides
    peak = PeakMemory()
    try:
        running, _ = _start(_in_first_layout(setup, side))
        peak.reset()
        for _ in range(_TRIALS):
            running.step()
    except Exception as failure:
        return {side.name: {"reason": _reason(failure)}}
    return {side.name: {"memory": peak.bytes()}}


def _load_setup(request: Request) -> tuple[SideSetup, Sequence[Tensor] | None]:
    """What all sides get, and the expected outputs: those of eager execution in float32."""
    workload = request.workload
    if workload.threads:
        torch.set_num_threads(workload.threads)
    state = torch.load(workload.state_path)
    batch = torch.load(workload.batch_path(request.batch))
    dtype = getattr(torch, request.dtype)
    setup = SideSetup(workload, request.sides[0], state, batch["images"], dtype, "contiguous")
    return setup, batch["outputs"]


def _in_first_layout(setup: SideSetup, side: Side) -> SideSetup:
    return replace(setup, side=side, layout=layouts(side, setup.images.ndim)[0])


def _reason(failure: Exception) -> str:
    """Why a side failed, in a line."""
    if isinstance(failure, SideUnavailable):
        return str(failure)
    from resnetgen.runtime.errors import error_summary

    return error_summary(failure)


# --- a side


@dataclass(frozen=True)
class RunningSide:
    """A side after its first call. `step` is one more: in training, forward and backward."""

    setup: SideSetup
    step: Callable[[], Any]

    def seconds(self) -> float:
        """The time of a call; a short one is made twice, and the second is timed."""
        first = _seconds(self.step)
        return _seconds(self.step) if first < _SHORT else first


def _in_fastest_layout(
    setup: SideSetup, expected: Sequence[Tensor] | None
) -> tuple[RunningSide, Any]:
    """A side in the memory format in which it is fastest, and its error. Raises SideUnavailable."""
    candidates, errors = [], []
    for layout in layouts(setup.side, setup.images.ndim):
        running, output = _start(replace(setup, layout=layout))
        errors.append(_output_error(expected, output, dtype_name(setup.dtype)))
        for _ in range(_WARM_UP):
            running.step()
        candidates.append(running)
    _check_operator(setup.side, candidates[0])
    if len(candidates) == 1:
        return candidates[0], errors[0]
    times = [[each.seconds() for each in candidates] for _ in range(_TRIALS)]
    medians = [median(each) for each in zip(*times, strict=True)]
    best = medians.index(min(medians))
    return candidates[best], errors[best]


def _start(setup: SideSetup) -> tuple[RunningSide, Any]:
    """A side after its first call, and the output of that call. Raises SideUnavailable."""
    with torch.set_grad_enabled(setup.workload.training):
        call = BUILDERS[setup.side.build](setup)
    running = RunningSide(setup, _step(call, setup))
    return running, running.step()


def _step(call: Call, setup: SideSetup) -> Callable[[], Any]:
    """A call; in training with fresh gradients of the mean square of all outputs."""
    x = setup.x
    if not setup.workload.training:
        return torch.no_grad()(lambda: call(x))
    assert isinstance(call, nn.Module), "a side that trains is a module"

    def step() -> Any:
        from resnetgen.runtime.trace import output_tensors

        call.zero_grad(set_to_none=True)
        outputs = call(x)
        loss = torch.stack([each.square().mean() for each in output_tensors(outputs)]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return outputs

    return step


def _check_operator(side: Side, running: RunningSide) -> None:
    """Raises SideUnavailable if the operator that makes the side what it is does not run."""
    if side.required_operator is None:
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        running.step()
    if not any(event.key == side.required_operator for event in profile.key_averages()):
        raise SideUnavailable(f"had no effect: {side.required_operator} was not called")


def _output_error(
    expected: Sequence[Tensor] | None, returned: Any, dtype: str
) -> Mapping[str, float] | None:
    """How far outputs are from float32 eager. Raises SideUnavailable if they are something else."""
    if expected is None:
        return None
    from resnetgen.runtime.compile_check import relative_error
    from resnetgen.runtime.trace import output_tensors

    outputs = [each.detach().float() for each in output_tensors(returned)]
    greatest = relative_error(expected, outputs)
    exact, actual = (torch.cat([each.flatten() for each in all]) for all in (expected, outputs))
    if exact.shape != actual.shape or not actual.isfinite().all():
        raise SideUnavailable("returns outputs of other shapes, or values that are not finite")
    norm = ((actual - exact).norm() / exact.norm()).item()
    if not norm < _MAX_ERROR[dtype]:
        raise SideUnavailable(f"computes something else: relative error {norm:.1e}")
    return {"max": greatest, "norm": norm}


# --- clocks


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _toolchain_seconds() -> float:
    """Seconds until a trivial function is compiled and has run."""
    trivial = torch.compile(lambda x: (x + 1).relu(), fullgraph=True)
    return _seconds(lambda: trivial(torch.ones(64, 64)))


_STATUS, _RESET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """The peak of resident memory since a point in time, above what was resident when it was made.

        peak = PeakMemory(); build(); peak.reset(); run(); peak.bytes()    # weights count, building does not

    Linux keeps a high-water mark that can be reset (VmHWM, proc(5)). Elsewhere it is the mark of the
    whole life of the process (getrusage), so an earlier peak counts too.
    """

    def __init__(self) -> None:
        self.before = _status("VmRSS") or _max_resident()
        self.reset()

    def reset(self) -> None:
        """Forgets peaks up to now; what is resident still counts."""
        with suppress(OSError):
            _RESET_PEAK.write_text("5")

    def bytes(self) -> int:
        """The peak since the last reset, above what was resident at the beginning."""
        return max((_status("VmHWM") or _max_resident()) - self.before, 0)


def _status(name: str) -> int | None:
    """A figure of the process in bytes, if this is Linux."""
    with suppress(OSError):
        match = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        return int(match[1]) * 1024 if match else None
    return None


def _max_resident() -> int:
    """The most that was ever resident, in bytes (macOS reports bytes, others KiB)."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
