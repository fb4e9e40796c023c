"""The events of a call, the same from Dynamo and from torch.fx where it matters."""

from __future__ import annotations

import pytest

SOURCE = """\
from torch import Tensor, nn

__all__ = ["Tiny"]


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = self.relu(self.bn(x))
        return self.relu(x + y)
"""


@pytest.mark.parametrize("training", [False, True])
def test_capture_tells_functions_places_operands_and_shapes(training: bool) -> None:
    from resnetgen.runtime.load import build_fake
    from resnetgen.runtime.trace import trace_with_dynamo

    trace = trace_with_dynamo(build_fake(SOURCE, "tiny"), (2, 3, 8, 8), training=training)
    calls = [(e.function, e.module, e.inputs) for e in trace.events if e.function != "add_"]
    at = {event.function: index for index, event in enumerate(trace.events)}
    assert calls == [
        ("input", None, ()),
        ("conv2d", "conv", (0,)),
        ("batch_norm", "bn", (1,)),
        ("relu", "relu", (at["batch_norm"],)),
        ("add", "", (1, at["batch_norm"] + 1)),
        ("relu", "relu", (at["add"],)),
    ]
    assert trace.graphs == 1
    assert trace.outputs == (len(trace.events) - 1,)
    assert trace.structure == "tensor"
    assert {e.shape for e in trace.events[1:]} - {()} == {(2, 4, 8, 8)}


def test_symbolic_tells_the_same_with_classes_for_functions() -> None:
    import torch

    from resnetgen.runtime.load import build
    from resnetgen.runtime.trace import trace_with_fx

    with torch.device("meta"):
        module = build(SOURCE, "tiny")
    trace = trace_with_fx(module, (2, 3, 8, 8), training=False)
    assert [(e.function, e.module, e.inputs) for e in trace.events] == [
        ("input", None, ()),
        ("Conv2d", "conv", (0,)),
        ("BatchNorm2d", "bn", (1,)),
        ("ReLU", "relu", (2,)),
        ("add", "", (1, 3)),
        ("ReLU", "relu", (4,)),
    ]
    assert trace.outputs == (5,)


def test_a_real_network_can_be_captured_too() -> None:
    from resnetgen.runtime.load import build
    from resnetgen.runtime.trace import trace_with_dynamo

    trace = trace_with_dynamo(build(SOURCE, "tiny"), (2, 3, 8, 8), training=False)
    assert [event.function for event in trace.events][:2] == ["input", "conv2d"]


@pytest.mark.parametrize(
    ("returned", "structure", "keys", "count"),
    [
        ("x", "tensor", (), 1),
        ("(x, x.flatten(1))", "tuple", (), 2),
        ("{'a': x, 'b': x + x}", "dict", ("a", "b"), 2),
    ],
)
def test_outputs_keep_their_structure(
    returned: str, structure: str, keys: tuple[str, ...], count: int
) -> None:
    import torch

    from resnetgen.runtime.load import build, build_fake
    from resnetgen.runtime.trace import trace_with_dynamo, trace_with_fx

    source = SOURCE.replace("-> Tensor:\n        x =", "-> object:\n        x =").replace(
        "self.relu(x + y)", returned
    )
    with torch.device("meta"):
        module = build(source, "tiny")
    shape = (2, 3, 8, 8)
    for trace in (
        trace_with_dynamo(build_fake(source, "tiny"), shape, training=False),
        trace_with_fx(module, shape, training=False),
    ):
        assert (trace.structure, trace.keys, len(trace.outputs)) == (structure, keys, count)
        assert trace.outputs[0] == 1
