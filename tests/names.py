"""300 names that may be taken, and the places of a spec in which a name can be.

`outcome(place, name)` is None where the name is accepted and the network is right, and where it is
refused with a code at the name; otherwise it says what is wrong.
"""

from __future__ import annotations

import builtins
import functools
import keyword
import sys
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from resnetgen import Compiled, SpecError
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import compile_text
from resnetgen.runtime import support
from resnetgen.runtime.load import build
from resnetgen.runtime.trace import output_tensors

PLACES = {
    "network": "sample",
    "class": "Sample",
    "block": "unit",
    "class of a block": "Unit",
    "param": "wide",
    "let": "half",
    "input": "other",
    "slot": "gap",
    "node": "first",
    "nested node": "inner",
    "path": "route",
    "stage": "part",
    "node of the stem": "begin",
    "node of the head": "finish",
    "output": "result",
    "param of the network": "size",
    "let of the network": "most",
    "node that is passed in": "side",
    "shortcut policy": "policy",
}
# A name of one place occurs in braces, once where it is written first.
TEMPLATE = """\
network: {network}
class: {class}
input: {channels: 4, size: [8, 8]}
params: {{param of the network}: 3}
let: {{let of the network}: 8}
stem: {nodes: {{node of the stem}: {op: conv, out: 4, kernel: 3}}}
shortcut: {shortcut policy}
stages:
  {stage}: {op: {block}, blocks: 2, {param}: 4 + 4 * index, {slot}: relu}
  last: {op: {block}, blocks: 1, {param}: {let of the network}, {slot}: identity}
nodes:
  more: {op: conv, out: {param of the network}, kernel: 1}
outputs: {{output}: {stage}, scores: {node of the head}}
head:
  nodes:
    pool: {op: global_avg_pool}
    flat: {op: flatten}
    {node of the head}: {op: linear, out: 3}
define:
  {shortcut policy}:
    params: {out: int}
    nodes: {0: {op: conv, out: out, kernel: 1}, 1: {op: norm}}
  pair:
    inputs: [x, {input}]
    class: {class of a block}
    nodes:
      scaled: {op: conv, out: in_channels, kernel: 1, inputs: {input}}
      again: {op: conv, out: {input}_channels, kernel: 1, inputs: x}
      sum: {op: add, inputs: [scaled, {input}, x, again]}
  {block}:
    params: {{param}: int}
    let: {{let}: {param} // 2}
    slots: {{slot}: identity}
    nodes:
      {node}: {op: conv, out: {let}, kernel: 3}
      group.{nested node}: {op: {slot}}
      group.norm: {op: norm}
      mixed: {op: pair, inputs: [group.norm, {node}]}
      moved: {op: conv, out: {param}, kernel: 1, as: deep.{path}}
      {node that is passed in}: {op: shortcut, inputs: x, out: {param}}
      out: {op: add, inputs: [moved, {node that is passed in}]}
"""

PRINTED = """
    x identity shortcut value module name self cls input inputs output outputs index stage
    position total first last channels in_channels x_channels out width num_classes classes
    kernel stride feature_info training forward weight bias init main node node_0 value2
    identity2 shortcut2 largest half halves images state body layers chunk parts kept mask rate
    scale shift steps result op args kwargs downsample relu act norm conv add mul none true
    false yes no on off stem head stages nodes define block policy Net Sample Unit Pair Block
    Module Sequential Identity Conv2d BatchNorm2d ReLU Projection Tensor OrderedDict torch nn
    math T super range isinstance T_destination dtype device shape data grad size dim numel
    numpy item
""".split()  # noqa: SIM905
OF_TORCH = """
    cat matmul relu_ add_ mul_ functional pad interpolate flatten view view_as mean sum zeros
    ones no_grad compile jit export cuda fx onnx optim utils autograd Size Generator float32
    bfloat16 Parameter ParameterList ModuleList ModuleDict Linear Dropout init_ conv2d linear
    softmax
""".split()  # noqa: SIM905
OF_MODULE = [each for each in dir(nn.Sequential) if not each.startswith("__")]
SINGLE = [*"abcnostuvwxyzABNTXZ_"]
ODD = """
    1 0 12 1a a1 a-b a.b a_b _a __a a_ _1 __init__ __class__ __all__ __del__ ünit naïve a+b A
    a.0 0.a layer1 layer1.0 conv1 bn1 fc x.y very_long_name_of_more_than_forty_characters_x
    CamelCase camelCase snake_case UPPER_CASE aB a__b con nul
""".split()  # noqa: SIM905


def candidates() -> list[str]:
    """The names, in a fixed order."""
    words = [
        *PLACES.values(),
        *keyword.kwlist, *keyword.softkwlist, *PRINTED,
        *(name for name in vars(support) if not name.startswith("__")),
        *OF_TORCH, *SINGLE, *ODD,
        *sorted(OF_MODULE)[::3],
        *[name for name in sorted(vars(builtins)) if name[0] != "_"][::6],
        *sorted(name for name in sys.stdlib_module_names if name[0] != "_")[::12],
    ]  # fmt: skip
    return list(dict.fromkeys(words))


def spec(changed: Mapping[str, str] | None = None) -> str:
    """The template with names; `changed` replaces those of some places."""
    text = TEMPLATE
    for place, name in {**PLACES, **(changed or {})}.items():
        text = text.replace(f"{{{place}}}", name)
    return text


@functools.cache
def expected(target: str) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs of the network with harmless names: in evaluation, and in training."""
    compiled = compile_text(spec())
    return _results(compiled, target)


def _results(compiled: Compiled, target: str) -> tuple[list[Tensor], list[Tensor]]:
    source = compiled.source if target == "torch" else compiled.inference_source
    torch.manual_seed(0)
    module = build(source, compiled.network.name)
    if target != "torch":
        with torch.no_grad():
            for number, each in enumerate(module.parameters()):
                each.copy_(torch.linspace(-1, 1, each.numel()).view(each.shape) * (number % 3 + 1))
    else:
        keys = {key: tuple(each.shape) for key, each in module.state_dict().items()}
        assert list(keys.items()) == list(state_dict(compiled.checked_graph).items())
    images = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return output_tensors(module.eval()(images)), output_tensors(module.train()(images))


def outcome(place: str, name: str) -> str | None:
    """What is wrong with a name in a place; None if it is refused properly, or right."""
    text = spec({place: name})
    try:
        compiled = compile_text(text)
        assert compiled.warnings is not None
        assert compiled.plan.classes
    except SpecError as error:
        return _refusal_error(text, place, name, error)
    for target in ("torch", "inference"):
        try:
            for found, wanted in zip(_results(compiled, target), expected(target), strict=True):
                assert len(found) == len(wanted)
                assert all(map(torch.equal, found, wanted)), "other values"
        except Exception as error:
            return f"{target}: {type(error).__name__}: {error}"
    return None


def _refusal_error(text: str, place: str, name: str, error: SpecError) -> str | None:
    """A refusal has to point at the first place where the name is written, or at its reader."""
    lines = text.splitlines()
    first = error.diagnostics[0]
    if first.span is None or first.code in ("internal", "broken-print"):
        return f"no position: {first.message}"
    written = next(at for at, line in enumerate(TEMPLATE.splitlines(), 1) if f"{{{place}}}" in line)
    declared = [at for at, line in enumerate(TEMPLATE.splitlines(), 1) if f"{{{place}}}" in line]
    if first.span.line not in declared and written not in declared:
        return f"elsewhere: {first}"
    under = lines[first.span.line - 1][first.span.column - 1 : first.span.end - 1]
    if name.split(".")[0] not in under and first.span.line not in declared:
        return f"elsewhere, {first.code} at `{under}`: {first.message}"
    return None
