"""Checkpoints from one dialect to another: bit for bit, and into the libraries themselves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from peers import import_timm, import_torchvision
from randomised import randomise

from resnetgen import load
from resnetgen.weights.convert import ConvertedCheckpoint, convert_checkpoint, encode
from resnetgen.weights.dialects import load_dialect
from resnetgen.weights.errors import WeightsError, WeightsMismatch
from resnetgen.weights.library_index import NetworkIndex
from resnetgen.weights.read import Checkpoint

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]
os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is imported
COUNTER = "num_batches_tracked"
ROUND = ("timm", "huggingface", "detectron2", "torchvision")


def weights(spec: str, **settings: object) -> State:
    """A state_dict of a printed network, with norms that differ from each other."""
    state = dict(load(spec, **settings).state_dict())
    randomise(state)
    return state


def converted(
    state: State, to: str, networks: NetworkIndex | None = None, source: str | None = None
) -> ConvertedCheckpoint:
    among = [load_dialect(source)] if source else None
    return convert_checkpoint(
        Checkpoint("x.pth", state), load_dialect(to), networks or NetworkIndex(), among
    )


def equal(one: Any, other: Any) -> bool:
    """Equal keys in the same order, and equal bits, but for counters."""
    trained = [key for key in one if not key.endswith(COUNTER)]
    return list(one) == list(other) and all(one[key].equal(other[key]) for key in trained)


# --- from dialect to dialect


def check_round(state: State, networks: NetworkIndex) -> None:
    here = state
    for to in ROUND:
        done = converted(here, to, networks)
        assert done.target.dialect == load_dialect(to)
        assert all(COUNTER in line for line in done.remarks)
        here = dict(done.state)
    assert equal(here, state)


def test_a_round_through_all_dialects_changes_no_bit() -> None:
    state = weights("resnet18")
    check_round(state, NetworkIndex())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("resnet34", {}),
        ("resnet50", {}),
        ("resnet101", {}),
        ("resnet152", {}),
        ("resnext50_32x4d", {}),
        ("wide_resnet50_2", {}),
        ("resnet50", {"layer3.blocks": 9, "head.classes": 10}),
    ],
)
def test_a_round_of_any_depth_changes_no_bit(spec: str, settings: dict[str, object]) -> None:
    check_round(weights(spec, **settings), NetworkIndex(spec, settings))


def test_the_names_are_those_of_the_other_library() -> None:
    done = converted(weights("resnet18"), "detectron2").state
    assert list(done)[:3] == ["stem.conv1.weight", "stem.conv1.norm.weight", "stem.conv1.norm.bias"]
    assert "res5.1.conv2.norm.running_var" in done
    assert "res3.0.shortcut.norm.running_mean" in done
    assert "linear.bias" in done
    assert not [key for key in done if key.endswith(COUNTER)]


def test_counters_that_the_target_lacks_are_reported_and_restart_at_zero() -> None:
    there = converted(weights("resnet18"), "detectron2")
    assert there.remarks == (f"x.pth: `{COUNTER}` of 20 modules is left out: the target has none",)
    back = converted(dict(there.state), "torchvision")
    assert back.remarks == (f"x.pth: `{COUNTER}` of 20 modules is not in the file; set to 0",)
    counters = [value for key, value in back.state.items() if key.endswith(COUNTER)]
    assert len(counters) == 20
    assert {(str(value.dtype), int(value)) for value in counters} == {("torch.int64", 0)}


def test_types_are_kept() -> None:
    import torch

    half = {k: v.half() if v.is_floating_point() else v for k, v in weights("resnet18").items()}
    there = converted(half, "huggingface").state
    assert {value.dtype for value in there.values()} == {torch.float16, torch.int64}


def test_wrappers_and_a_prefix_are_taken_off() -> None:
    state = weights("resnet18")
    wrapped = {f"module.net.{key}": value for key, value in state.items()}
    done = converted(wrapped, "timm")
    assert equal(done.state, state)
    prefixes = [f"x.pth: taken off the keys: `{each}.`" for each in ("module", "net")]
    assert list(done.remarks) == prefixes


def test_a_deep_network_of_small_images_is_renamed() -> None:
    state = weights("resnet110")
    there = converted(state, "detectron2")
    assert len([key for key in there.state if key.startswith("res2.")]) == 18 * 2 * 5
    assert equal(converted(dict(there.state), "timm", source="detectron2").state, state)


# --- Keras: another layout, biases, another order


def bottlenecks(folder: Path, name: str = "tiny") -> str:
    """A small network of the blocks that Keras has."""
    path = folder / f"{name}.yaml"
    lines = [
        f"network: {name}",
        "input: {channels: 3, size: [64, 64]}",
        "stem: {op: imagenet, width: 8}",
        "block: bottleneck_v1",
        "shortcut: projection",
        "stages:",
        "  layer1: {blocks: 2, width: 4}",
        "  layer2: {blocks: 2, width: 8, stride: 2}",
        "head: {classes: 10}",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_a_kernel_has_its_axes_in_the_other_order(tmp_path: Path) -> None:
    spec = bottlenecks(tmp_path)
    state = weights(spec)
    there = converted(state, "keras", NetworkIndex(spec))
    kernel = there.state["conv2_block1_2_conv.kernel"]
    assert kernel.is_contiguous()
    assert kernel[0, 2, 3, 1].equal(state["layer1.0.conv2.weight"][1, 3, 0, 2])
    assert there.state["predictions.kernel"].equal(state["fc.weight"].T)
    assert not there.state["conv2_block1_2_conv.bias"].any()


def test_to_keras_and_back_changes_no_bit(tmp_path: Path) -> None:
    spec = bottlenecks(tmp_path)
    state = weights(spec)
    there = converted(state, "keras", NetworkIndex(spec))
    back = converted(dict(there.state), "timm", NetworkIndex(spec))
    assert equal(back.state, state)
    assert "eps of 15 norms changes from 1e-05 to 1.001e-05" in "\n".join(there.remarks)


BIASED = """\
dialect: biased
doc: networks whose convolutions have a bias
set: {conv: {op: convolution, bias: true}}
names:
  conv1: conv1
  bn1: bn1
  layer<s>.<b>.conv<k>: layer<s>.<b>.conv<k>
  layer<s>.<b>.bn<k>: layer<s>.<b>.bn<k>
  layer<s>.<b>.downsample.<k>: layer<s>.<b>.downsample.<k>
  fc: fc
"""


def test_a_bias_is_taken_into_the_mean_behind_it(tmp_path: Path) -> None:
    import torch

    spec, biased = bottlenecks(tmp_path), tmp_path / "biased.yaml"
    biased.write_text(BIASED, encoding="utf-8")
    theirs = load(spec, conv="{op: convolution, bias: true}")
    randomise(theirs.state_dict())
    assert theirs.conv1.bias.abs().min() > 0
    done = converted(dict(theirs.state_dict()), "timm", NetworkIndex(spec), str(biased))
    assert done.remarks == ("x.pth: the bias of 15 modules is folded into the mean of their norms",)
    ours = load(spec)
    ours.load_state_dict(dict(done.state), strict=True)
    assert torch.allclose(outputs(ours, inputs()), outputs(theirs, inputs()), atol=1e-5)


def test_a_bias_that_more_than_a_norm_reads_is_not_dropped(tmp_path: Path) -> None:
    names = "names: {conv: c, fc: f}"
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"dialect: mine\ndoc: x\nset: {{nodes.conv.bias: false}}\n{names}\n")
    spec = tmp_path / "net.yaml"
    spec.write_text(
        "network: net\ninput: {channels: 3, size: [8, 8]}\n"
        "nodes:\n  conv: {op: convolution, out: 4, kernel: 1, bias: true}\n"
        "head: {classes: 2}\n"
    )
    with pytest.raises(WeightsError, match="read by more than a norm: `conv`"):
        converted(weights(str(spec)), str(mine), NetworkIndex(str(spec)))


def test_a_network_of_other_strides_is_refused() -> None:
    state = weights("resnet50")
    with pytest.raises(WeightsError, match="stride 1 and 2") as caught:
        converted(state, "keras")
    diagnostic = caught.value.diagnostic
    assert diagnostic.code == "ambiguous-network"
    assert diagnostic.help == "say which it is, such as `--network resnet50_v1`"
    assert converted(state, "keras", NetworkIndex("resnet50_v1")).spec == "resnet50_v1"
    with pytest.raises(WeightsError) as caught:
        converted(state, "keras", NetworkIndex("resnet50"))
    assert caught.value.diagnostic.code == "unlike-dialect"


# --- strict


def test_every_key_that_does_not_fit_is_listed_under_its_name_in_the_file() -> None:
    import torch

    state = dict(converted(weights("resnet18"), "huggingface").state)
    del state["resnet.embedder.embedder.convolution.weight"]
    state["extra.weight"] = torch.zeros(2)
    with pytest.raises(WeightsMismatch, match="unexpected: extra: weight") as caught:
        converted(state, "timm", NetworkIndex("resnet18"))
    assert "1 tensor of 122 missing, 1 tensor unexpected" in caught.value.diagnostic.message


def test_what_lies_beside_the_network_is_not_dropped() -> None:
    import torch

    state = {f"backbone.{key}": value for key, value in weights("resnet18").items()}
    state["neck.weight"] = torch.zeros(2)
    with pytest.raises(WeightsMismatch, match="unexpected: neck: weight"):
        converted(state, "detectron2")


def test_a_dialect_without_the_modules_is_refused() -> None:
    with pytest.raises(WeightsError) as caught:
        converted(weights("seresnet18"), "huggingface")
    assert caught.value.diagnostic.code == "unnamed-module"


def test_another_dialect_than_was_said_is_refused() -> None:
    with pytest.raises(WeightsMismatch):
        converted(weights("resnet18"), "timm", source="huggingface")


# --- into the libraries themselves


def inputs(size: int = 64) -> torch.Tensor:
    import torch

    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))


def outputs(module: Any, x: torch.Tensor) -> torch.Tensor:
    import torch

    with torch.no_grad():
        result = module.eval()(x)
    result = getattr(result, "logits", result)
    assert result.std() > 1e-2
    assert not torch.allclose(result[0], result[1], rtol=1e-3)
    return result


def in_transformers(layer: str, depths: list[int]) -> Any:
    import_torchvision()
    from transformers import ResNetConfig, ResNetForImageClassification

    expansion = 1 if layer == "basic" else 4
    config = ResNetConfig(
        depths=depths,
        hidden_sizes=[width * expansion for width in (64, 128, 256, 512)],
        layer_type=layer,
        downsample_in_bottleneck=False,
        num_labels=1000,
    )
    return ResNetForImageClassification(config)


LIBRARIES = {
    "torchvision": lambda name: import_torchvision().models.get_model(name),
    "timm": lambda name: import_timm().create_model(name),
    "huggingface": lambda name: {
        "resnet18": lambda: in_transformers("basic", [2, 2, 2, 2]),
        "resnet34": lambda: in_transformers("basic", [3, 4, 6, 3]),
        "resnet50": lambda: in_transformers("bottleneck", [3, 4, 6, 3]),
    }[name](),
}


def check_library(spec: str, name: str) -> None:
    import torch

    theirs = LIBRARIES[name](spec)
    ours = load(spec)
    randomise(ours.state_dict())
    theirs.load_state_dict(dict(converted(ours.state_dict(), name).state), strict=True)
    expected = outputs(ours, inputs())
    assert torch.equal(outputs(theirs, inputs()), expected)
    randomise(theirs.state_dict(), seed=9)
    back = converted(theirs.state_dict(), "torchvision")
    ours.load_state_dict(dict(back.state), strict=True)
    assert torch.equal(outputs(ours, inputs()), outputs(theirs, inputs()))
    assert not torch.equal(outputs(ours, inputs()), expected)


@pytest.mark.parametrize("name", LIBRARIES)
def test_resnet18_loads_strictly_and_computes_the_same(name: str) -> None:
    check_library("resnet18", name)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["resnet34", "resnet50"])
@pytest.mark.parametrize("name", LIBRARIES)
def test_others_load_strictly_and_compute_the_same(name: str, spec: str) -> None:
    check_library(spec, name)


@pytest.mark.slow
def test_resnet50_of_keras_computes_the_same_there_and_back(tmp_path: Path) -> None:
    """Within float32: the two frameworks add in another order, and eps differs by 1e-8."""
    import torch

    keras = pytest.importorskip("keras")
    from resnetgen.weights.read import read

    def theirs_of(x: torch.Tensor) -> torch.Tensor:
        result = theirs(x.permute(0, 2, 3, 1).numpy(), training=False)
        return torch.as_tensor(keras.ops.convert_to_numpy(result))

    theirs = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None
    )
    ours = load("resnet50_v1")
    randomise(ours.state_dict())
    done = converted(ours.state_dict(), "keras", NetworkIndex("resnet50_v1"))
    path = tmp_path / "net.h5"
    path.write_bytes(encode(done, ".h5"))
    theirs.load_weights(path)
    expected = outputs(ours, inputs())
    assert (theirs_of(inputs()) - expected).abs().max() / expected.std() < 1e-4

    for layer in theirs.layers:  # biases and statistics that no conversion has made
        values = [each + 0.1 if each.ndim == 1 else each for each in layer.get_weights()]
        layer.set_weights(values)
    theirs.save_weights(tmp_path / "net.weights.h5")
    back = convert_checkpoint(
        read(tmp_path / "net.weights.h5"), load_dialect("timm"), NetworkIndex()
    )
    assert back.spec == "resnet50_v1"
    ours.load_state_dict(dict(back.state), strict=True)
    expected = theirs_of(inputs())
    assert (outputs(ours, inputs()) - expected).abs().max() / expected.std() < 1e-4
