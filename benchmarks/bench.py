"""The figures of `resnetgen bench`, and what several tables show of them.

    benched("resnet50", "--batch", "1,16")   ->  {"network": "resnet50", "cases": [...], ...}
    cases(results)                           ->  ("resnet50", Case(1, "float32", {...})), ...

`resnetgen/runtime/bench/results.py` defines each figure.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import environment, resnetgen
from benchmarks.results import Result
from resnetgen.runtime.bench import results as bench
from resnetgen.runtime.bench.plot import svg
from resnetgen.runtime.bench.results import BASELINE, Case

OURS = BASELINE


def run_bench(network: str, *options: str) -> Any:
    """What `resnetgen bench NETWORK OPTIONS` measures, even if a side of it fails.

    Raises CalledProcessError if nothing was written.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.json")
        command = resnetgen("bench", network, *options, "--format", "json", "-o", str(path))
        done = subprocess.run(
            command, env=environment(peers=True), capture_output=True, text=True, check=False
        )
        if not path.exists():
            done.check_returncode()
        return json.loads(path.read_text(encoding="utf-8"))


def read(result: Result) -> bench.Results:
    """The stored results of bench."""
    return bench.read(json.dumps(result.figures))


def cases(results: Sequence[Result]) -> Iterator[tuple[str, Case]]:
    """All cases with their networks."""
    for each in map(read, results):
        for case in each.cases:
            yield each.network, case


def case_label(network: str, case: Case) -> str:
    """A case as the first cell of a row."""
    return f"`{network}`, {case.batch}, {case.dtype}"


def unavailable_sides(results: Sequence[Result]) -> list[str]:
    """Why sides have no figures, a line for each reason, after a blank one."""
    reasons: dict[str, list[str]] = {}
    for network, case in cases(results):
        for side, outcome in case.sides.items():
            if outcome.reason:
                reason = f"`{side}`: {outcome.reason}"
                reasons.setdefault(reason, []).append(case_label(network, case))
    lines = [f"- {reason} ({'; '.join(where)})" for reason, where in reasons.items()]
    return ["", *lines] if lines else []


def plots(results: Sequence[Result]) -> dict[str, str]:
    """The plot of each result, by its name."""
    return {each.name: svg(read(each)) for each in results}
