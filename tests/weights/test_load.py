"""`load(spec, weights=FILE, leave=...)`."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import resnetgen
from resnetgen import WeightsError, load
from resnetgen.weights.errors import WeightsMismatch


def save(state: object, name: str = "tiny.pth") -> str:
    import torch

    torch.save(state, name)
    return name


def equal(one: dict, other: dict) -> bool:
    import torch

    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in other)


def test_every_tensor_is_loaded(state, caplog) -> None:
    loaded = load("tiny.yaml", weights=save(state))
    assert equal(loaded.state_dict(), state)
    assert not caplog.records
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_a_path_is_as_good_as_its_name(state, folder: Path) -> None:
    assert equal(load(folder / "tiny.yaml", weights=folder / save(state)).state_dict(), state)


def test_the_file_may_go_afterwards(state) -> None:
    loaded = load("tiny.yaml", weights=save(state))
    Path("tiny.pth").write_bytes(b"")
    assert equal(loaded.state_dict(), state)


def test_wrappers_and_containers_are_reported(state, caplog) -> None:
    wrapped = {f"module._orig_mod.{key}": value for key, value in state.items()}
    loaded = load("tiny.yaml", weights=save({"state_dict": wrapped}))
    assert equal(loaded.state_dict(), state)
    assert caplog.messages == [
        "tiny.pth: weights taken from `state_dict` of the file",
        "tiny.pth: taken off the keys: `module.`, `_orig_mod.`",
    ]


def test_old_checkpoints_have_no_counters(state, caplog) -> None:
    old = {key: value for key, value in state.items() if "num_batches" not in key}
    loaded = load("tiny.yaml", weights=save(old)).state_dict()
    assert all(loaded[key].equal(value) for key, value in old.items())
    assert {int(loaded[key]) for key in loaded.keys() - old.keys()} == {0}
    [message] = caplog.messages
    count = len(state) - len(old)
    assert (
        message == f"tiny.pth: `num_batches_tracked` of {count} norms is not in the file; set to 0"
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_types_are_converted_and_reported(state, caplog, dtype: str) -> None:
    import torch

    other = {k: v.to(getattr(torch, dtype)) if v.ndim else v for k, v in state.items()}
    loaded = load("tiny.yaml", weights=save(other)).state_dict()
    assert all(loaded[key].equal(value.to(loaded[key].dtype)) for key, value in other.items())
    assert {value.dtype for value in loaded.values()} == {torch.float32, torch.int64}
    [message] = caplog.messages
    assert message.endswith(f"tensors converted from {dtype} to float32")


def test_a_head_of_other_classes_keeps_its_initial_weights(state, caplog) -> None:
    import torch

    name = save(state)
    torch.manual_seed(3)
    loaded = load("tiny.yaml", weights=name, leave="fc", **{"head.classes": 4})
    torch.manual_seed(3)
    fresh = load("tiny.yaml", **{"head.classes": 4})
    assert torch.equal(loaded.fc.weight, fresh.fc.weight)
    assert torch.equal(loaded.conv1.weight, state["conv1.weight"])
    assert caplog.messages == ["tiny.pth: left at initial weights: fc (2 tensors)"]


def test_other_input_channels(state) -> None:
    name = save(state)
    with pytest.raises(WeightsMismatch, match=r"--set input\.channels=3"):
        load("tiny.yaml", weights=name, **{"input.channels": 5})
    loaded = load("tiny.yaml", weights=name, leave=["conv1"], **{"input.channels": 5})
    assert loaded.conv1.weight.shape[1] == 5


def test_what_only_the_file_has_is_left_out_when_asked(state, caplog) -> None:
    import torch

    name = save(state | {"aux.weight": torch.zeros(3)})
    with pytest.raises(WeightsMismatch, match="--except aux"):
        load("tiny.yaml", weights=name)
    assert equal(load("tiny.yaml", weights=name, leave=("aux",)).state_dict(), state)
    assert caplog.messages == ["tiny.pth: not used from the file: aux.weight"]


@pytest.mark.parametrize("settings", [{"head.classes": 4}, {"layer2.blocks": 3}])
def test_any_difference_is_an_error(state, settings: dict[str, object]) -> None:
    with pytest.raises(WeightsMismatch) as caught:
        load("tiny.yaml", weights=save(state), **settings)
    assert caught.value.match.missing or caught.value.match.shape_mismatches
    assert str(caught.value).startswith("error[weights-mismatch]: `tiny.pth` does not fit `tiny`")


def test_leaving_out_what_is_not_there_is_an_error(state) -> None:
    with pytest.raises(WeightsError, match="did you mean `layer2`"):
        load("tiny.yaml", weights=save(state), leave="layer3")


def test_leaving_out_without_weights_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="`leave`"):
        load("tiny.yaml", leave="fc")


def test_weights_of_another_network_are_recognised(folder: Path) -> None:
    name = save(load("resnet34").state_dict())
    with pytest.raises(WeightsMismatch, match="the file has the names and shapes of `resnet34`"):
        load("resnet18", weights=name)
    with pytest.raises(WeightsMismatch, match="the file has most names and shapes of `resnet34`"):
        load("resnet18", weights=save(load("resnet34", **{"head.classes": 5}).state_dict()))


def test_errors_are_of_the_package(state) -> None:
    assert resnetgen.WeightsError is WeightsError
    Path("x").write_bytes(pickle.dumps(print))
    with pytest.raises(WeightsError, match="unreadable-weights"):
        load("tiny.yaml", weights="x")
