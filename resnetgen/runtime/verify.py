"""verify(graph, source) -> Report: every prediction of the compiler, held against torch.

Shapes and operands of all nodes in evaluation and in training mode, parameters, the keys of the
state_dict in order, what the network returns. Nothing is computed: torch traces on fake tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import nn

from resnetgen.graph import shapes
from resnetgen.graph.ir import Graph
from resnetgen.graph.opdef import TorchModule
from resnetgen.graph.ops import OPS
from resnetgen.runtime.load import build, build_fake
from resnetgen.runtime.match import Matching
from resnetgen.runtime.reason import quiet, reason
from resnetgen.runtime.trace import Trace, capture, symbolic

BATCH = 2
MODES = {"eval": False, "training": True}


@dataclass(frozen=True)
class Report:
    """What was checked, and each prediction that did not hold, as a sentence."""

    graphs: Mapping[str, int] = field(default_factory=dict)  # by mode; only under torch.compile
    nodes: Mapping[str, int] = field(default_factory=dict)  # nodes checked, by mode
    parameters: int = 0
    keys: int = 0
    mismatches: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every prediction held."""
        return not self.mismatches


def verify(
    graph: Graph,
    source: str,
    *,
    compile: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Holds the predictions of a graph (with types) against the printed module.

    With `compile`, the events are those that torch.compile(fullgraph=True) captures; without, those
    of torch.fx, which takes a tenth of the time. Whatever the module raises is a mismatch.
    """
    say = progress or (lambda text: None)
    say(f"building {graph.name} without memory")
    try:
        module = _built(source, graph.name, fake=compile)
    except Exception as error:  # it is the printed text that is on trial
        return Report(mismatches=(f"the module cannot be built: {reason(error)}",))
    faults = [*_parameter_faults(graph, module), *_key_faults(graph, module)]
    graphs: dict[str, int] = {}
    nodes: dict[str, int] = {}
    for mode, training in MODES.items():
        say(f"{mode}: {'capturing with torch.compile' if compile else 'tracing with torch.fx'}")
        try:
            with quiet():
                trace = _traced(graph, module, compile=compile, training=training)
        except Exception as error:
            faults.append(f"{mode}: torch cannot run the network: {reason(error)}")
            continue
        if compile:
            graphs[mode] = trace.graphs
        say(f"{mode}: matching {len(trace.events)} events with the graph")
        nodes[mode], found = _trace_faults(graph, trace, training)
        faults += [f"{mode}: {fault}" for fault in found]
    return Report(graphs, nodes, _parameters(module), len(module.state_dict()), tuple(faults))


def _built(source: str, name: str, *, fake: bool) -> nn.Module:
    if fake:
        return build_fake(source, name)
    with torch.device("meta"):
        return build(source, name)


def _traced(graph: Graph, module: nn.Module, *, compile: bool, training: bool) -> Trace:
    shape = (BATCH, *graph.input.shape)
    if compile:
        return capture(module, shape, training=training)
    leaves = {node.module for node in graph.nodes if isinstance(OPS[node.op].torch, TorchModule)}
    return symbolic(module, shape, training=training, leaves=leaves)


def _parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _parameter_faults(graph: Graph, module: nn.Module) -> Iterator[str]:
    predicted, actual = shapes.graph_cost(graph).params, _parameters(module)
    if predicted != actual:
        yield f"parameters: predicted {predicted:,}, the module has {actual:,}"


def _key_faults(graph: Graph, module: nn.Module) -> Iterator[str]:
    predicted = shapes.state_dict(graph)
    actual = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    for key, shape in predicted.items():
        if key not in actual:
            yield f"state_dict: predicted {key}, and the module has no such key"
        elif shape != actual[key]:
            yield f"state_dict: {key}: predicted {shape}, the module has {actual[key]}"
    for key in actual:
        if key not in predicted:
            yield f"state_dict: the module has {key}, which was not predicted"
    if predicted.keys() == actual.keys():
        swapped = (pair for pair in zip(predicted, actual, strict=True) if pair[0] != pair[1])
        for first, second in swapped:
            yield f"state_dict: the order differs from {first} on; the module has {second} there"
            return


def _trace_faults(graph: Graph, trace: Trace, training: bool) -> tuple[int, list[str]]:
    faults = [] if trace.graphs == 1 else [f"torch.compile captured {trace.graphs} graphs, not one"]
    matching = Matching(graph, trace, batch=BATCH, training=training)
    faults += matching.faults
    faults += _output_faults(graph, trace, matching, training)
    return matching.checked, faults


def _output_faults(graph: Graph, trace: Trace, matching: Matching, training: bool) -> Iterator[str]:
    names = graph.outputs + (graph.train_outputs if training else ())
    if len(names) > 1 and trace.structure == "tensor":
        yield f"predicted {len(names)} outputs, and the network returns one tensor"
        return
    for place, (name, number) in enumerate(zip_longest(names, trace.outputs)):
        if place >= len(names) or place >= len(trace.outputs):
            yield f"predicted {len(names)} outputs, and the network returns {len(trace.outputs)}"
            return
        if matching.event(number) != matching.value(name):
            yield f"output {place}: predicted the value of {name}, and the network returns another"
