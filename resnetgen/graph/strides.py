"""Strides: how far a value is reduced against the input of the body that computes it.

conv1 of stride 2, pool of stride 2, layer2 of stride 2   ->   2, 4, 8
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from resnetgen.graph.ir import OpCall, Placed
from resnetgen.graph.ops import OPS


def reduction(placed: Placed, before: Mapping[str, float]) -> float:
    """How far the value of a placed node is reduced; `before` says it of what the node reads.

    Below 1 after an enlargement.
    """
    source = max((before.get(name, 1) for name in placed.inputs), default=1)
    return source * _stride(placed)


def _stride(placed: Placed) -> float:
    if isinstance(placed.what, OpCall):
        return OPS[placed.what.op].stride(placed.what.attributes)
    runs = placed.what if isinstance(placed.what, tuple) else ()
    return math.prod(run.instance.stride**run.count for run in runs)
