"""measure(question, tell) -> Results: each batch and dtype, each figure in processes of its own.

prepare     once a batch: weights, images, what float32 eager makes of them
steady      processes with all sides; a new one after some rounds
memory      one process a side and case
cold        one process a side and run, sides in turn
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

Outcomes = dict[str, SideResult]

# The same code may be 10% faster in one process than in another, whose memory lies elsewhere.
ROUNDS = 5  # of one process


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is to be measured of a network. `runs` are cold starts a side; 0 for none."""

    compiled: Compiled
    spec: str
    overrides: Mapping[str, object]
    sides: Sequence[Side]
    batches: Sequence[int] = (1,)
    dtypes: Sequence[str] = ("float32",)
    mode: str = "inference"
    rounds: int = 15
    runs: int = 0
    memory: bool = True
    threads: int | None = None
    weights: str | None = None
    timeout: float = 1800.0

    def reasons(self, side: Side) -> list[str]:
        """Why a side can be measured in no case; empty where it can in one."""
        found = [side.unsupported(self.mode, dtype) for dtype in self.dtypes]
        return [] if None in found else list(dict.fromkeys(filter(None, found)))

    def workload(self, folder: str) -> Workload:
        """The network, for the processes."""
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


def measure(question: BenchmarkConfig, tell: OnProgress) -> Results:
    """Measures all cases; what goes wrong with a side is its reason.

    Raises RuntimeFault without torch, and ProcessFault where the network itself cannot be run.
    """
    compiled = question.compiled
    needed = {package: None for side in question.sides for package in side.needs}
    machine = machine_info(["torch", *needed])
    with tempfile.TemporaryDirectory(prefix="resnetgen-bench-") as folder:
        Path(folder, "module.py").write_text(compiled.source, encoding="utf-8")
        bench = _Bench(question, folder, tell)
        for batch in question.batches:
            machine["threads"] = bench.prepare(batch)["threads"]
        cases = [
            Case(batch, dtype, bench.case(batch, dtype))
            for batch in question.batches
            for dtype in question.dtypes
        ]
    name, parameters = compiled.network.name, compiled.cost.params
    return Results(machine, name, parameters, question.mode, cases)


@dataclass(frozen=True)
class _Bench:
    """A question with the folder in which its processes find their things."""

    question: BenchmarkConfig
    folder: str
    tell: OnProgress

    def prepare(self, batch: int) -> dict[str, Any]:
        return self.ask(self.request("prepare", batch, "float32", []), f"preparing batch {batch}")

    def case(self, batch: int, dtype: str) -> Outcomes:
        """All figures of one batch and dtype."""
        found = {}
        fit = []
        for side in self.question.sides:
            reason = side.unsupported(self.question.mode, dtype)
            found[side.name] = SideResult(reason=reason)
            if reason is None:
                fit.append(side)
        found |= self.steady(batch, dtype, fit) if self.question.rounds else {}
        for task, times in (("memory", int(self.question.memory)), ("cold", self.question.runs)):
            for number in range(times):
                for side in fit:
                    told = f"batch {batch}, {dtype}, {task} {number + 1} of {times}, {side.name}"
                    self.add(found, task, batch, dtype, side, told)
        return found

    def steady(self, batch: int, dtype: str, sides: Sequence[Side]) -> Outcomes:
        """All sides in one process after another, without those that failed."""
        found = {side.name: SideResult() for side in sides}
        total = self.question.rounds
        for done in range(0, total, ROUNDS):
            left = [
                _settled(side, found[side.name]) for side in sides if not found[side.name].reason
            ]
            told = f"batch {batch}, {dtype}, steady, {done} of {total} rounds done"
            answers = self.together(batch, dtype, left, min(ROUNDS, total - done), told)
            found |= {name: _joined(found[name], each) for name, each in answers.items()}
        return found

    def together(
        self, batch: int, dtype: str, sides: Sequence[Side], rounds: int, told: str
    ) -> Outcomes:
        """All sides in one process; without the one that ends it, if one does."""
        found: Outcomes = {}
        left = list(sides)
        while left:
            request = self.request("steady", batch, dtype, left, rounds)
            try:
                answer = self.ask(request, told)
            except WorkerFailed as fault:
                guilty = [side for side in left if fault.side in (side.name, None)]
                found |= {side.name: SideResult(reason=fault.reason) for side in guilty}
                left = [side for side in left if side not in guilty]
            else:
                return found | {name: side_result(**each) for name, each in answer.items()}
        return found

    def add(
        self, found: Outcomes, task: str, batch: int, dtype: str, side: Side, told: str
    ) -> None:
        """Adds what one more process finds of a side, which is asked no more once it failed."""
        before = found[side.name]
        if before.reason is not None:
            return
        request = self.request(task, batch, dtype, [_settled(side, before)])
        try:
            answer = side_result(**self.ask(request, told)[side.name])
        except WorkerFailed as fault:
            answer = SideResult(reason=fault.reason)
        found[side.name] = _joined(before, answer)

    def request(
        self, task: str, batch: int, dtype: str, sides: Sequence[Side], rounds: int = 0
    ) -> Request:
        subject = self.question.workload(self.folder)
        return Request(task, subject, batch, dtype, list(sides), rounds)

    def ask(self, request: Request, told: str) -> dict[str, Any]:
        """The answer of a fresh process; with empty caches for a cold start."""
        is_cold = request.task == "cold"
        with tempfile.TemporaryDirectory(dir=self.folder) as empty:
            place = empty if is_cold else self.folder
            settings = worker_environment(place, self.question.threads)
            self.tell(told)
            return run_worker(
                request,
                WorkerSettings(settings, self.question.timeout),
                lambda text: self.tell(f"{told}: {text}"),
            )


def _joined(before: SideResult, answer: SideResult) -> SideResult:
    """What is known of a side with what one more process found."""
    return SideResult(
        layout=before.layout or answer.layout,
        steady=before.steady + answer.steady,
        cold=before.cold + answer.cold,
        memory=before.memory if answer.memory is None else answer.memory,
        error=before.error or answer.error,
        reason=answer.reason,
    )


def _settled(side: Side, before: SideResult) -> Side:
    """The side in the memory format that was the quickest, where that was tried."""
    return replace(side, layouts=[before.layout]) if before.layout else side
