"""What autograd keeps in a training step, and the most that is alive while it flows back.

    conv, batch_norm, relu in place  ->  kept: the conv's input and result, the norm's statistics and
                                         its result, which is the relu's

A body is run once for each set of inputs that have gradients: forward, to find the storages that ops
save, then backward, which frees them, makes the gradients of the weights, and holds the gradient of
each value until what computed the value has read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnetgen.graph.frames import execution_order
from resnetgen.graph.ir import OpCall
from resnetgen.graph.liveness import NOTHING, Link, Storage, extra_of, links_of
from resnetgen.graph.measure import Measured, Step
from resnetgen.graph.ops import OPS
from resnetgen.graph.rules import TensorType


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
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
    kept: Kept | None = None
    extra: int = 0  # bytes that an op keeps beside values
    params: int = 0  # bytes of its weights
    hands_on: bool = False  # the gradient of its result is that of its inputs


_ABSENT = _Value(NOTHING, 0, False)


class Autograd:
    """Bodies in training mode, for a batch of values that have `width` bytes."""

    def __init__(self, network: Measured, batch: int, width: int) -> None:
        self.network = network
        self.batch = batch
        self.width = width
        self.known: dict[tuple[int, int, tuple[bool, ...]], Kept] = {}

    def run(self) -> Kept:
        """One step of the network; its input has no gradient."""
        return self.row(self.network, (False,))

    def row(self, measured: Measured, gradients: tuple[bool, ...], times: int = 1) -> Kept:
        """The network, or equal blocks one after the other; `gradients` tells which inputs have one."""
        key = (id(measured), times, gradients)
        if key not in self.known:
            columns = zip(measured.inputs, gradients, strict=True)
            inputs = [_Value(Storage(0), self.size(of), gradient) for of, gradient in columns]
            forward = self.halves(measured, inputs, times) if times > 1 else None
            self.known[key] = _kept(inputs, *(forward or self.body(measured, inputs)))
        return self.known[key]

    def body(
        self, measured: Measured, inputs: Sequence[_Value]
    ) -> tuple[list[_Done], list[_Value]]:
        """Runs the steps of a body: the calls, and the outputs."""
        values = dict(zip(measured.instance.inputs, inputs, strict=True))
        links, done = links_of(measured), list[_Done]()
        for index in execution_order(measured, measured is self.network):
            placed = measured.steps[index].placed
            main, *more = [values.get(name, _ABSENT) for name in placed.inputs]
            for link in links[index]:
                done.append(self.call(link, (main, *more)))
                main = done[-1].result
            values[placed.key] = main
        return done, [values[name] for name in measured.instance.outputs]

    def halves(
        self, block: Measured, inputs: Sequence[_Value], times: int
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
        if isinstance(link.what, Measured):
            return self.blocks(link.what, link.count, sources)
        return self.op(link.what, link.inplace, sources)

    def blocks(self, block: Measured, times: int, sources: tuple[_Value, ...]) -> _Done:
        """Equal blocks in a row."""
        kept = self.row(block, tuple(source.gradient for source in sources), times)
        storage = Storage(kept.size) if kept.alias is None else sources[kept.alias].storage
        result = _Value(storage, self.size(block.outputs[0]), kept.gradient)
        saves = [each.storage for each, held in zip(sources, kept.inputs, strict=True) if held]
        return _Done(sources, result, (*saves, *([storage] if kept.saved else ())), kept)

    def op(self, step: Step, inplace: bool, sources: tuple[_Value, ...]) -> _Done:
        """One op; it saves nothing where no gradient flows back through it."""
        assert isinstance(step.placed.what, OpCall)
        definition, attributes = OPS[step.placed.what.op], step.placed.what.attributes
        passes = definition.training_only and definition.neutral(attributes)
        views = passes or (definition.aliases and not definition.training_only)
        size = self.size(step.result)
        storage = sources[0].storage if views or inplace else Storage(size)
        if passes or not (step.cost.params or any(source.gradient for source in sources)):
            return _Done(sources, _Value(storage, size, sources[0].gradient), hands_on=True)
        copies = (
            inplace and "inputs" in definition.saves
        )  # torch saves a copy of what it overwrites
        saves = [each.storage for each in sources if "inputs" in definition.saves and not copies]
        saves += [storage] if "result" in definition.saves else []
        extra = extra_of(step, self.batch, self.width) if "extra" in definition.saves else 0
        extra += size if copies else 0
        params = step.cost.params * self.width
        result, hands_on = _Value(storage, size, True), definition.hands_on
        return _Done(sources, result, tuple(saves), None, extra, params, hands_on)


def _kept(inputs: Sequence[_Value], done: Sequence[_Done], outputs: Sequence[_Value]) -> Kept:
    """What calls keep, and what the way back through them gives."""
    storages, output = [value.storage for value in inputs], outputs[0].storage
    saved = {storage for each in done for storage in each.saves}
    inside = sum(storage.size for storage in saved - {output, *storages})
    inside += sum(each.kept.inside if each.kept else each.extra for each in done)
    back = _Backward(outputs)
    for each, frees in zip(reversed(done), reversed(_first_saved(done)), strict=True):
        back.through(each, sum(storage.size for storage in frees))
    return Kept(
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
