"""Memory of the printed module: in evaluation and in a training step, in bytes, without torch.

    inference(measured, batch=32)  ->  weights, the most activations alive at once, and where
    training(measured, batch=32)   ->  weights, gradients, optimizer state, what autograd keeps

Tensors are counted, each storage once, as torch allocates them: an activation that works in place
shares its input's, a view keeps the whole of what it views. Not counted: workspaces inside a kernel,
what an allocator rounds up or leaves in fragments, the context of a device. Each distinct block is
walked once.

`dtype` is the type of weights and activations alike, as after `module.to(dtype)`: also of the running
statistics of a norm. The statistics of a batch that a batch norm keeps are float32, counters int64.

What autograd keeps in a training step, and the most that is alive while it flows back.

    conv, batch_norm, relu in place  ->  kept: the conv's input and result, the norm's statistics and
                                         its result, which is the relu's

A body is run once for each set of inputs that have gradients: forward, to find the storages that ops
save, then backward, which frees them, makes the gradients of the weights, and holds the gradient of
each value until what computed the value has read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnetgen.compiler.analysis.evaluation_memory import (
    NOTHING,
    EvaluationMemory,
    Link,
    Storage,
    extra_of,
    links_of,
)
from resnetgen.compiler.analysis.statements import execution_order
from resnetgen.compiler.ir.shape_rules import DTYPE_BYTES, TensorType
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode, op_counts

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


def inference(measured: TypedInstance, batch: int = 1, dtype: str = "float32") -> Inference:
    """Memory in evaluation, for a batch. `dtype` is one of WIDTHS."""
    width = DTYPE_BYTES[dtype]
    at, most = _highest(EvaluationMemory(measured, batch, width).run().trace)
    _, ideal = _highest(EvaluationMemory(measured, batch, width, planned=True).run().trace)
    source = batch * measured.source.elements * width
    weights = sum(_weights(measured, width))
    return Inference(weights, source + most, at, source + ideal)


def profile(
    measured: TypedInstance, batch: int = 1, dtype: str = "float32"
) -> list[tuple[str, int]]:
    """The bytes of activations alive while each node runs in evaluation, in order of execution.

    Equal blocks in a row are told once: `layer3.1-35.conv1`.
    """
    source = batch * measured.source.elements * DTYPE_BYTES[dtype]
    trace = EvaluationMemory(measured, batch, DTYPE_BYTES[dtype]).run().trace
    return [(name, source + live) for name, live in trace]


def _highest(trace: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """The point of a trace at which most is alive, the first of them."""
    return max(trace, key=lambda point: point[1])


def training(
    measured: TypedInstance, batch: int = 1, dtype: str = "float32", optimizer: str = "momentum"
) -> Training:
    """Memory of a training step, for a batch. `optimizer` is one of OPTIMIZERS."""
    width = DTYPE_BYTES[dtype]
    parameters, buffers = _weights(measured, width)
    kept = AutogradMemory(measured, batch, width).run()
    source = batch * measured.source.elements * width
    losses = batch * sum(each.elements for each in measured.outputs) * width  # their gradients
    total = kept.inside + (kept.size if kept.saved else 0) + (source if kept.inputs[0] else 0)
    state = OPTIMIZERS[optimizer] * parameters
    alive = total + (0 if kept.inputs[0] else source) + kept.outputs + losses
    peak = parameters + buffers + state + alive + kept.peak
    return Training(parameters, buffers, parameters, state, total, peak)


def _weights(measured: TypedInstance, width: int) -> tuple[int, int]:
    """Bytes of the parameters and of the other tensors of the state_dict."""
    bytes_of = {True: 0, False: 0}  # by whether it is trained
    for step, times in op_counts((step, 1) for step in measured.nodes):
        assert step.node.op
        attributes, source = step.node.op.attributes, step.source
        weights = step.node.op.definition.weights(attributes, source.channels, len(source.size))
        for weight in weights:
            each = COUNTER if weight.counter else width
            bytes_of[weight.trained] += times * weight.elements * each
    return bytes_of[True], bytes_of[False]


@dataclass(frozen=True, slots=True, eq=False)
class SavedForBackward:
    """What one call of a block keeps and gives back, as its caller sees it, in bytes.

    `inside` is what it keeps, the result left out; `inputs` tells which inputs it keeps. The result
    is new memory of `size`, or that of the input `alias`. `peak` is the most that its backward pass
    adds to what is alive when that begins, and `after` what it has added when it ends: gradients of
    its weights and inputs (those have the sizes `returns`), less what it kept and the gradient of
    its result.
    """

    inside: int
    inputs: tuple[bool, ...]
    size: int
    alias: int | None
    saved: bool  # the result is kept
    outputs: int  # bytes of the results that are not
    gradient: bool  # the result has one
    peak: int
    after: int
    returns: tuple[int, ...]


@dataclass(slots=True, eq=False)
class _Value:
    """A value: its memory, the bytes of its gradient, and whether it has one."""

    storage: Storage
    size: int
    gradient: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    """A call that was made, for the way back; `kept` is that of a block."""

    sources: tuple[_Value, ...]
    result: _Value
    saves: tuple[Storage, ...] = ()
    kept: SavedForBackward | None = None
    extra: int = 0  # bytes that an op keeps beside values
    params: int = 0  # bytes of its weights
    hands_on: bool = False  # the gradient of its result is that of its inputs


_ABSENT = _Value(NOTHING, 0, False)


class AutogradMemory:
    """Bodies in training mode, for a batch of values that have `width` bytes."""

    def __init__(self, network: TypedInstance, batch: int, width: int) -> None:
        self.network = network
        self.batch = batch
        self.width = width
        self.known: dict[tuple[int, int, tuple[bool, ...]], SavedForBackward] = {}

    def run(self) -> SavedForBackward:
        """One step of the network; its input has no gradient."""
        return self.row(self.network, (False,))

    def row(
        self, measured: TypedInstance, gradients: tuple[bool, ...], times: int = 1
    ) -> SavedForBackward:
        """The network, or equal blocks one after the other; `gradients` tells which inputs have one."""
        key = (id(measured), times, gradients)
        if key not in self.known:
            columns = zip(measured.inputs, gradients, strict=True)
            inputs = [_Value(Storage(0), self.size(of), gradient) for of, gradient in columns]
            forward = self.halves(measured, inputs, times) if times > 1 else None
            self.known[key] = _kept(inputs, *(forward or self.body(measured, inputs)))
        return self.known[key]

    def body(
        self, measured: TypedInstance, inputs: Sequence[_Value]
    ) -> tuple[list[_Done], list[_Value]]:
        """Runs the steps of a body: the calls, and the outputs."""
        values = dict(zip(measured.instance.inputs, inputs, strict=True))
        links, done = links_of(measured), list[_Done]()
        for step in execution_order(measured, measured is self.network):
            (index,) = step.members
            placed = measured.nodes[index].node
            main, *more = [values.get(name, _ABSENT) for name in placed.inputs]
            for link in links[index]:
                done.append(self.call(link, (main, *more)))
                main = done[-1].result
            values[placed.key] = main
        return done, [values[name] for name in measured.instance.outputs]

    def halves(
        self, block: TypedInstance, inputs: Sequence[_Value], times: int
    ) -> tuple[list[_Done], list[_Value]]:
        """Equal blocks in a row as two rows of half as many, so that a thousand cost what ten do."""
        (main, *more), done = inputs, list[_Done]()
        for part in filter(None, (times // 2, times // 2, times % 2)):
            done.append(self.blocks(block, part, (main, *more)))
            main = done[-1].result
        return done, [main]

    def size(self, of: TensorType | None) -> int:
        """Bytes of a batch of values."""
        return self.batch * of.elements * self.width if of else 0

    def call(self, link: Link, sources: tuple[_Value, ...]) -> _Done:
        """Blocks in a row, or one op."""
        if isinstance(link.what, TypedInstance):
            return self.blocks(link.what, link.count, sources)
        return self.op(link.what, link.inplace, sources)

    def blocks(self, block: TypedInstance, times: int, sources: tuple[_Value, ...]) -> _Done:
        """Equal blocks in a row."""
        kept = self.row(block, tuple(source.gradient for source in sources), times)
        storage = Storage(kept.size) if kept.alias is None else sources[kept.alias].storage
        result = _Value(storage, self.size(block.outputs[0]), kept.gradient)
        saves = [each.storage for each, held in zip(sources, kept.inputs, strict=True) if held]
        return _Done(sources, result, (*saves, *([storage] if kept.saved else ())), kept)

    def op(self, step: TypedNode, inplace: bool, sources: tuple[_Value, ...]) -> _Done:
        """One op; it saves nothing where no gradient flows back through it."""
        assert step.node.op
        definition, attributes = step.node.op.definition, step.node.op.attributes
        passes = definition.training_only and definition.is_identity(attributes)
        views = passes or (definition.aliases_input and not definition.training_only)
        size = self.size(step.result)
        storage = sources[0].storage if views or inplace else Storage(size)
        if passes or not (step.cost.params or any(source.gradient for source in sources)):
            return _Done(sources, _Value(storage, size, sources[0].gradient), hands_on=True)
        copies = (
            inplace and "inputs" in definition.saved_for_backward
        )  # torch saves a copy of what it overwrites
        saves = [
            each.storage
            for each in sources
            if "inputs" in definition.saved_for_backward and not copies
        ]
        saves += [storage] if "result" in definition.saved_for_backward else []
        extra = (
            extra_of(step, self.batch, self.width)
            if "extra" in definition.saved_for_backward
            else 0
        )
        extra += size if copies else 0
        params = step.cost.params * self.width
        result, hands_on = _Value(storage, size, True), definition.passes_gradient
        return _Done(sources, result, tuple(saves), None, extra, params, hands_on)


def _kept(
    inputs: Sequence[_Value], done: Sequence[_Done], outputs: Sequence[_Value]
) -> SavedForBackward:
    """What calls keep, and what the way back through them gives."""
    storages, output = [value.storage for value in inputs], outputs[0].storage
    saved = {storage for each in done for storage in each.saves}
    inside = sum(storage.size for storage in saved - {output, *storages})
    inside += sum(each.kept.inside if each.kept else each.extra for each in done)
    back = _Backward(outputs)
    for each, frees in zip(reversed(done), reversed(_first_saved(done)), strict=True):
        back.through(each, sum(storage.size for storage in frees))
    return SavedForBackward(
        inside,
        tuple(storage in saved for storage in storages),
        output.size,
        storages.index(output) if output in storages else None,
        output in saved,
        sum(storage.size for storage in {each.storage for each in outputs} - saved),
        outputs[0].gradient,
        back.peak,
        back.live,
        back.returned(inputs),
    )


def _first_saved(done: Sequence[_Done]) -> list[list[Storage]]:
    """The storages that go when each call has been gone back through: those that none before saves.

    What a block saves of its own result goes while its own backward pass runs.
    """
    taken, found = set[Storage](), list[list[Storage]]()
    for each in done:
        fresh = set(each.saves) - taken
        taken |= fresh
        found.append([s for s in fresh if not (each.kept and s is each.result.storage)])
    return found


class _Backward:
    """The way back through one body: bytes beyond what is alive when it begins."""

    def __init__(self, outputs: Sequence[_Value]) -> None:
        self.live = 0
        self.peak = 0
        self.gradients = {each: Storage(each.size) for each in outputs if each.gradient}

    def add(self, size: int) -> None:
        """New memory."""
        self.live += size
        self.peak = max(self.peak, self.live)

    def held(self, gradient: Storage) -> int:
        """How many values have this as their gradient."""
        return sum(each is gradient for each in self.gradients.values())

    def through(self, call: _Done, frees: int) -> None:
        """Back through one call, which then lets go of some of what was kept."""
        gradient = self.gradients.pop(call.result, None)
        if gradient is None:
            return
        sources = [source for source in call.sources if source.gradient]
        if call.kept:
            self.peak = max(self.peak, self.live + call.kept.peak)
            self.live += call.kept.after + gradient.size
            pairs = zip(call.sources, call.kept.returns, strict=True)
            found = [Storage(size) for source, size in pairs if source.gradient]
        elif call.hands_on:
            found = [gradient] * len(sources)
        else:
            found = [Storage(source.size) for source in sources]
            self.add(call.params + sum(each.size for each in found))
        for source, each in zip(sources, found, strict=True):
            self.accumulate(source, each)
        if not self.held(gradient):
            self.live -= gradient.size
        self.live -= call.extra + frees

    def accumulate(self, value: _Value, gradient: Storage) -> None:
        """Adds to the gradient of a value that several read; in place if nothing else holds it."""
        before = self.gradients.get(value)
        if before is None:
            self.gradients[value] = gradient
            return
        if self.held(before) > 1:
            self.add(before.size)
            self.gradients[value] = Storage(before.size)
        if not self.held(gradient):
            self.live -= gradient.size

    def returned(self, inputs: Sequence[_Value]) -> tuple[int, ...]:
        """The sizes of the gradients of a body's inputs; memory that two share counts for the first."""
        seen, sizes = set[Storage](), list[int]()
        for value in inputs:
            gradient = self.gradients.get(value, NOTHING)
            sizes.append(0 if gradient in seen else gradient.size)
            seen.add(gradient)
        return tuple(sizes)
