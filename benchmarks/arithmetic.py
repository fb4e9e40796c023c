"""How fast the machine multiplies and adds: products of square matrices; the fastest size counts.

    python -m benchmarks.arithmetic 15   ->  {"float32": {"1024": [0.0107, ...], ...}, "bfloat16": ...}

For everything that computes convolutions by multiplying and adding this is an upper bound, as near as
torch comes to it; shares of it show how much could still be gained.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

from benchmarks.processes import run_module, seconds
from benchmarks.results import OnProgress

SIZES = 512, 1024, 2048
DTYPES = "float32", "bfloat16"
WARM_UP = 3  # products before those that are timed

Figures = Mapping[str, Mapping[str, Sequence[float]]]  # seconds, by type and size


def measure(rounds: int, progress: OnProgress) -> Any:
    """The seconds of each product, in a fresh process."""
    progress("matrix products")
    return run_module("benchmarks.arithmetic", str(rounds))


def rate(figures: Figures, dtype: str) -> float:
    """Multiply-adds a second of the fastest size, by the medians."""
    return max(int(size) ** 3 / median(times) for size, times in figures[dtype].items())


def _products(rounds: int) -> Figures:
    """The sizes in turn, round after round."""
    import torch

    figures: dict[str, dict[str, list[float]]] = {}
    for dtype in DTYPES:
        pairs = {size: torch.randn(2, size, size).to(getattr(torch, dtype)) for size in SIZES}
        figures[dtype] = {str(size): [] for size in SIZES}
        for number in range(WARM_UP + rounds):
            for size, (one, other) in pairs.items():
                took = seconds(partial(torch.matmul, one, other))
                if number >= WARM_UP:
                    figures[dtype][str(size)].append(took)
    return figures


if __name__ == "__main__":
    print(json.dumps(_products(int(sys.argv[1]))))
