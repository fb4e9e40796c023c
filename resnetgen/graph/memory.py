"""Memory of the printed module: in evaluation and in a training step, in bytes, without torch.

    inference(measured, batch=32)  ->  weights, the most activations alive at once, and where
    training(measured, batch=32)   ->  weights, gradients, optimizer state, what autograd keeps

Tensors are counted, each storage once, as torch allocates them: an activation that works in place
shares its input's, a view keeps the whole of what it views. Not counted: workspaces inside a kernel,
what an allocator rounds up or leaves in fragments, the context of a device. Each distinct block is
walked once.

`dtype` is the type of weights and activations alike, as after `module.to(dtype)`: also of the running
statistics of a norm. The statistics of a batch that a batch norm keeps are float32, counters int64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnetgen.graph.autograd import Autograd
from resnetgen.graph.ir import OpCall
from resnetgen.graph.liveness import Evaluation
from resnetgen.graph.measure import Measured, op_counts
from resnetgen.graph.ops import OPS
from resnetgen.graph.rules import WIDTHS

COUNTER = 8  # bytes of an int64

# Values of state that an optimizer of torch.optim keeps for each parameter.
OPTIMIZERS: Mapping[str, int] = {
    "sgd": 0,
    "momentum": 1,  # SGD(momentum=...)
    "rmsprop": 1,
    "adagrad": 1,
    "adam": 2,
    "adamw": 2,
}


@dataclass(frozen=True, slots=True)
class Inference:
    """Bytes of the printed module run eagerly in evaluation, without gradients.

    `activations` is the most that is alive at once, the input included, and `at` names the node that
    runs then. `ideal` is the same for a planner that frees each value after its last reader, where
    Python holds what its frames name: the arguments of every call, and variables until they are
    bound anew.
    """

    weights: int  # parameters and buffers
    activations: int
    at: str
    ideal: int

    @property
    def peak(self) -> int:
        """Weights and activations."""
        return self.weights + self.activations


@dataclass(frozen=True, slots=True)
class Training:
    """Bytes of a training step.

    `kept` is what autograd saves in the forward pass for the backward pass, weights left out.
    `peak` is the most that is alive at once in the backward pass of any step but the first: weights,
    buffers, optimizer state, the input, the outputs and what is still kept of `kept`, the gradients
    of weights so far, and those of the values between two ops. Gradients of weights are taken to be
    freed between steps (`zero_grad(set_to_none=True)`), and the optimizer to need no memory beside
    its state. As on a GPU, the mask of a dropout has a byte a value.
    """

    weights: int
    buffers: int
    gradients: int  # of the weights
    optimizer: int  # its state
    kept: int
    peak: int


def inference(measured: Measured, batch: int = 1, dtype: str = "float32") -> Inference:
    """Memory in evaluation, for a batch. `dtype` is one of WIDTHS."""
    width = WIDTHS[dtype]
    at, most = _highest(Evaluation(measured, batch, width).run().trace)
    _, ideal = _highest(Evaluation(measured, batch, width, planned=True).run().trace)
    source = batch * measured.source.elements * width
    weights = sum(_weights(measured, width))
    return Inference(weights, source + most, at, source + ideal)


def profile(measured: Measured, batch: int = 1, dtype: str = "float32") -> list[tuple[str, int]]:
    """The bytes of activations alive while each node runs in evaluation, in order of execution.

    Equal blocks in a row are told once: `layer3.1-35.conv1`.
    """
    source = batch * measured.source.elements * WIDTHS[dtype]
    trace = Evaluation(measured, batch, WIDTHS[dtype]).run().trace
    return [(name, source + live) for name, live in trace]


def _highest(trace: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """The point of a trace at which most is alive, the first of them."""
    return max(trace, key=lambda point: point[1])


def training(
    measured: Measured, batch: int = 1, dtype: str = "float32", optimizer: str = "momentum"
) -> Training:
    """Memory of a training step, for a batch. `optimizer` is one of OPTIMIZERS."""
    width = WIDTHS[dtype]
    parameters, buffers = _weights(measured, width)
    kept = Autograd(measured, batch, width).run()
    source = batch * measured.source.elements * width
    losses = batch * sum(each.elements for each in measured.outputs) * width  # their gradients
    total = kept.inside + (kept.size if kept.saved else 0) + (source if kept.inputs[0] else 0)
    state = OPTIMIZERS[optimizer] * parameters
    alive = total + (0 if kept.inputs[0] else source) + kept.outputs + losses
    peak = parameters + buffers + state + alive + kept.peak
    return Training(parameters, buffers, parameters, state, total, peak)


def _weights(measured: Measured, width: int) -> tuple[int, int]:
    """Bytes of the parameters and of the other tensors of the state_dict."""
    bytes_of = {True: 0, False: 0}  # by whether it is trained
    for step, times in op_counts((step, 1) for step in measured.steps):
        assert isinstance(step.placed.what, OpCall)
        attributes, source = step.placed.what.attributes, step.source
        weights = OPS[step.placed.what.op].weights(attributes, source.channels, len(source.size))
        for weight in weights:
            each = COUNTER if weight.counter else width
            bytes_of[weight.trained] += times * weight.elements * each
    return bytes_of[True], bytes_of[False]
