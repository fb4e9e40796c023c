"""The inference target: what it computes, on oneDNN and without, and what its module can do."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resnetgen
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.runtime.compare import randomize_norms
from resnetgen.runtime.compile_check import relative_error
from resnetgen.runtime.inference import inference_module
from resnetgen.runtime.load import build


def with_random_norms(net: Compiled) -> nn.Module:
    torch.manual_seed(0)
    return randomize_norms(
        build(net.source, net.network.name), torch.randn(4, *net.flat_graph.input.shape)
    )


def folded(net: Compiled, model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    return inference_module(net.inference_plan, net.inference_source, model.state_dict(), dtype)


@pytest.fixture(scope="module")
def tiny() -> tuple[Compiled, nn.Module]:
    net = compile_spec("resnet18", **{"input.size": [32, 32]})
    return net, with_random_norms(net)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def test_in_bfloat16_it_is_nearer_than_the_network_is(
    tiny: tuple[Compiled, nn.Module], x: Tensor
) -> None:
    model = tiny[1]
    short = x.bfloat16()
    sizes = {"input.size": [32, 32]}
    module = resnetgen.optimize("resnet18", model.state_dict(), short.flip(3), **sizes)
    with torch.no_grad():
        exact = [model(x)]
        own = relative_error(exact, [copy.deepcopy(model).bfloat16()(short).float()])
        assert 0 < relative_error(exact, [module(short).float()]) < own


def test_the_operators_of_onednn_are_used(tiny: tuple[Compiled, nn.Module], x: Tensor) -> None:
    net, model = tiny
    module = folded(net, model)
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        pytest.skip("this torch has none")
    with torch.profiler.profile() as profile, torch.no_grad():
        module(x)
    called = {each.key for each in profile.key_averages()}
    assert {"mkldnn::_convolution_pointwise", "mkldnn::_convolution_pointwise_"} <= called
    assert "aten::batch_norm" not in called


def test_without_them_it_computes_the_same(
    tiny: tuple[Compiled, nn.Module], x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, model = tiny
    with torch.no_grad():
        fused = folded(net, model)(x)
        plain = folded(net, model)
        monkeypatch.setattr(type(plain.conv1), "can_pack", lambda self: False)
        assert relative_error([fused], [plain(x)]) < 1e-5
        assert plain.conv1.packed is None


def test_other_weights_are_laid_out_again(tiny: tuple[Compiled, nn.Module], x: Tensor) -> None:
    net, model = tiny
    module = folded(net, model)
    with torch.no_grad():
        before = module(x)
        state = {key: 2 * value for key, value in module.state_dict().items()}
        module.load_state_dict(state)
        after = module(x)
        fresh = folded(net, model)
        fresh.load_state_dict(state)
        assert not torch.equal(before, after)
        assert torch.equal(fresh(x), after)


def test_it_can_be_copied_pickled_compiled_and_exported(
    tiny: tuple[Compiled, nn.Module], x: Tensor
) -> None:
    net, model = tiny
    module = folded(net, model)
    with torch.no_grad():
        expected = module(x)
        assert torch.equal(copy.deepcopy(module)(x), expected)
        assert torch.equal(pickle.loads(pickle.dumps(module))(x), expected)
        traced = torch.compile(module, backend="eager", fullgraph=True)(x)
        exported = torch.export.export(module, (x,)).module()(x)
    assert relative_error([expected], [traced]) < 1e-5
    assert relative_error([expected], [exported]) < 1e-5


def test_a_gradient_of_the_image_passes(tiny: tuple[Compiled, nn.Module], x: Tensor) -> None:
    net, model = tiny
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    model(one).square().sum().backward()
    folded(net, model)(other).square().sum().backward()
    assert one.grad is not None
    assert other.grad is not None
    assert relative_error([one.grad], [other.grad]) < 1e-3


def test_other_sizes_and_batches(tiny: tuple[Compiled, nn.Module]) -> None:
    net, model = tiny
    module = folded(net, model)
    with torch.no_grad():
        for shape in ((1, 3, 32, 32), (5, 3, 48, 40), (3, 3, 32, 32)):
            image = torch.randn(shape)
            assert relative_error([model(image)], [module(image)]) < 1e-4
            last = image.to(memory_format=torch.channels_last)
            assert relative_error([model(image)], [module(last)]) < 1e-4


def test_a_large_batch_is_taken_in_parts(tiny: tuple[Compiled, nn.Module]) -> None:
    net, model = tiny
    module = folded(net, model)
    sizes: list[int] = []
    module.fc.register_forward_hook(lambda _, inputs, result: sizes.append(len(result)))
    images = torch.randn(15, 3, 224, 224)
    with torch.no_grad():
        whole = module(images)
        assert sizes == [7, 8]
        assert relative_error([model(images)], [whole]) < 1e-4
        module(images[:3])
    assert sizes == [7, 8, 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("size", [1, 8])
def test_what_onednn_does_not_add_is_added(
    dtype: torch.dtype, layout: torch.memory_format, groups: int, size: int
) -> None:
    net = compile_text(
        "network: tiny\ninput: {channels: 4, size: [8, 8]}\nnodes:\n"
        f"  a: {{op: conv, out: 4, kernel: 3, groups: {groups}}}\n  b: {{op: norm}}\n"
        "  c: {op: add, inputs: [b, x]}\n  d: {op: act}\n"
        f"  e: {{op: conv, out: 4, kernel: 3, groups: {groups}}}\n  f: {{op: norm}}\n"
        "  g: {op: add, inputs: [f, d]}\n  h: {op: act}\n"
    )
    model = with_random_norms(net)
    image = torch.randn(2, 4, size, size).contiguous(memory_format=layout)
    with torch.no_grad():
        actual = folded(net, model, dtype)(image.to(dtype)).float()
        assert relative_error([model(image)], [actual]) < 0.05


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float16, 1e-2)])
def test_in_other_types_it_computes_the_same(
    tiny: tuple[Compiled, nn.Module], x: Tensor, dtype: torch.dtype, error: float
) -> None:
    model = copy.deepcopy(tiny[1]).double()
    like = x.to(dtype)
    sizes = {"input.size": [32, 32]}
    module = resnetgen.optimize("resnet18", model.state_dict(), like, **sizes)
    with torch.no_grad():
        actual = module(like)
        assert actual.dtype == dtype
        assert relative_error([model(x.double())], [actual.double()]) < error


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda x: x[:, :2], ValueError, r"shape \(2, 2, 32, 32\); .* \(N, 3, H, W\)"),
        (lambda x: x[0], ValueError, "accepts batches of shape"),
        (lambda x: x.long(), ValueError, "is of int64; a module is made for float32"),
        (lambda x: x.to("meta"), ValueError, "on the meta device"),
        (lambda x: x.numpy(), TypeError, "`example_input` is of type ndarray"),
    ],
)
def test_an_example_of_no_use_is_refused(
    tiny: tuple[Compiled, nn.Module], x: Tensor, change: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        resnetgen.optimize("resnet18", tiny[1].state_dict(), change(x))


def test_what_is_not_a_state_dict_is_refused(tiny: tuple[Compiled, nn.Module], x: Tensor) -> None:
    model = tiny[1]
    with pytest.raises(TypeError, match="of type ResNet, not a mapping; pass its `state_dict"):
        resnetgen.optimize("resnet18", model, x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`conv1.weight` in `state_dict` is of type list"):
        resnetgen.optimize("resnet18", {"conv1.weight": [1.0]}, x)  # type: ignore[dict-item]
    for state in ({}, {key: each.to("meta") for key, each in model.state_dict().items()}):
        with pytest.raises(resnetgen.WeightsError, match="does not fit `resnet18`"):
            resnetgen.optimize("resnet18", state, x)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(
    tiny: tuple[Compiled, nn.Module], x: Tensor, value: float
) -> None:
    state = {key: each.clone() for key, each in tiny[1].state_dict().items()}
    state["layer1.0.bn1.running_mean"][3] = value
    with pytest.raises(ValueError, match=r"`layer1.0.bn1.running_mean` .* not finite"):
        resnetgen.optimize("resnet18", state, x)


def test_weights_of_another_network_are_refused(x: Tensor) -> None:
    with pytest.raises(resnetgen.WeightsError, match="does not fit `resnet34`"):
        resnetgen.optimize("resnet34", {"fc.weight": torch.zeros(1)}, x)
