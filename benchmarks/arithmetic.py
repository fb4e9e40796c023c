"""What the machine can multiply and add: products of square matrices, the quickest size counts.

    python -m benchmarks.arithmetic 15   ->  {"float32": {"1024": [0.0107, ...], ...}, "bfloat16": ...}

An upper bound, as near as torch comes to it, for whatever computes convolutions by multiplying and
adding; shares of it say how much there is to gain.
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
WARMING = 3  # products before those that are timed

Figures = Mapping[str, Mapping[str, Sequence[float]]]  # seconds, by type and size


def measure(rounds: int, say: OnProgress) -> Any:
    """The seconds of each product, in a fresh process."""
    say("matrix products")
    return run_module("benchmarks.arithmetic", str(rounds))


def rate(figures: Figures, dtype: str) -> float:
    """Multiply-adds a second of the quickest size, by the medians."""
    return max(int(size) ** 3 / median(times) for size, times in figures[dtype].items())


def _products(rounds: int) -> Figures:
    """The sizes in turn, round after round."""
    import torch

    found: dict[str, dict[str, list[float]]] = {}
    for dtype in DTYPES:
        pairs = {size: torch.randn(2, size, size).to(getattr(torch, dtype)) for size in SIZES}
        found[dtype] = {str(size): [] for size in SIZES}
        for number in range(WARMING + rounds):
            for size, (one, other) in pairs.items():
                took = seconds(partial(torch.matmul, one, other))
                if number >= WARMING:
                    found[dtype][str(size)].append(took)
    return found


if __name__ == "__main__":
    print(json.dumps(_products(int(sys.argv[1]))))
