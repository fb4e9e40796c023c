"""`grow`: what is written and printed, and when nothing is written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

DEEPER = ["--set", "layer2.blocks=4"]
WIDER = ["--set", "layer2.width=48"]
State = dict[str, "torch.Tensor"]


@pytest.fixture
def checkpoint(tiny: Path) -> str:
    """`given.pth`, of the network `tiny`, with weights that no initialisation gives."""
    import torch

    from resnetgen import load

    seeded = torch.Generator().manual_seed(7)
    state = load("tiny.yaml").state_dict()
    for value in state.values():
        if value.is_floating_point() and value.ndim == 1:
            value.uniform_(0.5, 1.5, generator=seeded)
    torch.save(state, "given.pth")
    return "given.pth"


def grow(*more: str) -> list[str]:
    """Into the same network, with settings of its own."""
    return ["grow", "given.pth", "--from", "tiny.yaml", "--to", "tiny.yaml", *more]


def written(folder: Path) -> list[str]:
    return sorted({*os.listdir(folder)} - {"tiny.yaml", "given.pth"})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            DEEPER,
            [
                "2 blocks added: joins `layer2.2.add` to `layer2.3.add`",
                "tensors: 62 moved, 0 widened, 4 set to zero, 20 at initial values",
                "outputs on random images of 3 x 8 x 8: bit-equal in float32",
            ],
        ),
        (["--set", "layer1.blocks=3"], ["1 block added: join `layer1.2.add`"]),
        (WIDER, ["tensors: 35 moved, 27 widened, 0 set to zero, 0 at initial values"]),
    ],
)
def test_the_file_is_a_checkpoint_of_the_larger_network(
    call, checkpoint: str, tiny: Path, more: list[str], said: list[str]
) -> None:
    import torch

    from resnetgen import load

    done = call(*grow(*more))
    assert done.exit_code == 0, done.stderr
    assert not done.stderr
    assert written(tiny.parent) == ["tiny.safetensors"]
    lines = done.stdout.splitlines()
    assert lines[: len(said)] == said
    size = Path("tiny.safetensors").stat().st_size
    assert lines[-1].endswith(f" tensors, {size:,} bytes)")
    key, value = more[1].split("=")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        small = load("tiny.yaml", weights=checkpoint).eval()(x)
        large = load("tiny.yaml", weights="tiny.safetensors", **{key: value}).eval()(x)
    assert (small[0] - small[1]).abs().max() > 1e-3
    assert torch.allclose(small, large, rtol=0, atol=0 if more != WIDER else 1e-5)


def test_the_same_call_writes_the_same_bytes(call, checkpoint: str, tiny: Path) -> None:
    assert call(*grow(*WIDER)).exit_code == 0
    first = Path("tiny.safetensors").read_bytes()
    assert call(*grow(*WIDER)).exit_code == 0
    assert Path("tiny.safetensors").read_bytes() == first


def test_grown_weights_can_grow_again(call, checkpoint: str, tiny: Path) -> None:
    text = "network: two\nextends: tiny\nstages: {layer2: {blocks: 4}}\n"
    Path("two.yaml").write_text(text, encoding="utf-8")
    assert call("grow", checkpoint, "--from", "tiny.yaml", "--to", "two.yaml").exit_code == 0
    ends = ["--from", "two.yaml", "--to", "two.yaml", "--set", "layer1.blocks=3"]
    done = call("grow", "two.safetensors", *ends, "-o", "three.safetensors")
    assert done.exit_code == 0, done.stderr
    assert "bit-equal" in done.stdout


# --- nothing is written


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            grow("--set", "layer2.width=24"),
            1,
            "error[cannot-grow]: `tiny` does not grow into `tiny`",
        ),
        (grow("--set", "block=bottleneck"), 1, "error[cannot-grow]"),
        (["grow", "given.pth", "--from", "resnet18", "--to", "resnet34"], 1, "[weights-mismatch]"),
        (
            ["grow", "gone.pth", "--from", "tiny.yaml", "--to", "tiny.yaml"],
            2,
            "[unreadable-weights]",
        ),
        (["grow", "given.pth", "--from", "gone", "--to", "tiny.yaml"], 2, "[unknown-spec]"),
        (["grow", "given.pth", "--from", "tiny.yaml"], 2, "Missing option '--to'"),
        (grow("-o", "tiny.pth"), 2, "must end in .safetensors"),
        (grow("-o", "-"), 2, "must end in .safetensors"),
        (grow("-o", "gone/"), 2, "there is no folder"),
    ],
)
def test_a_wrong_call_ends_with_one_error(
    call, checkpoint: str, tiny: Path, arguments: list[str], status: int, said: str
) -> None:
    done = call(*arguments)
    assert done.exit_code == status
    assert said in done.stderr
    assert done.stderr.count("error[") <= 1
    assert not written(tiny.parent)


def test_only_our_own_file_is_replaced(call, checkpoint: str, tiny: Path) -> None:
    path = tiny.parent / "tiny.safetensors"
    path.write_bytes(b"mine")
    done = call(*grow(*DEEPER))
    assert done.exit_code == 2
    assert "error[file-exists]" in done.stderr
    assert path.read_bytes() == b"mine"
    assert call(*grow(*DEEPER, "--force")).exit_code == 0
    assert call(*grow(*DEEPER)).exit_code == 0


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_checkpoint_itself_is_never_replaced(
    call, checkpoint: str, tiny: Path, force: list[str]
) -> None:
    import torch
    from safetensors.torch import save_file

    save_file(torch.load(checkpoint), "tiny.safetensors")
    before = Path("tiny.safetensors").read_bytes()
    done = call("grow", "tiny.safetensors", "--from", "tiny.yaml", "--to", "tiny.yaml", *force)
    assert done.exit_code == 2
    assert "`tiny.safetensors` is itself an input" in done.stderr
    assert Path("tiny.safetensors").read_bytes() == before


@pytest.mark.parametrize("more", [DEEPER, WIDER])
def test_weights_that_compute_something_else_are_not_written(
    call, checkpoint: str, tiny: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    from resnetgen.weights.grow import transfer as module

    transfer = module.transfer

    def wrong(state: State, *rest: object) -> object:
        done = transfer(state, *rest)  # type: ignore[arg-type]
        state["layer1.0.conv2.weight"] += 1e-4  # far less than a wrong map
        return done

    monkeypatch.setattr(module, "transfer", wrong)
    done = call(*grow(*more))
    assert done.exit_code == 3
    assert "error[broken-prediction]: `tiny` computes something else" in done.stderr
    assert not written(tiny.parent)


@pytest.mark.parametrize(
    ("value", "said"), [(float("nan"), "is not finite"), (0.0, "is the same for all images")]
)
def test_a_checkpoint_that_cannot_be_checked_is_refused(
    call, checkpoint: str, tiny: Path, value: float, said: str
) -> None:
    import torch

    state = torch.load(checkpoint)
    state["fc.weight"].fill_(value)
    torch.save(state, checkpoint)
    done = call(*grow(*DEEPER))
    assert done.exit_code == 1
    assert f"the weights cannot be checked on random images: output 0 {said}" in done.stderr
    assert not written(tiny.parent)


def test_a_missing_torch_is_one_line(
    call, checkpoint: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = call(*grow(*DEEPER))
    assert done.exit_code == 2
    assert "error[no-torch]" in done.stderr
    assert not written(tiny.parent)
