"""Random norms that suit their network: every part of it counts, and rounding stays small."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from resnetgen.pipeline import compile_text
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.compile_check import relative_error
from resnetgen.runtime.load import build

SPEC = """\
network: deep
extends: resnet20
input: {channels: 3, size: [8, 8]}
shortcut: projection
stages: {layer1: {blocks: 60}, layer2: {blocks: 60}, layer3: null}
init: {last_norm: {weight: 0}}
"""
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def deep() -> nn.Module:
    torch.manual_seed(0)
    return build(compile_text(SPEC).source, "deep")


def test_it_leaves_the_weights_of_convolutions_and_draws_the_rest() -> None:
    fresh = deep()
    model = randomize_norms(copy.deepcopy(fresh), IMAGES)
    assert not model.training
    others = dict(model.named_parameters())
    for name, weight in fresh.named_parameters():
        assert torch.equal(weight, others[name]) == (weight.ndim > 1), name
        assert others[name].abs().max() > 0


def test_the_seed_decides() -> None:
    one, same, other = (randomize_norms(deep(), IMAGES, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["bn1.running_var"], other["bn1.running_var"])


def test_statistics_stand_around_those_of_what_a_norm_gets_at_any_depth() -> None:
    model = randomize_norms(deep(), IMAGES)
    seen = []

    def compare(norm: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        moved = (norm.running_mean - mean).abs() / norm.running_var.sqrt()
        seen.append((moved.max().item(), (norm.running_var / variance).min().item()))

    for each in model.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.register_forward_pre_hook(compare)
    with torch.no_grad():
        model(IMAGES)
    assert len(seen) == 242
    assert max(moved for moved, _ in seen) < 0.25
    assert min(ratio for _, ratio in seen) > 0.69


def test_rounding_stays_small_at_any_depth() -> None:
    model = randomize_norms(deep(), IMAGES)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        single, double = model(x), model.double()(x.double())
    assert 1e-2 < single.std() < 1e4
    assert relative_error([double], [single.double()]) < 1e-5


@pytest.mark.parametrize(
    ("norm", "least", "most"), [(nn.BatchNorm2d(4), 1.0, 2.0), (nn.GroupNorm(2, 4), -0.2, 0.2)]
)
def test_a_norm_of_constant_values_stays_finite(norm: nn.Module, least: float, most: float) -> None:
    randomize_norms(norm, torch.ones(2, 4, 3, 3))
    assert all(each.isfinite().all() for each in norm.state_dict().values())
    assert least <= norm.bias.min() <= norm.bias.max() <= most
