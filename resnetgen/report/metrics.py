"""The figures of a report: what each is called, what it means, and how it follows from a row.

One table serves every form (columns of tables, keys of JSON, heads of CSV), `--columns`, `--budget`
and the documentation. A row may be the whole network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from resnetgen.graph.flatten import flatten
from resnetgen.graph.gradient_paths import PathLengths, path_lengths
from resnetgen.graph.ir import Network
from resnetgen.graph.measure import Measured
from resnetgen.graph.memory import WIDTHS, Inference, Training, inference, training
from resnetgen.graph.rows import Row
from resnetgen.graph.shapes import infer_shapes
from resnetgen.report.conventions import Convention, counted
from resnetgen.report.roofline import Bound, Device, Roofline, Traffic


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a figure depends on beside the network. Counts are of one image, bytes and times of a batch."""

    batch: int = 1
    dtype: str = "float32"
    optimizer: str = "momentum"
    conventions: tuple[Convention, ...] = ()
    device: Device | None = None
    paths: bool = False


class Facts:
    """One network under some conditions; what several figures need is computed once."""

    def __init__(self, network: Network, measured: Measured, conditions: Conditions) -> None:
        self.network = network
        self.measured = measured
        self.conditions = conditions

    @cached_property
    def roofline(self) -> Roofline:
        """What every op moves."""
        return Roofline(self.measured)

    @cached_property
    def inference(self) -> Inference:
        """Memory in evaluation."""
        return inference(self.measured, self.conditions.batch, self.conditions.dtype)

    @cached_property
    def training(self) -> Training:
        """Memory of a training step."""
        given = self.conditions
        return training(self.measured, given.batch, given.dtype, given.optimizer)

    @cached_property
    def paths(self) -> PathLengths:
        """Weighted layers on the shortest and the longest way through the network."""
        return path_lengths(infer_shapes(flatten(self.network, self.measured.instance)))

    def traffic(self, row: Row) -> Traffic:
        """FLOPs and elements that the ops of a row move."""
        return self.roofline.of(row.steps)

    def bound(self, row: Row) -> Bound | None:
        """The least time on the device, if there is one."""
        given = self.conditions
        if given.device is None:
            return None
        return self.roofline.bound(row.steps, given.device, given.batch, given.dtype)


Value = int | float | str | tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure. `unit`: "" for counts, bytes, seconds, pixels, FLOP/byte, ..., as in the data forms."""

    name: str
    title: str  # the head of its column for people
    doc: str
    value: Callable[[Row, Facts], Value]
    unit: str = ""
    additive: bool = False  # the figure of a whole is the sum over its parts
    whole: bool = False  # of a whole network only
    asked: Callable[[Conditions], bool] = lambda given: True  # whether it has a value at all


def _bytes(elements: int, facts: Facts) -> int:
    return elements * WIDTHS[facts.conditions.dtype]


def _trains(given: Conditions) -> bool:
    return given.dtype != "int8"


def _has_device(given: Conditions) -> bool:
    return given.device is not None


def _of_bound(read: Callable[[Bound], Value]) -> Callable[[Row, Facts], Value]:
    def value(row: Row, facts: Facts) -> Value:
        bound = facts.bound(row)
        return read(bound) if bound else None

    return value


def _images_per_second(row: Row, facts: Facts) -> Value:
    bound = facts.bound(row)
    return facts.conditions.batch / bound.time if bound and bound.time else None


_TABLE = (
    Metric(
        "params",
        "parameters",
        "trained parameters",
        lambda row, facts: row.cost.params,
        additive=True,
    ),
    Metric(
        "buffers",
        "buffers",
        "elements of the state_dict that are not trained",
        lambda row, facts: row.cost.buffers,
        additive=True,
    ),
    Metric(
        "macs",
        "multiply-adds",
        "multiply-adds of convolutions and linear layers, for one image",
        lambda row, facts: row.cost.macs,
        additive=True,
    ),
    Metric(
        "flops",
        "FLOPs",
        "twice the multiply-adds",
        lambda row, facts: row.cost.flops,
        additive=True,
    ),
    Metric(
        "activations",
        "activations",
        "elements of the results of all ops, for one image",
        lambda row, facts: row.cost.activations,
        additive=True,
    ),
    Metric(
        "weight_bytes",
        "weights",
        "bytes of the trained parameters",
        lambda row, facts: _bytes(row.cost.params, facts),
        "bytes",
        additive=True,
    ),
    Metric(
        "activation_bytes",
        "activation bytes",
        "bytes of the results of all ops, for a batch",
        lambda row, facts: _bytes(row.cost.activations * facts.conditions.batch, facts),
        "bytes",
        additive=True,
    ),
    Metric(
        "intensity",
        "FLOP/byte",
        "arithmetic intensity: FLOPs for each byte read or written, one op after the other",
        lambda row, facts: facts.traffic(row).intensity(
            facts.conditions.batch, WIDTHS[facts.conditions.dtype]
        ),
        "FLOP/byte",
    ),
    Metric(
        "field",
        "receptive field",
        "input pixels that one position of the result sees, by axis",
        lambda row, facts: row.reach.field,
        "pixels",
    ),
    Metric(
        "stride",
        "stride",
        "input pixels between neighbouring positions of the result, by axis",
        lambda row, facts: row.reach.stride,
        "pixels",
    ),
    Metric(
        "offset",
        "offset",
        "where the receptive field of the first position has its centre, in input pixels, by axis",
        lambda row, facts: row.reach.offset,
        "pixels",
    ),
    Metric(
        "depth",
        "depth",
        "convolutions and linear layers on the longest path from the input",
        lambda row, facts: row.reach.depth,
    ),
    Metric(
        "time",
        "time",
        "least time on the device for a batch, with all fused that can be (roofline)",
        _of_bound(lambda bound: bound.time),
        "seconds",
        additive=True,
        asked=_has_device,
    ),
    Metric(
        "eager_time",
        "eager",
        "the same, one op after the other: the difference is what fusion saves",
        _of_bound(lambda bound: bound.eager),
        "seconds",
        additive=True,
        asked=_has_device,
    ),
    Metric(
        "bound",
        "bound by",
        "what most of the time goes to: memory or arithmetic",
        _of_bound(lambda bound: bound.by if bound.time else None),
        asked=_has_device,
    ),
    Metric(
        "images_per_second",
        "images/s",
        "most images a second on the device, with all fused that can be",
        _images_per_second,
        whole=True,
        asked=_has_device,
    ),
    Metric(
        "peak_bytes",
        "inference peak",
        "weights and the most activations alive at once in evaluation, for a batch",
        lambda row, facts: facts.inference.peak,
        "bytes",
        whole=True,
    ),
    Metric(
        "kept_bytes",
        "kept",
        "activations that a training step keeps for its backward pass, for a batch",
        lambda row, facts: facts.training.kept,
        "bytes",
        whole=True,
        asked=_trains,
    ),
    Metric(
        "training_bytes",
        "training",
        "weights, gradients, optimizer state and kept activations, for a batch",
        lambda row, facts: facts.training.peak,
        "bytes",
        whole=True,
        asked=_trains,
    ),
    Metric(
        "shortest_path",
        "shortest path",
        "convolutions and linear layers on the shortest way of a gradient (`--paths`)",
        lambda row, facts: facts.paths.shortest,
        whole=True,
        asked=lambda given: given.paths,
    ),
    Metric(
        "longest_path",
        "longest path",
        "convolutions and linear layers on the longest way of a gradient (`--paths`)",
        lambda row, facts: facts.paths.longest,
        whole=True,
        asked=lambda given: given.paths,
    ),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _TABLE}


def metrics(given: Conditions) -> dict[str, Metric]:
    """The figures that have a value under some conditions; each convention is one."""
    known = {name: metric for name, metric in METRICS.items() if metric.asked(given)}
    return known | {
        each.name: _counted_by(each) for each in given.conventions if each.name not in known
    }


def _counted_by(convention: Convention) -> Metric:
    def value(row: Row, facts: Facts) -> Value:
        return counted(convention, row.steps)

    return Metric(convention.name, convention.name, convention.doc, value, additive=True)
