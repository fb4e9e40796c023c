"""Which names a spec may use, and that the list of nn.Module's attributes is that of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resnetgen.compiler.frontend.identifiers import (
    MODULE_NAMES,
    REQUIRED_PACKAGES,
    file_name_error,
    identifier_error,
    module_file_error,
    node_key_error,
    path_component_error,
)


def test_the_attributes_of_modules_are_those_of_torch() -> None:
    nn = pytest.importorskip("torch").nn
    classes = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
    own = {name for each in classes for name in dir(each) if not name.startswith("_")}
    assert own <= MODULE_NAMES


def test_the_packages_that_a_module_may_hide_are_those_that_torch_imports() -> None:
    pytest.importorskip("torch")
    code = (
        "import sys, torch, resnetgen\n"
        "top = {name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names\n"
        "print(*[name for name in top if not name.startswith('_')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= REQUIRED_PACKAGES


@pytest.mark.parametrize("name", ["random", "types", "re", "typing", "torch", "numpy", "class"])
def test_a_file_of_this_name_would_be_in_the_way(name: str) -> None:
    assert module_file_error(name)
    assert module_file_error(f"my_{name}") is None


def test_every_attribute_of_a_module_is_refused_as_a_key() -> None:
    nn = pytest.importorskip("torch").nn
    assert [name for name in dir(nn.Module()) if path_component_error(name) is None] == []


@pytest.mark.parametrize(
    "name",
    ["", "1a", "a-b", "a b", "a.b", "é", "ｏｓ", "ﬁ", "a\n", "a\nb", "\n", "_", "__init__", "class", "match",
     "None", "torch", "nn", "self", "super", "a" * 41, "a\u200bb", "a\0"],
)  # fmt: skip
def test_these_are_no_identifiers(name: str) -> None:
    assert identifier_error(name)


@pytest.mark.parametrize("name", ["a", "_a", "A1", "conv2d", "a" * 40, "x_", "printed"])
def test_these_are(name: str) -> None:
    assert identifier_error(name) is None


@pytest.mark.parametrize(
    "key",
    ["", ".", "a.", ".a", "a..b", "a.forward", "training.a", "a.01", "a.100000", "a.-1", "a.*", "a/b", "a.b\n", "a" * 101],
)  # fmt: skip
def test_these_are_no_paths_of_modules(key: str) -> None:
    assert node_key_error(key)


@pytest.mark.parametrize("key", ["conv1", "conv1.0", "layer1.0.99999", "a.b.c"])
def test_these_are_paths(key: str) -> None:
    assert node_key_error(key) is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "/etc/passwd", "a/b", "a\\b", "a..b", "-a", ".a", "a\n", "a\0", "~", "~root", "C:a",
     "a" * 81, "torch", "é"],
)  # fmt: skip
def test_no_file_has_such_a_name(name: str) -> None:
    assert file_name_error(name)


@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d", "a-b.c", "50"])
def test_files_have_such_names(name: str) -> None:
    assert file_name_error(name) is None
