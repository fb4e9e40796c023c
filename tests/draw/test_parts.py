"""The parts of a drawing by themselves: widths of text, labels, paths, and the layout."""

from __future__ import annotations

import itertools

import pytest

from resnetgen.reports.draw.diagram import label_text, merge_labels, words
from resnetgen.reports.draw.layout import Size, arrange
from resnetgen.reports.plotting.svg import escaped, number, rounded_path
from resnetgen.reports.plotting.text_width import fit_text, text_width

BOX = Size(30, 30, 20)
JOIN = Size(8, 8, 16, join=True)


def test_a_wider_text_is_wider() -> None:
    assert (
        text_width("ill", 9) < text_width("abc", 9) < text_width("WWW", 9) < text_width("WWW", 10)
    )
    assert text_width("abc", 9) < text_width("abc", 9, bold=True)
    assert text_width("深い", 9) >= 2 * 9


@pytest.mark.parametrize("room", range(0, 120, 7))
def test_a_fitted_text_fits(room: int) -> None:
    text = fit_text("a sentence of some length", room, 9)
    assert text_width(text, 9) <= max(room, text_width("…", 9))
    assert text.endswith("…") or text == "a sentence of some length"


def test_labels_that_differ_in_numbers_alone_become_a_range() -> None:
    one, other = ("conv 3×3", ", ", (64, 64), ", /2"), ("conv 3×3", ", ", (256, 256), ", /2")
    assert words(one) == words(other)
    assert label_text(merge_labels(one, other)) == "conv 3×3, 64–256, /2"
    assert label_text(merge_labels(one, one)) == "conv 3×3, 64, /2"


def test_a_path_has_round_corners_no_larger_than_its_pieces() -> None:
    assert rounded_path([(0, 0), (0, 20), (30, 20)], 6) == "M0 0L0 14Q0 20 6 20L30 20"
    assert rounded_path([(0, 0), (0, 4), (30, 4)], 6) == "M0 0L0 2Q0 4 2 4L30 4"
    assert rounded_path([(5, 5), (5, 5)], 6) == "M5 5L5 5"


def test_coordinates_have_one_text() -> None:
    assert [number(value) for value in (1.0, -0.04, 2.25, 1e3)] == ["1", "0", "2.2", "1000"]


def test_what_xml_cannot_hold_is_spelt_out() -> None:
    assert escaped("a\0b\x1b<&\ud800\ufffe\n") == "a\\x00b\\x1b&lt;&amp;\\ud800\\ufffe\n"


def test_a_shortcut_runs_beside_what_it_goes_around() -> None:
    """0 -> 1 -> 2, and 0 -> 2."""
    layout = arrange([BOX, BOX, JOIN], [[], [0], [1, 0]], [2])
    assert layout.layers == (0, 1, 2)
    assert layout.x == (0, 0, 0)
    (skip,) = (route for route in layout.routes if route.passes)
    assert (skip.source, skip.target, skip.operand) == (0, 2, 1)
    assert max(x for x, _ in skip.points) > BOX.right
    x, y = skip.points[-1]
    assert (x, y) == (JOIN.right, layout.y[2] + JOIN.height / 2)


def test_the_longest_path_is_the_straight_column() -> None:
    layout = arrange([BOX, BOX, BOX, BOX, JOIN], [[], [0], [0], [2], [1, 3]], [4])
    assert layout.main == {0, 2, 3, 4}
    assert layout.x[1] > BOX.right
    assert {layout.x[node] for node in layout.main} == {0}


def test_boxes_of_a_layer_stand_apart() -> None:
    layout = arrange([BOX] * 6 + [JOIN], [[], [0], [0], [0], [0], [0], [1, 2, 3, 4, 5]], [6])
    axes = sorted(layout.x[1:6])
    gaps = [b - a for a, b in itertools.pairwise(axes)]
    assert min(gaps) > BOX.left + BOX.right


def test_layers_have_their_least_height() -> None:
    layout = arrange([BOX, BOX], [[], [0]], [1], {0: 100})
    assert layout.rows[0][1] == 100
    assert layout.y[0] == 40  # in the middle
    assert layout.rows[1][0] > 100
