"""What windows read, checked against torch; which parts of values are read, against the flat graph."""

from __future__ import annotations

import torch
from generated.strategy import networks
from hypothesis import assume, given
from hypothesis import strategies as st

from resnetgen import SpecError
from resnetgen.compiler.analysis.lint.context import LintContext
from resnetgen.compiler.analysis.lint.coverage import Rows, input_coverage, lost_input
from resnetgen.compiler.ir.nodes import OpCall
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import ShapeError, TensorType
from resnetgen.compiler.passes.infer_types import INPUT
from resnetgen.pipeline import Compiled, compile_text

AXIS = st.tuples(
    st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3)
)


@given(st.lists(AXIS, min_size=1, max_size=2))
def test_rows_and_taps_are_those_that_have_a_gradient(axes: list[tuple[int, ...]]) -> None:
    size, kernel, stride, padding, dilation = (tuple(column) for column in zip(*axes, strict=True))
    attributes = {
        "out": 1, "kernel": kernel, "stride": stride, "dilation": dilation,
        "groups": 1, "padding": padding, "bias": False,
    }  # fmt: skip
    source = TensorType(1, size)
    try:
        result = OPS["convolution"].shape(attributes, [source])
    except ShapeError:
        assume(False)
    view = input_coverage(OpCall("convolution", attributes), source, result)
    assert view
    image = torch.ones(1, 1, *size, requires_grad=True)
    weight = torch.ones(1, 1, *kernel, requires_grad=True)
    convolve = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[len(axes) - 1]
    convolve(image, weight, None, stride, padding, dilation).sum().backward()
    assert image.grad is not None
    assert weight.grad is not None
    assert (view.taps, view.seeing) == (weight.numel(), int(weight.grad.count_nonzero()))
    read = image.grad[0, 0] != 0
    assert (view.rows is None) == bool(read.all())
    if view.rows and bool(read.any()):
        others = [[at for at in range(len(axes)) if at != axis] for axis in range(len(axes))]
        wanted = [read.any(dim=other[0]) if other else read for other in others]
        assert [rows.bit_count() for rows in view.rows] == [int(each.sum()) for each in wanted]
        for rows, each in zip(view.rows, wanted, strict=True):
            assert [bool(rows >> 8 * at & 1) for at in range(len(each))] == each.tolist()


def lost_in_the_flat_graph(compiled: Compiled) -> set[str]:
    """The values of which no node reads some row."""
    graph = compiled.checked_graph
    types = {INPUT: graph.input} | {node.name: node.type for node in graph.nodes}
    rows: dict[str, list[Rows]] = {}
    whole = {*graph.outputs, *graph.train_outputs}
    for node in graph.nodes:
        view = input_coverage(OpCall(node.op, node.attributes), types[node.inputs[0]], node.type)
        for name in node.inputs:
            if view is None or view.rows is None:
                whole.add(name)
            else:
                before = rows.get(name, [0] * len(view.rows))
                rows[name] = [one | other for one, other in zip(before, view.rows, strict=True)]
    full = {
        name: [int.from_bytes(b"\1" * size, "little") for size in types[name].size] for name in rows
    }
    return {name for name in rows if name not in whole and rows[name] != full[name]}


@given(networks())
def test_input_is_lost_in_blocks_where_it_is_lost_in_the_flat_graph(text: str) -> None:
    try:
        compiled = compile_text(text)
    except SpecError:
        return
    facts = LintContext(compiled.document, compiled.network, compiled.typed)
    assert bool(list(lost_input(facts))) == bool(lost_in_the_flat_graph(compiled))
