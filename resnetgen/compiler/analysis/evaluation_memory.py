"""Memory of the printed module in evaluation, in bytes, computed from types alone, without torch.

The printed module is the PyTorch source that `resnetgen build` writes.

    evaluation_bytes(typed, batch=32)  ->  weights, the most activations alive at once, and where
    activation_trace(typed, batch=32)  ->  [("conv1", 122.0 MB), ("bn1", 225.0 MB), ...]

Each storage is counted once, as torch allocates it: an activation that works in place has its input's,
a view keeps all that it views. Not counted: workspaces inside a kernel, what an allocator rounds up
or leaves in fragments, the context of a device.

`dtype` is the type of weights and activations alike, as after `module.to(dtype)`: also of the running
statistics of a norm. The counters of a batch norm are int64.

Execution is simulated on sizes alone. A body is simulated once for each way to call it, and its
caller adds what is alive around the call: a network of 1202 layers costs what its distinct blocks cost. Training steps are in
`training_memory.py`, which shares the calls and storages of this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnetgen.compiler.analysis.inplace import overwritable
from resnetgen.compiler.analysis.name_ranges import name_range
from resnetgen.compiler.analysis.statements import planned_statements, statements_of
from resnetgen.compiler.ir.schedule import last_reads, live_values
from resnetgen.compiler.ir.shape_rules import DTYPE_BYTES
from resnetgen.compiler.passes.infer_types import TypedInstance, TypedNode, op_counts
from resnetgen.compiler.passes.module_paths import numbered_paths, shared_paths

COUNTER_BYTES = 8  # of an int64

Trace = tuple[tuple[str, int], ...]  # what is alive while each node runs, in order of execution


@dataclass(frozen=True, slots=True)
class EvaluationBytes:
    """Bytes of the printed module run eagerly in evaluation, without gradients.

    `activations` is the most that is alive at once, the input included, and `peak_node` is the node that
    runs then. `planned` is the same for a planner that frees each value after its last reader. Python
    frees later: a frame keeps its arguments until it returns, and a variable until it is rebound.
    """

    weights: int  # parameters and buffers
    activations: int
    peak_node: str
    planned: int

    @property
    def peak(self) -> int:
        """Weights and activations."""
        return self.weights + self.activations


def evaluation_bytes(
    typed: TypedInstance, batch: int = 1, dtype: str = "float32"
) -> EvaluationBytes:
    """Memory in evaluation, for a batch. `dtype` is a key of DTYPE_BYTES."""
    element_bytes = DTYPE_BYTES[dtype]
    peak_node, most = _highest(EvaluationMemory(typed, batch, element_bytes).simulate().trace)
    _, planned = _highest(
        EvaluationMemory(typed, batch, element_bytes, planned=True).simulate().trace
    )
    input_bytes = batch * typed.source.elements * element_bytes
    weights = sum(weight_bytes(typed, element_bytes))
    return EvaluationBytes(weights, input_bytes + most, peak_node, input_bytes + planned)


def activation_trace(
    typed: TypedInstance, batch: int = 1, dtype: str = "float32"
) -> list[tuple[str, int]]:
    """The bytes of activations alive while each node runs in evaluation, in order of execution.

    Equal blocks in a row share an entry: `layer3.1-35.conv1`.
    """
    input_bytes = batch * typed.source.elements * DTYPE_BYTES[dtype]
    trace = EvaluationMemory(typed, batch, DTYPE_BYTES[dtype]).simulate().trace
    return [(name, input_bytes + live) for name, live in trace]


def _highest(trace: Trace) -> tuple[str, int]:
    """The first point of a trace at which most is alive."""
    return max(trace, key=lambda point: point[1])


def weight_bytes(typed: TypedInstance, element_bytes: int) -> tuple[int, int]:
    """Bytes of the parameters, and of the other tensors of the state_dict."""
    bytes_of = {True: 0, False: 0}  # by whether it is trained
    for node, times in op_counts((node, 1) for node in typed.nodes):
        assert node.node.op
        attributes, source = node.node.op.attributes, node.source
        weights = node.node.op.definition.weights(attributes, source.channels, len(source.size))
        for weight in weights:
            each = COUNTER_BYTES if weight.counter else element_bytes
            bytes_of[weight.trained] += times * weight.elements * each
    return bytes_of[True], bytes_of[False]


# --- calls and storages, of evaluation and of training


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call of an op or a block, or of `count` equal blocks in a row after the first one."""

    name: str
    callee: TypedNode | TypedInstance
    inplace: bool = False
    count: int = 1


def calls_of(typed: TypedInstance) -> list[list[Call]]:
    """The calls that each node of a body makes, one after the other; none if it passes its input on."""
    paths = numbered_paths(typed.instance.nodes)
    shared, inplace = shared_paths(paths), overwritable(typed.instance)
    calls: list[list[Call]] = []
    for node, own in zip(typed.nodes, paths, strict=True):
        key = node.node.key
        names = [key if path in shared else path for path in own]
        if node.node.op:
            calls.append([Call(names[0], node, key in inplace)])
            continue
        node_calls, position = list[Call](), 0
        for block, times in node.blocks:
            node_calls.append(Call(names[position], block))
            if times > 1:
                rest = name_range(names[position + 1], names[position + times - 1])
                node_calls.append(Call(rest, block, count=times - 1))
            position += times
        calls.append(node_calls)
    return calls


class Storage:
    """Memory that values share; of size 0 where a caller keeps and counts it."""

    def __init__(self, size: int) -> None:
        self.size = size


NOTHING = Storage(0)  # an input that is `none`


def extra_bytes(node: TypedNode, batch: int, element_bytes: int) -> int:
    """Bytes of the tensors that an op computes besides its result: `ExtraMemory`."""
    assert node.node.op
    types = [source for source in node.sources if source]
    extra = node.node.op.definition.extra_memory(node.node.op.attributes, types, node.result)
    return extra.size(batch, element_bytes)


# --- a simulated run in evaluation


@dataclass(frozen=True, slots=True, eq=False)
class CallMemory:
    """The memory of a call, in bytes beyond what was alive before it.

    The result is new memory of `size`, or that of the input `alias`.
    """

    trace: Trace = ()
    size: int = 0
    alias: int | None = None


# The sizes of the inputs that a call may free; None for one that its caller keeps.
Freeable = tuple[int | None, ...]


class EvaluationMemory:
    """Simulates bodies in evaluation mode, on sizes; each once for each way to call it.

    Values live as long as Python keeps them or, if `planned`, until their last reader.
    """

    def __init__(
        self, network: TypedInstance, batch: int, element_bytes: int, planned: bool = False
    ) -> None:
        self.network = network
        self.batch = batch
        self.element_bytes = element_bytes
        self.planned = planned
        self.memo: dict[tuple[int, Freeable], CallMemory] = {}

    def simulate(self) -> CallMemory:
        """One call of the network, whose caller keeps the input."""
        return self.simulate_body(self.network, (None,))

    def simulate_body(self, typed: TypedInstance, freeable: Freeable) -> CallMemory:
        """One call of a block, or of the network."""
        key = (id(typed), freeable)
        if key not in self.memo:
            self.memo[key] = self.simulate_statements(typed, freeable)
        return self.memo[key]

    def simulate_statements(self, typed: TypedInstance, freeable: Freeable) -> CallMemory:
        """The statements of a body, one after the other."""
        inputs = [Storage(size or 0) for size in freeable]
        entry = sum(storage.size for storage in inputs)
        values = dict(zip(typed.instance.inputs, inputs, strict=True))
        statements = (planned_statements if self.planned else statements_of)(
            typed, typed is self.network
        )
        until = last_reads([each.inputs for each in statements]) if self.planned else {}
        until |= {each.result_key: each.until for each in statements}
        # What is alive before each statement: its own result is not made yet.
        made = [[name for name in values if name in until]]
        made += [[each.result_key] for each in statements[:-1]]
        calls_by_node, trace = calls_of(typed), list[tuple[str, int]]()
        for index, names in enumerate(live_values(made, until)):
            statement = statements[index]
            base = sum(storage.size for storage in {values[name] for name in names}) - entry
            kept = {values[name] for name in names if until[name] > index}
            operands = [values.get(name, NOTHING) for name in statement.inputs]
            chain_calls = [call for member in statement.members for call in calls_by_node[member]]
            memory = self.simulate_chain(chain_calls, operands, kept)
            trace += [(name, base + live) for name, live in memory.trace]
            new = Storage(memory.size)
            values[statement.result_key] = new if memory.alias is None else operands[memory.alias]
        result = values[typed.instance.outputs[0]]
        alias = inputs.index(result) if result in inputs else None
        return CallMemory(tuple(trace), result.size, alias)

    def simulate_chain(
        self, calls: Sequence[Call], operands: Sequence[Storage], kept: set[Storage]
    ) -> CallMemory:
        """Calls one after the other, each on the result of the one before.

        They share the other inputs. If `planned`, the last reader of what is not `kept` may free it.
        """
        current, others = operands[0], operands[1:]
        may_free = set(operands) - kept if self.planned else set[Storage]()
        may_free -= set(others) if len(calls) > 1 or current in others else set()
        base, trace = 0, list[tuple[str, int]]()
        for call in calls:
            call_may_free = may_free if self.planned else set[Storage]()
            freeable = tuple(
                each.size if each in call_may_free else None for each in (current, *others)
            )
            memory = self.simulate_call(call, freeable)
            trace += [(f"{call.name}{name}", base + live) for name, live in memory.trace]
            if memory.alias == 0:
                continue
            base -= current.size if current in may_free else 0
            current = Storage(memory.size) if memory.alias is None else operands[memory.alias]
            if memory.alias is None:
                may_free.add(current)
                base += current.size
        return CallMemory(
            tuple(trace), current.size, operands.index(current) if current in operands else None
        )

    def simulate_call(self, call: Call, freeable: Freeable) -> CallMemory:
        """One block, or one op."""
        if isinstance(call.callee, TypedInstance):
            memory = self.simulate_body(call.callee, freeable)
            trace = tuple((f".{name}", live) for name, live in memory.trace)
            return CallMemory(trace, memory.size, memory.alias)
        node = call.callee
        assert node.node.op
        definition = node.node.op.definition
        if definition.aliases_input:
            return CallMemory(alias=0)
        extra = extra_bytes(node, self.batch, self.element_bytes)
        size = 0 if call.inplace else self.batch * node.result.elements * self.element_bytes
        return CallMemory((("", size + extra),), size, 0 if call.inplace else None)
