"""right(compiled): everything that must hold of a spec that `check` accepts."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from generated.agreement import agrees
from resnetgen import Compiled
from resnetgen.compiler.frontend.yaml_writer import to_yaml
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.expand import expand
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import compile_text
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.inference import inference_module
from resnetgen.runtime.load import build
from resnetgen.runtime.trace import output_tensors

COUNTED = {
    "convolution",
    "linear",
    "channel_conv",
    "blur",
}  # what torch counts, two for a multiply-add


def right(compiled: Compiled) -> None:
    """Raises AssertionError, or what torch raises, for the first thing that is wrong."""
    assert compiled.warnings is not None
    agrees(compiled)
    _expanded_is_the_same(compiled)
    graph = compiled.checked_graph
    torch.manual_seed(0)
    module = build(compiled.source, graph.name)
    images = torch.randn(2, *graph.input.shape)
    _gradients(module, images)
    _macs(compiled, module, images[:1])
    _inference_agrees(compiled, module, images)


def rates_rename_nothing(text: str, compiled: Compiled) -> None:
    """The keys are the same whatever the rates: nothing depends on what is zero in which stage."""
    if "fall: " in text:
        other = compile_text(re.sub(r"fall: (\"[^\"]*\"|[0-9.]+)(?=[,}])", "fall: 0.3", text))
        assert [*state_dict(other.checked_graph)] == [*state_dict(compiled.checked_graph)]


def _expanded_is_the_same(compiled: Compiled) -> None:
    text = to_yaml(expand(compiled.document, compiled.network))
    again = compile_text(text)
    body = compiled.source.split('"""', 2)[2]
    assert again.source.split('"""', 2)[2] == body, f"the expanded spec is another:\n{text}"


def _gradients(module: nn.Module, images: Tensor) -> None:
    """Every weight takes part in training."""
    with torch.backends.mkldnn.flags(enabled=False):
        outputs = output_tensors(module.train()(images.clone().requires_grad_()))
        sum(each.sum() for each in outputs).backward()
    missing = [name for name, each in module.named_parameters() if each.grad is None]
    assert not missing, f"no gradient: {missing}"


def _macs(compiled: Compiled, module: nn.Module, images: Tensor) -> None:
    """Multiply-adds of convolutions and linear layers are those that torch counts."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(images)
    graph = compiled.checked_graph
    types = {node.name: node.type for node in graph.nodes}
    sources = {**types, "<input>": graph.input}
    own = sum(
        OPS[node.op].macs(node.attributes, sources[node.inputs[0]], node.type)
        for node in graph.nodes
        if node.op in COUNTED and not node.training
    )
    assert counter.get_total_flops() == 2 * own


def _inference_agrees(compiled: Compiled, module: nn.Module, images: Tensor) -> None:
    """The folded network computes in float64 what the network computes."""
    module = randomize_norms(module.double(), images.double())
    folded = inference_module(
        compiled.inference_plan, compiled.inference_source, module.state_dict(), torch.float64
    )
    with torch.no_grad():
        wanted, found = (
            output_tensors(module(images.double())),
            output_tensors(folded(images.double())),
        )
    for one, other in zip(wanted, found, strict=True):
        # A gate that saturates, or a norm over equal values, amplifies the last bit.
        torch.testing.assert_close(
            other, one, rtol=1e-4, atol=1e-4 * max(1.0, one.abs().max().item())
        )
