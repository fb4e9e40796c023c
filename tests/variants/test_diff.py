"""`diff`: what differs between two networks, as data and as text."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.tree import python_value
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.reports.formats import as_json
from resnetgen.variants.diff import Difference, diff
from resnetgen.variants.diff_data import as_data
from resnetgen.variants.diff_graphs import RESULT_SHAPE, _longest_increasing, summarize
from resnetgen.variants.diff_headline import NetworkNames, headline
from resnetgen.variants.diff_text import MAX_ROWS, as_markdown, as_text, whole_modules

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted((ROOT / "tests/specs").glob("*.yaml"))
HARD = ["vgg19", "googlenet", "resnet18_1d", "r3d_18", "resnet1202", "preact_resnet164", *OURS]
NAMES = NetworkNames("a", "b")


def between(spec: str | Path, **settings: object) -> Difference:
    """A spec and the same with settings."""
    return diff(compile_spec(spec), compile_spec(spec, **settings))


def paths(difference: Difference) -> dict[str, tuple[object, object]]:
    return {
        each.path: tuple(
            None if tree is None else python_value(tree) for tree in (each.before, each.after)
        )
        for each in difference.spec
    }  # type: ignore[return-value]


# --- differences


@pytest.mark.parametrize("spec", HARD, ids=str)
def test_nothing_differs_between_a_network_and_itself(spec: str | Path) -> None:
    difference = between(spec)
    assert difference.identical
    assert as_text(difference, NAMES) == "a -> b: nothing differs\n"
    assert not any(
        as_data(difference)[part] for part in ("spec", "stages", "nodes_added", "keys_moved")
    )


@pytest.mark.parametrize("spec", HARD, ids=str)
def test_the_reverse_difference_is_the_same(spec: str | Path) -> None:
    one, other = compile_spec(spec), compile_spec("resnet50d")
    there, back = diff(one, other), diff(other, one)
    assert (there.nodes.added, there.nodes.removed) == (back.nodes.removed, back.nodes.added)
    assert (there.keys.added, there.keys.removed) == (back.keys.removed, back.keys.added)
    assert there.keys.reshaped == {key: (b, a) for key, (a, b) in back.keys.reshaped.items()}
    assert {each.path for each in there.spec} == {each.path for each in back.spec}
    assert there.stages.keys() == back.stages.keys()


@pytest.mark.parametrize("spec", HARD, ids=str)
def test_the_first_network_and_the_difference_make_the_second(spec: str | Path) -> None:
    """The keys and nodes of the second follow from the first and the difference."""
    before, after = compile_spec(spec), compile_spec("resnet34")
    difference = diff(before, after)
    shapes = state_dict(before.checked_graph)
    for key in difference.keys.removed:
        del shapes[key]
    shapes |= {key: new for key, (_, new) in difference.keys.reshaped.items()}
    assert shapes.keys().isdisjoint(difference.keys.added)
    assert shapes | {
        key: state_dict(after.checked_graph)[key] for key in difference.keys.added
    } == state_dict(after.checked_graph)
    names = {node.name for node in before.checked_graph.nodes}
    assert (names - {*difference.nodes.removed}) | {*difference.nodes.added} == {
        node.name for node in after.checked_graph.nodes
    }


def test_more_blocks() -> None:
    difference = diff(compile_spec("resnet50"), compile_spec("resnet101"))
    assert paths(difference) == {"stages.layer3.blocks": (6, 23)}
    assert difference.stages.keys() == {"layer3"}
    assert len(difference.nodes.added) == 17 * 10
    assert len(difference.keys.added) == 17 * 18
    assert not difference.nodes.removed
    assert [*difference.nodes.changed] == ["layer4.0.conv1", "layer4.0.downsample.0"]
    assert not difference.interface


def test_the_order_of_stages_is_a_difference() -> None:
    difference = between("resnet50", **{"layer2.after": "layer3"})
    assert paths(difference) == {
        "stages (order)": (
            ["layer1", "layer2", "layer3", "layer4"],
            ["layer1", "layer3", "layer2", "layer4"],
        )
    }
    assert {key.split(".")[0] for key in difference.keys.reordered} in ({"layer2"}, {"layer3"})
    assert difference.keys.reshaped


TWO = """\
network: two
input: {channels: 3, size: [8, 8]}
nodes:
  first: {op: conv, out: 4, kernel: 3}
  a: {op: conv, inputs: first, out: 4, kernel: 1}
  b: {op: conv, inputs: first, out: 4, kernel: 1}
  sum: {op: add, inputs: [a, b]}
"""


def test_tensors_that_only_change_place_are_reported_as_moved() -> None:
    first, second = (line for line in TWO.splitlines() if line.startswith(("  a:", "  b:")))
    swapped = TWO.replace(f"{first}\n{second}\n", f"{second}\n{first}\n")
    difference = diff(compile_text(TWO), compile_text(swapped))
    assert not difference.networks_equal
    assert {key.split(".")[0] for key in difference.keys.reordered} in ({"a"}, {"b"})
    assert not [*difference.keys.added, *difference.keys.removed, *difference.keys.reshaped]


def test_a_name_and_a_call_differ_in_the_arguments_alone() -> None:
    assert paths(between("resnet50", **{"block.groups": 32})) == {"block.groups": (None, 32)}
    difference = between("resnet110", shortcut="projection")
    assert paths(difference) == {
        "shortcut.op": ("zero_pad", "projection"),
        "shortcut.centred": (True, None),
    }


def test_descriptive_keys_are_not_compared() -> None:
    settings = {
        "doc": "x",
        "paper": "https://x.y",
        "family": "z",
        "network": "other",
        "language": 1,
    }
    assert between("resnet50", **settings).identical


def test_equal_networks_of_different_specs() -> None:
    difference = between("resnet50", **{"block.expansion": 4})
    assert difference.spec
    assert difference.networks_equal
    assert not difference.identical
    assert "the specs differ, the networks are equal\n\nspec" in as_text(difference, NAMES)


def test_other_initial_weights_are_a_difference_of_networks() -> None:
    difference = between("resnet50", **{"init.last_norm.weight": 0})
    assert not difference.networks_equal
    assert len(difference.nodes.changed) == 16
    assert {*difference.nodes.changed["layer1.0.bn3"]} == {"init of weight"}
    assert not difference.keys


def test_another_input_size_changes_shapes_alone() -> None:
    difference = between("resnet50", **{"input.size": [160, 160]})
    assert not difference.nodes.changed
    assert "layer4.2.conv3" in difference.nodes.reshaped
    assert "fc" not in difference.nodes.reshaped
    assert difference.interface == {"input": ("3 x 224 x 224", "3 x 160 x 160")}
    assert not difference.keys


def test_outputs_and_outputs_in_training() -> None:
    names = {"outputs": "[layer3, layer4]", "head": "none"}
    difference = between("resnet50", **names)
    assert difference.interface["outputs"] == (
        "fc 1000", "layer3.5.act3 1024 x 14 x 14, layer4.2.act3 2048 x 7 x 7"
    )  # fmt: skip
    named = between("resnet50", outputs="{logits: fc}")
    assert named.interface == {"outputs": ("fc 1000", "logits: fc 1000")}
    swapped = between("googlenet", train_outputs="[aux1, aux2]")
    assert swapped.interface.keys() == {"outputs in training"}
    assert not swapped.nodes


def test_no_attribute_has_the_name_of_another_property() -> None:
    words = {
        "op",
        "inputs",
        "as",
        RESULT_SHAPE,
        "in training only",
        "init of weight",
        "init of bias",
    }
    assert not [op for op, each in OPS.items() if words & each.attributes.keys()]


@pytest.mark.parametrize("spec", HARD, ids=str)
def test_every_node_and_key_is_in_the_summary(spec: str | Path) -> None:
    compiled = compile_spec(spec)
    seen = summarize(compiled)
    assert [*seen.properties] == [node.name for node in compiled.checked_graph.nodes]
    assert [*seen.keys.items()] == [*state_dict(compiled.checked_graph).items()]


def test_initial_weights_by_role_apply_in_blocks_and_networks() -> None:
    """In every block, and among the network's own nodes."""
    difference = summarize(
        compile_spec("preact_resnet50", **{"init.classifier.weight": "xavier_normal"})
    )
    starts = {name for name, facts in difference.properties.items() if "xavier" in str(facts)}
    assert starts == {"head.fc"}


# --- data


@pytest.mark.parametrize("other", ["alexnet", "resnet18_1d", *OURS], ids=str)
def test_data_is_json_and_unfolded(other: str | Path) -> None:
    before, after = compile_spec("resnet50"), compile_spec(other)
    data = json.loads(as_json(as_data(diff(before, after))))
    assert (data["equal"], data["networks_equal"]) == (False, False)
    for side, compiled in (("before", before), ("after", after)):
        assert data[side]["params"] == compiled.cost.params
        assert data[side]["input"] == list(compiled.network.input.shape)
    assert len(data["nodes_removed"]) <= len(before.checked_graph.nodes)
    gone = {each["key"] for each in data["keys_removed"]}
    assert gone == state_dict(before.checked_graph).keys() - state_dict(after.checked_graph).keys()
    macs = next(each for each in data["cost"] if each["name"] == "macs")
    assert macs["difference"] == after.cost.macs - before.cost.macs


def test_data_of_a_changed_node_has_both_values() -> None:
    data = as_data(between("resnet50", **{"block.groups": 32, "block.base_width": 4}))
    changed = {each["name"]: each["facts"] for each in data["nodes_changed"]}
    assert {"name": "groups", "before": 1, "after": 32} in changed["layer1.0.conv2"]


# --- text


def text(before: str, after: str, **settings: object) -> str:
    return as_text(diff(compile_spec(before), compile_spec(after, **settings)), NAMES)


def test_the_headline() -> None:
    def first(*specs: Compiled) -> str:
        return headline(diff(*specs), NAMES)

    resnet50, costs = compile_spec("resnet50"), "25.56 M -> 31.14 M parameters (+21.9 %)"
    deeper = compile_spec("resnet50", **{"layer3.blocks": 11})
    assert first(resnet50, deeper).startswith(f"a -> b: 5 more blocks in layer3; {costs}, 4.09 G")
    one_less = compile_spec("resnet50", **{"layer3.blocks": 5, "shortcut": "projection_all"})
    assert first(resnet50, one_less).startswith(
        "a -> b: 1 fewer block in layer3, shortcut projection -> projection_all; "
    )
    longer = compile_spec("resnet50", **{f"layer{at}.blocks": 8 for at in (1, 2, 3, 4)})
    assert "16 more blocks in 4 stages" in first(resnet50, longer)
    assert "without layer4" in first(resnet50, compile_spec("resnet50", layer4=None))
    mid = compile_spec("resnet50", **{"stages.mid": "{blocks: 2, width: 8, after: layer2}"})
    assert "with a new mid" in first(resnet50, mid)
    zeroed = compile_spec("resnet50", **{"init.last_norm.weight": 0})
    assert first(resnet50, zeroed) == (
        "a -> b: init {last_norm: {weight: 0}};"
        " 25.56 M parameters as before, 4.09 G multiply-adds as before"
    )
    assert "changes of class, stem, block, ..." in first(resnet50, compile_spec("googlenet"))


def test_repeated_lines_are_merged() -> None:
    lines = text("resnet50", "resnet101").splitlines()
    assert (
        "+  layer3.6-22                            17 x (3 convolution, 3 batch_norm, 3 relu, add)"
        in lines
    )
    assert "+  layer3.6-22  17 x 18 tensors" in lines
    assert len(lines) < 24
    output = text("resnet50", "resnet50", **{"block.attention": "squeeze_excite"})
    assert (
        "layer1.0-2.add, layer2.0-3.add, layer3.0-5.add, layer4.0-2.add  reads se.scale, not bn3"
        in output
    )


def test_the_text_of_a_deep_network_is_short() -> None:
    assert len(text("resnet1202", "resnet110").splitlines()) < 40


def test_long_lists_are_cut_and_say_so() -> None:
    output = text("resnet50", "googlenet")
    assert max(len(part.splitlines()) for part in output.split("\n\n")) <= MAX_ROWS + 2
    assert "more; `--format json` has all" in output


@pytest.mark.parametrize("spec", [*HARD, "alexnet"], ids=str)
def test_markdown_has_the_same_rows(spec: str | Path) -> None:
    difference = diff(compile_spec("resnet50"), compile_spec(spec))
    rows = [line for line in as_markdown(difference, NAMES).splitlines() if line.startswith("|")]
    parts = as_text(difference, NAMES).split("\n\n")[1:]
    assert len(rows) == sum(len(part.strip("\n").splitlines()) + 1 for part in parts)
    assert {len(line.replace("\\|", "").split("|")) for line in rows} <= {5, 7, 9}


def test_heads_are_names_unless_they_are_long_or_equal() -> None:
    assert NetworkNames("resnet50", "mine").heads == ("resnet50", "mine")
    assert NetworkNames("resnet50", "resnet50").heads == ("before", "after")
    assert NetworkNames("resnet50", "x" * 40).heads == ("before", "after")


# --- whole modules


def test_whole_modules() -> None:
    names = ["a.0.x", "a.0.y", "a.1.x", "b"]
    assert dict(whole_modules(names[:2], names)) == {"a.0": names[:2]}
    assert dict(whole_modules(["a.0.x", "b"], names)) == {"a.0.x": ["a.0.x"], "b": ["b"]}
    assert dict(whole_modules(names, names)) == {"": names}
    assert not dict(whole_modules([], names))


def test_as_few_keys_as_possible_are_moved() -> None:
    assert _longest_increasing([]) == []
    assert _longest_increasing([0, 1, 2]) == [0, 1, 2]
    assert _longest_increasing([3, 0, 1, 2]) == [0, 1, 2]
    assert len(_longest_increasing([4, 0, 3, 1, 2])) == 3


def test_library_networks_differ_from_each_other() -> None:
    """Each one from the next, with a headline of one line."""
    names = [path.stem for path in library.network_files()][::9]
    for one, other in pairwise(names):
        difference = diff(compile_spec(one), compile_spec(other))
        assert not difference.networks_equal
        assert "\n" not in headline(difference, NAMES)
