"""The figures of a report: what each is called, what it means, how it is computed and written.

    METRICS["params"].value(row, inputs)  ->  25557032
    METRICS["params"].text(25557032)      ->  "25,557,032"

One table serves every format (columns of tables, keys of JSON, heads of CSV), `--columns`,
`--budget` and the documentation. A figure is computed from a row, which may be the whole network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from resnetgen.compiler.analysis.gradient_paths import PathLengths, path_lengths
from resnetgen.compiler.analysis.rows import Row
from resnetgen.compiler.ir.nodes import Network
from resnetgen.compiler.ir.shape_rules import DTYPE_BYTES
from resnetgen.compiler.passes.flatten import flatten, infer_flat_types
from resnetgen.compiler.passes.infer_types import TypedInstance
from resnetgen.reports.conventions import Convention, operations
from resnetgen.reports.numbers import axes, byte_size, count, duration, rounded, significant
from resnetgen.reports.roofline import Device, OpWork, Roofline, RooflineBound

if TYPE_CHECKING:
    from resnetgen.compiler.analysis.evaluation_memory import EvaluationBytes
    from resnetgen.compiler.analysis.training_memory import TrainingBytes


@dataclass(frozen=True, slots=True)
class Conditions:
    """What figures depend on beside the network. Counts are of one image, bytes and times of a batch."""

    batch: int = 1
    dtype: str = "float32"
    optimizer: str = "momentum"
    conventions: tuple[Convention, ...] = ()
    device: Device | None = None
    paths: bool = False


class MetricInputs:
    """One network under some conditions; what several figures need is computed once."""

    def __init__(self, network: Network, typed: TypedInstance, conditions: Conditions) -> None:
        self.network = network
        self.typed = typed
        self.conditions = conditions

    @cached_property
    def roofline(self) -> Roofline:
        """What every op moves."""
        return Roofline(self.typed)

    @cached_property
    def inference(self) -> EvaluationBytes:
        """Memory in evaluation."""
        # Not every report shows memory.
        from resnetgen.compiler.analysis.evaluation_memory import evaluation_bytes

        return evaluation_bytes(self.typed, self.conditions.batch, self.conditions.dtype)

    @cached_property
    def training(self) -> TrainingBytes:
        """Memory of a training step."""
        from resnetgen.compiler.analysis.training_memory import training_bytes

        given = self.conditions
        return training_bytes(self.typed, given.batch, given.dtype, given.optimizer)

    @cached_property
    def paths(self) -> PathLengths:
        """Weighted layers on the shortest and the longest path through the network."""
        return path_lengths(infer_flat_types(flatten(self.network, self.typed.instance)))

    def work(self, row: Row) -> OpWork:
        """FLOPs and elements that the ops of a row move."""
        return self.roofline.work_of(row.nodes)

    def bound(self, row: Row) -> RooflineBound | None:
        """The least time on the device, if there is one."""
        given = self.conditions
        if given.device is None:
            return None
        return self.roofline.bound(row.nodes, given.device, given.batch, given.dtype)


Value = int | float | str | tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure. `unit` is "" for counts, else bytes, seconds, pixels or FLOP/byte."""

    name: str
    title: str  # the head of its column for people
    doc: str
    value: Callable[[Row, MetricInputs], Value]
    unit: str = ""
    additive: bool = False  # the figure of a whole is the sum over its parts
    whole: bool = False  # of a whole network only
    available: Callable[[Conditions], bool] = lambda given: True  # whether it has a value at all

    def text(self, value: Value, short: bool = False) -> str:
        """A value for people; empty where there is none. `short` rounds large counts."""
        if value is None:
            return ""
        if isinstance(value, tuple):
            return axes(value)
        if isinstance(value, str):
            return value
        if self.unit == "bytes":
            return byte_size(value)
        if self.unit == "seconds":
            return duration(value)
        if isinstance(value, float):
            return significant(value)
        return rounded(value) if short else count(value)


def _bytes(elements: int, inputs: MetricInputs) -> int:
    return elements * DTYPE_BYTES[inputs.conditions.dtype]


def _trains(given: Conditions) -> bool:
    return given.dtype != "int8"


def _has_device(given: Conditions) -> bool:
    return given.device is not None


def _has_paths(given: Conditions) -> bool:
    return given.paths


def _of_cost(name: str, title: str, doc: str) -> Metric:
    """A count that is a field of a row's cost."""
    return Metric(name, title, doc, lambda row, inputs: getattr(row.cost, name), additive=True)


def _of_reach(name: str, title: str, doc: str) -> Metric:
    """A field of a row's receptive field, in pixels of the input."""
    return Metric(
        name, title, doc, lambda row, inputs: getattr(row.receptive_field, name), "pixels"
    )


def _of_bound(read: Callable[[RooflineBound], Value]) -> Callable[[Row, MetricInputs], Value]:
    def value(row: Row, inputs: MetricInputs) -> Value:
        bound = inputs.bound(row)
        return read(bound) if bound else None

    return value


def _least_time(name: str, title: str, doc: str, read: Callable[[RooflineBound], Value]) -> Metric:
    """A lower bound in seconds."""
    return Metric(
        name, title, doc, _of_bound(read), "seconds", additive=True, available=_has_device
    )


def _of_whole(
    name: str,
    title: str,
    doc: str,
    read: Callable[[MetricInputs], Value],
    unit: str = "",
    available: Callable[[Conditions], bool] = lambda given: True,
) -> Metric:
    """A figure that only a whole network has."""
    return Metric(
        name, title, doc, lambda row, inputs: read(inputs), unit, whole=True, available=available
    )


def _images_per_second(row: Row, inputs: MetricInputs) -> Value:
    bound = inputs.bound(row)
    return inputs.conditions.batch / bound.fused_time if bound and bound.fused_time else None


_TABLE = (
    _of_cost("params", "parameters", "trained parameters"),
    _of_cost("buffers", "buffers", "elements of the state_dict that are not trained"),
    _of_cost(
        "macs", "multiply-adds", "multiply-adds of convolutions and linear layers, for one image"
    ),
    _of_cost("flops", "FLOPs", "twice the multiply-adds"),
    _of_cost("activations", "activations", "elements of the results of all ops, for one image"),
    Metric(
        "weight_bytes",
        "weights",
        "bytes of the trained parameters",
        lambda row, inputs: _bytes(row.cost.params, inputs),
        "bytes",
        additive=True,
    ),
    Metric(
        "activation_bytes",
        "activation bytes",
        "bytes of the results of all ops, for a batch",
        lambda row, inputs: _bytes(row.cost.activations * inputs.conditions.batch, inputs),
        "bytes",
        additive=True,
    ),
    Metric(
        "intensity",
        "FLOP/byte",
        "arithmetic intensity: FLOPs for each byte read or written, one op after the other",
        lambda row, inputs: inputs.work(row).intensity(
            inputs.conditions.batch, DTYPE_BYTES[inputs.conditions.dtype]
        ),
        "FLOP/byte",
    ),
    _of_reach(
        "field",
        "receptive field",
        "input pixels that one position of the result sees, by axis",
    ),
    _of_reach(
        "stride",
        "stride",
        "input pixels between neighbouring positions of the result, by axis",
    ),
    _of_reach(
        "offset",
        "offset",
        "where the receptive field of the first position has its centre, in input pixels, by axis",
    ),
    Metric(
        "depth",
        "depth",
        "convolutions and linear layers on the longest path from the input",
        lambda row, inputs: row.receptive_field.depth,
    ),
    _least_time(
        "time",
        "time",
        "least time on the device for a batch, with all fused that can be (roofline)",
        lambda bound: bound.fused_time,
    ),
    _least_time(
        "eager_time",
        "eager",
        "the same, one op after the other: the difference is what fusion saves",
        lambda bound: bound.eager_time,
    ),
    Metric(
        "bound",
        "bound by",
        "what most of the time goes to: memory or arithmetic",
        _of_bound(lambda bound: bound.by if bound.fused_time else None),
        available=_has_device,
    ),
    Metric(
        "images_per_second",
        "images/s",
        "most images a second on the device, with all fused that can be",
        _images_per_second,
        whole=True,
        available=_has_device,
    ),
    _of_whole(
        "peak_bytes",
        "inference peak",
        "weights and the most activations alive at once in evaluation, for a batch",
        lambda inputs: inputs.inference.peak,
        "bytes",
    ),
    _of_whole(
        "kept_bytes",
        "kept",
        "activations that a training step keeps for its backward pass, for a batch",
        lambda inputs: inputs.training.saved,
        "bytes",
        _trains,
    ),
    _of_whole(
        "training_bytes",
        "training",
        "weights, gradients, optimizer state and kept activations, for a batch",
        lambda inputs: inputs.training.peak,
        "bytes",
        _trains,
    ),
    _of_whole(
        "shortest_path",
        "shortest path",
        "convolutions and linear layers on the shortest way of a gradient (`--paths`)",
        lambda inputs: inputs.paths.shortest,
        available=_has_paths,
    ),
    _of_whole(
        "longest_path",
        "longest path",
        "convolutions and linear layers on the longest way of a gradient (`--paths`)",
        lambda inputs: inputs.paths.longest,
        available=_has_paths,
    ),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _TABLE}


def available_metrics(given: Conditions) -> dict[str, Metric]:
    """The figures that have a value under some conditions; each convention is one."""
    known = {name: metric for name, metric in METRICS.items() if metric.available(given)}
    return known | {
        each.name: _counted_by(each) for each in given.conventions if each.name not in known
    }


def _counted_by(convention: Convention) -> Metric:
    def value(row: Row, inputs: MetricInputs) -> Value:
        return operations(convention, row.nodes)

    return Metric(convention.name, convention.name, convention.doc, value, additive=True)
