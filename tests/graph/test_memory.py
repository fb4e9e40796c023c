"""Memory, checked against torch's own storages for the printed module, to the byte where possible.

Modules run on the meta device: storages have sizes and nothing in them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from storages import FREE, Live, own
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves

from resnetgen.compiler.analysis.evaluation_memory import activation_trace, evaluation_bytes
from resnetgen.compiler.analysis.rows import rows_by_node
from resnetgen.compiler.analysis.training_memory import OPTIMIZERS, training_bytes
from resnetgen.compiler.ir.ops import OPS
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.runtime.load import build

BATCH = 32
SPECS = Path(__file__).resolve().parents[1] / "specs"
NETWORKS = [
    "resnet18",
    "resnet50",
    "resnet152",
    "resnet20",
    "resnet110_b",
    "preact_resnet18",
    "preact_resnet50",
    "resnetv2_50",
    "wide_resnet28_10",  # dropout inside its blocks
    "seresnet50",
    "ecaresnet50d",
    "resnetrs50",
    "resnetblur18",
    "resnetaa50",
    "resnet50d",
    "resnet50_gn",
    "resnext50_32x4d",
    "vgg11_bn",
    "vgg19",
    "alexnet",
    "googlenet",  # joins, and outputs in training only
    "resnet18_1d",
    "r3d_18",
    SPECS / "resnet50_features.yaml",  # several outputs
    SPECS / "resnet50_os8.yaml",
    SPECS / "resnet50_dp.yaml",  # stochastic depth
]
WITH_ACTIVATION = """
network: n
input: {{channels: 3, size: [32, 32]}}
act: {}
block: basic
shortcut: projection
stages: {{layer1: {{blocks: 2, width: 16}}, layer2: {{blocks: 2, width: 32, stride: 2}}}}
stem: cifar
head: {{classes: 10}}
"""
ACTIVATIONS = [name for name, op in OPS.items() if op.kind == "activation"]
TEXTS = {f"activation {name}": WITH_ACTIVATION.format(name) for name in ACTIVATIONS}
TEXTS["free"] = FREE


def networks() -> dict[str, Callable[[], Compiled]]:
    found = {Path(name).stem: lambda name=name: compile_spec(name) for name in NETWORKS}
    return found | {name: lambda text=text: compile_text(text) for name, text in TEXTS.items()}


each_network = pytest.mark.parametrize("compiled", networks().values(), ids=networks().keys())


def on_meta(
    compiled: Compiled, batch: int, dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, Tensor]:
    with torch.device("meta"):
        module = build(compiled.source, compiled.network.name).to(dtype)
        return module, torch.empty(batch, *compiled.network.input.shape, dtype=dtype)


def as_on_a_gpu(x: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    """Dropout as a GPU computes it: the mask that it keeps has a byte for each value."""
    return torch.native_dropout(x, p, training)[0] if training and p else x


def peak_of_evaluation(compiled: Compiled, dtype: torch.dtype = torch.float32) -> int:
    module, source = on_meta(compiled, BATCH, dtype)
    with torch.no_grad(), Live(own(module.eval())) as live:
        live.add(source)
        module(source)
    return live.peak


def kept_by_autograd(compiled: Compiled, dtype: torch.dtype = torch.float32) -> int:
    """The sizes of the storages that autograd saves, those of the module left out."""
    module, source = on_meta(compiled, BATCH, dtype)
    weights, saved = own(module.train()), {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage  # kept, so that its number is not reused
        return tensor

    dropout = patch.object(nn.functional, "dropout", as_on_a_gpu)
    with dropout, saved_tensors_hooks(save, lambda tensor: tensor):
        result = module(source)
    assert result is not None
    return sum(storage.nbytes() for key, storage in saved.items() if key not in weights)


def peak_of_training(compiled: Compiled) -> int:
    """The second step of SGD with momentum: gradients are new, its state exists."""
    module, source = on_meta(compiled, BATCH)
    optimizer = torch.optim.SGD(module.train().parameters(), 0.1, momentum=0.9, foreach=False)

    def step() -> None:
        found = tree_leaves(module(source))
        torch.autograd.backward(found, [torch.empty_like(each) for each in found])
        del found
        optimizer.step()
        optimizer.zero_grad()

    with patch.object(nn.functional, "dropout", as_on_a_gpu):
        step()
        with Live(set()) as live:
            state = [each["momentum_buffer"] for each in optimizer.state.values()]
            for tensor in (source, *module.parameters(), *module.buffers(), *state):
                live.add(tensor)
            del tensor, state
            step()
    return live.peak


@each_network
def test_a_training_step_saves_what_autograd_saves(compiled) -> None:
    compiled = compiled()
    assert training_bytes(compiled.typed, BATCH).saved == kept_by_autograd(compiled)


@each_network
def test_the_peak_of_evaluation_is_that_of_the_storages_alive(compiled) -> None:
    compiled = compiled()
    found = evaluation_bytes(compiled.typed, BATCH)
    assert found.activations == peak_of_evaluation(compiled)
    assert found.planned <= found.activations


TRAINED = ["resnet18", "preact_resnet50", "wide_resnet28_10", "seresnet50", "resnetblur18"]
TRAINED += ["vgg11_bn", "googlenet", "resnet20", "r3d_18", SPECS / "resnet50_features.yaml"]


@pytest.mark.parametrize("name", TRAINED)
def test_the_peak_of_a_training_step_is_near_that_of_the_storages_alive(name: str | Path) -> None:
    compiled = compile_spec(name)
    measured = peak_of_training(compiled)
    assert training_bytes(compiled.typed, BATCH).peak == pytest.approx(measured, rel=0.02)


def test_a_container_with_its_own_class_keeps_its_inputs_a_little_longer() -> None:
    compiled = compile_spec(SPECS / "unet_resnet34.yaml")
    found, measured = (
        evaluation_bytes(compiled.typed, BATCH).activations,
        peak_of_evaluation(compiled),
    )
    decoder_input = BATCH * 512 * 7 * 7 * 4  # the result of `layer4`, until the decoder returns
    assert found == measured - decoder_input
    assert training_bytes(compiled.typed, BATCH).saved == kept_by_autograd(compiled)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_halves_what_is_not_counted_in_another_type(dtype: str) -> None:
    compiled = compile_spec("resnet18")
    found = evaluation_bytes(compiled.typed, BATCH, dtype)
    module, _ = on_meta(compiled, 1, getattr(torch, dtype))
    state = sum(each.untyped_storage().nbytes() for each in module.state_dict().values())
    assert found.weights == state
    assert found.activations == pytest.approx(
        peak_of_evaluation(compiled, getattr(torch, dtype)), rel=1e-4
    )
    kept = training_bytes(compiled.typed, BATCH, dtype).saved
    assert kept == pytest.approx(kept_by_autograd(compiled, getattr(torch, dtype)), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "make"),
    {
        "sgd": lambda weights: torch.optim.SGD(weights),
        "momentum": lambda weights: torch.optim.SGD(weights, momentum=0.9),
        "rmsprop": lambda weights: torch.optim.RMSprop(weights),
        "adagrad": lambda weights: torch.optim.Adagrad(weights),
        "adam": lambda weights: torch.optim.Adam(weights),
        "adamw": lambda weights: torch.optim.AdamW(weights),
    }.items(),
)
def test_optimizer_state_is_that_of_the_table(name: str, make: Callable[..., Any]) -> None:
    weight = nn.Parameter(torch.ones(1000))
    optimizer = make([weight])
    weight.sum().backward()
    optimizer.step()
    state = [each for each in optimizer.state[weight].values() if isinstance(each, Tensor)]
    assert sum(each.numel() for each in state if each.ndim) == OPTIMIZERS[name] * 1000


def test_the_parts_of_a_training_step() -> None:
    compiled = compile_spec("resnet50")
    found = training_bytes(compiled.typed, BATCH, optimizer="adamw")
    assert found.weights == found.gradients == 4 * compiled.cost.params
    assert found.optimizer == 2 * found.weights
    norms = sum(row.op == "batch_norm" for row in rows_by_node(compiled.typed))
    assert found.buffers == 4 * (compiled.cost.buffers - norms) + 8 * norms


def test_a_planner_needs_less_than_python() -> None:
    found = evaluation_bytes(compile_spec("resnet50").typed, BATCH)
    value = BATCH * 256 * 56 * 56 * 4
    assert found.activations - found.planned == value // 4  # the input of `layer1`, in its stage
    assert found.peak_node == "layer1.0.downsample.1"


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "resnet110"])
def test_the_trace_has_the_nodes_in_order_and_the_peak(name: str) -> None:
    measured = compile_spec(name).typed
    found, points = evaluation_bytes(measured, BATCH), activation_trace(measured, BATCH)
    assert max(points, key=lambda point: point[1]) == (found.peak_node, found.activations)
    names = {row.name for row in rows_by_node(measured) if row.op != "flatten"}
    traced = [name for name, _ in points if name in names]
    assert len(set(traced)) == len(traced) > 20
    assert traced[0] == next(row.name for row in rows_by_node(measured))


def test_memory_is_proportional_to_the_batch_but_for_weights_and_statistics() -> None:
    measured = compile_spec("resnet18").typed
    one, two, four = (training_bytes(measured, batch).saved for batch in (1, 2, 4))
    assert four - two == 2 * (two - one)


def test_auxiliary_classifiers_cost_memory_in_training_alone() -> None:
    measured = compile_spec("googlenet").typed
    assert not any(name.startswith("aux") for name, _ in activation_trace(measured))
    without = compile_spec(
        "googlenet", train_outputs=[], **{"nodes.aux1": None, "nodes.aux2": None}
    )
    assert training_bytes(measured).saved > training_bytes(without.typed).saved
    assert evaluation_bytes(measured).activations == evaluation_bytes(without.typed).activations
