"""`infer`: the spec of a checkpoint, or why there is none; a file only if one network fits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from resnetgen.pipeline import compile_spec


def place(path: str, base: str, **settings: object) -> None:
    """A file of safetensors with the header of a network, and no numbers."""
    from resnetgen.weights.library_index import NetworkIndex

    chosen = tuple((key, str(value)) for key, value in settings.items())
    header(path, {key: [*shape] for key, shape in NetworkIndex().shapes(base, chosen).items()})


def header(path: str, shapes: dict[str, list[int]]) -> None:
    entries = {
        key: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
        for key, shape in shapes.items()
    }
    text = json.dumps(entries).encode()
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text)


@pytest.fixture
def cars(folder: Path) -> str:
    """`cars.safetensors`, of an SE-ResNet-18 that is deeper, of 196 classes."""
    place("cars.safetensors", "seresnet18", **{"layer2.blocks": 4, "head.classes": 196})
    return "cars.safetensors"


@pytest.fixture
def ambiguous(folder: Path) -> str:
    """`old.safetensors`, of a ResNet-18, with a blur or without."""
    place("old.safetensors", "resnet18")
    return "old.safetensors"


def test_the_spec_says_what_differs_and_why(call, cars: str) -> None:
    done = call("infer", cars)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [
        "extends seresnet18:",
        "stages.layer2.blocks: 4  the file has layer2.0 to layer2.3",
        "head.classes: 196        fc.weight is 196 x 512",
    ]
    assert done.stdout.splitlines()[3].startswith("wrote cars.yaml (")
    text = Path("cars.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=network.schema.json\n# Inferred from ")
    assert "#   stages.layer2.blocks: 4  the file has layer2.0 to layer2.3\n" in text
    assert "#   head.classes: 196        fc.weight is 196 x 512\n" in text
    assert text.endswith(
        "network: cars\ndoc: inferred from cars.safetensors\nextends: seresnet18\n"
        "stages:\n  layer2: {blocks: 4}\nhead: {classes: 196}\n"
    )
    wanted = compile_spec("seresnet18", **{"layer2.blocks": 4, "head.classes": 196})
    assert compile_spec("cars.yaml").cost == wanted.cost
    assert call("check", "--strict", "cars.yaml").exit_code == 0


def test_it_can_be_printed(call, cars: str) -> None:
    done = call("infer", cars, "-o", "-", "--name", "mine")
    assert done.exit_code == 0
    assert "\nnetwork: mine\n" in done.stdout
    assert os.listdir() == [cars]


def test_all_candidates_are_listed_if_several_fit(call, ambiguous: str) -> None:
    done = call("infer", ambiguous)
    assert done.exit_code == 1
    assert "error[ambiguous-weights]: 2 networks have exactly the tensors of" in done.stderr
    assert "resnetblur18: unchanged; compared with resnet18:" in done.stderr
    assert "with blur: maxpool.1; aa.0 in layer2.0, layer3.0, layer4.0" in done.stderr
    assert os.listdir() == [ambiguous]


@pytest.mark.parametrize("name", ["resnet18", "resnetblur18"])
def test_assume_chooses(call, ambiguous: str, name: str) -> None:
    done = call("infer", ambiguous, "--assume", name)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"extends {name}, unchanged\nwrote old.yaml (")
    assert f"extends: {name}\n" in Path("old.yaml").read_text(encoding="utf-8")


def test_assume_accepts_only_candidates(call, ambiguous: str) -> None:
    done = call("infer", ambiguous, "--assume", "resnet50")
    assert done.exit_code == 2
    assert "there is no candidate 'resnet50'" in done.stderr
    assert os.listdir() == [ambiguous]


def test_json_has_the_candidates_even_if_none_is_chosen(call, ambiguous: str) -> None:
    done = call("infer", ambiguous, "--format", "json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [each["name"] for each in found["candidates"]] == ["resnet18", "resnetblur18"]
    assert (found["chosen"], found["wrote"], found["tensors"]) == (None, None, 122)
    assert found["candidates"][1]["beside"] == "resnet18"
    done = call("infer", ambiguous, "--format", "json", "--assume", "resnet18")
    assert json.loads(done.stdout)["wrote"] == "old.yaml"


def test_a_name_of_the_library_is_refused(call, folder: Path) -> None:
    place("vgg16.safetensors", "vgg16")
    assert call("infer", "vgg16.safetensors").exit_code == 0
    assert Path("vgg16_inferred.yaml").is_file()
    done = call("infer", "vgg16.safetensors", "--name", "vgg16")
    assert done.exit_code == 2
    assert "is the name of a library network" in done.stderr


def test_an_existing_spec_is_kept(call, cars: str) -> None:
    Path("cars.yaml").write_text("mine\n", encoding="utf-8")
    done = call("infer", cars)
    assert done.exit_code == 2
    assert "error[file-exists]" in done.stderr
    assert Path("cars.yaml").read_text(encoding="utf-8") == "mine\n"
    assert call("infer", cars, "--force").exit_code == 0
    assert "extends: seresnet18" in Path("cars.yaml").read_text(encoding="utf-8")


def test_foreign_tensors_get_one_error(call, folder: Path) -> None:
    header("vit.safetensors", {"blocks.0.attn.qkv.weight": [12, 4], "\x1b[31mcls": [1]})
    done = call("infer", "vit.safetensors")
    assert done.exit_code == 1
    assert done.stderr.startswith("error[unknown-architecture]: no library network has")
    assert "no network has a tensor in common with it" in done.stderr
    assert "\x1b" not in done.stderr
    assert os.listdir() == ["vit.safetensors"]


def test_the_nearest_is_named_with_what_does_not_fit(call, folder: Path) -> None:
    from resnetgen.weights.library_index import NetworkIndex

    shapes = {key: [*shape] for key, shape in NetworkIndex().shapes("vgg11").items()}
    header("near.safetensors", {**shapes, "extra.weight": [3]})
    done = call("infer", "near.safetensors")
    assert done.exit_code == 1
    assert "the nearest has 96% of its tensors: `vgg11`" in done.stderr
    assert "unexpected: extra: weight" in done.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x10\0\0\0\0\0\0\0{", b"text"])
def test_an_unreadable_file_is_reported_and_nothing_written(
    call, folder: Path, content: bytes
) -> None:
    Path("a.pth").write_bytes(content)
    done = call("infer", "a.pth")
    assert done.exit_code == 2
    assert "error[unreadable-weights]: " in done.stderr
    assert os.listdir() == ["a.pth"]


def test_a_file_that_is_not_there(call, folder: Path) -> None:
    done = call("infer", "nowhere.pth")
    assert done.exit_code == 2
    assert "error[unreadable-weights]: cannot read the weights of `nowhere.pth`" in done.stderr


def test_a_name_that_means_something_else_beside_the_spec(call, cars: str) -> None:
    Path("seresnet18.yaml").write_text("network: seresnet18\nextends: resnet50\n", encoding="utf-8")
    done = call("infer", cars)
    assert done.exit_code == 1
    assert "error[other-meaning]" in done.stderr
    assert not Path("cars.yaml").exists()
