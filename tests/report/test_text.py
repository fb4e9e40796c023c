"""Columns, numbers, and the elaborated network as text."""

from __future__ import annotations

import pytest

from resnetgen.compiler.frontend import library
from resnetgen.pipeline import compile_spec, compile_text
from resnetgen.reports.numbers import rounded
from resnetgen.reports.show import show
from resnetgen.reports.table_layout import align

TINY = """\
network: tiny
doc: Two blocks.
input: {channels: 3, size: [32, 32]}
nodes: {conv1: {op: conv, out: 16, kernel: 3}, bn1: {op: norm}, act1: {op: act, as: relu}}
block: basic
shortcut: projection
stages: {layer1: {blocks: 3, width: 16}}
stem: cifar
head: {classes: 10}
"""
FREE = """\
network: free
input: {channels: 3, size: [8]}
nodes:
  a: {op: conv, out: 4, kernel: 1}
  b: {op: conv, inputs: x, out: 4, kernel: 3, stride: 2, padding: 1, bias: true}
  up: {op: resize, scale: 2}
  sum: {op: add, inputs: [a, up]}
outputs: {low: b, high: sum}
"""


def shown(text: str) -> str:
    compiled = compile_text(text)
    return show(compiled.network, compiled.typed)


def test_cells_stand_below_each_other() -> None:
    assert align([("name", "n"), ("a", "100")], "<>") == ["name    n", "a     100"]
    assert align([("a", "")], "<<") == ["a"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 K"),
        (252887040, "252.89 M"),
        (11513626624, "11.51 G"),
        (2 * 10**12, "2.00 T"),
    ],
)
def test_numbers_as_papers_write_them(number: int, text: str) -> None:
    assert rounded(number) == text


def test_show_of_a_free_graph() -> None:
    assert shown(FREE).splitlines() == [
        "free: 3 x 8 -> 4 x 4, 4 x 8; 56 parameters, 240 multiply-adds",
        "",
        "a    convolution  out 4, kernel 1, bias                    4 x 8",
        "b    convolution  out 4, kernel 3, stride 2, bias, from x  4 x 4",
        "up   resize       scale 2                                  4 x 8",
        "sum  add          from a, up                               4 x 8",
    ]


def test_show_has_stem_stages_and_head_then_the_blocks() -> None:
    compiled = compile_spec("resnet50")
    text = show(compiled.network, compiled.typed)
    top, *blocks = text.split("\n\n")[1:]
    assert [line for line in top.splitlines() if " " not in line] == ["stem", "head"]
    assert "bottleneck 1, 2 x bottleneck 2" in top
    assert [block.partition("  (")[0] for block in blocks][:3] == [
        "bottleneck 1: width 64",
        "bottleneck 2: width 64",
        "bottleneck 3: width 128, stride 2",
    ]
    assert "(layer2.1 reads 512 x 28 x 28; 280,064 parameters, 218.37 M multiply-adds)" in text
    assert "  downsample  identity     from x" in blocks[1]


def test_show_leaves_out_what_is_by_default() -> None:
    text = shown(FREE)
    assert "padding" not in text
    assert "dilation" not in text
    assert "kernel 3, stride 2, bias, from x" in text
    assert "from a, up" in text


def test_show_escapes_what_a_terminal_would_obey() -> None:
    spec = TINY.replace("Two blocks.", '"a\\u202eb"')
    try:
        text = shown(spec)
    except Exception:
        return  # refused by the reader, which is as good
    assert "\u202e" not in text


@pytest.mark.parametrize("path", library.network_files(), ids=lambda path: path.stem)
def test_every_network_of_the_library_is_shown(path) -> None:
    compiled = compile_spec(path)
    text = show(compiled.network, compiled.typed)
    assert text.startswith(f"{compiled.network.name}: {compiled.network.input} -> ")
