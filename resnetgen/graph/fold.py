"""fold(graph) -> Folded: what is left to compute in evaluation, in as few calls as may be.

    conv1 = convolution(x); bn1 = batch_norm(conv1); add = add(bn1, y); act = relu(add)
        ->  act: convolution(x) with bn1 folded into its weights, plus y, then relu

A norm behind a convolution or a linear layer is arithmetic on its weights, done once. A convolution
adds another value and rectifies while its result is still in the cache. Non-goals: the weights
themselves, tiles and memory formats, which are the business of who runs the steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from resnetgen.graph.ir import Graph, Node
from resnetgen.graph.measure import INPUT
from resnetgen.graph.opdef import OpDef
from resnetgen.graph.ops import OPS
from resnetgen.graph.rules import TensorType


@dataclass(frozen=True, slots=True)
class Step:
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
class Folded:
    """Steps in an order in which they can be executed, and the names of the results."""

    name: str
    input: TensorType
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]


def fold(graph: Graph) -> Folded:
    """The evaluation of a typed graph."""
    folded = _evaluated(graph)
    for join in (_with_norm, _with_addend, _with_relu):
        folded = _joined(folded, join)
    return _overwriting(folded)


def _evaluated(graph: Graph) -> Folded:
    """Without nodes that only training computes, or that pass their input on."""
    values = {INPUT: INPUT}
    steps: list[Step] = []
    for node in graph.nodes:
        if node.training:
            continue
        inputs = tuple(values[name] for name in node.inputs)
        op = OPS[node.op]
        passes = op.training_only or op.neutral(node.attributes)
        values[node.name] = inputs[0] if passes else node.name
        if not passes:
            steps.append(Step(node.name, node, inputs))
    outputs = tuple(values[name] for name in graph.outputs)
    return Folded(graph.name, graph.input, tuple(steps), outputs)


# --- two steps become one


def _joined(folded: Folded, join: Callable[[Step, Step], Step | None]) -> Folded:
    """Joins a step with one whose value it alone reads, where `join` gives both as one.

    The two stand where the later one stood: whatever that reads is known there. Of two convolutions
    that are added the later one adds, since its result is still in the cache.
    """
    readers = Counter(name for step in folded.steps for name in step.reads)
    readers.update(folded.outputs)
    ranks = {step.name: rank for rank, step in enumerate(folded.steps)}
    made: dict[str, Step] = {}
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


def _with_norm(before: Step, step: Step) -> Step | None:
    if step.definition.scales_channels and before.definition.makes_channels and not before.norm:
        return replace(before, name=step.name, norm=step.node)
    return None


def _with_addend(before: Step, step: Step) -> Step | None:
    adds = before.definition.fuses and before.addend is None
    if not (adds and step.definition.is_sum and len(step.inputs) == 2):
        return None
    first, second = step.inputs
    return replace(before, name=step.name, addend=first if second == before.name else second)


def _with_relu(before: Step, step: Step) -> Step | None:
    if step.node.op == "relu" and before.definition.fuses:  # also a second one: it changes nothing
        return replace(before, name=step.name, rectifies=True)
    return None


# --- memory


def _overwriting(folded: Folded) -> Folded:
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
