"""agrees(compiled): everything that the compiler predicts about a network is true in torch.

Cost, parameters, the state_dict and its order, and every node in evaluation and training mode, on
the meta device: nothing is computed.
"""

from __future__ import annotations

import torch

from resnetgen import Compiled
from resnetgen.compiler.passes.flatten import graph_cost, state_dict
from resnetgen.runtime.load import build
from resnetgen.runtime.verify import verify


def agrees(compiled: Compiled) -> None:
    """Raises AssertionError for the first prediction that is wrong."""
    graph = compiled.checked_graph
    assert compiled.cost == graph_cost(graph)
    with torch.device("meta"):
        module = build(compiled.source, graph.name)
    tensors = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    assert list(tensors.items()) == list(state_dict(graph).items())
    assert sum(each.numel() for each in module.parameters()) == compiled.cost.params
    report = verify(graph, compiled.source, compile=False)
    assert report.ok, "\n".join(report.mismatches)
    training = sum(node.training for node in graph.nodes)
    assert report.nodes == {"eval": len(graph.nodes) - training, "training": len(graph.nodes)}
