"""measure(network, root) -> Measured: types and costs, on the instances.

One walk over the distinct instances, memoised by (instance, input types); totals are multiplied by
repeats, so a report costs what the distinct blocks cost. A property test holds the totals equal to
the sum over the flattened graph. Faults of shape are found here and told once a cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from resnetgen.compiler.diagnostics.model import Diagnostic, DiagnosticCollector, SpecError
from resnetgen.compiler.ir.nodes import (
    BlockNode,
    Instance,
    InstanceNode,
    Network,
    OpCall,
    PassThrough,
)
from resnetgen.compiler.ir.schedule import needed_for
from resnetgen.compiler.ir.shape_rules import ShapeError, TensorType
from resnetgen.compiler.passes.provenance import CallSite
from resnetgen.compiler.passes.shape_errors import shape_fault, swap_operands

INPUT = "input"

MOST_PARAMS = 10**15  # of one network


@dataclass(frozen=True, slots=True)
class Cost:
    """What a node or a network costs, for one image; sums and multiples of costs are costs."""

    params: int = 0  # trained parameters
    buffers: int = 0  # elements of the state_dict that are not trained
    macs: int = 0  # multiply-adds of convolutions and linear layers
    activations: int = 0  # elements of the results of all ops that compute in evaluation

    @property
    def flops(self) -> int:
        """Two for each multiply-add, as torch counts them."""
        return 2 * self.macs

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.buffers + other.buffers,
            self.macs + other.macs,
            self.activations + other.activations,
        )

    def __mul__(self, count: int) -> Cost:
        return Cost(
            self.params * count, self.buffers * count, self.macs * count, self.activations * count
        )


@dataclass(frozen=True, slots=True, eq=False)
class TypedNode:
    """One placed node with types: its inputs, its result, its cost, what its blocks measure."""

    node: InstanceNode
    sources: tuple[TensorType | None, ...]  # None: an input of a block that is `none`
    result: TensorType
    cost: Cost
    blocks: tuple[tuple[TypedInstance, int], ...] = ()
    training: bool = False  # computed in training only

    @property
    def source(self) -> TensorType:
        """The type of the first input."""
        first = self.sources[0]
        assert first is not None
        return first


@dataclass(frozen=True, slots=True, eq=False)
class TypedInstance:
    """An instance at given input types."""

    instance: Instance
    inputs: tuple[TensorType | None, ...]  # None: an input that is `none`
    nodes: tuple[TypedNode, ...]  # in the order of `instance.placed`
    outputs: tuple[TensorType, ...]
    cost: Cost

    @property
    def source(self) -> TensorType:
        """The type of the first input."""
        first = self.inputs[0]
        assert first is not None
        return first


def measure(network: Network, root: Instance) -> TypedInstance:
    """Types and cost of the whole network. Raises SpecError with every fault of shape."""
    walk = TypeInference(network)
    types = dict(zip(root.block.inputs, (network.input,), strict=True))
    measured = walk.instance(root, types, ())
    if walk.faults or measured is None:
        raise SpecError(walk.faults)
    if measured.cost.params > MOST_PARAMS:
        raise SpecError([_too_large(measured)])
    return measured


def _too_large(measured: TypedInstance) -> Diagnostic:
    """More parameters than any machine holds: the node that has most of them is told."""
    largest = max(measured.nodes, key=lambda step: step.cost.params)
    found = f"{measured.cost.params:.1e} parameters, most of them in `{largest.node.key}`"
    message = f"{found}; a network has at most {MOST_PARAMS:.0e}"
    return Diagnostic("limit", message, largest.node.block_node.span)


class TypeInference:
    """The memo of one walk over instances at input types, and the faults so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.memo: dict[tuple[int, tuple[TensorType | None, ...]], TypedInstance | None] = {}
        self.faults = DiagnosticCollector()
        self.refused: set[BlockNode] = set()

    def instance(
        self,
        instance: Instance,
        inputs: Mapping[str, TensorType | None],
        frames: tuple[CallSite, ...],
    ) -> TypedInstance | None:
        key = (id(instance), tuple(inputs.values()))
        if key not in self.memo:
            self.memo[key] = self.fresh(instance, inputs, frames)
        return self.memo[key]

    def fresh(
        self,
        instance: Instance,
        inputs: Mapping[str, TensorType | None],
        frames: tuple[CallSite, ...],
    ) -> TypedInstance | None:
        types: dict[str, TensorType | None] = dict(inputs)
        steps = self.steps(instance, types, frames)
        outputs = [types[name] for name in instance.outputs]
        if any(step is None for step in steps) or any(output is None for output in outputs):
            return None
        done = [step for step in steps if step]
        if instance.block is self.network.root and self.network.train_outputs:
            done = _without_training(done, instance.outputs[: len(self.network.outputs)])
        cost = sum((step.cost for step in done), Cost())
        found = tuple(each for each in outputs if each)
        return TypedInstance(instance, tuple(inputs.values()), tuple(done), found, cost)

    def steps(
        self,
        instance: Instance,
        types: dict[str, TensorType | None],
        frames: tuple[CallSite, ...],
    ) -> list[TypedNode | None]:
        """The steps of an instance, None behind a fault; `types`, its values so far, is completed."""
        steps: list[TypedNode | None] = [None] * len(instance.nodes)
        for index in instance.schedule:
            placed = instance.nodes[index]
            sources = [types.get(name) for name in placed.inputs]
            known = [source for source in sources if source is not None]
            missing = any(
                source is None and name != "none"
                for name, source in zip(placed.inputs, sources, strict=True)
            )
            step = None if missing else self.step(instance, placed, known, sources, types, frames)
            types[placed.key] = step.result if step else None
            steps[index] = step
        return steps

    def step(
        self,
        instance: Instance,
        placed: InstanceNode,
        known: list[TensorType],
        sources: list[TensorType | None],
        types: Mapping[str, TensorType | None],
        frames: tuple[CallSite, ...],
    ) -> TypedNode | None:
        if isinstance(placed.callee, PassThrough):
            return TypedNode(placed, tuple(sources), known[0], Cost())
        if placed.op:
            try:
                return op_step(placed, placed.op, known)
            except ShapeError as error:
                self.refuse(instance, placed, types, frames, error)
                if placed.op.definition.arity is not None:
                    return None
                meant = (
                    swap_operands(placed.op, known) or known[0]
                )  # what follows is checked too
                return TypedNode(placed, tuple(sources), meant, Cost())
        return self.stage(instance, placed, sources, types, frames)

    def refuse(
        self,
        instance: Instance,
        placed: InstanceNode,
        types: Mapping[str, TensorType | None],
        frames: tuple[CallSite, ...],
        error: ShapeError,
    ) -> None:
        """Records what an op cannot take: one fault a node of a block, and one a place at fault.

        After a fault the sizes that follow are a guess: none is told to be too small.
        """
        node = placed.block_node
        if node in self.refused or (self.faults and error.too_small):
            return
        self.refused.add(node)
        self.faults.extend([shape_fault(self.network, instance, placed, types, frames, error)])

    def stage(
        self,
        instance: Instance,
        placed: InstanceNode,
        sources: list[TensorType | None],
        types: Mapping[str, TensorType | None],
        frames: tuple[CallSite, ...],
    ) -> TypedNode | None:
        here, cost, blocks, at = sources[0], Cost(), list[tuple[TypedInstance, int]](), 0
        assert here is not None
        for run in placed.runs:
            done = 0
            while done < run.count:
                inputs = dict(zip(run.instance.block.inputs, (here, *sources[1:]), strict=True))
                path = placed.paths[min(at, len(placed.paths) - 1)]
                frame = CallSite(instance, placed, path, types, at)
                measured = self.instance(run.instance, inputs, (*frames, frame))
                if measured is None:
                    return None
                settled = measured.outputs[0] == here
                times = run.count - done if settled else 1
                cost, blocks = cost + measured.cost * times, [*blocks, (measured, times)]
                here, done, at = measured.outputs[0], done + times, at + times
        return TypedNode(placed, tuple(sources), here, cost, tuple(blocks))


def op_step(placed: InstanceNode, call: OpCall, sources: list[TensorType]) -> TypedNode:
    """One op: its result and its cost. Raises ShapeError."""
    definition = call.definition
    result = definition.shape(call.attributes, sources)
    weights = definition.weights(call.attributes, sources[0].channels, len(sources[0].size))
    cost = Cost(
        params=sum(weight.elements for weight in weights if weight.trained),
        buffers=sum(weight.elements for weight in weights if not weight.trained),
        macs=definition.macs(call.attributes, sources[0], result),
        activations=0 if definition.training_only else result.elements,
    )
    return TypedNode(placed, tuple(sources), result, cost)


def _without_training(steps: list[TypedNode], outputs: tuple[str, ...]) -> list[TypedNode]:
    """What only the training outputs need is held in memory, but not computed in evaluation."""
    needed = needed_for(outputs, {step.node.key: step.node.inputs for step in steps})
    return [step if step.node.key in needed else _held(step) for step in steps]


def _held(step: TypedNode) -> TypedNode:
    blocks = tuple((_held_block(block), times) for block, times in step.blocks)
    cost = replace(step.cost, macs=0, activations=0)
    return replace(step, cost=cost, blocks=blocks, training=True)


def _held_block(block: TypedInstance) -> TypedInstance:
    steps = tuple(_held(step) for step in block.nodes)
    return replace(block, nodes=steps, cost=replace(block.cost, macs=0, activations=0))


def op_counts(
    steps: Iterable[tuple[TypedNode, int]], times: int = 1
) -> Iterator[tuple[TypedNode, int]]:
    """The distinct ops below some steps, and how often each runs: what additive figures sum over."""
    for step, count in steps:
        if step.node.op:
            yield step, times * count
        for block, repeats in step.blocks:
            yield from op_counts(((each, 1) for each in block.nodes), times * count * repeats)
