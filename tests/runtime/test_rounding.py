"""Weights in fewer bits that keep the means of what they make."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnetgen.runtime.rounding import IMAGES, input_means, round_weights

LAYERS = {
    "convolution": lambda: nn.Conv2d(32, 48, 3),
    "padded": lambda: nn.Conv2d(32, 48, (5, 3), stride=2, padding=(4, 2), dilation=(2, 1)),
    "grouped": lambda: nn.Conv2d(32, 48, 3, groups=4),
    "pointwise": lambda: nn.Conv2d(128, 16, 1, bias=False),
    "one axis": lambda: nn.Conv1d(32, 8, 5),
    "linear": lambda: nn.Linear(512, 20),
}


def batch(layer: nn.Module, count: int = IMAGES) -> Tensor:
    """Positive values, as behind a ReLU; each channel has a mean of its own."""
    drawn = torch.Generator().manual_seed(1)
    channels = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    axes = 0 if isinstance(layer, nn.Linear) else layer.weight.ndim - 2
    means = torch.rand(channels, *(1,) * axes, generator=drawn) * 3
    return (torch.randn(count, channels, *(12,) * axes, generator=drawn) + means).relu()


def made(name: str) -> tuple[nn.Sequential, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(LAYERS[name]()).requires_grad_(False)
    return model, {key: tensor.clone() for key, tensor in model.state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_channels_keep_their_means(name: str, dtype: torch.dtype) -> None:
    model, weights = made(name)
    x = batch(model[0])
    exact = model(x)
    others = [0, *range(2, exact.ndim)]

    def moved(found: dict[str, Tensor]) -> float:
        model.load_state_dict(found)
        return (model(x) - exact).mean(others).norm().item()

    to_nearest = moved(round_weights(weights, {}, dtype))
    means = input_means(made(name)[0], x)
    assert moved(round_weights(weights, means, dtype)) < to_nearest / 3


@pytest.mark.parametrize("name", LAYERS)
def test_every_weight_is_one_of_the_two_numbers_around_it(name: str) -> None:
    model, weights = made(name)
    found = round_weights(weights, input_means(model, batch(model[0])), torch.bfloat16)
    for key, exact in weights.items():
        nearest, chosen = exact.bfloat16(), found[key]
        assert chosen.dtype == torch.bfloat16
        assert chosen.shape == exact.shape
        towards = torch.where(nearest < exact, torch.inf, -torch.inf).bfloat16()
        assert ((chosen == nearest) | (chosen == torch.nextafter(nearest, towards))).all()
    assert not torch.equal(found["0.weight"], weights["0.weight"].bfloat16())


def test_what_has_few_bits_already_stays() -> None:
    model, weights = made("convolution")
    short = {key: tensor.bfloat16().float() for key, tensor in weights.items()}
    found = round_weights(short, input_means(model, batch(model[0])), torch.bfloat16)
    assert all(torch.equal(found[key].float(), short[key]) for key in short)


@pytest.mark.parametrize(
    "images", [torch.full((1, 32, 12, 12), torch.nan), torch.empty(0, 32, 9, 9)]
)
def test_images_that_tell_nothing_leave_it_at_the_nearest(images: Tensor) -> None:
    model, weights = made("convolution")
    found = round_weights(weights, input_means(model, images), torch.bfloat16)
    assert all(torch.equal(found[key], weights[key].bfloat16()) for key in weights)


def test_means_are_of_what_each_weight_reads() -> None:
    layer = nn.Conv2d(4, 2, (5, 3), stride=2, padding=(4, 2), dilation=(2, 3), groups=2, bias=False)
    x = torch.randn(IMAGES + 3, 4, 9, 8)
    means = input_means(nn.Sequential(layer), x)["0"]
    expected = layer(x[:IMAGES]).mean([0, 2, 3])
    by_group = (layer.weight * means.view(2, 2, 5, 3)).sum([1, 2, 3])
    torch.testing.assert_close(by_group, expected)


def test_means_of_a_linear_layer_are_those_of_its_inputs() -> None:
    model, x = nn.Sequential(nn.Linear(6, 2)), torch.randn(3, 5, 6)
    torch.testing.assert_close(input_means(model, x)["0"], x.mean([0, 1]))
