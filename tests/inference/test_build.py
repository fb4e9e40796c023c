"""`build --target inference`: the printed file, and its weights beside it, both or none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetgen.pipeline import compile_spec


@pytest.fixture
def checkpoint(folder: Path) -> str:
    """`given.pth`, of resnet20."""
    import torch
    from randomised import randomise

    import resnetgen

    state = resnetgen.load("resnet20").state_dict()
    randomise(state)
    torch.save(state, "given.pth")
    return "given.pth"


def build(call: Callable[..., object], *more: str) -> object:
    return call("build", "resnet20", "--target", "inference", *more)


def test_the_weights_are_those_of_the_file(call, checkpoint: str, folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    import resnetgen
    from resnetgen.runtime.load import build as made

    done = build(call, "--weights", checkpoint)
    assert done.exit_code == 0, done.stderr
    assert sorted(set(os.listdir(folder)) - {"tiny.yaml"}) == [
        "given.pth", "resnet20.plan.json", "resnet20.py", "resnet20.safetensors"
    ]  # fmt: skip
    module = made((folder / "resnet20.py").read_text("utf-8"), "resnet20")
    module.load_state_dict(load_file("resnet20.safetensors"), strict=True)
    model = resnetgen.load("resnet20", weights=checkpoint).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected, actual = model(x), module.eval()(x)
    assert (expected - actual).abs().max() < 1e-4 * expected.std()


def test_what_computes_something_else_is_not_written(
    call, checkpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnetgen.runtime import inference

    original = inference._scale_and_shift
    monkeypatch.setattr(
        inference,
        "_scale_and_shift",
        lambda *each: (original(*each)[0] * 1.0001, original(*each)[1]),
    )
    done = build(call, "--weights", checkpoint)
    assert done.exit_code == 3
    assert "error[broken-prediction]" in done.stderr
    assert set(os.listdir(folder)) <= {"given.pth", "tiny.yaml"}


@pytest.mark.parametrize(
    ("value", "reason"), [(float("nan"), "is not finite"), (0.0, "is the same for all images")]
)
def test_weights_that_show_nothing_are_reported(
    call, checkpoint: str, folder: Path, value: float, reason: str
) -> None:
    import torch

    state = torch.load(checkpoint)
    state["fc.weight"].fill_(value)
    torch.save(state, checkpoint)
    done = build(call, "--weights", checkpoint)
    assert done.exit_code == 1
    assert "error[wild-weights]" in done.stderr
    assert reason in done.stderr
    assert set(os.listdir(folder)) <= {"given.pth", "tiny.yaml"}


def test_rounding_that_the_weights_amplify_is_not_an_error() -> None:
    from torch import Tensor, nn

    from resnetgen.compiler.ir.shape_rules import TensorType
    from resnetgen.runtime.inference import explained_by_rounding

    class Wild(nn.Module):
        """The last bit of x moves its result by about 1e-16 times `by`."""

        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def forward(self, x: Tensor) -> Tensor:
            return (self.by * x).sin()

    image = TensorType(3, (4, 4))
    assert explained_by_rounding(1e-10, Wild(1.0), image)
    assert not explained_by_rounding(1e-6, Wild(1.0), image)
    assert explained_by_rounding(1e-6, Wild(1e9), image)
    assert not explained_by_rounding(1e-2, Wild(1e9), image)
    with pytest.raises(ValueError, match="rounding in float64 alone"):
        explained_by_rounding(1e-6, Wild(1e13), image)


@pytest.mark.parametrize("option", [("--trace",), ("--compile", "cpu")])
def test_it_is_not_traced(call, folder: Path, option: tuple[str, ...]) -> None:
    done = build(call, *option)
    assert done.exit_code == 2
    assert "--target torch" in done.stderr


def test_it_is_printed_without_torch(program) -> None:
    done = program("build", "resnet18", "--target", "inference", "-o", "-")
    assert done.stdout == compile_spec("resnet18").inference_source
