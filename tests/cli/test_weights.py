"""`weights inspect` and `weights convert`: what is printed, what is written, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from resnetgen import load

OPTIONS = {
    "inspect": ["FILE", "--network", "--set", "--format", "text", "json"],
    "convert": ["FILE", "--to", "--from", "--network", "--set", "--output", "-o", "--force"],
}


@pytest.fixture
def checkpoint(tiny: Path) -> str:
    """`given.pth`, of the network `tiny.yaml`, as a training script leaves it."""
    import torch

    state = {f"module.{key}": value for key, value in load("tiny.yaml").state_dict().items()}
    torch.save({"model": state, "epoch": 3}, "given.pth")
    return "given.pth"


def written(folder: Path) -> list[str]:
    return sorted({*os.listdir(folder)} - {"tiny.yaml", "given.pth"})


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_every_option_and_has_examples(call, command: str) -> None:
    done = call("weights", command, "--help")
    assert done.exit_code == 0
    assert f"  Examples:\n    resnetgen weights {command}" in done.stdout
    for word in OPTIONS[command]:
        assert word in done.stdout


def test_help_of_the_group_names_both(call) -> None:
    assert all(command in call("weights", "--help").stdout for command in OPTIONS)


# --- inspect


def test_inspect_says_what_a_file_is(call, checkpoint: str) -> None:
    done = call("weights", "inspect", checkpoint, "--network", "tiny.yaml")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "given.pth: torch.save, 62 tensors (52 float32, 10 int64)",
        "  numbers    43,706",
        "  unpacked   weights taken from `model` of the file",
        "  wrappers   module.",
        "  names      timm, torchvision",
        "  network    tiny.yaml",
        "  classes    10",
        "  channels   3",
    ]


def test_inspect_as_json(call, checkpoint: str) -> None:
    done = call("weights", "inspect", checkpoint, "--network", "tiny.yaml", "--format", "json")
    found = json.loads(done.stdout)
    assert found["types"] == {"float32": 52, "int64": 10}
    assert (found["networks"], found["dialects"]) == (["tiny.yaml"], ["timm", "torchvision"])
    assert (found["classes"], found["channels"], found["nearest"]) == (10, 3, None)


def test_inspect_shows_the_nearest_and_ends_with_1(call, checkpoint: str) -> None:
    arguments = ["weights", "inspect", checkpoint, "--network", "tiny.yaml"]
    done = call(*arguments, "--set", "layer2.blocks=3")
    assert done.exit_code == 1
    assert not done.stderr
    assert "  network    none fits exactly" in done.stdout
    assert "  nearest    tiny.yaml, 8" in done.stdout
    assert "    missing: layer2.2: all 12 tensors\n" in done.stdout
    found = json.loads(call(*arguments, "--set", "layer2.blocks=3", "--format", "json").stdout)
    assert found["networks"] == []
    assert found["nearest"]["differences"] == ["missing: layer2.2: all 12 tensors"]


def test_control_characters_of_a_file_are_not_printed(call, folder: Path) -> None:
    import torch

    torch.save({"\x1b[31m.weight": torch.zeros(2), "conv1.weight": torch.zeros(64, 3, 7, 7)}, "x")
    done = call("weights", "inspect", "x")
    assert done.exit_code == 1
    assert "\x1b" not in done.stdout


# --- convert


def convert(call, *arguments: str):
    return call("weights", "convert", "given.pth", "--network", "tiny.yaml", *arguments)


def test_convert_writes_and_says_what_was_lost(call, checkpoint: str, folder: Path) -> None:
    from safetensors.torch import load_file

    done = convert(call, "--to", "detectron2")
    assert done.exit_code == 0, done.stderr
    size = (folder / "tiny_detectron2.safetensors").stat().st_size
    assert done.stdout == (
        "wrote tiny_detectron2.safetensors (tiny.yaml, from the network's own to detectron2:"
        f" 52 tensors, {size:,} bytes)\n"
    )
    assert done.stderr.splitlines() == [
        "given.pth: weights taken from `model` of the file",
        "given.pth: taken off the keys: `module.`",
        "given.pth: `num_batches_tracked` of 10 modules is left out: the target has none",
    ]
    found = load_file("tiny_detectron2.safetensors")
    assert found["res3.0.shortcut.weight"].shape == (32, 16, 1, 1)


@pytest.mark.parametrize("name", ["x.pt", "x.pth", "x.bin"])
def test_a_suffix_of_torch_gives_a_plain_dict(call, checkpoint: str, name: str) -> None:
    import torch

    assert convert(call, "--to", "huggingface", "-o", name).exit_code == 0
    found = torch.load(name, weights_only=True)
    assert type(found) is dict
    assert "classifier.1.bias" in found
    first = Path(name).read_bytes()
    assert convert(call, "--to", "huggingface", "-o", name, "--force").exit_code == 0
    assert Path(name).read_bytes() == first


def test_one_written_file_is_the_source_of_the_next(call, checkpoint: str, folder: Path) -> None:
    import torch

    assert convert(call, "--to", "huggingface", "-o", "a.safetensors").exit_code == 0
    done = call(
        *("weights", "convert", "a.safetensors", "--to", "timm", "--from", "huggingface"),
        *("--network", "tiny.yaml", "-o", "b.pth"),
    )
    assert done.exit_code == 0, done.stderr
    given = torch.load("given.pth", weights_only=True)["model"]
    found = torch.load("b.pth", weights_only=True)
    assert [f"module.{key}" for key in found] == list(given)
    assert all(value.equal(given[f"module.{key}"]) for key, value in found.items())


def test_a_folder_and_a_dialect_file_of_ones_own(call, checkpoint: str, folder: Path) -> None:
    names = "{conv1: a, bn1: b, fc: f, 'layer<s>.<b>.conv<k>': c<s>.<b>.<k>, "
    names += "'layer<s>.<b>.bn<k>': n<s>.<b>.<k>, 'layer<s>.<b>.downsample.<k>': d<s>.<b>.<k>}"
    Path("mine.yaml").write_text(f"dialect: mine\ndoc: my models\nnames: {names}\n")
    (folder / "out").mkdir()
    done = convert(call, "--to", "mine.yaml", "-o", "out/")
    assert done.exit_code == 0, done.stderr
    assert os.listdir("out") == ["tiny_mine.safetensors"]


# --- refused, and nothing is written


def test_what_fits_no_network_ends_with_1(call, checkpoint: str, folder: Path) -> None:
    done = convert(call, "--to", "timm", "--set", "layer2.width=64")
    assert done.exit_code == 1
    assert done.stderr.count("error[weights-mismatch]") == 1
    assert not written(folder)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--to", "timmm"], "unknown-dialect"),
        (["--to", "timm", "--from", "torch"], "unknown-dialect"),
        (["--to", "nowhere.yaml"], "unreadable"),
        (["--to", "keras"], "unlike-dialect"),
        (["--to", "timm", "-o", "x.h5"], "unwritable"),
        (["--to", "timm", "-o", "x"], "unwritable"),
        (["--to", "keras", "-o", "x.weights.h5"], "unwritable"),
        (["--to", "timm", "-o", "gone/x.pth"], "unwritable"),
        (["--to", "timm", "-o", "given.pth", "--force"], "file-exists"),
    ],
)
def test_wrong_calls_end_with_2(call, checkpoint: str, folder: Path, arguments, code: str) -> None:
    before = Path("given.pth").read_bytes()
    done = convert(call, *arguments)
    assert done.exit_code == 2, done.stderr
    assert done.stderr.count("error[") == 1
    assert f"error[{code}]" in done.stderr
    assert not written(folder)
    assert Path("given.pth").read_bytes() == before


def test_an_error_in_a_dialect_file_ends_with_1(call, checkpoint: str, folder: Path) -> None:
    Path("mine.yaml").write_text("dialect: mine\ndoc: x\nnames: {conv1: a, bn1: a}\n")
    done = convert(call, "--to", "mine.yaml")
    assert done.exit_code == 1
    assert "mine.yaml:3:24: error[module-path]" in done.stderr
    assert written(folder) == ["mine.yaml"]


def test_settings_need_a_network(call, checkpoint: str) -> None:
    done = call("weights", "inspect", checkpoint, "--set", "layer1.blocks=2")
    assert done.exit_code == 2
    assert "--set" in done.stderr


@pytest.mark.parametrize("file", ["gone.pth", ".", "tiny.yaml", "/dev/null"])
@pytest.mark.parametrize("command", [["inspect"], ["convert", "--to", "timm"]])
def test_what_cannot_be_read_ends_with_2(call, tiny: Path, file: str, command: list[str]) -> None:
    done = call("weights", *command, file)
    assert done.exit_code == 2
    assert done.stderr.count("error[unreadable-weights]") == 1
    assert not written(tiny.parent)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_a_foreign_file_is_replaced_only_if_forced(call, checkpoint: str, name: str) -> None:
    Path(name).write_bytes(b"mine")
    done = convert(call, "--to", "timm", "-o", name)
    assert done.exit_code == 2
    assert "error[file-exists]" in done.stderr
    assert Path(name).read_bytes() == b"mine"
    assert convert(call, "--to", "timm", "-o", name, "--force").exit_code == 0
    assert Path(name).read_bytes() != b"mine"


def test_build_accepts_the_names_of_other_libraries(call, checkpoint: str, folder: Path) -> None:
    from safetensors.torch import load_file

    assert convert(call, "--to", "detectron2", "-o", "d2.pth").exit_code == 0
    done = call("build", "tiny.yaml", "--weights", "d2.pth")
    assert done.exit_code == 0, done.stderr
    assert "d2.pth: keys renamed from those of `detectron2`" in done.stderr
    given = load("tiny.yaml", weights="given.pth").state_dict()
    found = load_file("tiny.safetensors")
    assert all(found[key].equal(value) for key, value in given.items())
