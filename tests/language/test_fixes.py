"""`check --fix`: what is edited, what stays, and when nothing is fixed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from resnetgen import SpecError
from resnetgen.compiler.diagnostics.model import Diagnostic, Source
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.autofix import apply_fixes, is_typo
from resnetgen.compiler.frontend.yaml_reader import parse
from resnetgen.pipeline import compile_document

HEAD = "network: mine\ninput: {channels: 3, size: [32, 32]}\n"
DERIVED = "network: mine\nextends: resnet50\n"
ERRORS = Path(__file__).resolve().parents[1] / "errors"
WARNINGS = ERRORS.parent / "warnings"


def find(text: str) -> Sequence[Diagnostic]:
    """The errors of a text, else its warnings."""
    try:
        compiled = compile_document(library.complete(parse(Source("mine.yaml", text)), (), {}))
        _ = compiled.checked_graph, compiled.plan
    except SpecError as error:
        return error.diagnostics
    return compiled.warnings


def fix(text: str) -> str:
    return apply_fixes(text, "mine.yaml", find)


@pytest.mark.parametrize(
    ("written", "meant", "slip"),
    [
        ("widht", "width", True),
        ("stags", "stages", True),
        ("shortcuts", "shortcut", True),
        ("outs", "out", True),
        ("Stride", "stride", True),
        ("kernal", "kernel", True),
        ("projekt", "projection", False),
        ("conv2", "conv1", False),
        ("layer", "layer1", False),
        ("ot", "out", False),
        ("width", "depth", False),
        ("abba", "baab", False),
    ],
)
def test_a_slip_is_one_letter_or_two_swapped(written: str, meant: str, slip: bool) -> None:
    assert is_typo(written, meant) is slip


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("stemm: cifar\n", "stem: cifar\n"),
        (
            "nodes: {conv: {op: conv, out: 8, kernal: 3}}  # kernal\n",
            "nodes: {conv: {op: conv, out: 8, kernel: 3}}  # kernal\n",
        ),
        ('nodes: {conv: {op: "conv", out: 8, kernel: 3}, a: {op: rellu}}\n', None),
        (
            "let: {inner: 8}\nnodes:\n  conv: {op: conv, out: 4 * innner, kernel: 3}\n",
            "let: {inner: 8}\nnodes:\n  conv: {op: conv, out: 4 * inner, kernel: 3}\n",
        ),
        (
            "nodes:\n  conv: {op: conv, out: max(8, in_channels), kernel: 3}   # wide\n",
            'nodes:\n  conv: {op: conv, out: "max(8, in_channels)", kernel: 3}   # wide\n',
        ),
    ],
)
def test_what_leaves_no_doubt_is_corrected_where_it_stands(wrong: str, right: str | None) -> None:
    right = right or wrong.replace("rellu", "relu")
    if "nodes" not in wrong:
        rest = "nodes: {conv: {op: conv, out: 8, kernel: 3}}\n"
        wrong, right = wrong + rest, right + rest
    assert fix(HEAD + wrong) == HEAD + right
    assert not find(HEAD + right)


def test_errors_that_a_fix_reveals_are_fixed_too() -> None:
    text = (
        HEAD
        + "stemm: cifar\nblock: basik\nshortcut: projecton\nstages: {a: {blocks: 1, widht: 8}}\n"
    )
    assert not find(fix(text))


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "nodes: {a: {op: fourier, out: 8, kernel: 3}}\n",  # far from any word
        HEAD + "nodes: {conv1: {op: conv, out: 8, kernel: 3}, a: {op: act, inputs: conv2}}\n",
        HEAD + "nodes:\n\tconv: {op: conv, out: 8, kernel: 3}\n",  # how wide is the tab?
        HEAD + "nodes: {conv: {op: conv, out: 8, kernel: 3}, drop: {op: dropout, rate: 1}}\n",
        HEAD + "stemm: {nodes: {a: {op: add, inputs: [x, y]}}}\n",  # hides a worse error
        HEAD + "{",
        "",
    ],
)
def test_what_needs_a_choice_is_left_alone(text: str) -> None:
    assert fix(text) == text


# --- what is taken out


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("stages: {layer1: {blocks: 3}}\n", ""),
        ("stages: {layer1: {blocks: 3}, layer2: {blocks: 5}}\n", "stages: {layer2: {blocks: 5}}\n"),
        ("stages: {layer2: {blocks: 5}, layer1: {blocks: 3}}\n", "stages: {layer2: {blocks: 5}}\n"),
        (
            "stages:\n  # as before\n  layer1:\n    blocks: 3  # three\n\n  # more\n  layer2: {blocks: 5}\n",
            "stages:\n  # as before\n\n  # more\n  layer2: {blocks: 5}\n",
        ),
        (
            'block: {op: bottleneck, attention: {op: squeeze_excite, ratio: "1 / 8"}}\nclass: ResNet\n',
            'block: {op: bottleneck, attention: {op: squeeze_excite, ratio: "1 / 8"}}\n',
        ),
        (
            "stages:\n  layer2: {blocks: 5}\n  layer1: {blocks: 3}",
            "stages:\n  layer2: {blocks: 5}\n",
        ),
        ("allow: [unused-name, repeated-op]\nlet: {a: 1}\n", "allow: [unused-name]\nlet: {a: 1}\n"),
        (
            "allow:\n  - repeated-op\n  - unused-name\nlet: {a: 1}\n",
            "allow:\n  - unused-name\nlet: {a: 1}\n",
        ),
        ("allow: [repeated-op]\nblock: {groups: 2}\n", "block: {groups: 2}\n"),
        (
            "block: {groups: 2}\nstages: {layer1: {groups: 2, blocks: 4}}\n",
            "block: {groups: 2}\nstages: {layer1: {blocks: 4}}\n",
        ),
    ],
)
def test_what_has_no_effect_is_taken_out_with_nothing_else(text: str, left: str) -> None:
    assert fix(DERIVED + text) == DERIVED + left
    assert not find(DERIVED + left)
    assert meaning(DERIVED + text) == meaning(DERIVED + left)


def meaning(text: str) -> object:
    compiled = compile_document(library.complete(parse(Source("mine.yaml", text)), (), {}))
    return [
        (node.name, node.op, node.attributes, node.type) for node in compiled.checked_graph.nodes
    ]


def test_a_bias_before_a_norm_is_taken_out() -> None:
    text = (
        HEAD
        + "nodes:\n  conv: {op: conv, out: 8, kernel: 3, bias: true}  # why\n  bn: {op: norm}\n"
    )
    assert fix(text) == text.replace(", bias: true", "")


def test_a_stage_that_only_repeats_an_argument_stays_a_stage() -> None:
    text = HEAD + "block: {op: conv_norm_act, out: 8, kernel: 3}\nstages: {a: {out: 8}, b: {}}\n"
    assert [each.code for each in find(text)] == ["repeated-argument"]
    assert fix(text) == text


def test_an_entry_over_several_lines_of_a_flow_map_is_left() -> None:
    text = DERIVED + "stages: {\n  layer2: {blocks: 5},\n  layer1: {blocks: 3}\n}\n"
    assert [each.code for each in find(text)] == ["redundant-override"]
    assert fix(text) == text


# --- all of it


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_the_mark_of_the_file_stay(ending: str, mark: str) -> None:
    def form(text: str) -> str:
        return mark + text.replace("\n", ending)

    text = DERIVED + "# one\nclass: ResNet\nblock: {gruops: 2}\n"
    left = DERIVED + "# one\nblock: {groups: 2}\n"
    assert fix(form(text)) == form(left)


@pytest.mark.parametrize(
    "path", sorted([*ERRORS.glob("*.yaml"), *WARNINGS.glob("*.yaml")]), ids=lambda path: path.stem
)
def test_a_fix_reduces_what_is_reported_and_is_made_once(path: Path) -> None:
    text = path.read_bytes().decode(errors="replace")
    after = fix(text)
    assert fix(after) == after
    if after != text:
        counts = [
            [sum(each.severity == kind for each in find(one)) for kind in ("error", "warning")]
            for one in (after, text)
        ]
        assert counts[0] < counts[1]


def test_an_error_in_another_file_is_not_fixed() -> None:
    text = HEAD + "nodes: {conv: {op: conv, out: 8, kernal: 3}}\n"
    assert apply_fixes(text, "other.yaml", find) == text
