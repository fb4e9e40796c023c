"""Two modules compared on random images, under weights that make the comparison meaningful.

    randomize_norms(module, images)             ->  module, whose norms now matter
    trial_input([graph, other])                 ->  3 x 56 x 56, a smaller input that all accept
    disagreement(one, other, (3, 56, 56), exact=True)   ->  0.0: their outputs are bit-equal
    rounding_sensitivity(one, (3, 56, 56))      ->  1e-15: by how much rounding alone moves them

Outputs are compared bit by bit in float32, or else in float64: there, networks that compute the same
in another order of summation differ by 1e-12 of the outputs' spread at most. In float32 rounding
errors alone move outputs by 5e-6 of their spread, and by 4e-4 in an SE-ResNet-50 with random gates,
which could hide an error.

Initial weights hide errors: a norm with scale 1, shift 0, mean 0 and variance 1 is folded correctly
by a fold that does nothing, and one that starts at scale 0 cuts its branch off. Random norms in turn
must not amplify rounding. A norm and then a ReLU around 0 let a small difference grow by a fifth (its
square by pi / (pi - 1), arXiv 1902.08129) in every layer: eager float32 is then 2e-4 from float64 in
a ResNet-152 at 112 x 112. With shifts around 1.5, where a ReLU cuts one value in ten, it is 5e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from resnetgen.compiler.ir.nodes import Graph
from resnetgen.compiler.ir.shape_rules import ShapeError, TensorType
from resnetgen.compiler.passes.flatten import infer_flat_types, state_dict
from resnetgen.runtime.trace import output_tensors

# --- outputs

BATCH = 2
SEED = 0
TOLERANCE = 1e-9  # of outputs that need not be bit-equal, in standard deviations of the output
_REDUCTIONS = 4, 2  # of the input size; at a quarter, the last kernels still read neighbours


def trial_input(graphs: Sequence[Graph]) -> TensorType:
    """The input of the last graph, with each axis a quarter or a half as long if all graphs accept it."""
    whole = graphs[-1].input
    for reduction in _REDUCTIONS:
        smaller = replace(whole, size=tuple(axis // reduction for axis in whole.size))
        if all(_accepts(graph, smaller) for graph in graphs):
            return smaller
    return whole


def _accepts(graph: Graph, input: TensorType) -> bool:
    """Whether a network runs on such an input with the weights that it has."""
    try:
        return state_dict(infer_flat_types(replace(graph, input=input))) == state_dict(graph)
    except ShapeError:
        return False


def disagreement(one: nn.Module, other: nn.Module, shape: Sequence[int], *, exact: bool) -> float:
    """The greatest difference of two modules' outputs, in standard deviations of the first one's.

    Both run in evaluation mode, in float32 with `exact` and in float64 without, on a batch of images
    of this shape (channels, *size), which is drawn from the seed 0; they are left in that dtype. The
    result is 0 if outputs are bit-equal, infinite if their shapes differ or one of `other` is not
    finite. Raises ValueError if agreement would mean nothing: an output of `one` is not finite, or
    does not depend on the image.
    """
    dtype = torch.float32 if exact else torch.float64
    x = _images(shape).to(dtype)
    with torch.no_grad():
        expected, actual = (output_tensors(module.to(dtype).eval()(x)) for module in (one, other))
    _check_informative(expected)
    if [each.shape for each in expected] != [each.shape for each in actual]:
        return float("inf")
    return max(map(_distance, expected, actual))


def rounding_sensitivity(module: nn.Module, shape: Sequence[int]) -> float:
    """How far outputs move in float64 if the last bit of every value of the images changes.

    In the unit of `disagreement`, on the same images; the module is left in float64. A module that
    computes the same with other rounding may differ by a small multiple of this.
    """
    x = _images(shape).double()
    moved = torch.nextafter(x, torch.copysign(torch.tensor(torch.inf), x.flip(-1)))
    with torch.no_grad():
        one, other = (output_tensors(module.double().eval()(each)) for each in (x, moved))
    return max(map(_distance, one, other))


def _images(shape: Sequence[int]) -> Tensor:
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(SEED))


def _check_informative(outputs: Sequence[Tensor]) -> None:
    for number, output in enumerate(outputs):
        if not output.isfinite().all():
            raise ValueError(f"output {number} is not finite")
        if torch.equal(output[0], output[1]):
            raise ValueError(f"output {number} is the same for all images")


def _distance(expected: Tensor, actual: Tensor) -> float:
    if torch.equal(expected, actual):
        return 0.0
    distance = ((actual - expected).abs().max() / expected.std()).item()
    return distance if distance == distance else float("inf")


# --- random norms

BATCH_NORM = nn.modules.batchnorm._BatchNorm
SCALES = (0.5, 1.5)  # of norms
SHIFTS = (1.0, 2.0)  # of batch norms
BIASES = (
    -0.2,
    0.2,
)  # of all others: a group norm would mistake shifts for the spread of its values
VARIANCES, MEANS = (0.7, 1.4), (-0.2, 0.2)  # times the variance; in standard deviations
MIN_VARIANCE = 0.1  # of the mean variance: on a few images a channel may be nearly constant


def randomize_norms(module: nn.Module, images: Tensor, seed: int = 0) -> nn.Module:
    """Gives a module random norms that suit its weights, in place, and returns it in evaluation mode.

    Weights of convolutions and linear layers stay; biases, and scales and shifts of norms, are drawn
    from the seed. In one pass of the images (N, channels, *size), each batch norm gets statistics
    near those of its input, which the norms before it have normalised with theirs; a batch norm that
    only runs in training gets them near mean 0 and variance 1.
    """
    generator = torch.Generator().manual_seed(seed)
    hooks = []
    for each in module.modules():
        _draw_vectors(each, generator)
        if isinstance(each, BATCH_NORM):
            _set_statistics(each, torch.tensor(0.0), torch.tensor(1.0), generator)
            measure = partial(_set_statistics_of_input, generator=generator)
            hooks.append(each.register_forward_pre_hook(measure))
    try:
        with torch.no_grad():
            module.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return module


def _draw_vectors(module: nn.Module, generator: torch.Generator) -> None:
    """Draws the vectors among the module's own parameters: a bias, and the scale of a norm."""
    vectors = {
        name: each for name, each in module.named_parameters(recurse=False) if each.ndim == 1
    }
    shifts = SHIFTS if isinstance(module, BATCH_NORM) else BIASES
    for name, vector in vectors.items():
        vector.data.copy_(_uniform(vector, shifts if name == "bias" else SCALES, generator))


def _set_statistics_of_input(
    norm: nn.Module, inputs: tuple[Tensor, ...], *, generator: torch.Generator
) -> None:
    """Before a norm runs: the statistics of its input, disturbed."""
    (x,) = inputs
    axes = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(x, axes, correction=0)
    variance = variance.clamp_min(MIN_VARIANCE * variance.mean().item())
    _set_statistics(norm, mean, variance, generator)


def _set_statistics(
    norm: nn.Module, mean: Tensor, variance: Tensor, generator: torch.Generator
) -> None:
    """Draws the running statistics of a norm near a mean and a variance."""
    running_mean = norm.running_mean
    assert isinstance(running_mean, Tensor)
    assert isinstance(norm.running_var, Tensor)
    running_mean.copy_(mean + _uniform(running_mean, MEANS, generator) * variance.sqrt())
    norm.running_var.copy_(variance * _uniform(running_mean, VARIANCES, generator))


def _uniform(like: Tensor, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Values of the shape of `like`; drawn on the CPU, so they are the same for every device."""
    return torch.empty(like.shape).uniform_(*bounds, generator=generator).to(like)
