"""The depth of networks, and the repeats for a depth or within a budget."""

from __future__ import annotations

import re
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetgen.compiler.analysis.depth import depth
from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.instantiate import instantiate
from resnetgen.pipeline import Compiled, compile_spec, compile_text
from resnetgen.variants.depth_rule import DEEPEST, DepthRule
from resnetgen.variants.repeats import (
    Budget,
    DepthFamily,
    choose_by_depth,
    choose_within,
    depth_family,
    neighbours,
    with_repeats,
)

SPECS = Path(__file__).resolve().parents[1] / "specs"

# --- depth

# The number in the name, and the depth, where papers count otherwise.
COUNTED_OTHERWISE = {
    # 6n + 4: the three projections count, the classifier does not (arXiv 1605.07146).
    "wide_resnet16_8": (16, 14),
    "wide_resnet28_10": (28, 26),
    "wide_resnet40_4": (40, 38),
    # The three convolutions of its stem count (arXiv 1709.01507).
    "senet154": (154, 152),
    # 4-29-53-4 and 4-44-87-4 bottlenecks: 3n + 2 is not what they are called (arXiv 2103.07579).
    "resnetrs270": (270, 272),
    "resnetrs420": (420, 419),
    # 3-24-36-4 bottlenecks, likewise.
    "seresnextaa201d_32x8d": (201, 203),
}
STATED = re.compile(r"(?:(?<=[a-z])|(?<=v2_)|(?<=3d_))\d{2,4}")
NAMED = {
    path.stem: int(found[0])
    for path in library.network_files()
    if (found := STATED.search(path.stem))
}


@cache
def compiled(name: str) -> Compiled:
    return compile_spec(name)


@cache
def family(name: str) -> DepthFamily:
    return depth_family(compiled(name))


def test_most_names_state_a_depth() -> None:
    assert len(NAMED) > 120
    assert NAMED["resnetv2_101"] == 101
    assert NAMED["resnet1202_b"] == 1202


@pytest.mark.parametrize("name", NAMED)
def test_networks_are_as_deep_as_their_names_say(name: str) -> None:
    stated, layers = COUNTED_OTHERWISE.get(name, (NAMED[name], NAMED[name]))
    assert NAMED[name] == stated
    assert depth(compiled(name).root) == layers


def counted(network: Compiled) -> int:
    """The depth computed otherwise: weighted ops of the flat graph by the paths of their modules."""
    stages = {node.key for node in network.network.root.nodes if node.stage}
    paths = [
        node.module.split(".") for node in network.checked_graph.nodes if OPS[node.op].is_weighted
    ]
    main = [path for path in paths if not {"downsample", "se"} & set(path)]
    stem = next(at for at, path in enumerate(main) if path[0] in stages)
    assert stem
    return len(main) - stem + 1


@pytest.mark.parametrize(
    "name", ["resnet50d", "seresnet50", "ecaresnet50t", "preact_resnet164", "resnet1202"]
)
def test_the_depth_is_that_of_the_flat_graph_without_stem_shortcuts_and_attention(
    name: str,
) -> None:
    assert depth(compiled(name).root) == counted(compiled(name))


HEAD = """\
network: net
input: {channels: 3, size: [32, 32]}
"""


@pytest.mark.parametrize(
    ("nodes", "layers"),
    [
        # a join: the longest path
        ("a: {op: conv, out: 8, kernel: 3}, b: {op: conv, out: 8, kernel: 3}, "
         "c: {op: conv, inputs: x, out: 8, kernel: 3}, add: {op: add, inputs: [b, c]}", 2),
        # a gate, which is longer than what it gates
        ("a: {op: conv, out: 8, kernel: 3}, p: {op: global_avg_pool}, b: {op: conv, out: 4, kernel: 1}, "
         "c: {op: conv, out: 8, kernel: 1}, mul: {op: mul, inputs: [a, c]}", 1),
        # no layer at all
        ("a: {op: relu}", 0),
    ],
)  # fmt: skip
def test_joins_and_gates(nodes: str, layers: int) -> None:
    assert depth(compile_text(f"{HEAD}nodes: {{{nodes}}}\n").root) == layers


def test_a_block_of_two_inputs_repeats_after_the_longer_path() -> None:
    text = f"""{HEAD}
nodes:
  a: {{op: conv, out: 8, kernel: 3}}
  b: {{op: conv, out: 8, kernel: 3}}
  c: {{op: conv, out: 8, kernel: 3}}
  m: {{op: merge, inputs: [a, c], blocks: 4}}
define:
  merge:
    inputs: [x, skip]
    nodes:
      conv: {{op: conv, out: 8, kernel: 3}}
      add: {{op: add, inputs: [conv, skip]}}
"""
    # a 1, c 3; then max(1 + 1, 3), and a convolution in each of three more
    assert depth(compile_text(text).root) == 6


def test_of_several_outputs_the_deepest_counts() -> None:
    assert depth(compile_spec(SPECS / "resnet50_features.yaml").root) == 49
    assert depth(compile_spec(SPECS / "unet_resnet34.yaml").root) == 44
    assert depth(compiled("googlenet").root) == 22


# --- the rule


@pytest.mark.parametrize(
    ("base", "ladder"),
    [
        ((3, 4, 6, 3), {4: "1111", 5: "1121", 8: "2222", 11: "3332", 12: "3333", 13: "3343",
                        14: "3443", 15: "3453", 16: "3463", 17: "3473", 18: "3483"}),
        ((3, 3, 3), {3: "111", 4: "121", 5: "221", 8: "332", 9: "333", 10: "343", 11: "443"}),
        ((2,), {1: "1", 2: "2", 3: "3"}),
        ((5, 2), {2: "11", 3: "21", 4: "22", 5: "32", 7: "52", 8: "62"}),
    ],
)  # fmt: skip
def test_the_ladder(base: tuple[int, ...], ladder: dict[int, str]) -> None:
    rule = DepthRule(base, (3,) * len(base), 2)
    assert {count: "".join(map(str, rule.rung(count))) for count in ladder} == ladder


RULES = st.integers(1, 4).flatmap(
    lambda stages: st.builds(
        DepthRule,
        st.tuples(*[st.integers(1, 7)] * stages),
        st.tuples(*[st.integers(1, 6)] * stages),
        st.integers(0, 4),
    )
)


@given(RULES, st.integers(1, 60))
def test_a_rung_is_one_block_above_the_next(rule: DepthRule, more: int) -> None:
    low, high = rule.rung(len(rule.base) + more - 1), rule.rung(len(rule.base) + more)
    assert sum(high) == len(rule.base) + more
    assert sorted(b - a for a, b in zip(low, high, strict=True)) == [0] * (len(low) - 1) + [1]
    assert rule.rung(sum(rule.base)) == rule.base


@given(RULES)
def test_a_depth_has_repeats_exactly_if_some_add_up_to_it(rule: DepthRule) -> None:
    most = rule.least + 14
    counts = (range(1, 2 + 14 // layers) for layers in rule.layers)
    reachable = {rule.depth(repeats) for repeats in product(*counts)}
    for wanted in range(most):
        found = rule.repeats(wanted)
        assert (found is not None) == (wanted in reachable)
        assert found is None or (rule.depth(found) == wanted and min(found) > 0)
    assert rule.repeats(rule.depth(rule.base)) == rule.base


@given(RULES, st.integers(0, DEEPEST))
def test_the_neighbours_of_a_depth_are_the_nearest(rule: DepthRule, wanted: int) -> None:
    below, above = rule.below(wanted), rule.above(wanted)
    assert rule.repeats(above)
    assert not any(map(rule.reaches, range(wanted + 1, above)))
    assert not any(map(rule.reaches, range((below or 0) + 1, wanted)))
    assert (below is None) == (wanted <= rule.least)


# --- families

FAMILIES = {
    "resnet18": (2, 2, 10),  # layers a block, besides, at least
    "resnet50": (3, 2, 14),
    "resnet20": (2, 2, 8),
    "preact_resnet164": (3, 2, 11),
    "preact_resnet18": (2, 2, 10),
    "seresnet50": (3, 2, 14),
    "resnet50d": (3, 2, 14),
    "vgg19": (1, 3, 8),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_depth_of_the_right_form_can_be_reached(name: str) -> None:
    layers, besides, least = FAMILIES[name]
    for wanted in range(8, 1203):
        choice = family(name).choice(wanted)
        assert (choice is not None) == (wanted >= least and (wanted - besides) % layers == 0)
        if choice:
            assert layers * sum(choice.repeats) + besides == wanted == choice.depth


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_choice_for_a_depth_has_that_depth(name: str) -> None:
    layers, _, least = FAMILIES[name]
    for wanted in range(least, 1203, 23 * layers):
        choice = choose_by_depth(family(name), wanted)
        changes = family(name).changes(choice.repeats)
        network = with_repeats(compiled(name).network, changes)
        assert depth(instantiate(network)) == wanted
        by_override = {f"{stage}.blocks": count for stage, count in changes.items()}
        if wanted < 200:
            found = compile_spec(name, **by_override)
            assert family(name).cost(choice.repeats) == found.cost
            if name != "vgg19":  # whose paths do not name its stages
                assert counted(found) == wanted


@pytest.mark.parametrize(
    ("base", "wanted", "repeats", "published"),
    [
        ("resnet50", 101, "3-4-23-3", "resnet101"),
        ("resnet50", 152, "3-8-36-3", "resnet152"),
        ("resnet152", 50, "3-4-6-3", "resnet50"),
        ("resnet18", 34, "3-4-6-3", "resnet34"),
        ("resnet20", 110, "18-18-18", "resnet110"),
        ("resnet20_b", 110, "18-18-18", "resnet110_b"),
        ("seresnet50", 152, "3-8-36-3", "seresnet152"),
        ("preact_resnet164", 1001, "111-111-111", "preact_resnet1001"),
        ("resnetrs50", 350, "4-36-72-4", "resnetrs350"),  # with another size of the input
        ("vgg16", 19, None, "vgg19"),
        ("resnet50", 50, "3-4-6-3", None),
        ("resnet50", 77, "3-4-15-3", None),
        ("resnet50", 23, "2-2-2-1", None),
        ("resnet20", 40, "6-7-6", None),
    ],
)
def test_published_repeats_come_before_the_rule(
    base: str, wanted: int, repeats: str | None, published: str | None
) -> None:
    choice = choose_by_depth(family(base), wanted)
    assert choice.published == published
    assert repeats is None or str(choice) == repeats


def test_other_blocks_have_no_published_repeats() -> None:
    assert (
        choose_by_depth(
            depth_family(compile_spec("resnet50", **{"block.groups": 2})), 152
        ).published
        is None
    )
    assert choose_by_depth(family("wide_resnet28_10"), 38).published is None  # other widths
    headless = depth_family(
        compile_spec("resnet50", **{"head.classes": 10, "input.size": [64, 64]})
    )
    assert choose_by_depth(headless, 152).published == "resnet152"


def test_a_local_block_is_not_that_of_the_library(tmp_path: Path) -> None:
    spec = tmp_path / "mine.yaml"
    spec.write_text("network: mine\nextends: resnet50\n", encoding="utf-8")
    assert choose_by_depth(depth_family(compile_spec(spec)), 152).published == "resnet152"
    (tmp_path / "blocks").mkdir()
    text = "block: bottleneck\nextends: bottleneck\nparams: {expansion: 2}\n"
    (tmp_path / "blocks" / "bottleneck.yaml").write_text(text, encoding="utf-8")
    choice = choose_by_depth(depth_family(compile_spec(spec)), 152)
    assert (str(choice), choice.published) == ("3-4-40-3", None)


MIXED = """\
network: mixed
input: {channels: 3, size: [32, 32]}
stem: cifar
shortcut: projection
stages:
  a: {op: basic, blocks: 2, width: 16}
  b: {op: bottleneck, blocks: 4, width: 16, stride: 2}
  c: {op: basic, blocks: 2, width: 64, stride: 2}
head: {classes: 10}
"""


def test_blocks_of_different_depth_add_up() -> None:
    base = compile_text(MIXED)
    mixed = depth_family(base)
    assert mixed.rule == DepthRule((2, 4, 2), (2, 3, 2), 2)
    reached = {wanted: choose_by_depth(mixed, wanted) for wanted in range(11, 60)}
    assert str(reached[22]) == "2-4-2"
    assert str(reached[25]) == "2-5-2"
    assert str(reached[24]) == "3-4-2"  # the rest of two layers is a block of `a`
    for wanted, choice in reached.items():
        network = with_repeats(base.network, mixed.changes(choice.repeats))
        assert depth(instantiate(network)) == wanted
    with pytest.raises(SpecError, match=r"(?s)2 in `a`, 3 in `b`, 2 in `c`.* 9 \(1-1-1\) and 11 "):
        choose_by_depth(mixed, 10)


# --- errors


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("a: {width: 8}", "the stage `a` has no `blocks:`"),
        ("a: {blocks: 1 + 1, width: 8}", "`blocks` of `a` is an expression"),
    ],
)
def test_a_stage_without_a_number_is_an_error(stages: str, message: str) -> None:
    text = f"{HEAD}stages: {{{stages}}}\nblock: basic\nshortcut: projection\n"
    with pytest.raises(SpecError) as caught:
        depth_family(compile_text(text))
    (error,) = caught.value.diagnostics
    assert error.code == "fixed-repeats"
    assert error.message.startswith(message)
    assert error.span
    assert depth_family(compile_text(text, **{"a.blocks": 2})).rule.base == (2,)


def test_a_network_without_stages_is_an_error() -> None:
    with pytest.raises(SpecError, match="`alexnet` has no stages"):
        family("alexnet")


def test_stages_without_layers_are_an_error() -> None:
    text = f"""{HEAD}
stages: {{a: {{op: scaled, blocks: 2}}}}
define: {{scaled: {{nodes: {{act: {{op: relu}}}}}}}}
"""
    with pytest.raises(SpecError, match="no stage of `net` is on its longest path"):
        depth_family(compile_text(text))


def test_stages_without_layers_keep_their_repeats() -> None:
    text = f"""{HEAD}
block: basic
shortcut: projection
stages:
  a: {{blocks: 2, width: 8}}
  b: {{op: scaled, blocks: 5}}
  c: {{blocks: 2, width: 8}}
define: {{scaled: {{nodes: {{norm: {{op: norm}}}}}}}}
"""
    base = compile_text(text)
    found = depth_family(base)
    assert found.stages == ("a", "c")
    assert found.changes(choose_by_depth(found, 16).repeats) == {"a": 4, "c": 4}


@pytest.mark.parametrize("wanted", [3, 8, 51, 1201])
def test_the_error_for_an_unreachable_depth_has_the_nearest(wanted: int) -> None:
    with pytest.raises(SpecError) as caught:
        choose_by_depth(family("resnet50"), wanted)
    (error,) = caught.value.diagnostics
    assert error.code == "unreachable-depth"
    assert "3n + 2" in error.notes[0].text
    nearest = [int(number) for number in re.findall(r"(\d+) \(", error.help or "")]
    assert nearest == {3: [14], 8: [14], 51: [50, 53], 1201: [1199, 1202]}[wanted]


# --- budgets


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20", "seresnet50", "vgg16"])
@pytest.mark.parametrize("figure", ["macs", "params"])
def test_a_budget_is_met_to_the_unit(name: str, figure: str) -> None:
    base, budget = family(name), Budget(figure, 0)
    for wanted in (base.rule.least, 40, 110):
        choice = choose_by_depth(base, base.rule.above(wanted - 1))
        cost = budget.of(base.cost(choice.repeats))
        found = choose_within(base, Budget(figure, cost))
        assert budget.of(base.cost(found.repeats)) <= cost
        assert found.depth >= choice.depth
        below, above = neighbours(base, found.depth)
        assert above
        assert budget.of(base.cost(above.repeats)) > cost
        if below:
            tight = budget.of(base.cost(found.repeats)) - 1
            assert choose_within(base, Budget(figure, tight)).depth < found.depth


def test_published_repeats_over_the_budget_are_skipped() -> None:
    base = family("resnet50")
    ours, theirs = base.cost((3, 4, 40, 3)), base.cost((3, 8, 36, 3))
    assert ours.params > theirs.params  # by rule, 152 layers would be beyond this budget
    assert choose_within(base, Budget("params", theirs.params)).published == "resnet152"
    found = choose_within(base, Budget("params", theirs.params - 1))
    assert (str(found), found.published) == ("3-4-37-3", None)
    assert base.cost((3, 4, 38, 3)).params > theirs.params


def test_a_budget_under_the_shallowest_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        choose_within(family("resnet50"), Budget("macs", 1e9))
    (error,) = caught.value.diagnostics
    assert error.code == "over-budget"
    assert error.notes[0].text == "with 14 layers (1-1-1-1), the fewest, it has 1.469 G"


def test_a_budget_without_end_is_told() -> None:
    with pytest.raises(SpecError, match="a network of 10,000 layers is within"):
        choose_within(family("resnet20"), Budget("params", 1e17))
