"""infer_types(network, root) -> TypedInstance: the types and costs of every instance.

    conv1: convolution {out: 64, ...} of 3 x 224 x 224
        ->  TypedNode(result=64 x 112 x 112, cost=Cost(params=9408, macs=118013952, ...))

One walk over the distinct instances, memoised by (instance, input types); costs are multiplied by
repeats, so the walk costs what the distinct blocks cost. Shape errors are found here, and reported
once for each cause. A property test compares the totals with the sum over the flat graph.

Invariant: every node of the result has a type. Non-goals: the order and the names of the ops of the
whole network (`flatten.py`), and how a shape error is explained (`shape_errors.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

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
from resnetgen.compiler.passes.provenance import CallSite, Types
from resnetgen.compiler.passes.shape_errors import shape_error, swap_operands

INPUT = "<input>"  # the name of the network's input in the flat graph; no node can have it

MAX_PARAMS = 10**15  # of one network
MAX_ACTIVATIONS = 10**18  # elements of all results, for one image

# --- the result


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a node or a network, for one image; sums and multiples of costs are costs."""

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
    """A node of an instance, the types of its inputs and its result, its cost and its blocks."""

    node: InstanceNode
    sources: tuple[TensorType | None, ...]  # None: an input that is `none`
    result: TensorType
    cost: Cost
    blocks: tuple[tuple[TypedInstance, int], ...] = ()  # each with its repeats
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
    nodes: tuple[TypedNode, ...]  # in the order of `instance.nodes`
    outputs: tuple[TensorType, ...]
    cost: Cost

    @property
    def source(self) -> TensorType:
        """The type of the first input."""
        first = self.inputs[0]
        assert first is not None
        return first


def op_counts(
    nodes: Iterable[tuple[TypedNode, int]], times: int = 1
) -> Iterator[tuple[TypedNode, int]]:
    """The distinct ops below some nodes, and how often each runs, to sum figures over."""
    for node, count in nodes:
        if node.node.op:
            yield node, times * count
        for block, repeats in node.blocks:
            yield from op_counts(((each, 1) for each in block.nodes), times * count * repeats)


# --- the pass


def infer_types(network: Network, root: Instance) -> TypedInstance:
    """Types and cost of the whole network. Raises SpecError with all shape errors."""
    inference = TypeInference(network)
    types = dict(zip(root.block.inputs, (network.input,), strict=True))
    typed = inference.typed_instance(root, types, ())
    if inference.errors or typed is None:
        raise SpecError(inference.errors)
    if typed.cost.params > MAX_PARAMS:
        raise SpecError([_too_large(typed, "params", "parameters", MAX_PARAMS)])
    if typed.cost.activations > MAX_ACTIVATIONS:
        raise SpecError([_too_large(typed, "activations", "elements in results", MAX_ACTIVATIONS)])
    return typed


def _too_large(typed: TypedInstance, figure: str, what: str, most: int) -> Diagnostic:
    """More than fits on any machine; reported at the node that has most of it."""
    largest = max(typed.nodes, key=lambda node: int(getattr(node.cost, figure)))
    total = f"{Decimal(getattr(typed.cost, figure)):.1e} {what}, most of them in"
    message = f"{total} `{largest.node.key}`; a network has at most {most:.0e}"
    return Diagnostic("limit", message, largest.node.block_node.span)


class TypeInference:
    """The memo of one walk over instances at input types, and the errors so far.

    `call_sites` are the calls that led to an instance, the outermost first: they explain errors.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.memo: dict[tuple[int, tuple[TensorType | None, ...]], TypedInstance | None] = {}
        self.errors = DiagnosticCollector()
        self.reported: set[BlockNode] = set()

    def typed_instance(
        self, instance: Instance, inputs: Types, call_sites: tuple[CallSite, ...]
    ) -> TypedInstance | None:
        """An instance at input types; None if there is an error in it."""
        key = (id(instance), tuple(inputs.values()))
        if key not in self.memo:
            self.memo[key] = self.infer_instance(instance, inputs, call_sites)
        return self.memo[key]

    def infer_instance(
        self, instance: Instance, inputs: Types, call_sites: tuple[CallSite, ...]
    ) -> TypedInstance | None:
        """The same, not memoised."""
        types = dict(inputs)
        nodes = self.infer_nodes(instance, types, call_sites)
        outputs = [types[name] for name in instance.outputs]
        if any(node is None for node in nodes) or any(output is None for output in outputs):
            return None
        typed = [node for node in nodes if node]
        if instance.block is self.network.root and self.network.train_outputs:
            typed = _mark_training(typed, instance.outputs[: len(self.network.outputs)])
        cost = sum((node.cost for node in typed), Cost())
        known = tuple(output for output in outputs if output)
        return TypedInstance(instance, tuple(inputs.values()), tuple(typed), known, cost)

    def infer_nodes(
        self,
        instance: Instance,
        types: dict[str, TensorType | None],
        call_sites: tuple[CallSite, ...],
    ) -> list[TypedNode | None]:
        """The nodes of an instance, None after an error. Adds their types to `types`, of the inputs."""
        typed: list[TypedNode | None] = [None] * len(instance.nodes)
        for index in instance.schedule:
            node = instance.nodes[index]
            sources = tuple(types.get(name) for name in node.inputs)
            unknown = any(
                source is None and name != "none"
                for name, source in zip(node.inputs, sources, strict=True)
            )
            if not unknown:
                typed[index] = self.infer_node(instance, node, sources, types, call_sites)
            result = typed[index]
            types[node.key] = result.result if result else None
        return typed

    def infer_node(
        self,
        instance: Instance,
        node: InstanceNode,
        sources: tuple[TensorType | None, ...],
        types: Types,
        call_sites: tuple[CallSite, ...],
    ) -> TypedNode | None:
        """One node, whose operands `sources` are; None if there is an error."""
        known = [source for source in sources if source is not None]
        if isinstance(node.callee, PassThrough):
            return TypedNode(node, sources, known[0], Cost())
        if node.op is None:
            return self.infer_calls(instance, node, sources, types, call_sites)
        try:
            return typed_op(node, node.op, known)
        except ShapeError as error:
            self.report(instance, node, types, call_sites, error)
            if node.op.definition.arity is not None:
                return None
            # The result of a join is known well enough to check what follows.
            result = swap_operands(node.op, known) or known[0]
            return TypedNode(node, sources, result, Cost())

    def report(
        self,
        instance: Instance,
        node: InstanceNode,
        types: Types,
        call_sites: tuple[CallSite, ...],
        error: ShapeError,
    ) -> None:
        """Reports that an op does not accept its inputs: once for each node, and for each position.

        After an error the sizes that follow are a guess, so none is reported as too small.
        """
        block_node = node.block_node
        if block_node in self.reported or (self.errors and error.too_small):
            return
        self.reported.add(block_node)
        diagnostic = shape_error(self.network, instance, node, types, call_sites, error)
        self.errors.extend([diagnostic])

    def infer_calls(
        self,
        instance: Instance,
        node: InstanceNode,
        sources: tuple[TensorType | None, ...],
        types: Types,
        call_sites: tuple[CallSite, ...],
    ) -> TypedNode | None:
        """The blocks that a node runs. Equal ones are inferred until the type repeats."""
        current, *others = sources
        assert current is not None
        cost, blocks, index = Cost(), list[tuple[TypedInstance, int]](), 0
        for run in node.runs:
            done = 0
            while done < run.count:
                inputs = dict(zip(run.instance.block.inputs, (current, *others), strict=True))
                path = node.paths[min(index, len(node.paths) - 1)]
                call_site = CallSite(instance, node, path, types, index)
                typed = self.typed_instance(run.instance, inputs, (*call_sites, call_site))
                if typed is None:
                    return None
                times = run.count - done if typed.outputs[0] == current else 1
                cost, blocks = cost + typed.cost * times, [*blocks, (typed, times)]
                current, done, index = typed.outputs[0], done + times, index + times
        return TypedNode(node, sources, current, cost, tuple(blocks))


def typed_op(node: InstanceNode, call: OpCall, sources: Sequence[TensorType]) -> TypedNode:
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
    return TypedNode(node, tuple(sources), result, cost)


# --- what only the training outputs need: it has weights, and is not computed in evaluation


def _mark_training(nodes: list[TypedNode], outputs: tuple[str, ...]) -> list[TypedNode]:
    needed = needed_for(outputs, {node.node.key: node.node.inputs for node in nodes})
    return [node if node.node.key in needed else _training_only(node) for node in nodes]


def _training_only(node: TypedNode) -> TypedNode:
    blocks = tuple((_training_block(block), times) for block, times in node.blocks)
    cost = replace(node.cost, macs=0, activations=0)
    return replace(node, cost=cost, blocks=blocks, training=True)


def _training_block(block: TypedInstance) -> TypedInstance:
    nodes = tuple(_training_only(node) for node in block.nodes)
    return replace(block, nodes=nodes, cost=replace(block.cost, macs=0, activations=0))
