"""What a process measures of sides, each under the definitions of `results.py`.

steady(request, say)  ->  {"eager": {"layout": "channels_last", "steady": [0.061, ...], ...}, ...}
cold(request, say)    ->  {"eager": {"cold": [[None, 0.3]], ...}}

prepare(request): the weights, the images and the outputs that every side is given or held against.

    folder/state.pt      the state_dict in float32
    folder/batch-16.pt   {"images": Tensor, "outputs": [Tensor] or None}

This is work of its own process: the compiler, which a cold start imports anew, runs here.

The peak of resident memory between two points of a process.

    peak = Peak(); work(); peak.bytes()  ->  bytes above what was resident before

Linux keeps a high-water mark that can be set back (VmHWM, proc(5)). Elsewhere it is that of the
process's whole life (getrusage): then a peak before counts too.
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

from resnetgen import load
from resnetgen.runtime.bench.build import BUILDERS, Call, SideSetup, SideUnavailable, layouts
from resnetgen.runtime.bench.process import Request, Workload
from resnetgen.runtime.bench.sides import Side
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.dtypes import dtype_name
from resnetgen.runtime.trace import output_tensors

Say = Callable[..., None]
Found = dict[str, dict[str, Any]]

# Norm-wise errors from which on a side computes something else; rounding stays far below.
_WRONG = {"float32": 1e-2, "bfloat16": 0.5}
_WARMING = 2  # calls after the first
_TRIAL = 3  # calls by which a memory format is chosen
_SHORT = 0.25  # seconds; shorter calls suffer from caches that the other sides emptied


@dataclass(frozen=True)
class RunningSide:
    """A side that runs: `step` is one call, in training forward and backward."""

    given: SideSetup
    step: Callable[[], Any]

    def seconds(self) -> float:
        """The time of a call; a short one is made twice, and the second is timed."""
        first = _seconds(self.step)
        return _seconds(self.step) if first < _SHORT else first


def steady(request: Request, say: Say) -> Found:
    """The times of all sides in turn, their errors and memory formats."""
    given, expected = _given(request)
    found: Found = {}
    runners: dict[str, RunningSide] = {}
    for side in request.sides:
        say("building and warming up", side.name)
        try:
            runner, error = _quickest(replace(given, side=side), expected)
        except Exception as fault:  # libraries fail in many ways; the other sides go on
            found[side.name] = {"reason": _told(fault)}
        else:
            runners[side.name] = runner
            found[side.name] = {"layout": runner.given.layout, "error": error, "steady": []}
    for number in range(request.rounds):
        say(f"round {number + 1} of {request.rounds}")
        for name in sorted(runners, key=list(runners).index, reverse=bool(number % 2)):
            found[name]["steady"].append(runners[name].seconds())
    return found


def cold(request: Request, say: Say) -> Found:
    """The first output of one side. The toolchain is started before, where the side needs it."""
    given, expected = _given(request)
    (side,) = request.sides
    toolchain = _toolchain() if side.compiles else None
    began = time.perf_counter()
    try:
        _, output = _started(replace(given, side=side, layout=layouts(side, given.images.ndim)[0]))
        seconds = time.perf_counter() - began
        error = _error(expected, output, request.dtype)
    except Exception as fault:
        return {side.name: {"reason": _told(fault)}}
    return {side.name: {"cold": [[toolchain, seconds]], "error": error}}


def memory(request: Request, say: Say) -> Found:
    """What one side needs while it runs, in a memory format that was chosen before."""
    given, _ = _given(request)
    (side,) = request.sides
    peak = PeakMemory()
    try:
        runner, _ = _started(replace(given, side=side, layout=layouts(side, given.images.ndim)[0]))
        peak.reset()
        for _ in range(_TRIAL):
            runner.step()
    except Exception as fault:
        return {side.name: {"reason": _told(fault)}}
    return {side.name: {"memory": peak.bytes()}}


# --- a side


def _given(request: Request) -> tuple[SideSetup, Sequence[Tensor] | None]:
    """What all sides get, and the outputs in float32."""
    subject = request.workload
    if subject.threads:
        torch.set_num_threads(subject.threads)
    state = torch.load(subject.state)
    batch = torch.load(subject.images(request.batch))
    dtype = getattr(torch, request.dtype)
    given = SideSetup(subject, request.sides[0], state, batch["images"], dtype, "contiguous")
    return given, batch["outputs"]


def _quickest(given: SideSetup, expected: Sequence[Tensor] | None) -> tuple[RunningSide, Any]:
    """A side in the memory format in which it is quickest, and its error. Raises Unfit."""
    runners, errors = [], []
    for layout in layouts(given.side, given.images.ndim):
        runner, output = _started(replace(given, layout=layout))
        errors.append(_error(expected, output, dtype_name(given.dtype)))
        for _ in range(_WARMING):
            runner.step()
        runners.append(runner)
    _prove(given.side, runners[0])
    if len(runners) == 1:
        return runners[0], errors[0]
    times = [[runner.seconds() for runner in runners] for _ in range(_TRIAL)]
    medians = [median(each) for each in zip(*times, strict=True)]
    best = medians.index(min(medians))
    return runners[best], errors[best]


def _started(given: SideSetup) -> tuple[RunningSide, Any]:
    """A side after its first call, and what that gave. Raises Unfit."""
    with torch.set_grad_enabled(given.workload.training):
        call = BUILDERS[given.side.build](given)
    runner = RunningSide(given, _step(call, given))
    return runner, runner.step()


def _step(call: Call, given: SideSetup) -> Callable[[], Any]:
    """A call, in training with fresh gradients of the mean square of all outputs."""
    x = given.x
    if not given.workload.training:
        return torch.no_grad()(lambda: call(x))
    assert isinstance(call, nn.Module), "what trains is a module"

    def step() -> Any:
        from resnetgen.runtime.trace import output_tensors

        call.zero_grad(set_to_none=True)
        outputs = call(x)
        loss = torch.stack([each.square().mean() for each in output_tensors(outputs)]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return outputs

    return step


def _prove(side: Side, runner: RunningSide) -> None:
    """Raises Unfit where the operator that makes the side what it is does not run."""
    if side.required_operator is None:
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        runner.step()
    if not any(event.key == side.required_operator for event in profile.key_averages()):
        raise SideUnavailable(f"took no effect: {side.required_operator} was not called")


def _error(
    expected: Sequence[Tensor] | None, returned: Any, dtype: str
) -> Mapping[str, float] | None:
    """How far outputs are from float32 eager. Raises Unfit where something else was computed."""
    if expected is None:
        return None
    from resnetgen.runtime.compile_check import relative_error
    from resnetgen.runtime.trace import output_tensors

    outputs = [each.detach().float() for each in output_tensors(returned)]
    most = relative_error(expected, outputs)
    exact, actual = (torch.cat([each.flatten() for each in all]) for all in (expected, outputs))
    if exact.shape != actual.shape or not actual.isfinite().all():
        raise SideUnavailable("gives outputs of other shapes, or such as are not finite")
    norm = ((actual - exact).norm() / exact.norm()).item()
    if not norm < _WRONG[dtype]:
        raise SideUnavailable(f"computes something else: relative error {norm:.1e}")
    return {"max": most, "norm": norm}


def _toolchain() -> float:
    """Seconds until a trivial function is compiled and ran."""
    trivial = torch.compile(lambda x: (x + 1).relu(), fullgraph=True)
    return _seconds(lambda: trivial(torch.ones(64, 64)))


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _told(fault: Exception) -> str:
    """Why a side failed, in a line."""
    if isinstance(fault, SideUnavailable):
        return str(fault)
    from resnetgen.runtime.errors import error_summary

    return error_summary(fault)


SEED = 0
_SETTLING = 4  # images whose statistics the norms take


def prepare(request: Request, say: Callable[..., None]) -> dict[str, Any]:
    """Writes state and images for one batch; torch's version and the threads that it takes."""
    subject = request.workload
    if subject.threads:
        torch.set_num_threads(subject.threads)
    torch.manual_seed(SEED)
    module = _network(subject)
    torch.save(module.state_dict(), subject.state)
    images = torch.randn(request.batch, *subject.shape)
    outputs = _outputs(module.train(subject.training), images)
    torch.save({"images": images, "outputs": outputs}, subject.images(request.batch))
    return {"threads": torch.get_num_threads()}


def _network(subject: Workload) -> nn.Module:
    """With the weights of the checkpoint, else with random ones under which it computes something."""
    if subject.weights is not None:
        return load(subject.spec, weights=subject.weights, **subject.overrides)
    module = load(subject.spec, **subject.overrides)
    return randomize_norms(module, torch.randn(_SETTLING, *subject.shape))


def _outputs(module: nn.Module, images: Tensor) -> list[Tensor] | None:
    """What it returns; None where that is random, so that nothing can be held against it."""
    state = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        first = output_tensors(module(images))
        module.load_state_dict(state)
        again = output_tensors(module(images))
    return first if all(map(torch.equal, first, again)) else None


_STATUS, _MARK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Starts where it is made."""

    def __init__(self) -> None:
        self.before = _status("VmRSS") or _largest()
        self.reset()

    def reset(self) -> None:
        """Forgets peaks up to now; what is resident stays counted."""
        with suppress(OSError):
            _MARK.write_text("5")

    def bytes(self) -> int:
        """The peak since then, above what was resident at first."""
        return max((_status("VmHWM") or _largest()) - self.before, 0)


def _status(name: str) -> int | None:
    """A figure of the process in bytes, where Linux tells it."""
    with suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    return None


def _largest() -> int:
    """The most that ever was resident, in bytes (macOS tells bytes, others KiB)."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
