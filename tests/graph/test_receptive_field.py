"""Receptive fields, checked against torch: they are where its gradients are.

The gradient of one position of a value with respect to the input is not zero exactly in the
receptive field, if nothing cancels: weights and input are positive here, and a maximum, which has
its gradient at one place of its window, is replaced by a mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from resnetgen.compiler.analysis.receptive_field import ReceptiveField
from resnetgen.compiler.analysis.rows import rows_by_block, rows_by_node, rows_by_stage
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.runtime.load import build


class Mean(nn.Module):
    """A mean over the window of a max-pool, in one to three dimensions."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        axes, pool = x.ndim - 2, self.pool
        mean = getattr(nn.functional, f"avg_pool{axes}d")
        assert pool.dilation == 1
        return mean(x, pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)


def positive(compiled: Compiled) -> nn.Module:
    """The printed module in evaluation, with weights that keep positive values positive."""
    module = build(compiled.source, compiled.network.name).double().eval()
    for parameter in module.parameters():
        nn.init.constant_(parameter, 1 / max(1, parameter[:1].numel()))
    pools = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, pools):
                setattr(parent, name, Mean(child))
    return module


def values(compiled: Compiled, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """The input, and the result of each named submodule ("" is the network)."""
    module = positive(compiled)
    found: dict[str, Tensor] = {}
    for name in names:
        keep = lambda _, __, result, name=name: found.__setitem__(name, result)  # noqa: E731
        module.get_submodule(name).register_forward_hook(keep)
    source = torch.ones(1, *compiled.network.input.shape, dtype=torch.float64, requires_grad=True)
    module(source)
    return source, found


def seen(source: Tensor, value: Tensor, position: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The first and the last input pixel along each axis on which one position depends."""
    at = (0, slice(None), *position)
    (gradient,) = torch.autograd.grad(value[at].sum(), source, retain_graph=True)
    places = gradient[0].sum(0).nonzero()
    return tuple((int(axis.min()), int(axis.max())) for axis in places.unbind(1))


def predicted(
    receptive_field: ReceptiveField, position: Sequence[int]
) -> tuple[tuple[float, float], ...]:
    """The same from `field`, `stride` and `offset`, clipped to the input."""
    edges = []
    columns = zip(
        receptive_field.field,
        receptive_field.stride,
        receptive_field.offset,
        receptive_field.whole,
        receptive_field.input,
        position,
        strict=True,
    )
    for field, stride, offset, whole, size, at in columns:
        centre = offset if whole else offset + at * stride
        first, last = centre - (field - 1) / 2, centre + (field - 1) / 2
        edges.append((max(0, first), min(size - 1, last)))
    return tuple(edges)


def positions(value: Tensor) -> Iterator[tuple[int, ...]]:
    """The first, the central and the last position."""
    size = value.shape[2:]
    yield (0,) * len(size)
    yield tuple(axis // 2 for axis in size)
    yield tuple(axis - 1 for axis in size)


NARROW = {f"layer{number}.width": 8 for number in (1, 2, 3, 4)}
NETWORKS = {
    "resnet18": {"input.size": [160, 96], **NARROW},
    "resnet50": {"input.size": [64, 64], "layer3.blocks": 2, **NARROW},
    "resnet50d": {"input.size": [64, 64], "layer3.blocks": 1, **NARROW},
    "resnetblur18": {"input.size": [64, 64], **NARROW},
    "resnet20_appended": {},
    "preact_resnet18": {"input.size": [64, 64], **NARROW},
    "seresnet18": {"input.size": [64, 64], **NARROW},
    "googlenet": {"input.size": [64, 64]},
    "resnet18_1d": {"input.size": [512], **NARROW},
    "r3d_18": {"input.size": [8, 32, 32], **NARROW},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_as_far_as_the_rows_predict(name: str) -> None:
    compiled = compile_spec(name, **NETWORKS[name])
    modules = dict(positive(compiled).named_modules())
    rows = [row for row in rows_by_block(compiled.typed) if row.result.size]
    rows = [row for row in rows if row.name in modules]
    source, found = values(compiled, [row.name for row in rows])
    assert len(rows) >= 5
    for row in rows[-6:]:
        for position in positions(found[row.name]):
            assert seen(source, found[row.name], position) == predicted(
                row.receptive_field, position
            ), row.name


# One value through one or two ops on 37 positions: every position of the result is checked.
CHAINS = {
    "kernel 1": "a: {op: convolution, out: 1, kernel: 1}",
    "kernel 3": "a: {op: convolution, out: 1, kernel: 3}",
    "an even kernel": "a: {op: convolution, out: 1, kernel: 4}",
    "stride": "a: {op: convolution, out: 1, kernel: 5, stride: 3}",
    "no padding": "a: {op: convolution, out: 1, kernel: 7, stride: 2, padding: 0}",
    "two convolutions": (
        "a: {op: convolution, out: 1, kernel: 3, stride: 2}\n"
        "  b: {op: convolution, out: 1, kernel: 3, stride: 2}"
    ),
    "a pool that rounds up": "a: {op: max_pool, kernel: 3, stride: 2, padding: 0, ceil: true}",
    "a mean": "a: {op: avg_pool, kernel: 4, stride: 2, padding: 1}",
    "a mean that keeps the size": "a: {op: avg_pool_same, kernel: 2}",
    "a blur": "a: {op: blur, stride: 1}\n  b: {op: blur, stride: 2}",
    "every third": "a: {op: subsample, stride: 3}\n  b: {op: convolution, out: 1, kernel: 3}",
    "branches that lie apart": (
        "a: {op: avg_pool_same, inputs: x, kernel: 4}\n"
        "  b: {op: convolution, inputs: x, out: 1, kernel: 3}\n"
        "  c: {op: add, inputs: [b, a]}"
    ),
    "a concatenation": (
        "a: {op: convolution, inputs: x, out: 1, kernel: 5, stride: 2}\n"
        "  b: {op: subsample, inputs: x, stride: 2}\n"
        "  c: {op: concat, inputs: [b, a]}"
    ),
    "a gate": (
        "a: {op: convolution, out: 1, kernel: 3}\n  b: {op: global_avg_pool}\n"
        "  c: {op: sigmoid}\n  d: {op: mul, inputs: [a, c]}"
    ),
    "all positions": "a: {op: global_avg_pool}",
    "an adaptive mean": "a: {op: adaptive_avg_pool, size: 37}",
    "windows that divide the input": (
        "a: {op: convolution, out: 1, kernel: 2, padding: 0}\n"
        "  b: {op: adaptive_avg_pool, size: 12}"
    ),
}


def network(nodes: str) -> Compiled:
    return compile_text(
        f"network: n\ninput: {{channels: 1, size: [37]}}\nnodes:\n"
        f"  x0: {{op: convolution, out: 1, kernel: 1}}\n  {nodes.replace('inputs: x,', 'inputs: x0,')}\n"
    )


@pytest.mark.parametrize("nodes", CHAINS.values(), ids=CHAINS.keys())
def test_every_position_depends_on_its_receptive_field(nodes: str) -> None:
    compiled = network(nodes)
    (*_, row) = rows_by_node(compiled.typed)
    source, found = values(compiled, [""])
    for at in range(found[""].shape[2]):
        assert seen(source, found[""], (at,)) == predicted(row.receptive_field, (at,))


def test_pixels_between_the_taps_of_a_dilated_kernel_count_as_inside() -> None:
    compiled = network(
        "a: {op: convolution, out: 1, kernel: 3, stride: 2}\n"
        "  b: {op: convolution, out: 1, kernel: 3, dilation: 2, padding: 4}"
    )
    (*_, row) = rows_by_node(compiled.typed)
    source, found = values(compiled, [""])
    assert row.receptive_field.field == (11,)
    for at in range(5, 15):  # at the border a tap may lie in the padding, and its neighbour not
        assert seen(source, found[""], (at,)) == predicted(row.receptive_field, (at,))


ENLARGED = {
    "nearest by 2": "a: {op: resize, scale: 2}",
    "nearest by 3": "a: {op: resize, scale: 3}\n  b: {op: convolution, out: 1, kernel: 3}",
    "linear by 2": "a: {op: resize, scale: 2, mode: linear}",
    "linear by 3": "a: {op: resize, scale: 3, mode: linear}",
    "linear by 4": (
        "a: {op: convolution, out: 1, kernel: 3, stride: 2}\n"
        "  b: {op: resize, scale: 4, mode: linear}\n  c: {op: convolution, out: 1, kernel: 3}"
    ),
    "windows that do not divide the input": "a: {op: adaptive_avg_pool, size: 5}",
}


@pytest.mark.parametrize("nodes", ENLARGED.values(), ids=ENLARGED.keys())
def test_where_positions_differ_the_field_is_a_lower_bound_for_all(nodes: str) -> None:
    compiled = network(nodes)
    (*_, row) = rows_by_node(compiled.typed)
    source, found = values(compiled, [""])
    (first, last), stride = row.receptive_field.edges[0], row.receptive_field.stride[0]
    inside = []
    for at in range(found[""].shape[2]):
        ((lowest, highest),) = seen(source, found[""], (at,))
        if lowest > 0:
            inside.append(lowest - at * stride - first)
        if highest < row.receptive_field.input[0] - 1:
            inside.append(last + at * stride - highest)
    assert min(inside) > -1e-9  # no position has a smaller field
    assert min(inside) < 1e-9  # and one has just this field


def test_stride_is_the_distance_between_positions() -> None:
    (row,) = [row for row in rows_by_stage(compile_spec("resnet50").typed) if row.name == "stem"]
    assert (row.receptive_field.field, row.receptive_field.stride, row.receptive_field.offset) == (
        (11, 11),
        (4, 4),
        (0, 0),
    )


# Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", the table.
PUBLISHED = {
    "alexnet": (195, 32),
    "vgg16": (212, 32),
    "resnet50_v1": (483, 32),
    "resnet101_v1": (1027, 32),
    "resnet152_v1": (1507, 32),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_fields(name: str) -> None:
    rows = [
        row for row in rows_by_node(compile_spec(name).typed) if not any(row.receptive_field.whole)
    ]
    field, stride = PUBLISHED[name]
    assert (rows[-1].receptive_field.field, rows[-1].receptive_field.stride) == (
        (field,) * 2,
        (stride,) * 2,
    )


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152, 20, 110, 1202])
def test_depth_counts_the_layers_that_give_a_network_its_name(depth: int) -> None:
    assert rows_by_stage(compile_spec(f"resnet{depth}").typed)[-1].receptive_field.depth == depth


def test_behind_a_gate_from_a_global_pool_the_field_is_the_whole_input() -> None:
    rows = {
        row.name: row.receptive_field for row in rows_by_stage(compile_spec("seresnet18").typed)
    }
    assert rows["stem"].whole == (False, False)
    assert rows["layer1"].whole == (True, True)
    assert rows["layer1"].field == (224, 224)
    assert rows["layer1"].stride == (4, 4)


@pytest.mark.parametrize("name", ["resnet50", "resnet1202", "seresnet50", "googlenet"])
@pytest.mark.parametrize("rows", [rows_by_node, rows_by_block])
def test_a_folded_row_has_the_receptive_field_of_its_last_member(name: str, rows) -> None:
    typed = compile_spec(name).typed
    single, folded = list(rows(typed)), list(rows(typed, folded=True))
    assert sum(row.count for row in folded) == len(single)
    groups = itertools.groupby(single, key=lambda row: row.group)
    last = {group: [*members][-1].receptive_field for group, members in groups}
    for group, members in itertools.groupby(folded, key=lambda row: row.group):
        assert [*members][-1].receptive_field == last[group]


def test_rows_of_every_kind_end_with_the_same_receptive_field() -> None:
    typed = compile_spec("resnet34").typed
    ends = [
        [*rows(typed)][-1].receptive_field for rows in (rows_by_node, rows_by_block, rows_by_stage)
    ]
    assert ends[0] == ends[1] == ends[2]


def test_a_field_may_be_larger_than_the_input() -> None:
    *_, row, _ = rows_by_stage(compile_spec("resnet152").typed)
    assert row.receptive_field.field == (1451, 1451)
    assert math.prod(row.receptive_field.input) == 224 * 224
