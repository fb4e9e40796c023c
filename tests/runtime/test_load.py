"""Printed text becomes modules that behave as if they were files."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import traceback

import pytest

from resnetgen.runtime.errors import MissingRequirement, require_torch

SOURCE = """\
from torch import Tensor, nn

__all__ = ["Tiny"]


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        return x


class Tiny(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.part = Part()
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.part(x)
        x = self.fc(x)
        return x
"""


def test_the_root_class_is_the_one_that_all_names() -> None:
    from resnetgen.runtime.load import build

    module = build(SOURCE, "tiny", num_classes=3)
    assert type(module).__name__ == "Tiny"
    assert module.fc.out_features == 3


def test_the_same_text_is_the_same_module() -> None:
    from resnetgen.runtime.load import module_from_source

    assert module_from_source(SOURCE, "tiny") is module_from_source(SOURCE, "tiny")
    assert module_from_source(SOURCE, "tiny") is not module_from_source(SOURCE + "\n", "tiny")


@pytest.mark.parametrize("name", ["tiny", "a.b/c d", "été"])
def test_a_network_can_be_pickled_and_copied(name: str) -> None:
    from resnetgen.runtime.load import build

    module = build(SOURCE, name)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert type(twin) is type(module)
        assert list(twin.state_dict()) == list(module.state_dict())


def test_the_lines_of_the_text_are_found() -> None:
    import torch

    from resnetgen.runtime.load import build, module_from_source

    assert inspect.getsource(module_from_source(SOURCE, "tiny").Part).startswith(
        "class Part(nn.Module):"
    )
    with pytest.raises(RuntimeError) as caught:
        build(SOURCE, "tiny")(torch.zeros(1, 5))
    assert "x = self.fc(x)" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("source", ["raise KeyError('x')", "def"])
def test_text_that_fails_leaves_nothing_behind(source: str) -> None:
    from resnetgen.runtime.load import build

    with pytest.raises((KeyError, SyntaxError)):
        build(source, "broken")
    assert not [name for name in sys.modules if name.startswith("_resnetgen_broken")]


@pytest.mark.parametrize("source", ["", "__all__ = ['a']\na = 1\n"])
def test_text_without_a_network_is_refused(source: str) -> None:
    from resnetgen.runtime.load import build

    with pytest.raises(ValueError, match="__all__"):
        build(source, "empty")


def test_a_fake_network_has_shapes_but_no_memory() -> None:
    from torch._subclasses.fake_tensor import FakeTensor

    from resnetgen.runtime.load import build_fake

    module = build_fake(SOURCE, "tiny")
    assert isinstance(module.fc.weight, FakeTensor)
    assert tuple(module.fc.weight.shape) == (10, 4)
    assert module.fc.weight.device.type == "cpu"


def test_missing_torch_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingRequirement) as caught:
        require_torch()
    assert caught.value.code == "no-torch"
    assert caught.value.help
    assert "resnetgen[torch]" in caught.value.help


def test_the_package_itself_does_not_import_torch() -> None:
    code = "import sys, resnetgen.runtime; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
