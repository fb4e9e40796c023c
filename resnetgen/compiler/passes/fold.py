"""fold(graph) -> Folded: what is left to compute in evaluation, in as few calls as may be.

    conv1 = convolution(x); bn1 = batch_norm(conv1); add = add(bn1, y); act = relu(add)
        ->  act: convolution(x) with bn1 folded into its weights, plus y, then relu

A norm behind a convolution or a linear layer is arithmetic on its weights, done once. A convolution
adds another value and rectifies while its result is still in the cache. Non-goals: the weights
themselves, tiles and memory formats, which are the business of who runs the steps.

peak(folded, variables), deletions(folded, variables): what is alive while folded steps run.

    x = torch.cat([up, skip], dim=1)
    del skip                          where it would raise the peak, until another value takes its name

Python holds a value until its variable is bound anew. What stands idle for one call more is let be;
what stands idle longer is deleted where most is alive. Tensors are counted as in `memory.py`, the
input included; a convolution over two axes adds in place, as oneDNN does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import OpDef
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.schedule import last_reads
from resnetgen.compiler.ir.shape_rules import WIDTHS, TensorType
from resnetgen.compiler.passes.infer_types import INPUT


@dataclass(frozen=True, slots=True)
class FusedStep:
    """One call: a node and what was folded into it. Its value has the name of the last of them."""

    name: str
    node: Node
    inputs: tuple[str, ...]
    norm: Node | None = None  # folded into weight and bias
    addend: str | None = None  # a value that is added to the result
    rectifies: bool = False  # a ReLU is applied last
    overwrites: bool = False  # the result may take the memory of the addend, or else of the input

    @property
    def reads(self) -> tuple[str, ...]:
        """Every value that the step reads."""
        return self.inputs if self.addend is None else (*self.inputs, self.addend)

    @property
    def target(self) -> str:
        """The value whose memory its own takes where it overwrites."""
        return self.inputs[0] if self.addend is None else self.addend

    @property
    def type(self) -> TensorType:
        """The type of its value; an activation and a sum have that of what they read."""
        assert self.node.type is not None
        return self.node.type

    @property
    def definition(self) -> OpDef:
        """The facts of its op."""
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
    folded = _evaluated(graph)
    for join in (_with_norm, _with_addend, _with_relu):
        folded = _joined(folded, join)
    return _overwriting(folded)


def _evaluated(graph: Graph) -> FoldedGraph:
    """Without nodes that only training computes, or that pass their input on."""
    values = {INPUT: INPUT}
    steps: list[FusedStep] = []
    for node in graph.nodes:
        if node.training:
            continue
        inputs = tuple(values[name] for name in node.inputs)
        op = OPS[node.op]
        passes = op.training_only or op.neutral(node.attributes)
        values[node.name] = inputs[0] if passes else node.name
        if not passes:
            steps.append(FusedStep(node.name, node, inputs))
    outputs = tuple(values[name] for name in graph.outputs)
    return FoldedGraph(graph.name, graph.input, tuple(steps), outputs)


# --- two steps become one


def _joined(
    folded: FoldedGraph, join: Callable[[FusedStep, FusedStep], FusedStep | None]
) -> FoldedGraph:
    """Joins a step with one whose value it alone reads, where `join` gives both as one.

    The two stand where the later one stood: whatever that reads is known there. Of two convolutions
    that are added the later one adds, since its result is still in the cache.
    """
    readers = Counter(name for step in folded.steps for name in step.reads)
    readers.update(folded.outputs)
    ranks = {step.name: rank for rank, step in enumerate(folded.steps)}
    made: dict[str, FusedStep] = {}
    for step in folded.steps:
        known = {name for name in step.inputs if name in made}
        for source in sorted(known, key=ranks.__getitem__, reverse=True):
            both = join(made[source], step) if readers[source] == 1 else None
            if both:
                del made[source]
                step = both
                break
        made[step.name] = step
    return replace(folded, steps=tuple(made.values()))


def _with_norm(before: FusedStep, step: FusedStep) -> FusedStep | None:
    if step.definition.scales_channels and before.definition.makes_channels and not before.norm:
        return replace(before, name=step.name, norm=step.node)
    return None


def _with_addend(before: FusedStep, step: FusedStep) -> FusedStep | None:
    adds = before.definition.fuses and before.addend is None
    if not (adds and step.definition.is_sum and len(step.inputs) == 2):
        return None
    first, second = step.inputs
    return replace(before, name=step.name, addend=first if second == before.name else second)


def _with_relu(before: FusedStep, step: FusedStep) -> FusedStep | None:
    if step.node.op == "relu" and before.definition.fuses:  # also a second one: it changes nothing
        return replace(before, name=step.name, rectifies=True)
    return None


# --- memory


def _overwriting(folded: FoldedGraph) -> FoldedGraph:
    """Marks the steps whose result may take the memory of a value that nothing reads later."""
    last = {name: index for index, step in enumerate(folded.steps) for name in step.reads}
    last |= dict.fromkeys(folded.outputs, len(folded.steps))
    views = [step for step in folded.steps if step.definition.aliases]
    shared = {
        INPUT,
        *(step.name for step in views),
        *(each for view in views for each in view.inputs),
    }
    steps = []
    for index, step in enumerate(folded.steps):
        able = step.addend is not None or step.definition.inplace
        alone = step.target not in shared and step.reads.count(step.target) == 1
        steps.append(replace(step, overwrites=able and alone and last[step.target] == index))
    return replace(folded, steps=tuple(steps))


FUSED_AXES = 2  # of a convolution that oneDNN adds to a value in place


def peak(
    folded: FoldedGraph, variables: Mapping[str, str], batch: int = 1, dtype: str = "float32"
) -> int:
    """The most bytes of values alive at once in a call of the folded module, the input included.

    For a batch that is not split. `variables` says what each value is bound to; `dtype` is one of
    WIDTHS.
    """
    values = _Values(folded)
    return values.peak(values.planned(variables), batch, WIDTHS[dtype])


def deletions(folded: FoldedGraph, variables: Mapping[str, str]) -> dict[str, list[str]]:
    """The variables to delete after each step, by its name, so that the peak is that of `peak`.

    The largest go first, and only where too much would be alive, in float32 or in bfloat16.
    """
    values = _Values(folded)
    planned, until = values.planned(variables), values.bound(variables)
    found: dict[str, list[str]] = {}
    for width in (WIDTHS["float32"], WIDTHS["bfloat16"]):
        most = values.peak(planned, 1, width)
        while name := values.in_the_way(until, planned, most, width):
            until[name] = planned[name]
            found.setdefault(folded.steps[until[name]].name, []).append(variables[name])
    return found


def largest(folded: FoldedGraph) -> int:
    """The elements of the largest value of an image."""
    return max(step.type.elements for step in folded.steps)


Until = Mapping[str, int]  # the step after which each value is let go of


@dataclass(frozen=True, eq=False)
class _Values:
    """The values of a folded network, by name."""

    folded: FoldedGraph

    @cached_property
    def types(self) -> Mapping[str, TensorType]:
        return {INPUT: self.folded.input} | {step.name: step.type for step in self.folded.steps}

    @cached_property
    def homes(self) -> Mapping[str, str]:
        """The value whose memory each has: its own, or that of what it overwrites or shows."""
        found = {INPUT: INPUT}
        for step in self.folded.steps:
            adds_aside = step.addend is not None and len(step.type.size) != FUSED_AXES
            takes = step.definition.aliases or (step.overwrites and not adds_aside)
            found[step.name] = found[step.target] if takes else step.name
        return found

    @cached_property
    def last(self) -> Until:
        """The last reader of each value; the caller holds the input, and gets the outputs."""
        steps = self.folded.steps
        found = {step.name: at for at, step in enumerate(steps)}
        found |= last_reads([step.reads for step in steps])
        return found | dict.fromkeys((INPUT, *self.folded.outputs), len(steps))

    def bound(self, variables: Mapping[str, str]) -> dict[str, int]:
        """The step that binds the variable of each value anew."""
        until, holds = dict[str, int](), dict[str, str]()
        for at, step in enumerate(self.folded.steps):
            variable = variables[step.name]
            if variable in holds:
                until[holds[variable]] = at
            holds[variable] = step.name
        return dict.fromkeys(self.types, len(self.folded.steps)) | until

    def planned(self, variables: Mapping[str, str]) -> Until:
        """The last reader, or the step behind it where that binds the variable anew."""
        bound = self.bound(variables)
        return {
            name: bound[name] if bound[name] == at + 1 else at for name, at in self.last.items()
        }

    def alive(self, until: Until) -> Iterator[tuple[int, FusedStep, list[str]]]:
        """The values that are alive while each step runs, its own among them."""
        names = [INPUT]
        for at, step in enumerate(self.folded.steps):
            names.append(step.name)
            yield at, step, names
            names = [name for name in names if until[name] > at]

    def peak(self, until: Until, batch: int, width: int) -> int:
        alive = self.alive(until)
        return max(self.bytes(step, names, batch, width) for _, step, names in alive)

    def bytes(self, step: FusedStep, names: list[str], batch: int, width: int) -> int:
        """Of what is alive while a step runs: each memory once, and what it computes beside its result."""
        homes = {self.homes[name] for name in names}
        held = batch * width * sum(self.types[home].elements for home in homes)
        if step.definition.in_inference is not None:  # a module that computes its result alone
            return held
        types = [self.types[name] for name in step.inputs]
        extra = step.definition.extra(step.node.attributes, types, step.type)
        return held + extra.size(batch, width)

    def in_the_way(self, until: Until, planned: Until, most: int, width: int) -> str | None:
        """The largest value that is alive longer than planned, where more than `most` is alive."""
        for at, step, names in self.alive(until):
            if self.bytes(step, names, 1, width) > most:
                needed = {self.homes[name] for name in names if planned[name] >= at}
                idle = [name for name in names if self.homes[name] not in needed]
                return max(idle, key=lambda name: self.types[self.homes[name]].elements)
        return None
