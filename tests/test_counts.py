"""Parameters and multiply-adds, exactly: the paper, torchvision, timm.

`peers.json` holds what the networks of torchvision and timm count at their size, and a digest of
the ordered (key, shape) list of their state_dict. Its multiply-adds include the depthwise
convolution of a blur and the 1-D convolution of ECA, and leave GoogLeNet's auxiliary heads out.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from resnetgen import Compiled, compile_spec
from resnetgen.compiler import compile_text
from resnetgen.graph import shapes
from resnetgen.graph.instantiate import instances_below
from resnetgen.language import library

PEERS = json.loads(Path(__file__).with_name("peers.json").read_text(encoding="utf-8"))
OTHER_NAMES = {"timm/resnetv2_50": "preact_resnet50"}  # theirs: stages.0.blocks.0; ours: layer1.0

OPTION_A = "{op: zero_pad, centred: false}"
OPTION_C = "projection_all"

# At 224 x 224, one image, 1000 classes: overrides, parameters, multiply-adds.
COUNTS: dict[str, tuple[str, dict[str, str], int, int]] = {
    "18": ("resnet18", {}, 11_689_512, 1_814_073_344),
    "34": ("resnet34", {}, 21_797_672, 3_663_761_408),
    "50": ("resnet50", {}, 25_557_032, 4_089_184_256),
    "101": ("resnet101", {}, 44_549_160, 7_801_405_440),
    "152": ("resnet152", {}, 60_192_808, 11_513_626_624),
    "50-v1": ("resnet50_v1", {}, 25_557_032, 3_857_973_248),
    "101-v1": ("resnet101_v1", {}, 44_549_160, 7_570_194_432),
    "152-v1": ("resnet152_v1", {}, 60_192_808, 11_282_415_616),
    "18-A": ("resnet18", {"shortcut": OPTION_A}, 11_515_688, 1_794_805_760),
    "34-A": ("resnet34_a", {}, 21_623_848, 3_644_493_824),
    "34-C": ("resnet34_c", {}, 22_716_840, 3_830_747_136),
    "50-A": ("resnet50", {"shortcut": OPTION_A}, 22_780_456, 3_729_522_688),
    "50-C": ("resnet50", {"shortcut": OPTION_C}, 40_128_552, 6_555_435_008),
    "plain-18": ("plain18", {}, 11_515_688, 1_794_805_760),
    "plain-34": ("plain34", {}, 21_623_848, 3_644_493_824),
    "preact-18": ("preact_resnet18", {}, 11_687_720, 1_814_073_344),
    "preact-34": ("preact_resnet34", {}, 21_795_880, 3_663_761_408),
    "vgg19": ("vgg19", {}, 143_667_240, 19_632_062_464),
    "r3d-18": ("r3d_18", {}, 33_371_472, 40_696_553_472),  # 16 frames of 112 x 112, 400 classes
}

# CIFAR-10, option A: the depth 6n + 2, parameters, multiply-adds.
CIFAR = {
    20: (269_722, 40_551_040),
    32: (464_154, 68_862_592),
    44: (658_586, 97_174_144),
    56: (853_018, 125_485_696),
    110: (1_727_962, 252_887_680),
    1202: (19_421_274, 2_829_238_912),
}


def cifar(depth: int, **overrides: object) -> Compiled:
    """The CIFAR network of a depth, by overrides of ResNet-110."""
    blocks = {f"layer{stage}.blocks": (depth - 2) // 6 for stage in (1, 2, 3)}
    return compile_spec("resnet110", **blocks, **overrides)


def counts(compiled: Compiled) -> tuple[int, int]:
    return compiled.cost.params, compiled.cost.macs


@pytest.mark.parametrize("name", COUNTS)
def test_a_network_counts_what_was_published(name: str) -> None:
    network, overrides, params, macs = COUNTS[name]
    compiled = compile_spec(network, **overrides)
    assert counts(compiled) == (params, macs)
    assert compiled.cost.flops == 2 * macs


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_the_stride_in_the_first_1x1_saves_the_same_at_every_depth(depth: int) -> None:
    late, early = compile_spec(f"resnet{depth}").cost, compile_spec(f"resnet{depth}_v1").cost
    assert late.params == early.params
    assert late.macs - early.macs == 231_211_008


@pytest.mark.parametrize("depth", [18, 34])
def test_a_plain_network_counts_what_option_a_does(depth: int) -> None:
    shortcut = compile_spec(f"resnet{depth}", shortcut=OPTION_A)
    assert counts(compile_spec(f"plain{depth}")) == counts(shortcut)


@pytest.mark.parametrize("centred", ["true", "false"])
def test_both_forms_of_option_a_count_the_same(centred: str) -> None:
    form = f"{{op: zero_pad, centred: {centred}}}"
    assert counts(compile_spec("resnet34", shortcut=form)) == COUNTS["34-A"][2:]


@pytest.mark.parametrize("depth", CIFAR)
def test_a_cifar_network_counts_what_table_6_says(depth: int) -> None:
    assert counts(cifar(depth)) == CIFAR[depth]


@pytest.mark.parametrize("depth", CIFAR)
def test_option_b_adds_the_same_parameters_at_every_depth(depth: int) -> None:
    assert cifar(depth, shortcut="projection").cost.params == CIFAR[depth][0] + 2_752


def test_an_override_of_one_is_one_and_not_true() -> None:
    assert compile_spec("resnet18", **{"layer1.blocks": 1}).cost.params == 11_689_512 - 73_984


RESNET_1202 = """\
network: resnet1202
extends: resnet110
doc: ResNet-1202 for CIFAR-10, option A
stages: {layer1: {blocks: 200}, layer2: {blocks: 200}, layer3: {blocks: 200}}
"""


def test_1202_layers_cost_the_compiler_what_20_do() -> None:
    deep, shallow = compile_text(RESNET_1202), cifar(20)
    assert counts(deep) == CIFAR[1202]
    assert len(instances_below(deep.root)) == len(instances_below(shallow.root))
    assert deep.source.count("\n") == shallow.source.count("\n")


@pytest.mark.parametrize("peer", PEERS)
def test_a_network_counts_what_its_peer_does(peer: str) -> None:
    row = PEERS[peer]
    name = OTHER_NAMES.get(peer, peer.rpartition("/")[2])
    compiled = compile_spec(name, **{"input.size": [row["size"], row["size"]]})
    assert counts(compiled) == (row["params"], row["macs"])
    if peer in OTHER_NAMES:
        return
    keys = list(shapes.state_dict(compiled.graph).items())
    assert len(keys) == row["keys"]
    assert hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16] == row["keys_sha"]


def test_every_network_of_the_library_has_a_committed_figure() -> None:
    counted = {network for network, overrides, *_ in COUNTS.values() if not overrides}
    counted |= {OTHER_NAMES.get(peer, peer.rpartition("/")[2]) for peer in PEERS} | {"resnet110"}
    assert {path.stem for path in library.networks()} <= counted
