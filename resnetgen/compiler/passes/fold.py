"""fold(graph) -> FoldedGraph: what is left to compute in evaluation, in as few calls as possible.

    conv1 = convolution(x); bn1 = batch_norm(conv1); add = add(bn1, y); act = relu(add)
        ->  act: convolution(x) with bn1 folded into its weights, plus y, then ReLU

A norm after a convolution or a linear layer is arithmetic on its weights, done once. A convolution
adds another value and applies the ReLU while its result is still in the cache.

Invariant: steps are in an order in which they can be executed, and none is for training alone.
Non-goals: the weights themselves, tiles and memory formats, which are up to whoever runs the steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import OpDef, TorchFunction, TorchModule
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.schedule import last_reads
from resnetgen.compiler.ir.shape_rules import TensorType
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

    @property
    def form(self) -> TorchModule | TorchFunction:
        """How it is computed in the inference target."""
        return self.definition.inference_module or self.definition.torch

    def arguments(self, form: TorchModule) -> dict[str | int, Any]:
        """The values of the arguments of its module's constructor."""
        known = {
            **self.node.attributes,
            "in": self.node.in_channels,
            "relu": self.relu,
            "overwrites": self.overwrites,
            "inplace": self.overwrites,
        }
        if self.norm is not None:
            known["bias"] = True
        return {
            name: name if isinstance(name, int) else known[name]
            for name in (argument.attribute for argument in form.arguments)
        }


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
    return mark_overwrites(folded)


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


def mark_overwrites(folded: FoldedGraph) -> FoldedGraph:
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
