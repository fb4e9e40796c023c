"""The figures and the error of a variant are those of compiling it, whatever varies."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from generated.choices import Drawn
from generated.strategy import spec_of

from resnetgen import pipeline
from resnetgen.compiler.diagnostics.model import Source, SpecError
from resnetgen.compiler.frontend.tree import MapTree, Scalar
from resnetgen.compiler.frontend.yaml_reader import parse
from resnetgen.compiler.ir.op_def import complete_attributes
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import ChannelInfo, TensorType
from resnetgen.reports.sweep import sweep
from resnetgen.reports.sweep.costs import Costs
from resnetgen.reports.sweep.evaluator import Evaluator, Figures, figures_of
from resnetgen.reports.sweep.rows import FIGURE_NAMES
from resnetgen.reports.sweep.space import Space, parse_space
from resnetgen.reports.sweep.symbols import RATE, BaseSpec, is_rate, read_base

SPECS = Path(__file__).resolve().parents[1] / "specs"

BIASED = """\
network: biased
input: {channels: 3, size: [16, 16]}
let: {wide: 8, deep: 2 * wide}
stem: {nodes: {first: {op: conv, out: 4, kernel: 3}}}
stages:
  a: {op: unit, blocks: 2, width: wide}
  b: {op: unit, blocks: 2, width: deep, rate: 0.2 * index}
nodes:
  tail: {op: conv, out: 4, kernel: 3, when: wide > 6, inputs: b}
  norm: {op: norm, when: deep > 20}
  act: {op: act}
  side: {op: unit, inputs: first, width: 3}
train_outputs: [side]
outputs: [act]
define:
  unit:
    params: {width: int, rate: 0.0}
    nodes:
      conv: {op: conv, out: width, kernel: 3}
      sub: {op: subsample, stride: 1}
      drop: {op: drop_path, rate: rate}
"""

PLACED = """\
network: placed
input: {channels: 3, size: [16, 16]}
let: {step: 1, most: 9}
stages:
  a: {op: unit, blocks: 2, width: 8, as: trunk.<position // step>}
  b: {op: unit, blocks: 2, width: 8 + position, kernel: 3 if last else 1, as: trunk.<position>}
  c: {op: unit, width: position * total % most + 1, stride: 2}
define:
  unit:
    params: {width: int, kernel: 1, stride: 1}
    nodes:
      conv: {op: conv, out: width, kernel: kernel, stride: stride}
      norm: {op: norm}
"""
DILATED = """\
network: dilated
input: {channels: 3, size: [32, 32]}
output_stride: 2
stem: {nodes: {first: {op: conv, out: 8, kernel: 3, stride: 2}}}
stages:
  a: {op: unit, blocks: 2, kernel: 1, padding: 0, stride: 2}
  b: {op: unit, blocks: 2, kernel: 3, padding: 2, stride: 1}
define:
  unit:
    params: {kernel: int, padding: int, stride: 1, dilation: 1, first_dilation: dilation}
    nodes:
      conv: {op: conv, out: 8, kernel: kernel, stride: stride, dilation: dilation, padding: padding}
      norm: {op: norm}
"""
NUMBERED = """\
network: numbered
input: {channels: 3, size: [16, 16]}
let: {step: 1}
stages:
  a: {op: unit, blocks: 2, as: body.<index // step>}
define:
  unit:
    nodes:
      conv: {op: conv, out: 8, kernel: 3}
      norm: {op: norm}
"""
UNREAD = """\
network: unread
input: {channels: 4, size: [8, 8]}
let: {least: 2, most: 3}
stem: {nodes: {g: {op: conv, out: 4, kernel: 1}}}
stages:
  a: {op: unit, blocks: 2, gated: index < least}
  b: {op: unit, blocks: 2, gated: index < most}
  c: {op: pair, blocks: 2, inputs: [b, g], both: least > 1, gated: most > 1}
define:
  unit:
    params: {gated: bool, rate: 0.0}
    nodes:
      gate: {op: conv, as: body.*, out: 4, kernel: 1}
      drop: {op: drop_path, as: body.*, rate: rate}
      call: {op: pair, inputs: [x, drop], both: true, gated: gated}
  pair:
    inputs: [x, gate]
    params: {both: bool, gated: bool}
    nodes:
      conv: {op: conv, out: 4, kernel: 1, inputs: x, when: both}
      join: {op: add, inputs: [conv, gate], when: gated}
"""
OWN = {
    "unread": UNREAD,
    "numbered": NUMBERED,
    "biased": BIASED,
    "placed": PLACED,
    "dilated": DILATED,
}

SWEEPS = {
    "width by place": ("placed", ["a.blocks=1..5", "b.blocks=1..5", "let.most=5..100..5"]),
    "dilation that costs": ("dilated", ["a.stride=1,2,4", "b.stride=1..3", "b.padding=0..3"]),
    "paths that meet": ("placed", ["let.step=1,2,0,0.5", "a.blocks=1..5", "b.blocks=1..2", "c.stride=1,2"]),
    "blocks at one path": ("numbered", ["let.step=2,1", "a.blocks=2,1,3"]),
    "depth and width": ("resnet50", ["layer3.blocks=1..40", "layer4.width=256,384,512"]),
    "widths that meet": ("resnet50", [f"layer{n}.width=16..196..4" for n in (1, 2, 3)]),
    "cifar": ("resnet110", [f"layer{n}.blocks=1..99" for n in (1, 2, 3)]),
    "option B": ("resnet1202_b", ["layer1.blocks=1..300", "layer2.width=8..64..8", "layer3.stride=1,2,4"]),
    "rates by position": (SPECS / "resnet50_dp.yaml", [f"layer{n}.blocks=1..9" for n in (1, 2, 3, 4)]),
    "rates that are wrong": ("resnet18", ["block.drop_path=-0.5,0,0.0,0.2,1,1.0,1.5,true", "layer2.blocks=1..3"]),
    "rates by index": ("resnet18", ["layer2.drop_path=0.1 * index,0.5,first", "layer2.blocks=1..4"]),
    "output_stride": (SPECS / "resnet50_os8.yaml", ["layer2.stride=1,2,3", "layer3.stride=1,2,4", "layer4.stride=1..3", "layer3.blocks=1..3"]),
    "output_stride varies": (SPECS / "resnet50_os8.yaml", ["output_stride=1,4,8,16,32", "layer4.stride=1..4"]),
    "groups that do not divide": ("resnext50_32x4d", ["block.groups=1..64", "block.base_width=1..8"]),
    "u-net": (SPECS / "unet_resnet34.yaml", ["layer1.width=8..64..8", "stem.width=8,64", "nodes.decoder.blocks.1.width=4..32..4", "layer4.stride=1,2"]),
    "features": (SPECS / "resnet50_features.yaml", ["layer1.blocks=0..3", "layer2.width=32,64.5,128"]),
    "train outputs": ("googlenet", ["params.num_classes=0,10,100"]),
    "shared containers": ("vgg19", ["block1.blocks=1..4", "block2.width=1..200..7", "head.classes=2,1000"]),
    "1-D": ("resnet18_1d", ["layer1.width=8,16,64", "stem.width=8,64", "layer2.blocks=1..4"]),
    "3-D": ("r3d_18", ["layer1.blocks=1..4", "layer4.width=64..512..64"]),
    "attention": ("seresnet50", ["block.attention=identity,eca,squeeze_excite,none", "layer1.blocks=1..4"]),
    "blocks": ("resnet50", ["block=basic,bottleneck,preact_basic,nothing", "shortcut=projection,projection_all,identity,none", "layer2.width=64,128"]),
    "input": ("resnet18", ["input.channels=1..4", "input.size=[8,8],[32,32],[33,65]", "layer1.blocks=1..3"]),
    "norms": ("resnet50_gn", ["norm.groups=1..64", "layer1.width=8,64"]),
    "named numbers": ("biased", ["let.wide=1..20", "a.blocks=0..3", "nodes.side.width=1..5"]),
    "placed twice": ("biased", ["stem.first.out=1..5", "let.deep=2 * wide,3", "b.rate=0.1,0"]),
    "values that nothing reads": ("unread", ["let.least=1..3", "let.most=0..3", "a.blocks=1..4", "b.blocks=1..3", "a.rate=0,0.1"]),
    "null": ("resnet18", ["layer4=null", "layer1.blocks=1..3"]),
}  # fmt: skip


def base(spec: str | Path) -> BaseSpec:
    if spec in OWN:
        return BaseSpec(parse(Source(str(spec), OWN[str(spec)])), (), {})
    return read_base(spec, {})


def some_of(space: Space, most: int) -> list[tuple[int, ...]]:
    draw = random.Random(5)
    picked = draw.sample(range(space.count), min(space.count, most))
    return [space.choice(variant) for variant in picked]


@pytest.mark.parametrize("name", SWEEPS)
def test_the_cost_of_a_variant_is_that_of_compiling_it(name: str) -> None:
    spec, vary = SWEEPS[name]
    space = parse_space(vary)
    costs = Costs(base(spec), space)
    for choice in some_of(space, 50):
        settings = {path: each.text for path, each in space.values(choice)}
        try:
            if spec in OWN:
                expected = figures_of(pipeline.compile_text(OWN[str(spec)], **settings).cost)
            else:
                expected = figures_of(pipeline.compile_spec(spec, **settings).cost)
        except SpecError as error:
            first = error.diagnostics[0]
            expected = f"{first.code}: {first.message}"
        assert costs.of(choice) == expected, settings
        assert costs.of(choice) == expected, f"{settings}, the second time"


def test_the_samples_contain_figures_and_errors() -> None:
    kinds = {
        type(costs.of(choice))
        for name in ("groups that do not divide", "blocks")
        for space in [parse_space(SWEEPS[name][1])]
        for costs in [Costs(base(SWEEPS[name][0]), space)]
        for choice in some_of(space, 30)
    }
    assert kinds == {Figures, str}


def test_what_variants_share_is_computed_once() -> None:
    space = parse_space(["layer1.blocks=1..20", "layer2.blocks=1..20", "layer3.blocks=1..20"])
    costs = Costs(read_base("resnet110", {}), space)
    for variant in range(space.count):
        costs.of(space.choice(variant))
    evaluator = costs.evaluator(space.choice(0))
    assert isinstance(evaluator, Evaluator)
    tables = [table for _, table in evaluator.passes[evaluator.last].tables]
    assert sum(map(len, tables)) == 1 + 3 * 20 + 1


def test_rates_by_position_share_their_cost() -> None:
    space = parse_space(["layer1.blocks=2..9", "layer2.blocks=2..9", "layer3.blocks=2..9"])
    costs = Costs(read_base(SPECS / "resnet50_dp.yaml", {}), space)
    for variant in range(space.count):
        costs.of(space.choice(variant))
    evaluator = costs.evaluator(space.choice(0))
    assert isinstance(evaluator, Evaluator)
    tables = [table for _, table in evaluator.passes[evaluator.last].tables]
    assert sum(map(len, tables)) == 1 + 3 * 8 + 1 + 1


@pytest.mark.parametrize("most", [0, 7, 60])
def test_forgetting_changes_nothing(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetgen.reports.sweep.evaluator.MAX_REMEMBERED", most)
    monkeypatch.setattr("resnetgen.reports.sweep.node_cost.MAX_KNOWN", most)
    monkeypatch.setattr("resnetgen.reports.sweep.costs.MAX_NETWORKS", 2)
    monkeypatch.setattr("resnetgen.reports.sweep.costs.MAX_VERDICTS", 1)
    space = parse_space(
        ["block=basic,bottleneck", "block.groups=1,2,3", "layer2.width=30,32", "output_stride=8,32"]
    )
    costs = Costs(read_base("resnet50", {}), space)
    for choice in some_of(space, 24):
        assert costs.of(choice) == costs.compiled(choice)


# --- random networks


def leaves(tree: MapTree, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, Scalar]]:
    """The paths of a document whose value is a scalar."""
    for key, value in tree.entries.items():
        if isinstance(value, MapTree):
            yield from leaves(value, (*prefix, key))
        elif isinstance(value, Scalar) and key not in ("network", "doc", "language", "extends"):
            yield ".".join((*prefix, key)), value


def values(draw: random.Random, scalar: Scalar) -> list[str]:
    """Values for a path of a spec, some of them wrong."""
    value = scalar.value
    if isinstance(value, bool):
        return ["true", "false"]
    if isinstance(value, int):
        others = [draw.choice([1, 2, 3, 4]), max(0, value - 1), value * 2, draw.choice([0, -1, 16])]
        return [str(each) for each in dict.fromkeys([value, *others])]
    if isinstance(value, float):
        return [str(each) for each in dict.fromkeys([value, 0.0, 0, 0.3, 1, 1.5])]
    return list(dict.fromkeys([scalar.text, *draw.sample(["identity", "none", "basic", "2"], 2)]))


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_with_random_numbers_varied(seed: int) -> None:
    draw = random.Random(seed)
    tree = parse(Source("random", spec_of(Drawn(draw))))
    found = list(leaves(tree))
    numbers = [each for each in found if isinstance(each[1].value, int | float)]
    picked = dict(draw.sample(numbers, min(2, len(numbers))) + draw.sample(found, seed % 2))
    space = parse_space([f"{path}={','.join(values(draw, each))}" for path, each in picked.items()])
    costs = Costs(BaseSpec(tree, (), {}), space)
    for choice in some_of(space, 16):
        assert costs.of(choice) == costs.compiled(choice), list(space.values(choice))


# --- assumptions


def test_figures_are_in_the_order_of_their_columns() -> None:
    assert Figures._fields == FIGURE_NAMES


@pytest.mark.parametrize(
    ("op", "name"),
    [(op, name) for op, each in OPS.items() for name in each.attributes if is_rate(op, name)],
)
def test_no_cost_depends_on_a_rate(op: str, name: str) -> None:
    definition = OPS[op]
    source = TensorType(32, (8, 8))
    effects = []
    for rate in (RATE, 1e-5, 0.1, 1.0):
        attributes = complete_attributes(definition, {name: rate})
        result = definition.shape(attributes, [source])
        weights = definition.weights(attributes, 32, 2)
        channels = definition.channels(attributes, [ChannelInfo(32)], 2)
        work = definition.macs(attributes, source, result)
        stride, identity = definition.stride(attributes), definition.is_identity(attributes)
        effects.append((result, weights, channels, work, stride, identity))
    assert all(each == effects[0] for each in effects)


def test_which_attributes_are_rates() -> None:
    rates = {
        (op, name) for op, each in OPS.items() for name in each.attributes if is_rate(op, name)
    }
    assert {("drop_path", "rate"), ("dropout", "rate"), ("batch_norm", "eps")} <= rates
    assert not any(OPS[op].attributes[name].kind != "float" for op, name in rates)
    assert all(not OPS[op].has_weights for op, name in rates if name == "rate")


def test_more_parameters_than_a_network_may_have_are_refused() -> None:
    small, large = sweep("resnet18", {"layer4.width": [512, 30_000_000]})
    assert (small["params"], small["error"]) == (11_689_512, None)
    assert large["params"] is None
    assert large["error"].startswith("limit: ")
