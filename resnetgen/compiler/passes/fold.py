"""fold(graph) -> FoldedGraph: what is left to compute in evaluation, in as few calls as possible.

    conv1 = convolution(x); bn1 = batch_norm(conv1); add = add(bn1, y); act = relu(add)
        ->  act: convolution(x) with bn1 folded into its weights, plus y, then ReLU

A norm after a convolution or a linear layer is arithmetic on its weights, done once. A convolution
adds another value and applies the ReLU while its result is still in the cache.

Then, for the module that is printed from it: `peak_memory`, and the `deletions` that keep to it.

    x = torch.cat([up, skip], dim=1)
    del skip                          where it would raise the peak until its variable is reassigned

Invariant: steps are in an order in which they can be executed, and none is for training alone.
Non-goals: the weights themselves, tiles and memory formats, which are up to whoever runs the steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import OpDef
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.schedule import last_reads, live_values
from resnetgen.compiler.ir.shape_rules import DTYPE_BYTES, TensorType
from resnetgen.compiler.passes.infer_types import INPUT


@dataclass(frozen=True, slots=True)
class FusedStep:
    """One call: a node and what was folded into it. Its value has the name of the last of them."""

    name: str
    node: Node
    inputs: tuple[str, ...]
    norm: Node | None = None  # folded into weight and bias
    addend: str | None = None  # a value that is added to the result
    relu: bool = False  # applied last
    overwrites: bool = False  # the result may take the memory of `overwritten`

    @property
    def reads(self) -> tuple[str, ...]:
        """Every value that the step reads."""
        return self.inputs if self.addend is None else (*self.inputs, self.addend)

    @property
    def overwritten(self) -> str:
        """The value whose memory the result may take: the addend, otherwise the input."""
        return self.inputs[0] if self.addend is None else self.addend

    @property
    def type(self) -> TensorType:
        """The type of its value; what is folded into a node does not change it."""
        assert self.node.type is not None
        return self.node.type

    @property
    def definition(self) -> OpDef:
        """The entry of its op in the table."""
        return OPS[self.node.op]


@dataclass(frozen=True, slots=True)
class FoldedGraph:
    """Steps in an order in which they can be executed, and the names of the results."""

    name: str
    input: TensorType
    steps: tuple[FusedStep, ...]
    outputs: tuple[str, ...]


def fold(graph: Graph) -> FoldedGraph:
    """The evaluation of a typed graph."""
    folded = _evaluation(graph)
    for join in (_fold_norm, _fold_addend, _fold_relu):
        folded = _join_steps(folded, join)
    return _mark_overwrites(folded)


def _evaluation(graph: Graph) -> FoldedGraph:
    """Leaves out the nodes that only training computes, and those that pass their input on."""
    values = {INPUT: INPUT}
    steps: list[FusedStep] = []
    for node in graph.nodes:
        if node.training:
            continue
        inputs = tuple(values[name] for name in node.inputs)
        op = OPS[node.op]
        passes = op.training_only or op.is_identity(node.attributes)
        values[node.name] = inputs[0] if passes else node.name
        if not passes:
            steps.append(FusedStep(node.name, node, inputs))
    outputs = tuple(values[name] for name in graph.outputs)
    return FoldedGraph(graph.name, graph.input, tuple(steps), outputs)


# --- two steps become one


def _join_steps(
    folded: FoldedGraph, join: Callable[[FusedStep, FusedStep], FusedStep | None]
) -> FoldedGraph:
    """Joins a step with one whose value only it reads, where `join` returns both as one.

    The result takes the place of the later one, where everything that it reads is known. Of two
    convolutions that are added, the later one adds: its result is still in the cache.
    """
    readers = Counter(name for step in folded.steps for name in step.reads)
    readers.update(folded.outputs)
    ranks = {step.name: rank for rank, step in enumerate(folded.steps)}
    made: dict[str, FusedStep] = {}
    for step in folded.steps:
        known = {name for name in step.inputs if name in made}
        for source in sorted(known, key=ranks.__getitem__, reverse=True):
            joined = join(made[source], step) if readers[source] == 1 else None
            if joined:
                del made[source]
                step = joined
                break
        made[step.name] = step
    return replace(folded, steps=tuple(made.values()))


def _fold_norm(before: FusedStep, step: FusedStep) -> FusedStep | None:
    if step.definition.scales_channels and before.definition.makes_channels and not before.norm:
        return replace(before, name=step.name, norm=step.node)
    return None


def _fold_addend(before: FusedStep, step: FusedStep) -> FusedStep | None:
    adds = before.definition.fuses_add_relu and before.addend is None
    if not (adds and step.definition.is_sum and len(step.inputs) == 2):
        return None
    first, second = step.inputs
    return replace(before, name=step.name, addend=first if second == before.name else second)


def _fold_relu(before: FusedStep, step: FusedStep) -> FusedStep | None:
    if step.node.op == "relu" and before.definition.fuses_add_relu:  # a second one changes nothing
        return replace(before, name=step.name, relu=True)
    return None


def _mark_overwrites(folded: FoldedGraph) -> FoldedGraph:
    """Marks the steps whose result may take the memory of a value that nothing reads later."""
    last = last_reads([step.reads for step in folded.steps])
    last |= dict.fromkeys(folded.outputs, len(folded.steps))
    views = [step for step in folded.steps if step.definition.aliases_input]
    # The input is the caller's; a view and what it views are one memory under two names.
    shared = {
        INPUT,
        *(step.name for step in views),
        *(each for view in views for each in view.inputs),
    }
    steps = []
    for index, step in enumerate(folded.steps):
        able = step.addend is not None or step.definition.inplace
        unshared = step.overwritten not in shared and step.reads.count(step.overwritten) == 1
        overwrites = able and unshared and last[step.overwritten] == index
        steps.append(replace(step, overwrites=overwrites))
    return replace(folded, steps=tuple(steps))


# --- memory of the printed module


def peak_memory(
    folded: FoldedGraph, variables: Mapping[str, str], batch: int = 1, dtype: str = "float32"
) -> int:
    """The most bytes of values alive at once in a call of the folded module, the input included.

    For a batch that is not split. `variables`: the variable of each value; `dtype` is one of
    `DTYPE_BYTES`.
    """
    lifetimes = _Lifetimes(folded, variables)
    return lifetimes.peak(lifetimes.planned, batch, DTYPE_BYTES[dtype])


def deletions(folded: FoldedGraph, variables: Mapping[str, str]) -> dict[str, list[str]]:
    """The variables to delete after each step, by its name, so that `peak_memory` is the peak.

    Python keeps a value until its variable is reassigned; a value may stay idle for one step more
    without `del`. Of those that stay longer, the largest are deleted, and only where too much would
    be alive, in float32 or in bfloat16.
    """
    lifetimes = _Lifetimes(folded, variables)
    until = dict(lifetimes.reassigned)
    deleted: dict[str, list[str]] = {}
    for element_bytes in (DTYPE_BYTES["float32"], DTYPE_BYTES["bfloat16"]):
        peak = lifetimes.peak(lifetimes.planned, 1, element_bytes)
        while name := lifetimes.largest_idle(until, peak, element_bytes):
            until[name] = lifetimes.planned[name]
            deleted.setdefault(folded.steps[until[name]].name, []).append(variables[name])
    return deleted


def largest_value(folded: FoldedGraph) -> int:
    """The elements of the largest value of an image."""
    return max(step.type.elements for step in folded.steps)


ADD_IN_PLACE_AXES = 2  # spatial axes of a convolution that oneDNN adds to a value in place

Until = Mapping[str, int]  # the last step during which each value is alive


@dataclass(frozen=True, eq=False)
class _Lifetimes:
    """From which step to which each value of a folded network is alive, and in which memory."""

    folded: FoldedGraph
    variables: Mapping[str, str]

    @cached_property
    def types(self) -> Mapping[str, TensorType]:
        return {INPUT: self.folded.input} | {step.name: step.type for step in self.folded.steps}

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """The value whose memory each is in: itself, or what it overwrites or is a view of."""
        owners = {INPUT: INPUT}
        for step in self.folded.steps:
            adds_in_place = step.addend is None or len(step.type.size) == ADD_IN_PLACE_AXES
            reuses = step.definition.aliases_input or (step.overwrites and adds_in_place)
            owners[step.name] = owners[step.overwritten] if reuses else step.name
        return owners

    @cached_property
    def needed(self) -> Until:
        """The last reader; the caller keeps the input, and receives the outputs."""
        steps = self.folded.steps
        until = {step.name: at for at, step in enumerate(steps)}
        until |= last_reads([step.reads for step in steps])
        return until | dict.fromkeys((INPUT, *self.folded.outputs), len(steps))

    @cached_property
    def reassigned(self) -> Until:
        """The step that reassigns the variable of each value."""
        until, current = dict[str, int](), dict[str, str]()
        for at, step in enumerate(self.folded.steps):
            variable = self.variables[step.name]
            if variable in current:
                until[current[variable]] = at
            current[variable] = step.name
        return dict.fromkeys(self.types, len(self.folded.steps)) | until

    @cached_property
    def planned(self) -> Until:
        """The last reader, or the step after it if that reassigns the variable."""
        return {
            name: at + 1 if self.reassigned[name] == at + 1 else at
            for name, at in self.needed.items()
        }

    def alive(self, until: Until) -> Iterator[tuple[int, FusedStep, Sequence[str]]]:
        """The values that are alive while each step runs, its own among them."""
        steps = self.folded.steps
        made = [[step.name] if at else [INPUT, step.name] for at, step in enumerate(steps)]
        for at, (step, names) in enumerate(zip(steps, live_values(made, until), strict=True)):
            yield at, step, names

    def peak(self, until: Until, batch: int, element_bytes: int) -> int:
        alive = self.alive(until)
        return max(self.size(step, names, batch, element_bytes) for _, step, names in alive)

    def size(self, step: FusedStep, names: Sequence[str], batch: int, element_bytes: int) -> int:
        """Bytes alive while a step runs: each memory once, and its extra memory."""
        owners = {self.owners[name] for name in names}
        size = batch * element_bytes * sum(self.types[owner].elements for owner in owners)
        if step.definition.inference_module is not None:  # it computes nothing but its result
            return size
        types = [self.types[name] for name in step.inputs]
        extra = step.definition.extra_memory(step.node.attributes, types, step.type)
        return size + extra.size(batch, element_bytes)

    def largest_idle(self, until: Until, peak: int, element_bytes: int) -> str | None:
        """The largest value alive longer than planned, at the first step beyond the peak."""
        for at, step, names in self.alive(until):
            if self.size(step, names, 1, element_bytes) > peak:
                needed = {self.owners[name] for name in names if self.planned[name] >= at}
                idle = [name for name in names if self.owners[name] not in needed]
                return max(idle, key=lambda name: self.types[self.owners[name]].elements)
        return None
