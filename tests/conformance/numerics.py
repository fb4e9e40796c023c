"""Outputs, gradients, statistics and initial weights, ours against the peer's, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from conformance.entries import Entry

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
BATCH = 2


@dataclass(frozen=True)
class Numerics:
    """What is bit-equal. `initial`: the keys that start differently from one seed."""

    evaluation: bool
    training: bool
    gradients: bool
    statistics: bool
    initial: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether everything is."""
        rest = (self.evaluation, self.training, self.gradients, self.statistics)
        return all(rest) and not self.initial


def compare(entry: Entry) -> Numerics:
    """Builds both from one seed, gives both the same random weights, runs both.

    Raises AssertionError where the comparison would be empty: results that do not depend on the
    image, weights without gradients.
    """
    torch.manual_seed(0)
    ours = entry.ours()
    torch.manual_seed(0)
    theirs = entry.theirs()
    initial = differences(ours, theirs)
    channels = next(each.shape[1] for each in theirs.parameters() if each.dim() > 2)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH, channels, *entry.small, generator=generator)
    randomise(theirs, images, generator)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    evaluation = _evaluation(ours, theirs, images)
    mine, other = step(ours, images), step(theirs, images)
    for key, gradient in other.gradients.items():
        assert gradient is not None, f"{key} has no gradient"
        assert gradient.abs().max() > 0, f"{key} has no gradient"
    _assert_spread(other.outputs)
    return Numerics(
        evaluation,
        _equal(mine.outputs, other.outputs),
        _equal(mine.gradients.values(), other.gradients.values()),
        not differences(ours, theirs),
        initial,
    )


def differences(ours: nn.Module, theirs: nn.Module) -> tuple[str, ...]:
    """The keys of the state_dict whose tensors differ."""
    mine, other = ours.state_dict(), theirs.state_dict()
    return tuple(key for key in other if key not in mine or not torch.equal(mine[key], other[key]))


def randomise(module: nn.Module, images: Tensor, generator: torch.Generator) -> None:
    """Norm scales, all biases and statistics at random; nothing is cut off, nothing explodes.

    The statistics are those of the images, disturbed: far from them a deep network would overflow.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.2, 0.2, generator=generator)
        norms = [each for each in module.modules() if isinstance(each, NORMS)]
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=generator)
        kept = [getattr(norm, "momentum", None) for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        module.train()(images.clone())
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum
            if isinstance(norm, nn.GroupNorm):
                continue
            spread = norm.running_var.sqrt()
            norm.running_mean += spread * torch.empty_like(spread).uniform_(
                -0.2, 0.2, generator=generator
            )
            norm.running_var *= torch.empty_like(spread).uniform_(0.8, 1.25, generator=generator)


@dataclass(frozen=True)
class Step:
    """What one step of training leaves."""

    outputs: list[Tensor]
    gradients: dict[str, Tensor | None]


def step(module: nn.Module, images: Tensor) -> Step:
    """Forward and backward in training mode, from one seed (dropout, stochastic depth)."""
    torch.manual_seed(2)
    images = images.clone().requires_grad_()
    outputs = list(_tensors(module.train()(images + 0.0)))
    loss = sum((each * torch.linspace(-1, 1, each.numel()).view_as(each)).sum() for each in outputs)
    loss.backward()
    gradients = {name: each.grad for name, each in module.named_parameters()}
    return Step([each.detach() for each in outputs], {"the input": images.grad, **gradients})


def _evaluation(ours: nn.Module, theirs: nn.Module, images: Tensor) -> bool:
    with torch.no_grad():
        mine = list(_tensors(ours.eval()(images.clone())))
        other = list(_tensors(theirs.eval()(images.clone())))
    _assert_spread(other)
    return _equal(mine, other)


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    else:
        yield from result


def _equal(mine: Any, other: Any) -> bool:
    pairs = list(zip(mine, other, strict=True))
    return all(a is not None and torch.equal(a, b) for a, b in pairs)


def _assert_spread(outputs: list[Tensor]) -> None:
    """The classes differ, and so do the images: what is compared depends on what was put in."""
    for output in outputs:
        assert torch.isfinite(output).all(), "the output is not finite"
        scale = output.std()
        assert scale > 1e-3, "the output is constant"
        assert (output[0] - output[1]).abs().max() > 1e-2 * scale, "the images make no difference"
