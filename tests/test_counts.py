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
from resnetgen.compiler.frontend import library
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.compiler.passes.instantiate import instances_below

PEERS = json.loads(Path(__file__).with_name("peers.json").read_text(encoding="utf-8"))

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
    "preact-50": ("preact_resnet50", {}, 25_549_352, 4_089_184_256),
    "preact-101": ("preact_resnet101", {}, 44_541_480, 7_801_405_440),
    "preact-152": ("preact_resnet152", {}, 60_185_128, 11_513_626_624),
    "preact-200": ("preact_resnet200", {}, 64_666_152, 15_007_481_856),
    "r3d-18": ("r3d_18", {}, 33_371_472, 40_696_553_472),  # 16 frames of 112 x 112, 400 classes
    "18-1d": ("resnet18_1d", {}, 3_851_397, 707_267_072),  # 12 leads, 4096 samples, 5 classes
}

# CIFAR-10, option A: the depth 6n + 2, parameters, multiply-adds (table 6 of the paper).
CIFAR = {
    20: (269_722, 40_551_040),
    32: (464_154, 68_862_592),
    44: (658_586, 97_174_144),
    56: (853_018, 125_485_696),
    110: (1_727_962, 252_887_680),
    1202: (19_421_274, 2_829_238_912),
}


# CIFAR-10: parameters, multiply-adds, and the parameters that the paper rounds to, in millions.
SMALL_IMAGES = {
    "preact_resnet110": (1_730_522, 253_149_824, 1.7),
    "preact_resnet164": (1_703_258, 247_646_720, 1.7),
    "preact_resnet1001": (10_327_706, 1_490_995_712, 10.3),
    "wide_resnet16_8": (10_961_370, 1_548_145_664, 11.0),
    "wide_resnet28_10": (36_479_194, 5_243_328_768, 36.5),
    "wide_resnet40_4": (8_949_210, 1_298_582_016, 8.9),
    "resnext29_8x64d": (34_426_698, 5_387_266_048, 34.4),
    "resnext29_16x64d": (68_155_210, 10_688_866_304, 68.2),
}


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
@pytest.mark.parametrize("form", ["", "_appended"])
def test_a_cifar_network_counts_what_table_6_says(depth: int, form: str) -> None:
    assert counts(compile_spec(f"resnet{depth}{form}")) == CIFAR[depth]


@pytest.mark.parametrize("depth", CIFAR)
def test_option_b_adds_the_same_parameters_at_every_depth(depth: int) -> None:
    assert compile_spec(f"resnet{depth}_b").cost.params == CIFAR[depth][0] + 2_752


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_a_plain_cifar_network_counts_what_option_a_does(depth: int) -> None:
    assert counts(compile_spec(f"plain{depth}")) == CIFAR[depth]


def test_option_a_pads_as_its_name_says() -> None:
    forms = {"resnet20": ("8, 8", "16, 16"), "resnet20_appended": ("0, 16", "0, 32")}
    for name, pads in forms.items():
        nodes = compile_spec(name).checked_graph.nodes
        padded = [node.attributes for node in nodes if node.op == "pad_channels"]
        found = [f"{each['front']}, {each['back']}" for each in padded]
        assert tuple(found) == pads


@pytest.mark.parametrize("name", SMALL_IMAGES)
def test_a_network_for_small_images_counts_what_its_paper_rounds_to(name: str) -> None:
    params, macs, millions = SMALL_IMAGES[name]
    assert counts(compile_spec(name)) == (params, macs)
    assert round(params / 1e6, 1) == millions


@pytest.mark.parametrize(("depth", "width"), [(16, 8), (28, 10), (40, 4)])
def test_a_wide_network_counts_what_a_formula_says(depth: int, width: int) -> None:
    """Independent of the compiler: 3 stages of (depth - 4) / 6 blocks of two 3x3 and two norms."""
    channels, params = 16, 3 * 9 * 16
    for out in (16 * width, 32 * width, 64 * width):
        params += channels * out  # the projection
        for _ in range((depth - 4) // 6):
            params += 2 * channels + 9 * channels * out + 2 * out + 9 * out * out
            channels = out
    assert (
        params + 2 * channels + channels * 10 + 10 == SMALL_IMAGES[f"wide_resnet{depth}_{width}"][0]
    )


def test_an_override_of_one_is_one_and_not_true() -> None:
    assert compile_spec("resnet18", **{"layer1.blocks": 1}).cost.params == 11_689_512 - 73_984


def test_1202_layers_cost_the_compiler_what_20_do() -> None:
    deep, shallow = compile_spec("resnet1202"), compile_spec("resnet20")
    assert counts(deep) == CIFAR[1202]
    assert len(instances_below(deep.root)) == len(instances_below(shallow.root))
    assert deep.source.count("\n") == shallow.source.count("\n")


@pytest.mark.parametrize("peer", PEERS)
def test_a_network_counts_what_its_peer_does(peer: str) -> None:
    row = PEERS[peer]
    compiled = compile_spec(peer.rpartition("/")[2], **{"input.size": [row["size"], row["size"]]})
    assert counts(compiled) == (row["params"], row["macs"])
    keys = list(state_dict(compiled.checked_graph).items())
    assert len(keys) == row["keys"]
    assert hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16] == row["keys_sha"]


def test_the_size_of_a_network_is_that_of_its_peer() -> None:
    for peer, row in PEERS.items():
        size = compile_spec(peer.rpartition("/")[2]).network.input.size
        assert tuple(size) == (row["size"], row["size"]), peer


def test_every_network_of_the_library_has_a_committed_figure() -> None:
    counted = {network for network, overrides, *_ in COUNTS.values() if not overrides}
    counted |= {peer.rpartition("/")[2] for peer in PEERS} | set(SMALL_IMAGES)
    counted |= {f"resnet{depth}{form}" for depth in CIFAR for form in ("", "_appended", "_b")}
    counted |= {f"plain{depth}" for depth in CIFAR}
    assert {path.stem for path in library.network_files()} <= counted


def test_every_network_of_the_library_says_what_it_is() -> None:
    for path in library.network_files():
        network = compile_spec(path.stem).network
        assert network.doc, path
        assert network.paper, path
        assert network.family, path
