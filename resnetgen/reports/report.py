"""Report: the figures of one network, as a whole and by node, block or stage.

    Report(...).lines("stage")  ->  Line(Row("layer1", ...), {"params": 215808, "macs": ..., ...}), ...

`compiler/analysis/rows.py` makes the rows, `metrics.py` has the figures, and `formats.py` prints both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from resnetgen.compiler.analysis.rows import (
    Feature,
    Row,
    features,
    rows_by_block,
    rows_by_node,
    rows_by_stage,
    whole_network,
)
from resnetgen.compiler.ir.nodes import Network
from resnetgen.compiler.passes.infer_types import TypedInstance
from resnetgen.reports.metrics import Conditions, Metric, MetricInputs, Value


@dataclass(frozen=True, slots=True)
class Line:
    """A row and its figures by name."""

    row: Row
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Report:
    """What one network costs, in the chosen metrics."""

    network: Network
    typed: TypedInstance
    conditions: Conditions
    metrics: tuple[Metric, ...]

    @property
    def name(self) -> str:
        """The name of the network."""
        return self.network.name

    @cached_property
    def inputs(self) -> MetricInputs:
        """What figures are computed from."""
        return MetricInputs(self.network, self.typed, self.conditions)

    @cached_property
    def total(self) -> Line:
        """The whole network."""
        row = whole_network(self.typed, self.name)
        return Line(row, {each.name: each.value(row, self.inputs) for each in self.metrics})

    @cached_property
    def outputs(self) -> tuple[Feature, ...]:
        """Channels and reduction of each output."""
        return features(self.network, self.typed.instance)

    @property
    def line_metrics(self) -> tuple[Metric, ...]:
        """The metrics that lines have too, not only the whole network."""
        return tuple(metric for metric in self.metrics if not metric.whole)

    def lines(self, by: str, folded: bool = False) -> tuple[Line, ...]:
        """A line a `node`, `block` or `stage`; `folded` makes one of equal blocks in a row."""
        figures = self.line_metrics
        return tuple(
            Line(row, {each.name: each.value(row, self.inputs) for each in figures})
            for row in _rows(self.typed, by, folded)
        )


def _rows(typed: TypedInstance, by: str, folded: bool) -> Iterable[Row]:
    if by == "node":
        return rows_by_node(typed, folded)
    return rows_by_block(typed, folded) if by == "block" else rows_by_stage(typed)
