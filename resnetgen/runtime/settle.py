"""settle(module, images) -> module: weights under which comparisons and measurements mean something.

    settle(build(source, "resnet152"), torch.randn(2, 3, 224, 224))

Initial weights hide faults: a norm of scale 1, shift 0, mean 0 and variance 1 is folded right by a
fold that does nothing, and one that starts at scale 0 cuts its branch off. Random ones must not blow
rounding up either. A norm and then a ReLU around 0 let a small difference grow by a fifth (its square
by pi / (pi - 1), arXiv 1902.08129), in every layer: eager float32 is then 2e-4 from float64 in a
ResNet-152 at 112 x 112. With shifts around 1.5, where a ReLU cuts one value in ten, it is 5e-7.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

BATCH_NORM = nn.modules.batchnorm._BatchNorm
SCALES = (0.5, 1.5)  # of norms
SHIFTS = (1.0, 2.0)  # of batch norms
BIASES = (-0.2, 0.2)  # of all else: a group norm would take shifts for the spread of its values
VARIANCES, MEANS = (0.7, 1.4), (-0.2, 0.2)  # times the variance; in standard deviations
LEAST = 0.1  # of the mean variance: a few images may leave a channel all but constant


def settle(module: nn.Module, images: Tensor, seed: int = 0) -> nn.Module:
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
