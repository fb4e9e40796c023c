"""The allow-list of printed syntax: each kind of harm is refused, wherever it is."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from resnetgen import compile_spec
from resnetgen.cli.errors import COMPILER_ERROR, diagnose
from resnetgen.compiler.codegen import allowlist, render
from resnetgen.compiler.codegen.allowlist import UnsafeOutput, check
from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.passes.elaborate import INIT_RULES, NUMERIC_INIT_RULES
from resnetgen.pipeline import compile_text

SOUND = '''\
"""A network."""

import torch
from torch import Tensor, nn

__all__ = ["Net"]


class Block(nn.Module):
    """A block."""

    filter: Tensor

    def __init__(self, width: int, downsample: nn.Module, rate: float = 0.1) -> None:
        super().__init__()
        inner = max(8, width // 4 * 2)
        self.conv1 = nn.Conv2d(width, inner, 3, padding=(1, 1), bias=False)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([x, self.conv1(x)], dim=1)
        return nn.functional.interpolate(y, scale_factor=2, mode="nearest").flatten(1)


class Net(nn.Module):
    feature_info = [{"module": "layer1.0", "num_chs": 64}]

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleDict({"conv": Block(64, nn.Identity())})
        self.layer1 = nn.Sequential(*(Block(64, nn.Identity()) for _ in range(3)))
        for name, module in self.named_modules():
            if name == "stem.conv" and isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer1(self.stem["conv"](x))
        return x
'''


def refusal(source: str) -> str:
    with pytest.raises(UnsafeOutput) as caught:
        check(source)
    return str(caught.value)


def test_a_sound_module_passes() -> None:
    check(SOUND)


# Statements to insert into `Net.__init__`, into the file, and into a class.
INSIDE = [
    "exec('1')", "eval('1')", "print(1)", "open('x')", "__import__('os')", "getattr(self, 'a')", "breakpoint()",
    "torch.load('x')", "torch.hub.load('a', 'b')", "torch.save(self, 'x')", "torch.ops.load_library('x')",
    "nn.Module()", "torch.uint8(1)", "nn.modules.module.torch.load('x')", "self.layer1.save(1)", "self.stem.__class__", "self.__dict__",
    "self.other(1)", "self.stem[0].__class__()", "super().__getattribute__('a')", "super().eval()", "nn.Conv2d.__init__(self)",
    "self.stem['os.system(1)']", "x = 'text'", "x = b'1'", "x = 1j", "x = f'{1}'", "x = lambda: 1", "x = [y for y in ()]",
    "x = (y := 1)", "del self.stem", "import os", "from os import system", "global x", "raise self", "assert self", "while 1: 1",
    "with self: 1", "try:\n            1\n        except Block: 1", "yield 1", "await self", "torch = 1", "nn.Conv2d = 1", "max = 1",
    "Block = 1", "self = 1", "__all__ = 1", "x = unknown", "Block(*self.stem)", "Block(**self.stem)", "self._modules = 1",
    "self.stem.forward = 1", "def f(): 1", "class C: 1", "x: int = 1", "x += 1", "match self:\n            case _: 1", "nn.Conv2d('a b', 1, 1)",
    "range('abc')", "x = 'nearest'", "int('7')", "(1)(2)", "[self][0](1)", "nn.functional.embedding(1)", "nn.functional(1)",
]  # fmt: skip
OUTSIDE = [
    "print(1)", "import os", "from os import system", "import torch.hub", "from torch import *", "import torch as nn", "from torch import hub as Tensor",
    "x = 1", "if 1: 1", "for _ in (): 1", "def f(): 1", "class C: 1", "class C(object): 1", "class C(nn.Linear): 1", "class C(nn.Module, metaclass=M): 1",
    "@print\nclass C(nn.Module): 1", "class Block(nn.Module): 1", "class Tensor(nn.Module): 1", "class torch(nn.Module): 1", "__all__ = ['os']",
    "__all__ = [print(1)]", "'a text'", "class C(nn.Module[print(1)]): 1", "class C(nn.Module, print(1)): 1",
]  # fmt: skip
OF_A_CLASS = [
    "print(1)", "x = print(1)", "x = Block(1)", "x: Tensor = print(1)", "x: print(1)", "def other(self): 1", "def forward(self, x=print(1)): 1",
    "def forward(self, x: print(1)): 1", "def forward(self) -> print(1): 1", "@print\n    def forward(self): 1", "def forward(): 1",
    "def forward(this): 1", "def forward(self, *, torch): 1", "async def forward(self): 1", "x = __name__", "x = 'a text'", "import os",
    "def forward(self, x: 'print(1)'): 1",
]  # fmt: skip


@pytest.mark.parametrize("statement", INSIDE)
def test_no_other_statement_is_allowed_in_a_method(statement: str) -> None:
    source = SOUND.replace("        self.layer1 = ", f"        {statement}\n        self.layer1 = ")
    ast.parse(source)  # or the test would say nothing
    assert refusal(source).startswith("line ")


@pytest.mark.parametrize("statement", OUTSIDE)
def test_no_other_statement_is_allowed_in_a_file(statement: str) -> None:
    source = SOUND.replace("\n\nclass Net", f"\n\n{statement}\n\n\nclass Net")
    ast.parse(source)
    refusal(source)


@pytest.mark.parametrize("statement", OF_A_CLASS)
def test_no_other_statement_is_allowed_in_a_class(statement: str) -> None:
    source = SOUND.replace("    feature_info", f"    {statement}\n    feature_info")
    ast.parse(source)
    refusal(source)


@pytest.mark.parametrize(
    "source", ["class", "x = (", "\0", '"""\ud800"""', "(" * 5000, "-" * 100_000 + "1", "a\nb\n  c"]
)
def test_text_that_is_not_python_is_refused(source: str) -> None:
    assert "not Python" in refusal(source)


def test_the_bytes_are_checked_and_not_the_text() -> None:
    """A file may declare its encoding, after which Python reads other characters."""
    refusal(f"# coding: utf-7\n{SOUND}+AAo-print(1)\n")


@pytest.mark.parametrize("rule", [*INIT_RULES, *NUMERIC_INIT_RULES])
def test_every_rule_of_initialisation_passes(rule: str) -> None:
    value = f"{{{rule}: 0.5}}" if rule in NUMERIC_INIT_RULES else rule
    text = (
        "network: net\ninput: {channels: 3, size: [8, 8]}\n"
        "nodes: {conv1: {op: conv, out: 4, kernel: 3, role: first}}\n"
        f"init: {{convolution: {{weight: {value}}}, first: {{weight: {value}}}}}\n"
    )
    assert "nn.Conv2d" in compile_text(text).source


def test_each_file_is_checked_when_it_is_rendered() -> None:
    plan = replace(compile_spec("resnet18").plan, root='x"]\nprint("')
    with pytest.raises(UnsafeOutput) as caught:
        render.render(plan)
    (error,), status = diagnose(caught.value)
    assert (error.code, status) == ("broken-print", COMPILER_ERROR)
    assert "bug" in str(error.help)


def test_a_printed_file_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "MOST_BYTES", 1000)
    with pytest.raises(SpecError, match="at most 1 MiB"):
        _ = compile_spec("resnet18").source


def test_the_listed_names_exist_in_torch() -> None:
    torch = pytest.importorskip("torch")
    for name in allowlist._library():
        here = torch
        for part in name.removeprefix("torch.").split("."):
            here = getattr(here, part)


# --- names that the printed file needs for itself


@pytest.mark.parametrize(
    "name", ["tensor", "none", "true", "ordered_dict", "drop_path", "x", "module", "nn"]
)
def test_any_name_of_a_network_gives_a_class_of_its_own(name: str) -> None:
    text = (
        f"network: {name!r}\ninput: {{channels: 3, size: [8, 8]}}\n"
        "nodes: {a: {op: conv, out: 3, kernel: 1}, b: {op: drop_path, rate: 0.1}}\n"
    )
    assert "class DropPath(" in compile_text(text).source


def test_a_parameter_that_looks_like_a_class_is_not_hidden_by_one() -> None:
    unit = "{params: {Unit: int}, nodes: {a: {op: conv, out: Unit, kernel: 1}, b: {op: act}}}"
    text = (
        f"network: net\ninput: {{channels: 3, size: [8, 8]}}\ndefine: {{unit: {unit}}}\n"
        "nodes: {a: {op: unit, Unit: 4}, b: {op: unit, Unit: 8}}\n"
    )
    assert "class Unit2(nn.Module)" in compile_text(text).source
