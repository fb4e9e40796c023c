"""The allow-list of printed syntax: each kind of harm is refused, wherever it is."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from resnetgen import compile_spec
from resnetgen.cli.errors import COMPILER_ERROR, diagnose
from resnetgen.compiler.codegen import allowlist, render
from resnetgen.compiler.codegen.allowlist import UnsafeOutput, check
from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.ir.init_rules import INIT_RULES
from resnetgen.pipeline import compile_text

SPECS = Path(__file__).parent / "specs"

SOUND = '''\
"""A network."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

__all__ = ["Net"]


class Unit(nn.Sequential):
    """A chain."""

    def __init__(self, width: int, kernel: int | tuple[int, int] = 3, rate: float = 1e-05) -> None:
        half = width // 2
        super().__init__(
            nn.Conv2d(width, half, kernel if max(kernel) * 2 > 6 else (3, 1), bias=False),
            nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(half, eps=rate), act=nn.ReLU(inplace=True))),
        )


class Block(nn.Module):
    """A block."""

    def __init__(self, width: int, downsample: nn.Module, stride: int = 1) -> None:
        super().__init__()
        inner = max(8, int(width / 4 + 0.5) // 2 * 2) if width > 8 and not stride == 2 else -width
        self.conv1 = nn.Conv2d(width, inner, 3, padding=(1, 1), bias=False)
        self.layers = nn.ModuleList([Unit(width), nn.Identity()])
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        y = torch.cat([x, self.layers[0](self.conv1(x))], dim=1)
        y = nn.functional.pad(y[:, :, :: self.stride, ::2], (0, 0, 0, 0, self.stride, 8))
        y = self.conv1(y.view(y.shape[0], 1, -1)).view_as(y) * gate + self.downsample(x)
        return nn.functional.interpolate(y, scale_factor=float(self.stride), mode="nearest").flatten(1)


class Net(nn.Module):
    feature_info = ({"module": "layer1.0", "num_chs": 64, "reduction": 2}, {"module": "fc"})

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        torch.empty(2**25 - 2**12, dtype=torch.uint8, device="cpu")
        self.stem = nn.ModuleDict({"conv": Block(64, nn.Identity())})
        self.layer1 = nn.Sequential(*(Block(64 * index, nn.Identity(), stride=1) for index in range(1, 3)))
        self.fc = nn.Linear(64, num_classes)
        for name, module in self.named_modules():
            if name in ("fc", "stem.conv") and isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.uniform_(module.bias, a=-0.5, b=0.5)
            elif name == "fc" and isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Block):
                nn.init.trunc_normal_(module.conv1.weight, std=1e-05, a=-2, b=2)
                nn.init.constant_(module.get_parameter("layers.0.weight"), 0.5)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        if x.is_cpu and x.shape[0] > 1 and not torch.compiler.is_compiling():
            memory = x.nbytes * 2559232 // (3 * 224 * 224)
            if memory > 2**26:  # bytes
                half = x.shape[0] // 2
                return torch.cat([self.forward(x[:half]), self.forward(x[half:])])
        x = self.layer1(self.stem["conv"](x))
        y = self.fc(x)
        if self.training:
            z = self.fc(y)
            return y, z
        del x
        return y
'''


def refusal(source: str, shipped: Mapping[str, str] = MappingProxyType({})) -> str:
    with pytest.raises(UnsafeOutput) as caught:
        check(source, shipped)
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
    # generators, and what is below a frame
    "g = (a for a in range(1))", "g = (a for a in range(1)); self.b = g.gi_frame.f_builtins", "self.b = (a for a in range(1)).gi_frame",
    "self.b = nn.Sequential(*(nn.Identity() for _ in self.modules()))", "self.b = nn.Sequential(*(nn.Identity() for _ in range(10**12)))",
    "self.b = nn.Sequential(*(nn.Identity() for _ in range(1000000000000)))", "self.b = nn.Sequential(*(nn.Identity() for _ in range(200001)))",
    "self.b = nn.Sequential(*(nn.Identity() for _ in range(num_classes)))", "self.b = nn.Sequential(*(nn.Identity() for _ in range(1, 9, 2)))",
    "self.b = nn.Sequential(*(nn.Identity() for _ in range(2) if 1))", "self.b = nn.Sequential(*(nn.Identity() for _ in range(2) for a in range(2)))",
    "self.b = nn.Sequential(*(nn.Identity() for nn in range(2)))", "self.b = nn.Sequential(*(self.modules() for _ in range(2)))",
    "self.b = nn.Sequential(*(_ for _ in range(2)))", "self.b = nn.Sequential(*[nn.Identity()])", "self.b = nn.Sequential(*self.stem)",
    # what is stored on self
    "self.b = num_classes.to_bytes", "self.b = nn.Linear", "self.b = Block", "self.b = torch.load", "self.b = super()", "self.b = self",
    "self.b = self.stem", "self.b = self.stem['conv']", "self.b = self.modules", "self.b = self.forward", "self.b = [nn.Identity()]",
    "self.b = {'a': nn.Identity()}", "self.b = 'text'", "self.b = None", "self.b = ...", "self.b = nn.Identity().forward",
    "self.b = self.c = nn.Identity()", "self.forward = nn.Identity()", "self.training = nn.Identity()", "self.__call__ = nn.Identity()",
    "self.state_dict = nn.Identity()", "self.b = torch.cat([], dim=1)", "self.b = torch.empty(1)", "self.b = nn.init.zeros_(self.stem)",
    "self.stem = nn.Identity()", "self.b = super().__init__", "super().__init__(nn.Identity())", "super().forward(1)", "self.b, self.c = 1, 2",
    # constructors
    "self.b = nn.Conv2d(1, 1, 1, device='cuda')", "self.b = nn.Conv2d(1, 1, 1, padding_mode='reflect')", "self.b = nn.Module()",
    "self.b = nn.Conv2d(nn.Identity(), 1, 1)", "self.b = nn.Linear(*range(2))", "self.b = nn.Embedding(1, 1)", "self.b = nn.LSTM(1, 1)",
    "self.b = nn.ModuleDict({1: nn.Identity()})", "self.b = nn.ModuleDict({**self.stem})", "self.b = nn.ModuleDict({'a b': nn.Identity()})",
    "self.b = nn.ModuleList([1])", "self.b = nn.ModuleList(self.modules())", "self.b = nn.Sequential(OrderedDict(a=1))",
    "self.b = nn.Sequential(OrderedDict(**{'a': nn.Identity()}))", "self.b = nn.Sequential(OrderedDict([]))", "self.b = Net(1)", "self.b = Later(1)",
    # arithmetic that grows, or is more
    "x = 9**9**9", "x = 2**num_classes", "x = 'a' * 10**12", "x = [0] * 10", "x = (0,) * 10", "x = 1 << 10**12", "x = num_classes @ 1",
    f"x = {10**77}", "x = 1; x = 2", "num_classes = 1", "x = max", "x = max(1, key=1)", "x = int.from_bytes(1)", "x = max(range(9))", "x = num_classes.real",
    "x = 1 if self else 2", "x = 1 in (1, 2)", "x = num_classes is None", "x = (1, 2)[0]", "x = nn.Identity()", "x = ~1",
    "x = (0,) * 10**12", "x = ((0,) or 1) * 9", "x = (1 if 1 else (0,)) * 9", "x = max((0,), (0,)) * 9", "x = (0,); y = x * 9", "x = ((0,), 1)",
    # loops over modules
    "for module in self.modules(): self.b = 1", "for module in self.modules():\n            while 1: 1", "for module in self.children():\n            1",
    "for other in self.modules():\n            if isinstance(other, Block):\n                1", "for a in range(10**12): 1", "for module in self.modules(): module.eval()",
    "for module in self.modules():\n            if module.eval():\n                nn.init.zeros_(module.weight)",
    "for module in self.modules():\n            if isinstance(module, torch.Tensor):\n                nn.init.zeros_(module.weight)",
    "for module in self.modules(): nn.init.zeros_(self.weight)", "for module in self.modules(): nn.init.zeros_(module.__dict__)",
    "for module in self.modules(): nn.init.zeros_(module._x.weight)", "for module in self.modules(): nn.init.zeros_(module.a.b.weight)",
    "for module in self.modules(): nn.init.zeros_(module.data)", "for module in self.modules(): nn.init.eye_(module.weight)",
    "for module in self.modules(): nn.init.normal_(module.weight, generator=1)", "for module in self.modules(): nn.init.constant_(module.weight, module)",
    "for module in self.modules(): nn.init.zeros_(module.get_buffer('a'))", "for module in self.modules(): nn.init.zeros_(module.weight)\n        else: 1",
    # the reserve of memory
    "torch.empty(2**45, dtype=torch.uint8, device='cpu')", "torch.empty(2**25 - 2**12, dtype=torch.uint8, device='cuda')", "torch.empty(1)",
]  # fmt: skip
IN_FORWARD = [
    # attributes and methods of tensors
    "y = x.numpy()", "y = x.numpy", "y = x.data", "y = x.grad_fn", "y = x.tofile", "y = x.storage()", "y = x.__class__", "y = x.T", "y = x.shape",
    "y = x.device", "y = x.nbytes", "y = x.apply_(x)", "y = x.view(dtype=1)", "y = x.to('cuda')", "y = x.backward()", "y = x.register_hook(x)",
    "y = x.flatten", "y = x.view.__self__", "y = x.flatten(x.view)", "y = x.shape[0].numerator", "y = x.view(x.stride)", "y = x[0]", "y = x['a']",
    "y = x[:1]", "y = x[:, 0]", "y = x[x]", "y = x[:, :, ::self]", "y = x[None, ...]", "y = x.shape[1]",
    # self
    "self.b = x", "self.fc = x", "x.b = x", "self.fc.weight = x", "y = self.fc", "y = self.fc.weight", "y = self.fc.forward(x)", "y = self.training",
    "y = self.forward(x)", "y = self.other(x)", "y = self.modules()", "y = self(x)", "y = self.__call__(x)", "y = self._apply(x)", "y = self.to(x)",
    "y = self.register_buffer(x)", "y = self.num_classes", "y = self.fc(x, a=x)", "y = self.fc(*x)", "y = self.fc(**x)", "y = self.fc(1)", "y = self.fc(self)",
    "y = self.stem['a b'](x)", "y = self.stem[x](x)", "y = self.stem[0:1](x)", "self.fc(x)", "super().forward(x)", "y = super().forward(x)",
    # calls
    "y = nn.Linear(1, 1)(x)", "y = Block(1)", "y = nn.functional.relu(x)", "y = nn.functional.pad(x, (1, 1), mode='reflect')", "y = torch.load(x)",
    "y = nn.functional.interpolate(x, mode='bicubic')", "y = nn.functional.interpolate(x, scale_factor=2, mode=x)", "y = torch.cat([x], out=x)",
    "y = torch.cat(x for _ in range(9))", "y = torch.compiler.compile(x)", "y = torch.compiler.is_compiling()", "y = max(x, x)", "y = isinstance(x, Block)", "y = float(x)", "y = float(self.stride)", "y = self.fc(float(self.stride))",
    "y = nn.init.zeros_(x)", "y = torch.cat([*x], dim=1)", "y = nn.functional.pad(self, (1, 1))", "torch.empty(2**25 - 2**12, dtype=torch.uint8, device='cpu')",
    # statements and expressions
    "y = x @ x", "y = x ** x", "y = x - x", "y = -x", "y = x + 1", "y = x > x", "y = x if 1 else x", "y = x and x", "y = (x, x)", "y = [x]", "y = 1", "y = None",
    "y += x", "y: Tensor = x", "y = z = x", "y, z = x", "x, y = x, x", "y = (z := x)", "del self.fc", "del self", "del x[0]", "del torch", "del x; y = x",
    "if x.is_cpu: y = x", "if self.training: y = x\n        else: y = x", "if self.fc: y = x", "while 1: 1", "for _ in range(2): x = x", "return 1", "return",
    "return self", "return self.fc", "return {x: x}", "return {'a b': x}", "return {'a': 1}", "return {**x}", "return [x]", "return x, self", "x", "'text'", "pass",
    "import os", "global x", "raise x", "assert x", "yield x", "await x", "with x: 1", "try: 1\n        finally: 1", "def f(): 1", "class C: 1", "lambda: x",
    "nn = x", "Block = x", "torch = x", "self = x", "__all__ = x", "super = x", "y = memory", "y = half", "y = z",
]  # fmt: skip
OUTSIDE = [
    "print(1)", "import os", "from os import system", "import torch.hub", "from torch import *", "import torch as nn", "from torch import hub as Tensor",
    "x = 1", "if 1: 1", "for _ in (): 1", "def f(): 1", "class C: 1", "class C(object): 1", "class C(nn.Linear): 1", "class C(nn.Module, metaclass=M): 1",
    "@print\nclass C(nn.Module): 1", "class Block(nn.Module): 1", "class Tensor(nn.Module): 1", "class torch(nn.Module): 1", "__all__ = ['os']",
    "__all__ = [print(1)]", "'a text'", "class C(nn.Module[print(1)]): 1", "class C(nn.Module, print(1)): 1", "class C: 1", "class C(Block): 1",
    "class C(nn.Module): forward = nn.Linear", "class C(nn.Sequential): 1", "class C(nn.ModuleList):\n    def __init__(self) -> None: super().__init__()",
    "class C(nn.Module):\n    def __init__(self) -> None: super().__init__()", "del nn", "__getattr__ = nn.Linear", "__path__ = ['a']", "from __future__ import annotations",
    "nn.Linear.forward = nn.Conv2d", "torch.load('x')", "__all__ = ['Later']", "class C(nn.Sequential):\n    def __init__(self) -> None: self.b = nn.Identity()",
    "class C(nn.Sequential):\n    def __init__(self) -> None: super().__init__(1)", "class range(nn.Module): 1", "async def f(): 1", "x: int", "x: int = print(1)",
]  # fmt: skip
OF_A_CLASS = [
    "print(1)", "x = print(1)", "x = Block(1)", "x: Tensor = print(1)", "x: print(1)", "def other(self): 1", "def forward(self, x=print(1)): 1",
    "def forward(self, x: print(1)): 1", "def forward(self) -> print(1): 1", "@print\n    def forward(self): 1", "def forward(): 1",
    "def forward(this): 1", "def forward(self, *, torch): 1", "async def forward(self): 1", "x = __name__", "x = 'a text'", "import os",
    "def forward(self, x: 'print(1)'): 1",
    # names that Python or torch call
    "__del__ = nn.Module", "__del__ = nn.Linear", "__call__ = nn.Linear", "forward = nn.Linear", "forward = Block", "__getattr__ = Block", "__slots__ = ()",
    "__class_getitem__ = Block", "__init_subclass__ = Block", "dump_patches = True", "training: bool", "x: Tensor", "x = 1", "x = nn.Linear", "x = (1, 2)",
    "feature_info = nn.Linear", "feature_info = ({'a b': 1},)", "feature_info = ({'a': nn},)", "feature_info = ({'a': (1, 2)},)", "feature_info = [{'a': 1}]",
    "def __del__(self) -> None: 1", "def __init__(self, x: int = print(1)) -> None: 1", "def __init__(self, x: int = nn) -> None: 1", "class C: 1",
    "def __init__(self, *x: int) -> None: 1", "def __init__(self, **x: int) -> None: 1", "def __init__(self, x: str) -> None: 1", "if 1: 1", "for x in (1,): 1",
    "def __init__(self, x) -> None: 1", "def __init__(self, x: int = 9**9**9) -> None: 1", "def forward(self, x: Tensor = 1) -> Tensor: 1", "del forward", "pass",
]  # fmt: skip


@pytest.mark.parametrize("statement", INSIDE)
def test_no_other_statement_is_allowed_in_a_method(statement: str) -> None:
    source = SOUND.replace("        self.layer1 = ", f"        {statement}\n        self.layer1 = ")
    ast.parse(source)  # or the test would say nothing
    assert refusal(source).startswith("line ")


@pytest.mark.parametrize("statement", IN_FORWARD)
def test_no_other_statement_is_allowed_in_forward(statement: str) -> None:
    source = SOUND.replace(
        "        y = self.fc(x)\n", f"        {statement}\n        y = self.fc(x)\n"
    )
    ast.parse(source)
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


@pytest.mark.parametrize("rule", INIT_RULES)
def test_every_rule_of_initialisation_passes(rule: str) -> None:
    needs_number = any(option.required for option in INIT_RULES[rule].values())
    value = f"{{{rule}: 0.5}}" if needs_number else rule
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
    for name in (*allowlist._modules(), *allowlist._FUNCTIONS, *allowlist._METHODS):
        name = f"Tensor.{name}" if name in allowlist._METHODS else name
        here = torch
        for part in name.removeprefix("torch.").split("."):
            here = getattr(here, part)


@pytest.mark.parametrize(
    "signature", ["self, x: Tensor, x: Tensor", "self, x: Tensor, gate: Tensor, gate: Tensor"]
)
def test_what_python_does_not_compile_is_refused(signature: str) -> None:
    source = SOUND.replace(
        "def forward(self, x: Tensor, gate: Tensor)", f"def forward({signature})"
    )
    source = source.replace(" * gate", "")
    ast.parse(source)
    assert "duplicate argument" in refusal(source)


def test_a_file_that_python_does_not_compile_is_not_placed(tmp_path: Path) -> None:
    """Two arguments `width`: a number, and the shortcut of a node of that name."""
    spec = tmp_path / "n.yaml"
    spec.write_text(
        "network: n\ninput: {channels: 4, size: [8, 8]}\nblock: unit\nshortcut: projection\n"
        "stages: {s: {blocks: 2, width: 4 + 4 * index}}\ndefine:\n  unit:\n    params: {width: int}\n"
        "    nodes:\n      c: {op: conv, out: width, kernel: 3}\n"
        "      width: {op: shortcut, inputs: x, out: width}\n      a: {op: add, inputs: [c, width]}\n"
    )
    with suppress(UnsafeOutput):  # until such names are kept apart
        compile(compile_spec(str(spec)).source, "n.py", "exec")


# --- printed files, and what is one step away from them


Printed = tuple[str, Mapping[str, str]]  # a file, and its support classes


@pytest.fixture(scope="module")
def printed() -> dict[str, Printed]:
    """Files of both targets."""
    files: dict[str, Printed] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("resnet18", "resnet20", "ecaresnet26t", str(SPECS / "unet_resnet34.yaml")):
            compiled = compile_spec(name)
            for target in ("source", "inference_source"):
                patch.setattr(
                    render,
                    "check",
                    lambda *given, key=f"{name} {target}": files.update({key: given}),
                )
                getattr(compiled, target)
    return files


ARITHMETIC = """\
network: net
input: {channels: 3, size: [8, 8]}
block: unit
stages: {s: {blocks: 2, width: 8 + 8 * index}}
define:
  unit:
    params: {width: int}
    nodes:
      a: {op: conv, out: "max(min(width, 64), int(abs(width) / 2), round(width))", kernel: 1}
      b: {op: conv, out: int(log2(width) * sqrt(width)), kernel: 1}
      c: {op: conv, out: width, kernel: 1}
"""


def test_each_listed_name_is_printed(printed: dict[str, Printed]) -> None:
    text = "\n".join(source for source, _ in printed.values())
    for name in (*allowlist._FUNCTIONS, *allowlist._METHODS):
        assert re.search(rf"{re.escape(name)}\(", text), name
    arithmetic = compile_text(ARITHMETIC).source
    for name in allowlist._ARITHMETIC:
        assert re.search(rf"\b{name}\(", arithmetic), name
    for axes, words in ((1, ["nearest", "linear"]), (2, ["bilinear"]), (3, ["trilinear"])):
        for word in words:
            mode = "nearest" if word == "nearest" else "linear"
            network = f"network: net\ninput: {{channels: 3, size: {[8] * axes}}}\n"
            node = f"nodes: {{a: {{op: resize, scale: 2, mode: {mode}}}}}\n"
            assert f'mode="{word}"' in compile_text(network + node).source
            assert f"'{word}'" in allowlist._MODES


HOSTILE_ATTRIBUTES = ("numpy", "data", "f_builtins", "gi_frame", "__class__", "tofile", "load")
HOSTILE_NAMES = ("exec", "open", "getattr", "vars")
HOSTILE_CONSTANTS = ("os.system('id')", b"a", 1j, ..., 10**80)


def variants(tree: ast.Module, shipped: Mapping[str, str]) -> Iterator[str]:
    """The module with one attribute, name or constant that no printed file has."""
    classes = [each for each in tree.body if getattr(each, "name", "") not in shipped]
    for node in (below for each in classes for below in ast.walk(each)):
        match node:
            case ast.Attribute(attr=attr, ctx=ast.Load()):
                node.attr = HOSTILE_ATTRIBUTES[node.lineno % len(HOSTILE_ATTRIBUTES)]
                yield ast.unparse(tree)
                node.attr = attr
            case ast.Name(id=name, ctx=ast.Load()):
                node.id = HOSTILE_NAMES[node.lineno % len(HOSTILE_NAMES)]
                yield ast.unparse(tree)
                node.id = name
            case ast.Constant(value=value) if not (isinstance(value, str) and " " in value):
                node.value = HOSTILE_CONSTANTS[node.lineno % len(HOSTILE_CONSTANTS)]
                yield ast.unparse(tree)
                node.value = value


def test_nothing_is_allowed_in_place_of_a_name_or_constant_of_a_printed_file(
    printed: dict[str, Printed],
) -> None:
    tried = 0
    for source, shipped in [*printed.values(), (SOUND, {})]:
        tree = ast.parse(source)
        check(ast.unparse(tree), shipped)
        for text in itertools.islice(variants(tree, shipped), None, None, 7):
            assert refusal(text, shipped)
            tried += 1
    assert tried > 300


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
