"""disagreement(one, other, shape, exact) -> float: how far two modules differ on a random batch.

    disagreement(resnet50, resnet101, (3, 56, 56), exact=True)  ->  0.0, bit-equal

Bits are compared in float32. Otherwise both run in float64: there, networks that compute the same in
another order of summation differ by 1e-12 at most. In float32 rounding errors alone move outputs by
5e-6 of their spread, and by 4e-4 in an SE-ResNet-50 with random gates, which could hide a fault.

settle(module, images) -> module: weights under which comparisons and measurements mean something.

    settle(build(source, "resnet152"), torch.randn(2, 3, 224, 224))

Initial weights hide faults: a norm of scale 1, shift 0, mean 0 and variance 1 is folded right by a
fold that does nothing, and one that starts at scale 0 cuts its branch off. Random ones must not blow
rounding up either. A norm and then a ReLU around 0 let a small difference grow by a fifth (its square
by pi / (pi - 1), arXiv 1902.08129), in every layer: eager float32 is then 2e-4 from float64 in a
ResNet-152 at 112 x 112. With shifts around 1.5, where a ReLU cuts one value in ten, it is 5e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from resnetgen.compiler.ir.nodes import Graph
from resnetgen.compiler.ir.shape_rules import ShapeError, TensorType
from resnetgen.compiler.passes.flatten import infer_shapes, state_dict
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


BATCH_NORM = nn.modules.batchnorm._BatchNorm
SCALES = (0.5, 1.5)  # of norms
SHIFTS = (1.0, 2.0)  # of batch norms
BIASES = (-0.2, 0.2)  # of all else: a group norm would take shifts for the spread of its values
VARIANCES, MEANS = (0.7, 1.4), (-0.2, 0.2)  # times the variance; in standard deviations
LEAST = 0.1  # of the mean variance: a few images may leave a channel all but constant


def randomize_norms(module: nn.Module, images: Tensor, seed: int = 0) -> nn.Module:
    """The module, in evaluation, with random norms that suit its weights; changed in place.

    Weights of convolutions and linear layers stay; biases, and scales and shifts of norms, are drawn
    from the seed. In one pass of the images (N, channels, *size) each batch norm takes statistics
    around those of its input, which the norms before it have normalised with theirs; those that only
    run in training take them around mean 0 and variance 1.
    """
    drawn = torch.Generator().manual_seed(seed)
    norms = []
    for each in module.modules():
        _draw(each, drawn)
        if isinstance(each, BATCH_NORM):
            _move(each, torch.tensor(0.0), torch.tensor(1.0), drawn)
            norms.append(each.register_forward_pre_hook(partial(_measure, drawn=drawn)))
    try:
        with torch.no_grad():
            module.eval()(images)
    finally:
        for hook in norms:
            hook.remove()
    return module


def _draw(module: nn.Module, drawn: torch.Generator) -> None:
    """Draws the vectors among the module's own parameters: a bias, and the scale of a norm."""
    vectors = {
        name: each for name, each in module.named_parameters(recurse=False) if each.ndim == 1
    }
    shifts = SHIFTS if isinstance(module, BATCH_NORM) else BIASES
    for name, vector in vectors.items():
        vector.data.copy_(_uniform(vector, shifts if name == "bias" else SCALES, drawn))


def _measure(norm: nn.Module, inputs: tuple[Tensor, ...], *, drawn: torch.Generator) -> None:
    """Before a norm runs: the statistics of what it gets, disturbed."""
    (x,) = inputs
    axes = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(x, axes, correction=0)
    _move(norm, mean, variance.clamp_min(LEAST * variance.mean().item()), drawn)


def _move(norm: nn.Module, mean: Tensor, variance: Tensor, drawn: torch.Generator) -> None:
    """Sets running statistics around a mean and a variance."""
    own = norm.running_mean
    assert isinstance(own, Tensor)
    assert isinstance(norm.running_var, Tensor)
    own.copy_(mean + _uniform(own, MEANS, drawn) * variance.sqrt())
    norm.running_var.copy_(variance * _uniform(own, VARIANCES, drawn))


def _uniform(like: Tensor, bounds: tuple[float, float], drawn: torch.Generator) -> Tensor:
    """Values of its shape; drawn on the CPU, so that they are the same on every device."""
    return torch.empty(like.shape).uniform_(*bounds, generator=drawn).to(like)
