"""measure(config, progress) -> Results: each batch and dtype, each figure in workers of its own.

    prepare     once for each batch: weights, images, the outputs of float32 eager
    steady      workers with all sides; a new one after ROUNDS rounds
    memory      one worker for each side and case
    cold        one worker for each side and run; sides in turn

A side that fails gets a reason instead of figures, and the others go on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetgen.runtime.bench.machine import machine_info
from resnetgen.runtime.bench.process import (
    OnProgress,
    Request,
    WorkerFailed,
    WorkerSettings,
    Workload,
    run_worker,
    worker_environment,
)
from resnetgen.runtime.bench.results import Case, Results, SideResult, side_result
from resnetgen.runtime.bench.sides import Side

if TYPE_CHECKING:
    from resnetgen.pipeline import Compiled

SideResults = dict[str, SideResult]

# The same code may be 10% faster in one process than in another, because of where its memory lies.
ROUNDS = 5  # in one worker


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure of a network, and under which conditions."""

    compiled: Compiled
    spec: str
    overrides: Mapping[str, object]
    sides: Sequence[Side]
    batches: Sequence[int] = (1,)
    dtypes: Sequence[str] = ("float32",)
    mode: str = "inference"  # or "training"
    rounds: int = 15  # steady calls of each side
    runs: int = 0  # cold starts of each side
    memory: bool = True
    threads: int | None = None  # None: torch's default
    weights: str | None = None  # a checkpoint; None: random weights
    timeout: float = 1800.0  # seconds for which a worker may be silent

    def reasons(self, side: Side) -> list[str]:
        """Why a side cannot be measured in any case; empty if it can in one."""
        reasons = [side.unsupported(self.mode, dtype) for dtype in self.dtypes]
        return [] if None in reasons else list(dict.fromkeys(filter(None, reasons)))

    def workload(self, folder: str) -> Workload:
        """The network, as a worker needs it."""
        return Workload(
            folder,
            self.spec,
            self.compiled.network.name,
            dict(self.overrides),
            list(self.compiled.network.input.shape),
            self.mode,
            self.threads,
            self.weights,
        )


def measure(config: BenchmarkConfig, progress: OnProgress) -> Results:
    """Measures all cases.

    Raises MissingRequirement without torch, and WorkerFailed if the network itself cannot be run.
    """
    compiled = config.compiled
    packages = {package: None for side in config.sides for package in side.needs}
    machine = machine_info(["torch", *packages])
    with tempfile.TemporaryDirectory(prefix="resnetgen-bench-") as folder:
        Path(folder, "module.py").write_text(compiled.source, encoding="utf-8")
        benchmark = _Benchmark(config, folder, progress)
        for batch in config.batches:
            machine["threads"] = benchmark.prepare(batch)["threads"]
        cases = [
            Case(batch, dtype, benchmark.case(batch, dtype))
            for batch in config.batches
            for dtype in config.dtypes
        ]
    name, parameters = compiled.network.name, compiled.cost.params
    return Results(machine, name, parameters, config.mode, cases)


@dataclass(frozen=True)
class _Benchmark:
    """A configuration with the folder in which its workers find their files."""

    config: BenchmarkConfig
    folder: str
    progress: OnProgress

    def prepare(self, batch: int) -> dict[str, Any]:
        request = self.request("prepare", batch, "float32", [])
        return self.run(request, f"preparing batch {batch}")

    def case(self, batch: int, dtype: str) -> SideResults:
        """All figures of one batch and dtype."""
        results = {}
        supported = []
        for side in self.config.sides:
            reason = side.unsupported(self.config.mode, dtype)
            results[side.name] = SideResult(reason=reason)
            if reason is None:
                supported.append(side)
        if self.config.rounds:
            results |= self.steady(batch, dtype, supported)
        for task, times in (("memory", int(self.config.memory)), ("cold", self.config.runs)):
            for number in range(times):
                for side in supported:
                    step = f"batch {batch}, {dtype}, {task} {number + 1} of {times}, {side.name}"
                    self.add(results, task, batch, dtype, side, step)
        return results

    def steady(self, batch: int, dtype: str, sides: Sequence[Side]) -> SideResults:
        """All sides in one worker after another, without those that have failed."""
        results = {side.name: SideResult() for side in sides}
        total = self.config.rounds
        for done in range(0, total, ROUNDS):
            remaining = [
                _in_chosen_layout(side, results[side.name])
                for side in sides
                if not results[side.name].reason
            ]
            rounds = min(ROUNDS, total - done)
            step = f"batch {batch}, {dtype}, steady, {done} of {total} rounds done"
            more = self.together(batch, dtype, remaining, rounds, step)
            results |= {name: _merged(results[name], each) for name, each in more.items()}
        return results

    def together(
        self, batch: int, dtype: str, sides: Sequence[Side], rounds: int, step: str
    ) -> SideResults:
        """All sides in one worker; if one of them makes it fail, the others in another worker."""
        results: SideResults = {}
        remaining = list(sides)
        while remaining:
            request = self.request("steady", batch, dtype, remaining, rounds)
            try:
                answer = self.run(request, step)
            except WorkerFailed as failure:
                failed = [side for side in remaining if failure.side in (side.name, None)]
                results |= {side.name: SideResult(reason=failure.reason) for side in failed}
                remaining = [side for side in remaining if side not in failed]
            else:
                return results | {name: side_result(**each) for name, each in answer.items()}
        return results

    def add(
        self, results: SideResults, task: str, batch: int, dtype: str, side: Side, step: str
    ) -> None:
        """Adds what one more worker measures of a side; nothing once the side has failed."""
        before = results[side.name]
        if before.reason is not None:
            return
        request = self.request(task, batch, dtype, [_in_chosen_layout(side, before)])
        try:
            more = side_result(**self.run(request, step)[side.name])
        except WorkerFailed as failure:
            more = SideResult(reason=failure.reason)
        results[side.name] = _merged(before, more)

    def request(
        self, task: str, batch: int, dtype: str, sides: Sequence[Side], rounds: int = 0
    ) -> Request:
        workload = self.config.workload(self.folder)
        return Request(task, workload, batch, dtype, list(sides), rounds)

    def run(self, request: Request, step: str) -> dict[str, Any]:
        """The answer of a fresh worker; with empty caches for a cold start."""
        is_cold = request.task == "cold"
        with tempfile.TemporaryDirectory(dir=self.folder) as empty:
            caches = empty if is_cold else self.folder
            environment = worker_environment(caches, self.config.threads)
            settings = WorkerSettings(environment, self.config.timeout)
            self.progress(step)
            return run_worker(request, settings, lambda text: self.progress(f"{step}: {text}"))


def _merged(before: SideResult, more: SideResult) -> SideResult:
    """The figures of a side, with those of one more worker."""
    return SideResult(
        layout=before.layout or more.layout,
        steady=before.steady + more.steady,
        cold=before.cold + more.cold,
        memory=before.memory if more.memory is None else more.memory,
        error=before.error or more.error,
        reason=more.reason,
    )


def _in_chosen_layout(side: Side, before: SideResult) -> Side:
    """The side in the memory format that was the fastest, if that was measured."""
    return replace(side, layouts=[before.layout]) if before.layout else side
