"""The five ResNets against torchvision's, imported live."""

from __future__ import annotations

import pytest
import torch
from peers import import_torchvision

from resnetgen import load

NAMES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
COUNTS = {  # parameters, multiply-adds at 224 x 224: torchvision's own published figures
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet101": (44_549_160, 7_801_405_440),
    "resnet152": (60_192_808, 11_513_626_624),
}


def pair(name: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and torchvision's, from one seed."""
    models = import_torchvision().models
    torch.manual_seed(0)
    ours = load(name)
    torch.manual_seed(0)
    return ours, models.get_model(name)


def randomise(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    """The same weights in both, with norms that neither cut branches off nor kill activations."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(-0.2, 0.2, generator=generator)
                module.running_mean.uniform_(-0.2, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
    ours.load_state_dict(theirs.state_dict(), strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_keys_and_initial_weights_are_those_of_torchvision(name: str) -> None:
    ours, theirs = pair(name)
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    assert all(torch.equal(mine[key], other[key]) for key in other)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_bit_equal_in_evaluation(name: str) -> None:
    ours, theirs = pair(name)
    randomise(ours, theirs)
    x = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        mine, other = ours.eval()(x), theirs.eval()(x)
    assert other.std() > 1e-3
    assert not torch.allclose(other[0], other[1], rtol=1e-3)
    assert torch.equal(mine, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_is_bit_equal(name: str) -> None:
    ours, theirs = pair(name)
    randomise(ours, theirs)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    results = []
    for model in (ours.train(), theirs.train()):
        output = model(x)
        (output * torch.linspace(-1, 1, 1000)).sum().backward()
        torch.optim.SGD(model.parameters(), lr=0.01).step()
        results.append(output.detach())
    assert results[1].std() > 1e-3
    assert torch.equal(*results)
    for (key, mine), (_, other) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert other.grad is not None, key
        assert other.grad.abs().max() > 0, key
        assert torch.equal(mine.grad, other.grad), key
    after, expected = ours.state_dict(), theirs.state_dict()
    assert all(torch.equal(after[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_multiply_adds_are_the_published_ones(name: str) -> None:
    from resnetgen import compile_spec

    cost = compile_spec(name).cost
    assert (cost.params, cost.macs) == COUNTS[name]
