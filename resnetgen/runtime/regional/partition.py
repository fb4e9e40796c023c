"""partition(model, blocks, x, functions) -> PartitionedModel: a network as calls of its regions.

    stem and layer1.0 | layer1.1 | layer1.2 | layer2.0 | layer2.1 | ... | layer4.2 | head

Each of the equal blocks is a region, and so is whatever lies between two of them. Regions refer to
the modules of the model themselves and look up their tensors in every call.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnetgen.compiler.ir.schedule import last_reads
from resnetgen.runtime.dtypes import CHANNELS_LAST
from resnetgen.runtime.regional.fingerprint import Fingerprint, fingerprint, tensor_type
from resnetgen.runtime.regional.kernels import CompiledFunction, compile_function
from resnetgen.runtime.trace import LeafTracer

FunctionCache = dict[Hashable, CompiledFunction]


def partition(
    model: nn.Module, blocks: Mapping[str, Fingerprint], x: Tensor, functions: FunctionCache
) -> PartitionedModel:
    """The regions of a model: the blocks at the given paths, and what is between them.

    They are for inputs of the type of `x` and for the current modes. Nothing is compiled before the
    first call; functions are looked up in `functions`, and added to it. Raises what torch.fx raises.
    """
    graph = LeafTracer(blocks).trace(model)
    if x.device.type == "cpu" and x.ndim in CHANNELS_LAST:
        _use_channels_last(graph, CHANNELS_LAST[x.ndim])
    placeholder, *calls, output = graph.nodes
    numbers = _region_numbers(calls, blocks)
    regions = []
    for _, group in groupby(calls, numbers.__getitem__):
        nodes = list(group)
        if _is_block(nodes[0], blocks):
            path = str(nodes[0].target)
            module = model.get_submodule(path)
            regions.append(_block_region(nodes[0], module, blocks[path], functions))
        else:
            regions.append(_region_between(nodes, model, functions))
    unused = _unused_after(regions, output)
    return PartitionedModel(placeholder, tuple(regions), unused, output.args[0])


def _use_channels_last(graph: fx.Graph, layout: torch.memory_format) -> None:
    """Converts the input to channels_last, and the outputs back.

    Inductor computes convolutions in this layout on a CPU, but keeps the layout of what a region
    reads and returns: without this, each region would convert its values there and back.
    """
    placeholder, *_, output = graph.nodes
    with graph.inserting_after(placeholder):
        converted = graph.call_method("contiguous", (placeholder,), {"memory_format": layout})
    placeholder.replace_all_uses_with(converted, lambda user: user is not converted)
    with graph.inserting_before(output):
        back = partial(graph.call_method, "contiguous")
        output.args = fx.node.map_arg(output.args, lambda value: back((value,)))


def _region_numbers(nodes: Sequence[fx.Node], blocks: Container[str]) -> dict[fx.Node, int]:
    """The number of each node's region, in order of execution."""
    numbers: dict[fx.Node, int] = {}
    number = 0
    for node in nodes:
        is_block = _is_block(node, blocks)
        number += is_block
        numbers[node] = number
        number += is_block
    return numbers


def _is_block(node: fx.Node, blocks: Container[str]) -> bool:
    plain = not node.kwargs and all(isinstance(each, fx.Node) for each in node.args)
    return node.op == "call_module" and node.target in blocks and plain


def _block_region(
    node: fx.Node, module: nn.Module, known: Fingerprint, functions: FunctionCache
) -> Region:
    reads = [each for each in node.args if isinstance(each, fx.Node)]
    return Region(module, known, reads, [node], functions)


def _region_between(nodes: Sequence[fx.Node], model: nn.Module, functions: FunctionCache) -> Region:
    """A region of several nodes, as a module of its own that returns a tuple."""
    inside = set(nodes)
    reads = dict.fromkeys(
        each for node in nodes for each in node.all_input_nodes if each not in inside
    )
    results = [node for node in nodes if any(user not in inside for user in node.users)]
    graph = fx.Graph()
    copies = {node: graph.placeholder(node.name) for node in reads}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in results))
    module = fx.GraphModule(model, graph)
    unique = Fingerprint(object(), fingerprint(module).slots)  # its key is equal to no other
    return Region(module, unique, list(reads), results, functions)


def _unused_after(regions: Sequence[Region], output: fx.Node) -> tuple[tuple[fx.Node, ...], ...]:
    """For each region, the values that nothing reads after it, and that are not returned."""
    returned = set(output.all_input_nodes)
    uses = [dict.fromkeys((*region.reads, *region.results)) for region in regions]
    last_use = last_reads([[node.name for node in each] for each in uses])
    return tuple(
        tuple(node for node in each if last_use[node.name] == number and node not in returned)
        for number, each in enumerate(uses)
    )


class Region:
    """A part of a network: the values that it reads and computes; its function is compiled when first called."""

    def __init__(
        self,
        module: nn.Module,
        fingerprint: Fingerprint,
        reads: Sequence[fx.Node],
        results: Sequence[fx.Node],
        functions: FunctionCache,
    ) -> None:
        self.module, self.fingerprint, self.functions = module, fingerprint, functions
        self.reads, self.results = tuple(reads), tuple(results)
        self.function: CompiledFunction | None = None

    def __call__(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        tensors = self.fingerprint.tensors() + list(inputs)
        if self.function is None:
            self.function = self.function_for(tensors, inputs)
        return self.function(tensors)

    def empty_results(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Tensors of the types of the results; compiles the function if there is none."""
        tensors = self.fingerprint.tensors() + list(inputs)
        return self.function_for(tensors, inputs).empty_outputs(tensors)

    def function_for(self, tensors: list[Tensor], inputs: Sequence[Tensor]) -> CompiledFunction:
        """The function for inputs of these types, which equal regions share."""
        shared = tuple(tuple(each is other for other in inputs) for each in inputs)
        types = tuple(map(tensor_type, inputs))
        key = self.fingerprint.key, types, shared, torch_modes(inputs[0])
        if key not in self.functions:
            self.functions[key] = compile_function(self.module, tensors, inputs)
        return self.functions[key]


def torch_modes(x: Tensor) -> Hashable:
    """The global modes of torch that change what the same code computes on the device of `x`."""
    device = x.device.type
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device),
    )


@dataclass(frozen=True, slots=True)
class PartitionedModel:
    """The regions of a network in order; calling it calls them."""

    input: fx.Node
    regions: tuple[Region, ...]
    unused: tuple[tuple[fx.Node, ...], ...]  # after each region: values that nothing reads any more
    returned: Any  # nodes, in the structure that the network returns

    def __call__(self, x: Tensor) -> Any:
        return self._run(Region.__call__, x)

    def compile(self, x: Tensor) -> None:
        """Compiles the functions of all regions; nothing is computed, and no statistic is updated.

        Types are those that torch predicts before compilation. If a call meets another type, it
        compiles a function for that.
        """
        self._run(Region.empty_results, x)

    def _run(self, run: Callable[[Region, Sequence[Tensor]], Sequence[Tensor]], x: Tensor) -> Any:
        """What the network returns, if `run` returns the results of a region."""
        values: dict[fx.Node, Any] = {self.input: x}
        for region, unused in zip(self.regions, self.unused, strict=True):
            results = run(region, [values[node] for node in region.reads])
            values.update(zip(region.results, results, strict=True))
            for node in unused:
                del values[node]
        return fx.node.map_arg(self.returned, values.__getitem__)
