"""What was measured: Results, with a Case for each batch and dtype, with a SideResult for each side.

    results.json()  ->  {"machine": {...}, "network": "resnet50", "cases": [{"batch": 1, "sides": ...}]}
    read(text)      ->  the same Results

Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

# The side that others are compared with, if it was measured.
BASELINE = "optimized"

DEFINITIONS = {
    "steady": "Seconds of each call, after warm-up. A process has all sides with the same weights and images and "
    "runs them in turn, in rounds, reversing the order each time; another process takes over after five rounds. "
    "A training step is forward and backward.",
    "cold": "[start-up, seconds]: in a fresh process with empty caches, from torch imported and the checkpoint in memory to the "
    "first output, importing and building included. Sides that compile first compile a trivial function, whose "
    "time is the start-up of the C++ toolchain. A cold start with it is the sum; null means that there is none.",
    "memory": "Peak resident memory of three calls after the first, above what the process had with torch and the checkpoint "
    "in memory before the side was built; a fresh process for each side. What only building needs is not included.",
    "error": "Against eager execution in float32 with the same weights: `max` is the greatest difference of a value relative to "
    "the largest value of its output, `norm` the Euclidean norm of the difference relative to that of the outputs.",
}


@dataclass(frozen=True)
class OutputError:
    """How far outputs are from float32 eager."""

    max: float
    norm: float


@dataclass(frozen=True)
class SideResult:
    """The figures of a side. `reason` says why there are none, or not all."""

    layout: str | None = None  # the memory format that was the fastest
    steady: list[float] = field(default_factory=list)  # of each call
    cold: list[tuple[float | None, float]] = field(default_factory=list)  # toolchain, then the rest
    memory: int | None = None
    error: OutputError | None = None
    reason: str | None = None

    @property
    def median_call(self) -> float | None:
        """The median time of a call."""
        return median(self.steady) if self.steady else None

    @property
    def first_output(self) -> float | None:
        """The median time to the first output, after the toolchain's start-up."""
        return median(seconds for _, seconds in self.cold) if self.cold else None

    @property
    def first_output_with_toolchain(self) -> float | None:
        """The same with the toolchain's start-up, if there is one."""
        totals = [(toolchain or 0.0) + seconds for toolchain, seconds in self.cold]
        return median(totals) if totals else None

    @property
    def empty(self) -> bool:
        """Whether nothing was measured."""
        return not self.steady and not self.cold and self.memory is None


@dataclass(frozen=True)
class Case:
    """The sides at one batch and dtype."""

    batch: int
    dtype: str
    sides: dict[str, SideResult]

    @property
    def baseline(self) -> str | None:
        """The side that others are compared with: `optimized`, or else the first that was timed."""
        timed = [
            name
            for name, each in self.sides.items()
            if each.median_call or each.first_output_with_toolchain
        ]
        return BASELINE if BASELINE in timed else next(iter(timed), None)


@dataclass(frozen=True)
class Results:
    """Everything that one call of `resnetgen bench` measured."""

    machine: dict[str, Any]
    network: str
    parameters: int
    mode: str
    cases: list[Case]

    def reasons(self, side: str) -> list[str]:
        """Why a side has no figures in any case; empty if it has some."""
        results = [case.sides[side] for case in self.cases]
        if not all(each.empty for each in results):
            return []
        return list(dict.fromkeys(each.reason for each in results if each.reason is not None))

    def json(self) -> str:
        """As JSON, with the definition of each figure."""
        return json.dumps({**asdict(self), "definitions": DEFINITIONS}, indent=2) + "\n"


def read(text: str) -> Results:
    """The Results that `json` wrote. Raises ValueError, KeyError or TypeError for another text."""
    fields = json.loads(text)
    del fields["definitions"]
    return Results(**{**fields, "cases": [_case(**each) for each in fields["cases"]]})


def _case(batch: int, dtype: str, sides: dict[str, dict[str, Any]]) -> Case:
    return Case(batch, dtype, {name: side_result(**each) for name, each in sides.items()})


def side_result(*, error: dict[str, float] | None = None, **fields: Any) -> SideResult:
    """A SideResult from its JSON fields; those that are missing have no figures."""
    cold = [(toolchain, seconds) for toolchain, seconds in fields.pop("cold", ())]
    return SideResult(**fields, cold=cold, error=OutputError(**error) if error else None)
