"""disagreement(one, other, shape, exact) -> float: how far two modules differ on a random batch.

    disagreement(resnet50, resnet101, (3, 56, 56), exact=True)  ->  0.0, bit-equal

Bits are compared in float32. Otherwise both run in float64: there, networks that compute the same in
another order of summation differ by 1e-12 at most. In float32 rounding errors alone move outputs by
5e-6 of their spread, and by 4e-4 in an SE-ResNet-50 with random gates, which could hide a fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from resnetgen.graph.ir import Graph
from resnetgen.graph.rules import ShapeError, TensorType
from resnetgen.graph.shapes import infer_shapes, state_dict
from resnetgen.runtime.trace import returned_tensors

BATCH = 2
SEED = 0
TOLERANCE = 1e-9  # of what is not to be bit-equal, in standard deviations of the output
_REDUCTIONS = 4, 2  # of the size; at a quarter, the last kernels still read neighbours


def trial_input(graphs: Sequence[Graph]) -> TensorType:
    """The input of the last graph, smaller along each axis as far as all of them allow."""
    whole = graphs[-1].input
    for reduction in _REDUCTIONS:
        size = tuple(axis // reduction for axis in whole.size)
        if all(_takes(graph, replace(whole, size=size)) for graph in graphs):
            return replace(whole, size=size)
    return whole


def _takes(graph: Graph, input: TensorType) -> bool:
    """Whether a network runs on such an input, with weights of the shapes that it has."""
    try:
        return state_dict(infer_shapes(replace(graph, input=input))) == state_dict(graph)
    except ShapeError:
        return False


def disagreement(one: nn.Module, other: nn.Module, shape: Sequence[int], *, exact: bool) -> float:
    """The greatest difference of outputs in evaluation, in standard deviations of the output.

    Zero where they are bit-equal; infinite where outputs do not correspond or `other` has one that
    is not finite. `shape` is that of one image; the batch is drawn from the seed 0. Leaves modules
    in the type in which they ran. Raises ValueError where nothing that agrees with `one` would show
    anything: its outputs are not finite, or do not depend on the image.
    """
    dtype = torch.float32 if exact else torch.float64
    x = _images(shape).to(dtype)
    with torch.no_grad():
        expected, actual = (returned_tensors(module.to(dtype).eval()(x)) for module in (one, other))
    _check_telling(expected)
    if [each.shape for each in expected] != [each.shape for each in actual]:
        return float("inf")
    return max(map(_apart, expected, actual))


def unrest(module: nn.Module, shape: Sequence[int]) -> float:
    """How far the outputs move where the last bit of every value of the images does, in float64.

    In the unit and on the images of `disagreement`, and the module is left alike: by how much a
    module may differ that computes the same with other rounding, but for a factor.
    """
    x = _images(shape).double()
    moved = torch.nextafter(x, torch.copysign(torch.tensor(torch.inf), x.flip(-1)))
    with torch.no_grad():
        one, other = (returned_tensors(module.double().eval()(each)) for each in (x, moved))
    return max(map(_apart, one, other))


def _images(shape: Sequence[int]) -> torch.Tensor:
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(SEED))


def _check_telling(outputs: Sequence[torch.Tensor]) -> None:
    for place, output in enumerate(outputs):
        if not output.isfinite().all():
            raise ValueError(f"output {place} is not finite")
        if torch.equal(output[0], output[1]):
            raise ValueError(f"output {place} is the same for all images")


def _apart(expected: torch.Tensor, actual: torch.Tensor) -> float:
    if torch.equal(expected, actual):
        return 0.0
    apart = ((actual - expected).abs().max() / expected.std()).item()
    return apart if apart == apart else float("inf")
