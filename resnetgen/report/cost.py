"""A cost in a few words: `60,192,808 parameters, 11.51 G multiply-adds`."""

from __future__ import annotations

from resnetgen.graph.measure import Cost
from resnetgen.report.columns import count, rounded


def summary(cost: Cost) -> str:
    """What commands say of a network beside their own result."""
    return f"{count(cost.params)} parameters, {rounded(cost.macs)} multiply-adds"
