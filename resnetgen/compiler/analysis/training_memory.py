"""Memory of a training step of the printed module, in bytes, without torch.

    training_bytes(typed, batch=32)  ->  weights, gradients, optimizer state, what autograd saves, peak

    conv, batch_norm, relu in place  ->  saved: the conv's input and result, the norm's statistics and
                                         its result, which is the relu's

A body is run once for each set of inputs that have gradients: forward, to find the storages that ops
save, then backward, which frees them, makes the gradients of the weights, and keeps the gradient of
each value until the op that computed the value has read it.

What counts is as in `evaluation_memory.py`. The statistics of a batch that a batch norm saves are
float32, whatever the `dtype`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnetgen.compiler.analysis.evaluation_memory import (
    NOTHING,
    Call,
    Storage,
    calls_of,
    extra_bytes,
    weight_bytes,
)
from resnetgen.compiler.analysis.statements import execution_order
from resnetgen.compiler.ir.shape_rules import DTYPE_BYTES, TensorType
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode

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
class TrainingBytes:
    """Bytes of a training step.

    `saved` is what autograd saves in the forward pass for the backward pass, weights left out.
    `peak` is the most that is alive at once in the backward pass of any step but the first: weights,
    buffers, optimizer state, the input, the outputs and what is not yet freed of `saved`, the
    gradients of weights so far, and those of the values between two ops. It is assumed that gradients
    of weights are freed between steps (`zero_grad(set_to_none=True)`), and that the optimizer needs no
    memory beside its state. As on a GPU, the mask of a dropout has a byte for each value.
    """

    weights: int
    buffers: int
    gradients: int  # of the weights
    optimizer: int  # its state
    saved: int
    peak: int


def training_bytes(
    typed: TypedInstance, batch: int = 1, dtype: str = "float32", optimizer: str = "momentum"
) -> TrainingBytes:
    """Memory of a training step, for a batch. `optimizer` is one of OPTIMIZERS."""
    element_bytes = DTYPE_BYTES[dtype]
    parameters, buffers = weight_bytes(typed, element_bytes)
    step = AutogradMemory(typed, batch, element_bytes).run()
    source = batch * typed.source.elements * element_bytes
    losses = batch * sum(each.elements for each in typed.outputs) * element_bytes  # their gradients
    saved = step.inside + (step.size if step.saves_result else 0)
    saved += source if step.saves_inputs[0] else 0
    state = OPTIMIZERS[optimizer] * parameters
    alive = saved + (0 if step.saves_inputs[0] else source) + step.outputs + losses
    peak = parameters + buffers + state + alive + step.peak
    return TrainingBytes(parameters, buffers, parameters, state, saved, peak)


@dataclass(frozen=True, slots=True, eq=False)
class SavedForBackward:
    """What one call of a block saves and returns, as its caller sees it, in bytes.

    `inside` is what it saves, the result left out. The result is new memory of `size`, or that of the
    input `alias`. `peak` is the most that its backward pass adds to what is alive when that begins,
    and `after` what it has added when it ends: gradients of its weights and inputs, less what it saved
    and the gradient of its result.
    """

    inside: int
    saves_inputs: tuple[bool, ...]
    size: int
    alias: int | None
    saves_result: bool
    outputs: int  # bytes of the results that it does not save
    has_gradient: bool  # of the result
    peak: int
    after: int
    input_gradients: tuple[int, ...]  # their sizes


@dataclass(slots=True, eq=False)
class _Value:
    """A value: its memory, the bytes of its gradient, and whether it has one."""

    storage: Storage
    size: int
    has_gradient: bool


_ABSENT = _Value(NOTHING, 0, False)


@dataclass(frozen=True, slots=True, eq=False)
class _TapeEntry:
    """A call of the forward pass, recorded for the backward pass; `block` is what a block saves."""

    sources: tuple[_Value, ...]
    result: _Value
    saves: tuple[Storage, ...] = ()
    block: SavedForBackward | None = None
    extra: int = 0  # bytes that an op saves beside values
    params: int = 0  # bytes of its weights
    passes_gradient: bool = False  # the gradient of its result is that of its inputs


# --- forward


class AutogradMemory:
    """Bodies in training mode, for a batch of values of `width` bytes each."""

    def __init__(self, network: TypedInstance, batch: int, element_bytes: int) -> None:
        self.network = network
        self.batch = batch
        self.element_bytes = element_bytes
        self.memo: dict[tuple[int, int, tuple[bool, ...]], SavedForBackward] = {}

    def run(self) -> SavedForBackward:
        """One step of the network; its input has no gradient."""
        return self.run_blocks(self.network, (False,))

    def run_blocks(
        self, typed: TypedInstance, gradients: tuple[bool, ...], times: int = 1
    ) -> SavedForBackward:
        """The network, or equal blocks in a row; `gradients` says which inputs have one."""
        key = (id(typed), times, gradients)
        if key not in self.memo:
            columns = zip(typed.inputs, gradients, strict=True)
            inputs = [_Value(Storage(0), self.size(of), gradient) for of, gradient in columns]
            forward = self.halves(typed, inputs, times) if times > 1 else self.body(typed, inputs)
            self.memo[key] = _saved_for_backward(inputs, *forward)
        return self.memo[key]

    def body(
        self, typed: TypedInstance, inputs: Sequence[_Value]
    ) -> tuple[list[_TapeEntry], list[_Value]]:
        """Runs the nodes of a body; returns its calls and its outputs."""
        values = dict(zip(typed.instance.inputs, inputs, strict=True))
        calls, tape = calls_of(typed), list[_TapeEntry]()
        for step in execution_order(typed, typed is self.network):
            (index,) = step.members
            node = typed.nodes[index].node
            main, *more = [values.get(name, _ABSENT) for name in node.inputs]
            for call in calls[index]:
                tape.append(self.call(call, (main, *more)))
                main = tape[-1].result
            values[node.key] = main
        return tape, [values[name] for name in typed.instance.outputs]

    def halves(
        self, block: TypedInstance, inputs: Sequence[_Value], times: int
    ) -> tuple[list[_TapeEntry], list[_Value]]:
        """Equal blocks in a row as two rows of half as many, so that a thousand cost what ten do."""
        (main, *more), tape = inputs, list[_TapeEntry]()
        for part in filter(None, (times // 2, times // 2, times % 2)):
            tape.append(self.blocks(block, part, (main, *more)))
            main = tape[-1].result
        return tape, [main]

    def size(self, of: TensorType | None) -> int:
        """Bytes of a batch of values."""
        return self.batch * of.elements * self.element_bytes if of else 0

    def call(self, call: Call, sources: tuple[_Value, ...]) -> _TapeEntry:
        """Blocks in a row, or one op."""
        if isinstance(call.callee, TypedInstance):
            return self.blocks(call.callee, call.count, sources)
        return self.op(call.callee, call.inplace, sources)

    def blocks(self, block: TypedInstance, times: int, sources: tuple[_Value, ...]) -> _TapeEntry:
        """Equal blocks in a row."""
        saved = self.run_blocks(block, tuple(source.has_gradient for source in sources), times)
        storage = Storage(saved.size) if saved.alias is None else sources[saved.alias].storage
        result = _Value(storage, self.size(block.outputs[0]), saved.has_gradient)
        pairs = zip(sources, saved.saves_inputs, strict=True)
        saves = [source.storage for source, is_saved in pairs if is_saved]
        saves += [storage] if saved.saves_result else []
        return _TapeEntry(sources, result, tuple(saves), saved)

    def op(self, node: TypedNode, inplace: bool, sources: tuple[_Value, ...]) -> _TapeEntry:
        """One op; it saves nothing where no gradient flows back through it."""
        assert node.node.op
        definition, attributes = node.node.op.definition, node.node.op.attributes
        is_identity = definition.training_only and definition.is_identity(attributes)
        is_view = is_identity or (definition.aliases_input and not definition.training_only)
        size = self.size(node.result)
        storage = sources[0].storage if is_view or inplace else Storage(size)
        has_gradient = node.cost.params or any(source.has_gradient for source in sources)
        if is_identity or not has_gradient:
            result = _Value(storage, size, sources[0].has_gradient)
            return _TapeEntry(sources, result, passes_gradient=True)
        saved, saves, extra = definition.saved_for_backward, list[Storage](), 0
        if "inputs" in saved and inplace:
            extra += size  # torch saves a copy of what it overwrites
        elif "inputs" in saved:
            saves += [source.storage for source in sources]
        if "result" in saved:
            saves.append(storage)
        if "extra" in saved:
            extra += extra_bytes(node, self.batch, self.element_bytes)
        params = node.cost.params * self.element_bytes
        result, passes_gradient = _Value(storage, size, True), definition.passes_gradient
        return _TapeEntry(sources, result, tuple(saves), None, extra, params, passes_gradient)


# --- backward


def _saved_for_backward(
    inputs: Sequence[_Value], tape: Sequence[_TapeEntry], outputs: Sequence[_Value]
) -> SavedForBackward:
    """What the calls of a body save, and what its backward pass adds and frees."""
    storages, output = [value.storage for value in inputs], outputs[0].storage
    saved = {storage for entry in tape for storage in entry.saves}
    inside = sum(storage.size for storage in saved - {output, *storages})
    inside += sum(entry.block.inside if entry.block else entry.extra for entry in tape)
    backward = _Backward(outputs)
    for entry, freed in zip(reversed(tape), reversed(_freed_by(tape)), strict=True):
        backward.through(entry, sum(storage.size for storage in freed))
    return SavedForBackward(
        inside,
        tuple(storage in saved for storage in storages),
        output.size,
        storages.index(output) if output in storages else None,
        output in saved,
        sum(storage.size for storage in {each.storage for each in outputs} - saved),
        outputs[0].has_gradient,
        backward.peak,
        backward.live,
        backward.input_gradients(inputs),
    )


def _freed_by(tape: Sequence[_TapeEntry]) -> list[list[Storage]]:
    """The storages that the backward pass of each call frees: those that no call before it saves.

    What a block saves of its own result is freed while its own backward pass runs.
    """
    saved, freed = set[Storage](), list[list[Storage]]()
    for entry in tape:
        new = set(entry.saves) - saved
        saved |= new
        freed.append([s for s in new if not (entry.block and s is entry.result.storage)])
    return freed


class _Backward:
    """The backward pass of one body: bytes beyond what is alive when it begins."""

    def __init__(self, outputs: Sequence[_Value]) -> None:
        self.live = 0
        self.peak = 0
        self.gradients = {each: Storage(each.size) for each in outputs if each.has_gradient}

    def allocate(self, size: int) -> None:
        """New memory."""
        self.live += size
        self.peak = max(self.peak, self.live)

    def count_uses(self, gradient: Storage) -> int:
        """How many values have this as their gradient."""
        return sum(each is gradient for each in self.gradients.values())

    def through(self, entry: _TapeEntry, freed: int) -> None:
        """Back through one call, which then frees some of what was saved."""
        gradient = self.gradients.pop(entry.result, None)
        if gradient is None:
            return
        sources = [source for source in entry.sources if source.has_gradient]
        if entry.block:
            self.peak = max(self.peak, self.live + entry.block.peak)
            self.live += entry.block.after + gradient.size
            pairs = zip(entry.sources, entry.block.input_gradients, strict=True)
            gradients = [Storage(size) for source, size in pairs if source.has_gradient]
        elif entry.passes_gradient:
            gradients = [gradient] * len(sources)
        else:
            gradients = [Storage(source.size) for source in sources]
            self.allocate(entry.params + sum(each.size for each in gradients))
        for source, each in zip(sources, gradients, strict=True):
            self.accumulate(source, each)
        if not self.count_uses(gradient):
            self.live -= gradient.size
        self.live -= entry.extra + freed

    def accumulate(self, value: _Value, gradient: Storage) -> None:
        """Adds to the gradient of a value that several read; in place if no other value shares it."""
        before = self.gradients.get(value)
        if before is None:
            self.gradients[value] = gradient
            return
        if self.count_uses(before) > 1:
            self.allocate(before.size)
            self.gradients[value] = Storage(before.size)
        if not self.count_uses(gradient):
            self.live -= gradient.size

    def input_gradients(self, inputs: Sequence[_Value]) -> tuple[int, ...]:
        """The sizes of the gradients of a body's inputs; memory that two share counts for the first."""
        seen, sizes = set[Storage](), list[int]()
        for value in inputs:
            gradient = self.gradients.get(value, NOTHING)
            sizes.append(0 if gradient in seen else gradient.size)
            seen.add(gradient)
        return tuple(sizes)
