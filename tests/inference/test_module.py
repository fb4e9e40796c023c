"""The inference target: what it computes, on oneDNN and without, and what its module can do."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import resnetgen
from resnetgen.compiler import Compiled, compile_spec
from resnetgen.runtime.agree import trial_input
from resnetgen.runtime.compile import relative_error, spread_weights
from resnetgen.runtime.inference import apart, inference_module
from resnetgen.runtime.load import build
from resnetgen.runtime.trace import returned_tensors

SPECS = Path(__file__).resolve().parents[1] / "specs"
# Each kind of block, stem, head, norm and join; an input of another size where that is slow.
NETWORKS: dict[str, dict[str, object]] = {
    "resnet18": {}, "resnet50": {}, "resnet20": {}, "resnet34_c": {}, "plain18": {},
    "preact_resnet18": {}, "resnetv2_50": {}, "wide_resnet16_8": {}, "resnext50_32x4d": {},
    "seresnet18": {}, "ecaresnet26t": {}, "resnetrs50": {}, "resnet50d": {}, "resnetblur18": {},
    "resnetaa50": {}, "resnet50_gn": {}, "googlenet": {}, "vgg11_bn": {}, "alexnet": {},
    "r3d_18": {"input.size": [4, 32, 32]}, "resnet18_1d": {},
}  # fmt: skip
OWN = ("resnet50_dp", "resnet50_features", "resnet50_os8", "unet_resnet34")


def spread(net: Compiled) -> nn.Module:
    torch.manual_seed(0)
    return spread_weights(build(net.source, net.network.name), net.graph).eval()


def folded(net: Compiled, model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    return inference_module(net.inference, net.inference_source, model.state_dict(), dtype)


@pytest.fixture(scope="module")
def tiny() -> tuple[Compiled, nn.Module]:
    net = compile_spec("resnet18", **{"input.size": [32, 32]})
    return net, spread(net)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETWORKS, *OWN])
def test_it_computes_what_the_network_computes(name: str) -> None:
    """In float64 to rounding, and in float32 as exactly as the network itself."""
    spec = SPECS / f"{name}.yaml" if name in OWN else name
    net = compile_spec(spec, **NETWORKS.get(name, {}))
    model = spread(net)
    shape = trial_input([net.graph]).shape
    image = torch.randn(2, *shape)
    with torch.no_grad():
        single = returned_tensors(folded(net, model)(image))
        own = returned_tensors(model(image))
    assert apart(net.inference, net.inference_source, model, trial_input([net.graph])) < 1e-9
    with torch.no_grad():
        exact = returned_tensors(model(image.double()))
    rounding = relative_error(exact, [each.double() for each in own])
    assert relative_error(exact, [each.double() for each in single]) < 10 * rounding + 1e-6


def test_in_bfloat16_it_is_as_exact_as_the_network(
    tiny: tuple[Compiled, nn.Module], x: Tensor
) -> None:
    model = tiny[1]
    short = x.bfloat16()
    sizes = {"input.size": [32, 32]}
    module = resnetgen.optimize("resnet18", model.state_dict(), short, **sizes)
    with torch.no_grad():
        exact = [model(x)]
        own = relative_error(exact, [copy.deepcopy(model).bfloat16()(short).float()])
        assert 0 < relative_error(exact, [module(short).float()]) < 3 * own


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


def test_other_weights_are_laid_out_anew(tiny: tuple[Compiled, nn.Module], x: Tensor) -> None:
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
    images = torch.randn(15, 3, 160, 160)
    with torch.no_grad():
        whole = module(images)
        assert sizes == [7, 8]
        assert relative_error([model(images)], [whole]) < 1e-4
        module(images[:3])
    assert sizes == [7, 8, 3]


def test_weights_of_another_network_are_refused(x: Tensor) -> None:
    with pytest.raises(resnetgen.WeightsError, match="does not fit `resnet34`"):
        resnetgen.optimize("resnet34", {"fc.weight": torch.zeros(1)}, x)
