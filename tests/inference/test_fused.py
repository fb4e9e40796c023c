"""When the printed `FusedConv2d` calls oneDNN, and when torch's own convolution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnetgen.pipeline import compile_spec
from resnetgen.runtime.load import module_from_source


@pytest.fixture
def fused() -> nn.Module:
    made = module_from_source(compile_spec("resnet18").inference_source, "resnet18").FusedConv2d(
        4, 4, 3, padding=1, relu=True
    )
    torch.manual_seed(0)
    for weight in made.parameters():
        nn.init.normal_(weight)
    return made


def plain(conv: nn.Module, x: Tensor, addend: Tensor) -> Tensor:
    found = nn.functional.conv2d(x, conv.weight, conv.bias, padding=1)
    return (found + addend).relu()


@pytest.mark.parametrize("overwrites", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_layout_of_the_addend_will_do(
    fused: nn.Module, overwrites: bool, layout: torch.memory_format
) -> None:
    fused.overwrites = overwrites
    x, addend = torch.randn(2, 4, 5, 7), torch.randn(2, 4, 5, 7).to(memory_format=layout)
    expected = plain(fused, x, addend)
    with torch.no_grad():
        torch.testing.assert_close(fused(x, addend), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trained", ["weight", "bias", "x", "addend"])
def test_a_gradient_of_anything_passes(fused: nn.Module, trained: str) -> None:
    """Also of what is added: outside of `no_grad`, what is fused would lose it in silence."""
    read = {"x": torch.randn(1, 4, 5, 5), "addend": torch.randn(1, 4, 5, 5)}
    leaf = (read | dict(fused.named_parameters()))[trained].requires_grad_()
    (expected,) = torch.autograd.grad(plain(fused, *read.values()).sum(), leaf)
    (found,) = torch.autograd.grad(fused(*read.values()).sum(), leaf)
    torch.testing.assert_close(found, expected)


def test_a_single_image_without_a_batch_is_taken(fused: nn.Module) -> None:
    x, addend = torch.randn(4, 5, 5), torch.randn(4, 5, 5)
    with torch.no_grad():
        torch.testing.assert_close(fused(x, addend), plain(fused, x, addend))


def test_another_dtype_than_that_of_the_weights_is_refused_as_torch_does(fused: nn.Module) -> None:
    """OneDNN's operator would take it and round the weights."""
    with torch.no_grad():
        fused(torch.randn(1, 4, 5, 5))
        with pytest.raises(RuntimeError, match="should be the same"):
            fused(torch.randn(1, 4, 5, 5).bfloat16())


def test_weights_that_are_replaced_or_changed_are_seen(fused: nn.Module) -> None:
    x, addend = torch.randn(1, 4, 5, 5), torch.zeros(1, 4, 5, 5)
    with torch.no_grad():
        for change in (
            lambda: fused.weight.mul_(2),
            lambda: setattr(fused.weight, "data", torch.randn(4, 4, 3, 3)),
            lambda: setattr(fused, "weight", nn.Parameter(torch.randn(4, 4, 3, 3), False)),
            lambda: setattr(fused, "bias", nn.Parameter(torch.randn(4), False)),
        ):
            fused(x, addend)
            change()
            expected = plain(fused, x, addend)
            torch.testing.assert_close(fused(x, addend), expected, rtol=1e-4, atol=1e-4)


def test_a_weight_at_the_address_of_another_is_laid_out_again(fused: nn.Module) -> None:
    """Rounded in bfloat16 and back, a weight may get the address, and the version, of the old one."""
    x = torch.randn(1, 4, 5, 5)
    with torch.no_grad():
        for _ in range(20):
            nn.init.normal_(fused.weight)
            fused(x)
            fused.bfloat16().float()
            found = fused(x)
            torch.testing.assert_close(found, plain(fused, x, torch.zeros(1)), rtol=1e-4, atol=1e-4)
