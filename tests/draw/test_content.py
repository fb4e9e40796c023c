"""What a drawing shows: every stage, every distinct block, every skip, and what they cost."""

from __future__ import annotations

import re

import pytest
from draw.drawing import Drawing, Group
from draw.networks import LIBRARY, compiled, drawing, drawn

from resnetgen.compiler.analysis.rows import rows_by_stage
from resnetgen.compiler.ir.nodes import OpCall
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.infer_types import op_counts
from resnetgen.compiler.passes.module_paths import numbered_paths
from resnetgen.pipeline import compile_spec
from resnetgen.reports.numbers import rounded
from resnetgen.reports.plotting.svg import DARK, LIGHT


@pytest.mark.parametrize("name", LIBRARY)
def test_every_stage_is_named_with_its_cost(name: str) -> None:
    typed = compiled(name).typed
    stages = {group.tip.partition("\n")[0]: group.texts for group in drawing(name).of("stage")}
    bare = {step.node.key for step in typed.nodes if step.node.op and not step.node.group}
    for row in rows_by_stage(typed):
        if row.name not in bare and (row.cost.params or row.cost.macs):
            assert f"{rounded(row.cost.params)} parameters" in stages[row.name]
            assert f"{rounded(row.cost.macs)} multiply-adds" in stages[row.name]


@pytest.mark.parametrize("name", LIBRARY)
def test_every_op_of_the_network_itself_has_a_cell(name: str) -> None:
    typed = compiled(name).typed
    tips = {group.tip.partition("\n")[0] for group in drawing(name).of("cell")}
    for step, paths in zip(typed.nodes, numbered_paths(typed.instance.nodes), strict=True):
        if step.node.op:
            assert paths[0] in tips


@pytest.mark.parametrize("name", [*LIBRARY, "nested", "dense", "pyramid"])
def test_blocks_in_a_row_are_folded_and_each_has_a_panel(name: str) -> None:
    found = drawing(name)
    panels = [group.tip for group in found.of("panel")]
    assert sorted(group.tip for group in found.of("block")) == sorted(panels)
    for step in compiled(name).typed.nodes:
        in_place = [group.tip for group in found.of("cell")]
        for path in step.node.paths[:1] if step.blocks else ():
            assert any(tip.startswith(path) for tip in [*panels, *in_place]), path


def test_the_counts_of_folded_blocks_add_up() -> None:
    for name, total in (("resnet18", 8), ("resnet152", 50), ("resnet1202", 600), ("resnet26t", 8)):
        titles = [group.texts[0] for group in drawing(name).of("block")]
        counts = [re.match(r"(\d+) × ", title) for title in titles]
        assert sum(int(match[1]) if match else 1 for match in counts) == total


@pytest.mark.parametrize("name", [*LIBRARY, "nested", "dense", "tangle"])
def test_every_distinct_convolution_is_in_a_cell(name: str) -> None:
    cells = [group.texts[0] for group in drawing(name).of("cell") if group.texts]
    convolutions = {
        (call.attributes["kernel"], call.attributes["out"], len(step.source.size))
        for step, _ in op_counts((step, 1) for step in compiled(name).typed.nodes)
        if isinstance(call := step.node.callee, OpCall) and call.name == "convolution"
    }
    assert convolutions
    for kernel, out, axes in convolutions:
        taps = kernel if isinstance(kernel, tuple) else (kernel,) * axes
        wanted = rf"conv {'×'.join(map(str, taps))}, {out}(,.*)?"
        assert any(re.fullmatch(wanted, cell) for cell in cells), wanted


def residual(panel: Group) -> bool:
    return "+" in panel.texts


@pytest.mark.parametrize("name", LIBRARY)
def test_every_shortcut_is_an_arc_outside_and_inside(name: str) -> None:
    found = drawing(name)
    panels = {group.tip: group for group in found.of("panel")}
    repeats = {tip: group for group in found.of("repeat") for tip in [_tip_of(found, group)]}
    for tip, panel in panels.items():
        assert residual(panel) == ("skip" in panel.lines), tip
        assert residual(panel) == ("skip" in repeats[tip].lines), tip
    adds = any(
        step.node.op and step.node.op.name == "add"
        for step, _ in op_counts((step, 1) for step in compiled(name).typed.nodes)
    )
    assert adds == any(map(residual, panels.values()))


def _tip_of(found: Drawing, repeat: Group) -> str:
    """The tip of the block in a group of blocks in a row."""
    return next(group.tip for group in found.of("block") if group.number > repeat.number)


def test_a_projection_is_a_box_on_its_arc() -> None:
    tags = [group.texts for group in drawing("resnet50").of("tag")]
    assert tags == [("projection",)] * 4
    tags = [group.texts for group in drawing("resnet20").of("tag")]
    assert tags == [("zero pad",)] * 2
    assert not drawing("plain20").of("tag")


def test_shapes_are_shown_where_they_change() -> None:
    words = drawing("resnet18").words
    for shape in (
        "64 × 112 × 112",
        "64 × 56 × 56",
        "128 × 28 × 28",
        "256 × 14 × 14",
        "512 × 7 × 7",
    ):
        assert shape in words
    assert "input: 3 × 224 × 224" in words
    assert "output: 1000" in words


def test_what_varies_along_a_stage_is_a_range() -> None:
    words = drawing("dense").words
    assert "6 × dense layer" in words
    assert "64–224 × 56 × 56" in words
    assert "96–256 × 56 × 56" in words
    stochastic = compile_spec("resnet50", **{"block.drop_path": "0.1 * position / (total - 1)"})
    words = drawn(stochastic).words
    assert "5 × bottleneck" in words
    assert "drop path 0.053–0.08" in words


def test_a_stride_is_not_folded_away() -> None:
    titles = [group.texts[0] for group in drawing("plain20").of("block")]
    assert titles == ["3 × basic", "basic", "2 × basic", "basic", "2 × basic"]


def test_blocks_of_blocks_have_panels_of_their_own() -> None:
    names = [group.texts[0] for group in drawing("nested").of("panel")]
    assert names == ["once", "once.inner.0-3", "thrice.0-2", "thrice.0.inner.0-1"]


def test_skips_of_a_network_run_in_lanes() -> None:
    found = drawing("pyramid")
    turned = [box for box in found.texts if box.kind == "shape" and box.right - box.left < 10]
    assert [box.text for box in turned] == ["64 × 14 × 14", "64 × 28 × 28", "64 × 56 × 56"]


def test_what_only_training_needs_is_dashed() -> None:
    found = drawing("googlenet")
    dashed = [line for group in found.of("wire") for line in group.lines if "training" in line]
    assert len(dashed) == 4  # to two classifiers, and from them
    assert all(
        "training" not in line for group in drawing("vgg19").of("wire") for line in group.lines
    )


def test_every_output_is_named() -> None:
    words = drawing("pyramid").words
    assert {"out1: 64 × 56 × 56", "out2: 64 × 28 × 28", "out3: 64 × 14 × 14"} <= set(words)


def test_every_kind_of_op_has_a_colour_in_both_schemes() -> None:
    kinds = {definition.kind for definition in OPS.values()}
    assert kinds <= set(LIGHT.kinds)
    assert list(LIGHT.kinds) == list(DARK.kinds)


def test_the_legend_has_what_occurs() -> None:
    legend = drawing("vgg19").words[-6:]
    assert legend == [
        "convolution",
        "linear",
        "activation",
        "resampling",
        "regularisation",
        "other",
    ]
