"""The inference target where a caller does what is not usual: inputs, checkpoints, threads, networks."""

from __future__ import annotations

import copy
import random
from threading import Thread

import pytest
import torch
from generated.choices import Drawn
from generated.strategy import spec_of
from torch import Tensor, nn

import resnetgen
from resnetgen.pipeline import compile_spec, compile_text
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.compile_check import relative_error
from resnetgen.runtime.inference import inference_module
from resnetgen.runtime.load import build
from resnetgen.runtime.trace import output_tensors

SMALL: dict[str, object] = {"input.size": [32, 32]}
SEEDS = range(40)


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    net = compile_spec("resnet18", **SMALL)
    torch.manual_seed(0)
    return randomize_norms(build(net.source, "resnet18"), images(4, 3, 32, 32))


def optimized(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    example = images(1, 3, 32, 32).to(dtype)
    return resnetgen.optimize("resnet18", model.state_dict(), example, **SMALL)


INPUTS = {
    "transposed": images(4, 3, 32, 32).transpose(2, 3),
    "every other position": images(4, 3, 64, 64)[..., ::2, ::2],
    "every other image": images(8, 3, 32, 32)[::2],
    "some of its channels": images(4, 5, 32, 32)[:, 1:4],
    "some channels, channels_last": images(4, 5, 32, 32).to(memory_format=torch.channels_last)[:, 1:4],
    "one image for all": images(1, 3, 32, 32).expand(4, -1, -1, -1),
    "one channel for all": images(4, 1, 32, 32).expand(-1, 3, -1, -1),
    "a single position": images(4, 3, 1, 1),
    "no image": images(0, 3, 32, 32),
}  # fmt: skip


@pytest.mark.parametrize("kind", INPUTS)
def test_an_input_may_lie_in_memory_as_it_likes(model: nn.Module, kind: str) -> None:
    x, module = INPUTS[kind], optimized(model)
    with torch.no_grad():
        for _ in range(2):  # the first call lays weights out
            result, expected = module(x), model(x)
            assert result.shape == expected.shape
            assert not len(x) or relative_error([expected], [result]) < 1e-4


def test_inputs_and_earlier_results_stay_as_they_are(model: nn.Module) -> None:
    module = optimized(model)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = images(2, 3, 32, 32).to(memory_format=layout)
        before = x.clone()
        with torch.no_grad():
            result = module(x)
            kept = result.clone()
            module(2 * x)
        assert torch.equal(x, before)
        assert torch.equal(result, kept)


def test_functions_of_torch_func_go_through_it(model: nn.Module) -> None:
    module, x = optimized(model), images(3, 3, 32, 32)
    with torch.no_grad():
        mapped = torch.func.vmap(lambda image: module(image[None])[0])(x)
        assert relative_error([model(x)], [mapped]) < 1e-4
    own = torch.func.grad(lambda x: model(x).square().sum())(x)
    assert relative_error([own], [torch.func.grad(lambda x: module(x).square().sum())(x)]) < 1e-3


def test_threads_may_share_a_module(model: nn.Module) -> None:
    module, x = optimized(model), images(2, 3, 32, 32)
    results: list[Tensor] = []

    def work() -> None:
        with torch.no_grad():
            results.append(module(x))

    threads = [Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with torch.no_grad():
        expected = model(x)
    assert len(results) == len(threads)
    assert all(relative_error([expected], [each]) < 1e-4 for each in results)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_checkpoint_of_few_bits_is_folded_in_float32(
    model: nn.Module, dtype: torch.dtype
) -> None:
    low, x = copy.deepcopy(model).to(dtype), images(2, 3, 32, 32)
    with torch.no_grad():
        expected = copy.deepcopy(low).float()(x)
        assert relative_error([expected], [optimized(low)(x)]) < 1e-4


def test_the_network_may_be_trained_on(model: nn.Module) -> None:
    network, x = copy.deepcopy(model), images(2, 3, 32, 32)
    module = optimized(network)
    with torch.no_grad():
        before = module(x)
        for parameter in network.parameters():
            parameter.mul_(2)
        assert torch.equal(module(x), before)


@pytest.mark.slow
def test_networks_as_they_are_drawn() -> None:
    """Of the sample of tests/test_generated.py: values that are overwritten, views, several outputs."""
    overwritten = 0
    for seed in SEEDS:
        net = compile_text(spec_of(Drawn(random.Random(seed))))
        x = images(3, *net.flat_graph.input.shape)
        torch.manual_seed(0)
        model = randomize_norms(build(net.source, net.network.name), x)
        module = inference_module(net.inference_plan, net.inference_source, model.state_dict())
        overwritten += sum(step.overwrites for step in net.inference_plan.forward.folded.steps)
        with torch.no_grad():
            own, result = (output_tensors(each(x)) for each in (model, module))
            exact = output_tensors(copy.deepcopy(model).double()(x.double()))
        rounding = relative_error(exact, [each.double() for each in own])
        assert relative_error(exact, [each.double() for each in result]) < 20 * rounding + 1e-5, (
            seed
        )
        assert torch.equal(x, images(3, *net.flat_graph.input.shape)), seed
    assert overwritten > 50
