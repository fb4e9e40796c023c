"""Stored results of measurements: results/NAME.json, raw figures with the machine and the date.

    write(Result("sweep", 61.0, machine_info(PACKAGES), figures))
    read("sweep")  ->  all results of that section: sweep.json, sweep-*.json

Figures are stored as they were measured, a value for each run: the page computes medians and ratios.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("results")

# Whose versions are stored.
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "onnxruntime",
    "fvcore",
    "ptflops",
    "thop",
    "torchinfo",
)

OnProgress = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """One run of a measurement. `took` is in seconds; `machine` has its load before, and the date."""

    name: str
    took: float
    machine: dict[str, Any]
    figures: Any


@dataclass(frozen=True)
class Measurement:
    """What is measured under one name. `measure(rounds, progress)` returns raw figures for JSON."""

    name: str
    about: str
    rounds: int
    measure: Callable[[int, OnProgress], Any]


@dataclass(frozen=True)
class Section:
    """A part of the page: its measurements and its lines.

    Measurements are named NAME or NAME-..., after the section. `render` makes Markdown of their
    results, `plots` makes SVG by name; the page shows the versions of the packages in `peers`. A
    section without measurements has a command of its own.
    """

    name: str
    measurements: tuple[Measurement, ...]
    render: Callable[[Sequence[Result]], list[str]]
    peers: tuple[str, ...] = ()
    plots: Callable[[Sequence[Result]], dict[str, str]] = lambda _: {}

    @property
    def command(self) -> str:
        """The command that measures it."""
        return f"python -m benchmarks{' ' if self.measurements else '.'}{self.name}"


def prefixed(progress: OnProgress, what: str) -> OnProgress:
    """The same with a prefix: for a part of a measurement."""
    return lambda part: progress(f"{what}: {part}")


def run(measurement: Measurement, rounds: int | None, progress: OnProgress) -> Result:
    """Measures now; `rounds` overrides the measurement's own number."""
    from resnetgen.runtime.bench.machine import machine_info

    machine, start = machine_info(PACKAGES), time.perf_counter()
    figures = measurement.measure(
        rounds or measurement.rounds, prefixed(progress, measurement.name)
    )
    return Result(measurement.name, round(time.perf_counter() - start, 1), machine, figures)


def write(result: Result, folder: Path = FOLDER) -> Path:
    """Stores a result, replacing the one before. Returns the path of its file."""
    from resnetgen.compiler.codegen.files import write_atomically

    path = folder / f"{result.name}.json"
    write_atomically(path, f"{json.dumps(asdict(result), indent=1)}\n".encode())
    return path


def read(section: str, folder: Path = FOLDER) -> list[Result]:
    """The stored results of a section, by name."""
    files = [*folder.glob(f"{section}.json"), *sorted(folder.glob(f"{section}-*.json"))]
    return [Result(**json.loads(path.read_text(encoding="utf-8"))) for path in files]
