"""A sound network passes; whatever is changed in its text is found, and named."""

from __future__ import annotations

from functools import cache

import pytest

from resnetgen.pipeline import Compiled, compile_spec, compile_text

RESIDUAL = """\
network: residual
input: {channels: 3, size: [16, 16]}
stem:
  nodes:
    conv1: {op: conv, out: 16, kernel: 3}
    bn1: {op: norm}
    relu: {op: act}
block: basic
shortcut: projection
stages:
  layer1: {blocks: 2, width: 16}
  layer2: {blocks: 2, width: 32, stride: 2}
head: {classes: 10}
"""

EVERY_OP = """\
network: every_op
input: {channels: 4, size: [16, 16]}
nodes:
  conv: {op: convolution, out: 32, kernel: 3}
  bn: {op: batch_norm}
  relu: {op: relu}
  gn: {op: group_norm, groups: 4}
  relu6: {op: relu6}
  silu: {op: silu}
  gelu: {op: gelu}
  tanh: {op: tanh}
  max_pool: {op: max_pool, kernel: 2}
  avg_pool: {op: avg_pool, kernel: 3, stride: 1}
  thrice: {op: add, inputs: [avg_pool, avg_pool, max_pool]}
  product: {op: mul, inputs: [thrice, avg_pool, max_pool]}
  join: {op: concat, inputs: [product, thrice]}
  resize: {op: resize, scale: 2, mode: linear}
  nearest: {op: resize, scale: 2}
  subsample: {op: subsample, stride: 2}
  pad: {op: pad_channels, front: 2, back: 6}
  blur: {op: blur, stride: 2}
  drop_path: {op: drop_path, rate: 0.1}
  attention: {op: eca}
  adaptive: {op: adaptive_avg_pool, size: 3}
  gate: {op: sigmoid}
  dropout: {op: dropout, rate: 0.2}
  pool: {op: global_avg_pool}
  flatten: {op: flatten}
  fc: {op: linear, out: 5}
"""

DROPPING = """\
network: dropping
input: {channels: 3, size: [16, 16]}
stem: {nodes: {conv1: {op: conv, out: 16, kernel: 3}, bn1: {op: norm}, relu: {op: act}}}
block: basic
shortcut: {op: zero_pad, centred: true}
stages:
  layer1: {blocks: 2, width: 16, drop_path: 0.1 * position / (total - 1)}
  layer2: {blocks: 2, width: 32, stride: 2, drop_path: 0.1 * position / (total - 1)}
head: {classes: 10}
"""

BRANCHES = """\
network: branches
input: {channels: 3, size: [8, 8]}
nodes:
  left: {op: convolution, out: 4, kernel: 3}
  right: {op: convolution, inputs: x, out: 4, kernel: 3}
  join: {op: concat, inputs: [left, right]}
  main: {op: convolution, out: 4, kernel: 1}
  aux: {op: convolution, inputs: join, out: 4, kernel: 1}
outputs: [main, join]
train_outputs: [aux]
"""

ONE_AXIS = """\
network: one_axis
input: {channels: 2, size: [32]}
stem: {nodes: {conv1: {op: conv, out: 16, kernel: 3}, bn1: {op: norm}, relu: {op: act}}}
block: bottleneck
shortcut: {op: zero_pad, centred: false}
stages: {layer1: {blocks: 2, width: 16, stride: 2}}
head: {classes: 10}
"""

SPECS = {
    "residual": RESIDUAL,
    "every_op": EVERY_OP,
    "dropping": DROPPING,
    "branches": BRANCHES,
    "a_tuple": BRANCHES.replace("train_outputs: [aux]", "")
    .replace("  aux:", "  extra:")
    .replace("outputs: [main, join]", "outputs: [main, join, extra]"),
    "a_dict": BRANCHES.replace("[main, join]", "{features: join, logits: main}"),
    "one_axis": ONE_AXIS,
}


# Modules for the specs above, written by hand, so that the printer may change its mind.
SOURCES = {
    "residual": """\
from torch import Tensor, nn

__all__ = ["Residual"]


class BasicBlock(nn.Module):
    def __init__(self, width: int, out: int, downsample: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = downsample
        self.act2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x)
        out = self.act1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out = self.act2(out + shortcut)
        return out


class Residual(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(*(BasicBlock(16, 16, nn.Identity()) for _ in range(2)))
        projection = nn.Sequential(nn.Conv2d(16, 32, 1, stride=2, bias=False), nn.BatchNorm2d(32))
        self.layer2 = nn.Sequential(
            BasicBlock(16, 32, projection, stride=2),
            BasicBlock(32, 32, nn.Identity()),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.avgpool(x)
        x = self.fc(x.flatten(1))
        return x
""",
    "branches": """\
import torch
from torch import Tensor, nn

__all__ = ["Branches"]


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 4, 3, padding=1)
        self.right = nn.Conv2d(3, 4, 3, padding=1)
        self.main = nn.Conv2d(8, 4, 1)
        self.aux = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        left = self.left(x)
        right = self.right(x)
        join = torch.cat([left, right], dim=1)
        main = self.main(join)
        if self.training:
            return main, join, self.aux(join)
        return main, join
""",
}


@cache
def compiled(name: str) -> Compiled:
    return compile_text(SPECS[name], f"{name}.yaml")


def mismatches(name: str, source: str, *, compile: bool) -> tuple[str, ...]:
    from resnetgen.runtime.verify import verify

    return verify(compiled(name).checked_graph, source, compile=compile).mismatches


def changed(name: str, *replacements: tuple[str, str]) -> str:
    source = SOURCES.get(name) or compiled(name).source
    for old, new in replacements:
        assert old in source, f"the module holds no {old!r}:\n{source}"
        source = source.replace(old, new, 1)
    return source


@pytest.mark.parametrize("compile", [False, True], ids=["fx", "dynamo"])
@pytest.mark.parametrize("name", SPECS)
def test_a_sound_network_passes(name: str, compile: bool) -> None:
    from resnetgen.runtime.verify import verify

    graph, source = compiled(name).checked_graph, compiled(name).source
    report = verify(graph, source, compile=compile)
    assert report.mismatches == ()
    assert report.ok
    assert report.graphs == ({"eval": 1, "training": 1} if compile else {})
    in_eval = sum(not node.training for node in graph.nodes)
    assert report.nodes == {"eval": in_eval, "training": len(graph.nodes)}
    assert report.parameters == compiled(name).cost.params


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "googlenet", "preact_resnet50"])
def test_a_library_network_passes(name: str) -> None:
    from resnetgen.runtime.verify import verify

    network = compile_spec(name)
    shown: list[str] = []
    report = verify(network.checked_graph, network.source, progress=shown.append)
    assert report.mismatches == ()
    assert report.keys > 100
    assert any("capturing" in text for text in shown)


@pytest.mark.parametrize("compile", [False, True], ids=["fx", "dynamo"])
@pytest.mark.parametrize("name", SOURCES)
def test_a_module_written_by_hand_passes(name: str, compile: bool) -> None:
    assert mismatches(name, SOURCES[name], compile=compile) == ()


MUTATIONS = {
    "a stride": (
        "residual",
        [("nn.Conv2d(3, 16, 3, padding=1", "nn.Conv2d(3, 16, 3, stride=2, padding=1")],
        "eval: conv1: predicted 16 x 16 x 16, torch computed 16 x 8 x 8",
    ),
    "a stride beside its shortcut": (
        "residual",
        [("nn.Conv2d(16, 32, 1, stride=2", "nn.Conv2d(16, 32, 1, stride=1")],
        "eval: torch cannot run the network: ",
    ),
    "a norm that is not run": (
        "residual",
        [("        x = self.bn1(x)\n", "")],
        "eval: bn1: predicted batch_norm of conv1, but torch ran none in bn1",
    ),
    "another activation": (
        "residual",
        [("nn.ReLU(inplace=True)", "nn.SiLU(inplace=True)")],
        "eval: layer1.0.act1: predicted relu, torch ran `",
    ),
    "a convolution more": (
        "residual",
        [
            ("self.avgpool =", "self.more = nn.Conv2d(32, 32, 1)\n        self.avgpool ="),
            ("x = self.avgpool(x)", "x = self.avgpool(self.more(x))"),
        ],
        "eval: torch also ran `CONV` in more: 32 x 8 x 8, which was not predicted",
    ),
    "arithmetic more": (
        "residual",
        [("x = self.bn1(x)", "x = self.bn1(x) * 2")],
        "eval: torch also ran `mul` in the network: 16 x 16 x 16, which was not predicted",
    ),
    "a shortcut that is not added": (
        "residual",
        [("out + shortcut", "out + out")],
        "eval: layer1.0.add: predicted to read layer1.0.bn2, relu; "
        "in torch it reads layer1.0.bn2, layer1.0.bn2",
    ),
    "operands in another order": (
        "branches",
        [("torch.cat([left, right]", "torch.cat([right, left]")],
        "eval: join: predicted to read left, right; in torch it reads right, left",
    ),
    "a branch that reads another value": (
        "branches",
        [
            ("self.right = nn.Conv2d(3,", "self.right = nn.Conv2d(4,"),
            ("self.right(x)", "self.right(left)"),
        ],
        "eval: right: predicted to read <input>; in torch it reads left",
    ),
    "a function that is none": (
        "residual",
        [(".flatten(1)", ".flattened(1)")],
        "cannot run the network",
    ),
    "text that is not Python": (
        "residual",
        [("class Residual", "clas Residual")],
        "cannot be built: SyntaxError",
    ),
    "a size that does not fit": (
        "residual",
        [("nn.Linear(32", "nn.Linear(31")],
        "state_dict: fc.weight",
    ),
}


@pytest.mark.parametrize("compile", [False, True], ids=["fx", "dynamo"])
@pytest.mark.parametrize("what", MUTATIONS)
def test_a_change_of_the_text_is_found(what: str, compile: bool) -> None:
    name, replacements, expected = MUTATIONS[what]
    found = mismatches(name, changed(name, *replacements), compile=compile)
    expected = expected.replace("CONV", "conv2d" if compile else "Conv2d")
    assert any(expected in text for text in found), "\n".join(found)


def test_one_wrong_stride_is_one_mismatch_in_each_mode() -> None:
    name, replacements, _ = MUTATIONS["a stride"]
    assert len(mismatches(name, changed(name, *replacements), compile=True)) == 2


def test_one_norm_that_is_not_run_is_one_mismatch_in_each_mode() -> None:
    name, replacements, _ = MUTATIONS["a norm that is not run"]
    found = mismatches(name, changed(name, *replacements), compile=False)
    assert [text.partition(":")[0] for text in found] == ["eval", "training"]


def test_keys_in_another_order_are_found() -> None:
    norm = "        self.bn1 = nn.BatchNorm2d(16)\n"
    first = "        self.conv1 = nn.Conv2d(3,"
    source = changed("residual", (norm, ""), (first, norm + first))
    (text,) = mismatches("residual", source, compile=False)
    assert text == (
        "state_dict: the order differs from conv1.weight on; the module has bn1.weight there"
    )


def test_a_key_of_another_name_is_found() -> None:
    source = SOURCES["residual"].replace("self.fc", "self.classifier")
    found = mismatches("residual", source, compile=False)
    assert "state_dict: predicted fc.weight, and the module has no such key" in found
    assert "state_dict: the module has classifier.weight, which was not predicted" in found
    assert "eval: fc: predicted in fc, torch ran it in classifier" in found


def test_parameters_that_are_not_trained_are_not_counted() -> None:
    source = changed("residual", ("nn.BatchNorm2d(16)", "nn.BatchNorm2d(16, affine=False)"))
    found = mismatches("residual", source, compile=False)
    assert any(text.startswith("parameters: predicted ") for text in found)


def test_a_branch_that_is_never_dropped_is_found_in_training_only() -> None:
    source = changed("dropping", ("if not self.training or", "if True or not self.training or"))
    found = mismatches("dropping", source, compile=True)
    assert found
    assert all(text.startswith("training: ") and "drop_path" in text for text in found)


def test_outputs_in_another_order_are_found() -> None:
    source = changed("a_tuple", ("return main, join, extra", "return extra, join, main"))
    found = mismatches("a_tuple", source, compile=True)
    assert "eval: output 0: predicted the value of main, and the network returns another" in found


def test_an_output_less_is_found() -> None:
    source = changed("a_tuple", ("return main, join, extra", "return main, join"))
    (text, _) = mismatches("a_tuple", source, compile=False)
    assert text == "eval: predicted 3 outputs, and the network returns 2"


def test_a_graph_break_is_found_and_placed() -> None:
    source = changed("residual", ("x = self.bn1(x)", "x = self.bn1(x) if x.sum() > 0 else x"))
    found = mismatches("residual", source, compile=True)
    assert len(found) == 2
    assert all("cannot run the network" in text and "(line 42: " in text for text in found)


def test_many_networks_of_one_class_do_not_exhaust_the_compiler() -> None:
    for _ in range(10):
        assert mismatches("branches", SOURCES["branches"], compile=True) == ()


@pytest.mark.parametrize(
    ("compile", "place"),
    [(False, "(at add_2)"), (True, "(line 21: out = self.act2(out + shortcut))")],
    ids=["fx", "dynamo"],
)
def test_what_torch_raises_is_reported_in_one_line_with_its_place(
    compile: bool, place: str
) -> None:
    name, replacements, _ = MUTATIONS["a stride beside its shortcut"]
    for text in mismatches(name, changed(name, *replacements), compile=compile):
        assert "\n" not in text
        assert "RuntimeError: " in text
        assert text.endswith(place)
