"""A network that was trained and grown continues training from the same loss."""

from __future__ import annotations

import copy
from functools import partial

import numpy
import pytest
import torch
from weights.grow.growing import Settings, compiled

from resnetgen.runtime.load import build
from resnetgen.weights.grow.pair import pair_nodes
from resnetgen.weights.grow.transfer import transfer
from resnetgen.weights.grow.widen import channel_maps
from resnetgen.weights.load import build_seeded

DIGITS = """\
network: digits
input: {channels: 1, size: [8, 8]}
stem: {op: cifar, width: 8}
block: basic
shortcut: {op: zero_pad, centred: true}
stages:
  layer1: {blocks: 1, width: 8}
  layer2: {blocks: 1, width: 16, stride: 2}
head: {classes: 10}
"""
DEEPER: Settings = {"layer1.blocks": 3, "layer2.blocks": 3}
WIDER: Settings = {"stem.width": 16, "layer1.width": 16, "layer2.width": 32}
STEPS, BATCH = 40, 64


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """8 x 8 images of digits with values about 0, and what they show (Alpaydin and Kaynak 1998)."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images.astype(numpy.float32)).reshape(-1, 1, 8, 8) / 8 - 1
    return x, torch.from_numpy(labels)


def loss(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """In training mode, where norms use the statistics of the batch; the model stays as it is."""
    with torch.no_grad():
        found = torch.nn.functional.cross_entropy(copy.deepcopy(model).train()(x), y)
    return found.item()


def train(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """Plain stochastic gradient descent over the same batches in the same order."""
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.05, momentum=0.9)
    for step in range(STEPS):
        chosen = torch.arange(step * BATCH, (step + 1) * BATCH) % len(x)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
        optimizer.step()


@pytest.mark.parametrize("more", [DEEPER, WIDER, {**DEEPER, **WIDER}])
def test_the_loss_keeps_falling_after_growth(more: Settings) -> None:
    pytest.importorskip("sklearn")
    one, other = compiled(DIGITS, {}), compiled(DIGITS, more)
    pairing = pair_nodes(one.checked_graph, other.checked_graph)
    x, y = digits()
    small, large = (build_seeded(partial(build, each.source, "digits")) for each in (one, other))
    untrained = loss(small, x, y)
    train(small, x, y)
    transfer(large.state_dict(), small.state_dict(), pairing, channel_maps(pairing))
    trained = loss(small, x, y)
    assert trained < 0.7 * untrained
    assert loss(large, x, y) == pytest.approx(trained, rel=1e-4)
    train(large, x, y)
    assert loss(large, x, y) < trained / 2
